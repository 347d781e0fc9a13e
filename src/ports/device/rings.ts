/**
 * Receiving from a device: two rings, because frames come in two sizes. Ordinary ones (up to the MTU) fill thousands of
 * small slots that stay in the cache; what a guest's TSO makes (up to 64 KiB) goes into a few large ones. The kernel
 * sorts them by length in a socket filter; here they are merged in the order of their time stamps, so that no flow
 * is reordered.
 *
 * ```
 * REGION   | small slots | large slots | send queue and staging (send.ts) |
 * ```
 */
import {
  bindSocket,
  createReceiveRing,
  longestFrame,
  openReceiveSocket,
  type ReceiveRing,
  type RingGeometry,
  ringBytes,
  setPromiscuous,
  takeRingDrops,
  TP_CAPTURED,
  TP_LENGTH,
  TP_MAC,
  TP_NANOSECONDS,
  TP_SECONDS,
  TP_STATUS_USER,
  TP_STATUS_VLAN_TPID_VALID,
  TP_STATUS_VLAN_VALID,
  TP_VLAN_TCI,
} from "../../sys/packet-socket.ts";
import { libc } from "../../sys/libc.ts";
import type { Region } from "../../sys/memory.ts";
import { ETH_TYPE } from "../../wire/ethernet.ts";
import { gsoHeaderBytes, gsoSize, shiftVnet, VNET_HEADER_BYTES } from "../../wire/vnet.ts";
import { TAG_BYTES, TPID_CTAG } from "../../wire/vlan.ts";
import type { PacketBatch } from "../port.ts";

/** A small slot holds an MTU of 1900; a device with a larger one gets larger slots, fewer of them. */
const SMALL_SLOT = 2048;
/** 64 KiB of payload and its headers; not a multiple of the page, so that slots do not compete for the same cache sets. */
const LARGE_SLOT = 69_632 + 256;
const LARGE_PER_BLOCK = 15;
const SMALL_BLOCK = 256 * 1024;
const MAX_FRAME = 0x7fffffff;
/** Room in a small slot beside the MTU: the kernel's header and ours, Ethernet and two tags. */
const SLOT_OVERHEAD = 128;

export interface RingSizes {
  readonly small: RingGeometry;
  readonly large: RingGeometry;
}

/** Rings for a device of this MTU: `slots` small ones and enough large ones for 4 MiB of GSO frames. */
export function ringSizes(mtu: number, slots: number): RingSizes {
  let slotBytes = SMALL_SLOT;
  while (slotBytes < mtu + SLOT_OVERHEAD && slotBytes < SMALL_BLOCK / 4) slotBytes *= 2;
  const perBlock = SMALL_BLOCK / slotBytes;
  // The same memory whatever the slot, down to a quarter of the slots: jumbo frames come less often.
  const wanted = Math.max(slots / 4, (slots * SMALL_SLOT) / slotBytes);
  return {
    small: { slotBytes, blockBytes: SMALL_BLOCK, blocks: Math.ceil(wanted / perBlock) },
    large: { slotBytes: LARGE_SLOT, blockBytes: 2 ** 20, blocks: Math.ceil(64 / LARGE_PER_BLOCK) },
  };
}

export function ringsBytes(sizes: RingSizes): number {
  return ringBytes(sizes.small) + ringBytes(sizes.large);
}

export interface Rings {
  readonly region: Region;
  readonly i32: Int32Array;
  readonly small: ReceiveRing;
  readonly large: ReceiveRing;
  /** Frames longer than the largest slot, and frames that met a full ring: lost. */
  lost: number;
}

/** Sockets and rings, bound to no device yet. `region` has ringsBytes(sizes) at its start. */
export function openRings(region: Region, sizes: RingSizes, ignoreOutgoing: boolean): Rings {
  const limit = longestFrame(sizes.small);
  const fds: number[] = [];
  try {
    fds.push(openReceiveSocket(0, limit, ignoreOutgoing));
    fds.push(openReceiveSocket(limit + 1, MAX_FRAME, ignoreOutgoing));
    const small = createReceiveRing(fds[0]!, sizes.small, region, 0);
    const large = createReceiveRing(fds[1]!, sizes.large, region, ringBytes(sizes.small));
    return { region, i32: new Int32Array(region.u32.buffer), small, large, lost: 0 };
  } catch (error) {
    for (const fd of fds) libc().close(fd);
    throw error;
  }
}

export function closeRings(rings: Rings): void {
  libc().close(rings.small.fd);
  libc().close(rings.large.fd);
}

/** Receive from this device from now on; `isPromiscuous`: also what is addressed to others. The large ring first: frames wait in it until the small one delivers. */
export function bindRings(rings: Rings, index: number, device: string, isPromiscuous = true): void {
  for (const { fd } of [rings.large, rings.small]) bindSocket(fd, index, true, `receive from ${device}`);
  if (isPromiscuous) setPromiscuous(rings.small.fd, index, true);
}

