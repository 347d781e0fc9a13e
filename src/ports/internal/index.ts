/**
 * A port that is an interface of this host: the host's stack is on one side, Weir holds the descriptor of the other.
 * Here the host's address goes when its NIC becomes a switch port.
 */
import * as z from "zod";
import { EAGAIN, errno, errnoName, libc } from "../../sys/libc.ts";
import { addAddress, findLink, type Link, setLink } from "../../sys/links.ts";
import { allocate, regionOf, release } from "../../sys/memory.ts";
import { openTap, takeOffloads } from "../../sys/tun.ts";
import { macAddress } from "../../text/fields.ts";
import { gsoHeaderBytes, gsoSize, VNET_HEADER_BYTES } from "../../wire/vnet.ts";
import { fits } from "../device/fits.ts";
import type { PacketBatch, Port, PortState, PortType } from "../port.ts";

const schema = z.strictObject({
  device: z
    .string()
    .regex(/^[^\s/:%]{1,15}$/, "a device name has 1 to 15 characters, no space, slash, colon or %")
    .optional(),
  mac: macAddress().optional(),
  mtu: z.int().min(68).max(65521).default(1500),
  addresses: z.array(z.string().regex(/^[0-9a-fA-F.:]+(\/\d{1,3})?$/, "write 192.0.2.10/24")).default([]),
});

export type InternalOptions = z.infer<typeof schema>;

/** Longest frame with its virtio-net header: 64 KiB of GSO payload and headers. */
const MAX_READ = 66 * 1024;
/** One batch; a full one of GSO frames is cut short, and the rest waits in the kernel's queue. */
const RECEIVE_BYTES = 1024 * 1024;
/** Read at most so many frames at once: each costs a system call. */
const MAX_FRAMES = 64;
/** Before the virtio-net header: room for a tag. */
const HEADROOM = 22;
const REFRESH_NS = 0.5e9;

/** Read until there is nothing more, or the batch or its memory is full. */
function receive(fd: number, memory: ReturnType<typeof allocate>, batch: PacketBatch): number {
  const { readAt } = libc();
  const { u8, address } = memory;
  batch.bytes = u8;
  batch.vnet = true;
  const limit = Math.min(batch.capacity, MAX_FRAMES);
  let at = 0;
  let n = 0;
  while (n < limit && at + HEADROOM + MAX_READ <= RECEIVE_BYTES) {
    const got = readAt(fd, address + at + HEADROOM, MAX_READ);
    if (got <= VNET_HEADER_BYTES) break;
    const offset = at + HEADROOM + VNET_HEADER_BYTES;
    const length = got - VNET_HEADER_BYTES;
    const size = gsoSize(u8, offset - VNET_HEADER_BYTES);
    batch.offset[n] = offset;
    batch.captured[n] = length;
    batch.length[n] = length;
    batch.timeNs[n] = 0;
    batch.gsoSize[n] = size;
    batch.gsoHeaders[n] = size === 0 ? 0 : gsoHeaderBytes(u8, offset - VNET_HEADER_BYTES, offset, length);
    at = (at + HEADROOM + got + 63) & ~63;
    n++;
  }
  return n;
}

function open(options: InternalOptions, name: string): Port {
  const device = options.device ?? name;
  if (findLink(device)) throw new Error(`${device} exists: an internal port makes its own device. Name another`);
  const fd = openTap(device);
  const memory = allocate(RECEIVE_BYTES + MAX_READ);
  let link: Link | undefined;
  try {
    takeOffloads(fd);
    link = findLink(device);
    if (!link) throw new Error(`${device} is gone again`);
    setLink(link, { mtu: options.mtu, ...(options.mac === undefined ? {} : { mac: options.mac }) });
    setLink(link, { up: true });
    for (const address of options.addresses) addAddress(link, address);
    link = findLink(device);
  } catch (error) {
    libc().close(fd);
    release(memory);
    throw error;
  }
  let state: PortState = "up";
  let message: string | undefined;
  let nowNs = 0;
  let refreshedNs = 0;
  let failed = 0;
  let lastError = 0;
  /** Frames from the host that met a full queue. */
  let lost = 0;
  let maxFrame = options.mtu + 14;
  let isClosed = false;

  function refresh(): void {
    const index = link?.index;
    const found = findLink(device);
    if (!found || found.index !== index) {
      state = "failed";
      message = `somebody deleted ${device}: remove the port and add it again`;
      return;
    }
    link = found;
    lost = found.stats.txDropped;
    maxFrame = found.mtu + 14;
    state = found.up ? "up" : "down";
    message = found.up ? undefined : `ip link set ${device} up`;
  }

  return {
    pollFd: fd,
    receive(batch, time) {
      nowNs = time;
      return state === "up" ? receive(fd, memory, batch) : 0;
    },
    transmit(bytes, offset, captured, length, vnet) {
      if (state !== "up" || captured !== length || length > MAX_READ - VNET_HEADER_BYTES) return false;
      if (length > maxFrame && !fits(bytes, offset, length, maxFrame, vnet)) return false;
      const source = vnet ? (regionOf(bytes)?.address ?? 0) : 0;
      let from = source + offset - VNET_HEADER_BYTES;
      if (source === 0) {
        const { u8, address } = memory;
        if (vnet) u8.set(bytes.subarray(offset - VNET_HEADER_BYTES, offset + length), RECEIVE_BYTES);
        else {
          u8.fill(0, RECEIVE_BYTES, RECEIVE_BYTES + VNET_HEADER_BYTES);
          u8.set(bytes.subarray(offset, offset + length), RECEIVE_BYTES + VNET_HEADER_BYTES);
        }
        from = address + RECEIVE_BYTES;
      }
      if (libc().writeAt(fd, from, VNET_HEADER_BYTES + length) >= 0) return true;
      lastError = errno();
      if (lastError !== EAGAIN) failed++;
      return false;
    },
    flush() {},
    status() {
      if (!isClosed && nowNs - refreshedNs >= REFRESH_NS) {
        refreshedNs = nowNs;
        refresh();
      }
      const said = message ?? (failed > 0 ? `writing failed (${errnoName(lastError)})` : undefined);
      return {
        state,
        ...(said === undefined ? {} : { message: said }),
        device,
        mac: link?.mac ?? "",
        mtu: link?.mtu ?? options.mtu,
        speed: 0,
        ifIndex: 0,
        lost: { ring: lost, nic: 0, tap: 0, qdisc: 0 },
      };
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      state = "absent";
      message = "closed";
      libc().close(fd);
      release(memory);
    },
  };
}

const type: PortType<InternalOptions> = { schema, open: (options, env) => open(options, env.name) };
export default type;
