/**
 * A port that looks on: frames of a device by libpcap, with a libpcap filter. Receive only; nothing about the device is
 * changed.
 */
import { spawn, type ChildProcess } from "node:child_process";
import { existsSync } from "node:fs";
import { createRequire } from "node:module";
import { dirname, join } from "node:path";
import * as z from "zod";
import { findLink, type Link } from "../../sys/links.ts";
import { allocate, release } from "../../sys/memory.ts";
import { check, libc, makePipe } from "../../sys/libc.ts";
import type { PacketBatch, Port, PortState, PortType } from "../port.ts";
import { captureLoop, RECORD_BYTES, RECORD_FAILED, RECORD_FRAME, HELPER_FAILED, SNAPLEN } from "./helper.ts";

const schema = z.strictObject({
  device: z.string().regex(/^[^\s/:]{1,15}$/, "a device name has 1 to 15 characters, no space, slash or colon"),
  filter: z.string().max(4096).default(""),
});

export type CaptureOptions = z.infer<typeof schema>;

/** The pipe, and the port's memory: what may wait between libpcap and the switch (beside 8 MiB in the helper). */
const PIPE_BYTES = 1024 * 1024;
const MEMORY_BYTES = 4 * 1024 * 1024;
const REFRESH_NS = 0.5e9;
/** A helper that failed is started again after this. */
const RETRY_NS = 2e9;

const NEEDS = "ports of type capture need the npm package pcap: apt-get install libpcap-dev g++ make python3, then npm";

/** Where the package is. Throws an Error that says how to get it. */
function findPcap(): string {
  let path: string;
  try {
    path = createRequire(import.meta.url).resolve("pcap");
  } catch (cause) {
    throw new Error(`${NEEDS} i pcap`, { cause });
  }
  // A first start compiles it beside the switch, or could not.
  if (!existsSync(join(dirname(path), "build/Release/pcap_binding.node"))) throw new Error(`${NEEDS} rebuild pcap`);
  return path;
}

function open({ device, filter }: CaptureOptions): Port {
  const path = findPcap();
  const pipe = makePipe(PIPE_BYTES);
  const memory = allocate(MEMORY_BYTES);
  const { u8, u32 } = memory;
  let child: ChildProcess | undefined;
  /** Unread records in memory: from, to. The last batch's frames stand before `from`. */
  let from = 0;
  let to = 0;
  let state: PortState = "absent";
  let message: string | undefined;
  let link: Link | undefined;
  let lost = 0;
  let lostBefore = 0;
  let nowNs = 0;
  let refreshedNs = 0;
  let retryNs = 0;
  let isClosed = false;

  function start(): void {
    const code = `(${captureLoop.toString()})(require, ...process.argv.slice(1))`;
    // What a helper that failed left behind ends in the middle of a record.
    do from = to = 0;
    while (libc().readAt(pipe.read, memory.address, MEMORY_BYTES) > 0);
    if (state !== "failed") {
      state = "down";
      message = `starting to capture on ${device}`;
    }
    const started = spawn(process.execPath, ["-e", code, path, device, filter], {
      stdio: ["ignore", "ignore", "ignore", pipe.write],
    });
    started.unref();
    child = started;
    const ended = (code: number | null): void => {
      if (child !== started) return;
      child = undefined;
      retryNs = nowNs + RETRY_NS;
      lostBefore += lost;
      lost = 0;
      // With HELPER_FAILED its last record says why.
      if (code === HELPER_FAILED || (state !== "up" && state !== "down")) return;
      state = "failed";
      message = "the capturing process ended; it is started again";
    };
    started.once("exit", ended);
    started.once("error", (error) => {
      message = error.message;
      ended(null);
    });
  }

  function refresh(): void {
    link = findLink(device);
    if (!link) {
      state = "absent";
      message = `waiting for device ${device}`;
      child?.kill();
      return;
    }
    if (child === undefined && nowNs >= retryNs) start();
  }

  /** Take one record; returns the number of frames in it (0 or 1). */
  function take(batch: PacketBatch, n: number, at: number): number {
    const word = at / 4;
    const kind = u32[word]!;
    const captured = u32[word + 1]!;
    lost = u32[word + 3]!;
    if (kind === RECORD_FAILED) {
      state = "failed";
      message = new TextDecoder().decode(u8.slice(at + RECORD_BYTES, at + RECORD_BYTES + captured));
      return 0;
    }
    if (state !== "up") {
      state = "up";
      message = undefined;
    }
    if (kind !== RECORD_FRAME) return 0;
    batch.offset[n] = at + RECORD_BYTES;
    batch.captured[n] = captured;
    batch.length[n] = u32[word + 2]!;
    batch.timeNs[n] = 0;
    batch.gsoSize[n] = 0;
    batch.gsoHeaders[n] = 0;
    return 1;
  }

  function receive(batch: PacketBatch): number {
    // The last batch is done with: move what is left of an unfinished record to the front when the end comes near.
    if (from === to) from = to = 0;
    else if (from > MEMORY_BYTES / 2) {
      u8.copyWithin(0, from, to);
      to -= from;
      from = 0;
    }
    const got = libc().readAt(pipe.read, memory.address + to, MEMORY_BYTES - to);
    if (got > 0) to += got;
    batch.bytes = u8;
    batch.vnet = false;
    let n = 0;
    while (n < batch.capacity && to - from >= RECORD_BYTES) {
      const captured = u32[from / 4 + 1]!;
      const size = RECORD_BYTES + ((captured + 7) & ~7);
      if (captured > SNAPLEN) child?.kill();
      if (captured > SNAPLEN || from + size > to) break;
      n += take(batch, n, from);
      from += size;
    }
    return n;
  }

  refresh();
  return {
    pollFd: pipe.read,
    receive(batch, time) {
      nowNs = time;
      return isClosed ? 0 : receive(batch);
    },
    transmit: () => false,
    flush() {},
    status() {
      if (!isClosed && nowNs - refreshedNs >= REFRESH_NS) {
        refreshedNs = nowNs;
        refresh();
      }
      return {
        state,
        ...(message === undefined ? {} : { message }),
        device,
        ...(link ? { mac: link.mac } : {}),
        mtu: link?.mtu ?? 0,
        speed: 0,
        ifIndex: link?.physical ? link.index : 0,
        lost: { ring: lostBefore + lost, nic: 0, tap: 0, qdisc: 0 },
      };
    },
    close() {
      if (isClosed) return;
      isClosed = true;
      state = "absent";
      message = "closed";
      const last = child;
      child = undefined;
      last?.kill();
      for (const fd of [pipe.read, pipe.write]) check(libc().close(fd), "close a pipe");
      release(memory);
    },
  };
}

const type: PortType<CaptureOptions> = {
  schema,
  open,
  async prepare() {
    findPcap();
  },
};
export default type;