/** Receive from no device. */
export function unbindRings(rings: Rings, index: number): void {
  setPromiscuous(rings.small.fd, index, false);
  for (const { fd } of [rings.large, rings.small])
    try {
      bindSocket(fd, 0, false, "stop receiving");
    } catch {
      // The device is gone, and the kernel has unbound the socket itself.
    }
}

/** Add up what the kernel lost since the last call. */
export function countLost(rings: Rings): number {
  rings.lost += takeRingDrops(rings.small.fd) + takeRingDrops(rings.large.fd);
  return rings.lost;
}

/** Give the kernel back the slots of the last batch. */
function handBack(i32: Int32Array, ring: ReceiveRing): void {
  let { held } = ring;
  if (held === 0) return;
  const { slots, count } = ring;
  let n = ring.head - held;
  if (n < 0) n += count;
  // The first store is ordered after all reading of the batch; x86 keeps the others in order, and elsewhere a slot that
  // comes back a moment later does no harm.
  Atomics.store(i32, slots[n]! >> 2, 0);
  for (n = n + 1 === count ? 0 : n + 1; --held > 0; n = n + 1 === count ? 0 : n + 1) i32[slots[n]! >> 2] = 0;
  ring.held = 0;
}

/** The frame in slot `a` came before the one in `b`: seconds, then nanoseconds; differences, for both may wrap. */
function isOlder(i32: Int32Array, a: number, b: number): boolean {
  const seconds = (i32[(a + TP_SECONDS) >> 2]! - i32[(b + TP_SECONDS) >> 2]!) | 0;
  return seconds !== 0 ? seconds < 0 : i32[(a + TP_NANOSECONDS) >> 2]! <= i32[(b + TP_NANOSECONDS) >> 2]!;
}

/**
 * Port.receive: fills the batch with views of the slots. An ordinary frame costs a look at two status words and no copy.
 */
export function receiveBatch(rings: Rings, batch: PacketBatch): number {
  const { i32, small, large, region } = rings;
  const { u8 } = region;
  handBack(i32, small);
  handBack(i32, large);
  batch.bytes = u8;
  batch.vnet = true;
  let n = 0;
  while (n < batch.capacity) {
    const s = small.slots[small.head]!;
    const l = large.slots[large.head]!;
    let isSmall = (Atomics.load(i32, s >> 2) & TP_STATUS_USER) !== 0 && small.held < small.count;
    const isLarge = (Atomics.load(i32, l >> 2) & TP_STATUS_USER) !== 0 && large.held < large.count;
    if (isLarge) {
      // An older frame may have reached the small ring between the two looks.
      isSmall ||= (Atomics.load(i32, s >> 2) & TP_STATUS_USER) !== 0 && small.held < small.count;
      isSmall &&= isOlder(i32, s, l);
    } else if (!isSmall) break;
    const ring = isSmall ? small : large;
    const slot = isSmall ? s : l;
    ring.head = ring.head + 1 === ring.count ? 0 : ring.head + 1;
    ring.held++;
    const length = i32[(slot + TP_LENGTH) >> 2]!;
    if (length !== i32[(slot + TP_CAPTURED) >> 2]!) {
      // Longer than the largest slot: a cut frame would be worse than none.
      rings.lost++;
      continue;
    }
    let offset = slot + (i32[(slot + TP_MAC) >> 2]! & 0xffff);
    let bytes = length;
    const status = i32[slot >> 2]!;
    if ((status & TP_STATUS_VLAN_VALID) !== 0) {
      offset = restoreTag(u8, i32, offset, slot, status);
      bytes += TAG_BYTES;
    }
    const size = gsoSize(u8, offset - VNET_HEADER_BYTES);
    batch.offset[n] = offset;
    batch.captured[n] = bytes;
    batch.length[n] = bytes;
    batch.timeNs[n] = 0;
    batch.gsoSize[n] = size;
    batch.gsoHeaders[n] = size === 0 ? 0 : gsoHeaderBytes(u8, offset - VNET_HEADER_BYTES, offset, bytes);
    n++;
  }
  return n;
}

/** Put the tag that the kernel took out of the frame back where it was. Returns the frame's new offset. */
function restoreTag(u8: Uint8Array, i32: Int32Array, offset: number, slot: number, status: number): number {
  const word = i32[(slot + TP_VLAN_TCI) >> 2]!;
  const tpid = (status & TP_STATUS_VLAN_TPID_VALID) !== 0 ? word >>> 16 : TPID_CTAG;
  const from = offset - VNET_HEADER_BYTES;
  u8.copyWithin(from - TAG_BYTES, from, offset + ETH_TYPE);
  const at = offset + ETH_TYPE - TAG_BYTES;
  u8[at] = tpid >>> 8;
  u8[at + 1] = tpid & 0xff;
  u8[at + 2] = (word >>> 8) & 0xff;
  u8[at + 3] = word & 0xff;
  shiftVnet(u8, from - TAG_BYTES, TAG_BYTES);
  return offset - TAG_BYTES;
}
