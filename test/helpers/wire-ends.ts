/**
 * Veth pairs for a test: the host's ends are ports of a switch, the others stand in a namespace of the test's and send
 * and receive raw frames. Nothing else speaks on them.
 */
import { spawnSync } from "node:child_process";
import { closeSync, openSync } from "node:fs";
import { bindRings, closeRings, openRings, receiveBatch, ringsBytes, ringSizes } from "../../src/ports/device/rings.ts";
import { bindSender, closeSender, enqueue, flushSender, openSender, SEND_BYTES } from "../../src/ports/device/send.ts";
import { createBatch } from "../../src/ports/port.ts";
import { check } from "../../src/sys/libc.ts";
import { findLink, setIpv6Disabled } from "../../src/sys/links.ts";
import { allocate, release, roundToPages } from "../../src/sys/memory.ts";
import { loadLibrary } from "../../src/sys/native.ts";
import { VNET_HEADER_BYTES } from "../../src/wire/vnet.ts";
import { sh } from "./netns.ts";

const CLONE_NEWNET = 0x40000000;

/** Do something with this thread in a network namespace; sockets made there stay there. */
export function inNamespace<T>(name: string, body: () => T): T {
  const setns = loadLibrary("libc.so.6", "libc6").func("int setns(int, int)");
  const home = openSync("/proc/thread-self/ns/net", "r");
  const there = openSync(`/run/netns/${name}`, "r");
  try {
    check(setns(there, CLONE_NEWNET), `enter namespace ${name}`);
    try {
      return body();
    } finally {
      check(setns(home, CLONE_NEWNET), "come back");
    }
  } finally {
    closeSync(home);
    closeSync(there);
  }
}

export interface WireEnd {
  /** The host's device, to be a port. */
  readonly device: string;
  send(frame: Uint8Array): void;
  /** Frames that arrived since the last call, tags in place. */
  received(): Uint8Array[];
}

export interface VethEnd extends WireEnd {
  /** A frame behind its virtio-net header: a checksum or segments that are still to be done. */
  sendOpen(bytes: Uint8Array): void;
}

export interface WireEnds {
  readonly ends: readonly WireEnd[];
  close(): void;
}

export interface VethEnds extends WireEnds {
  readonly ends: readonly VethEnd[];
}

const SLOTS = 4096;
const MTU = 1500;

function openEnd(device: string, inside: string, slots: number): VethEnd & { close(): void } {
  const link = findLink(inside)!;
  const sizes = ringSizes(MTU, slots);
  const sendAt = roundToPages(ringsBytes(sizes));
  const region = allocate(sendAt + SEND_BYTES);
  const rings = openRings(region, sizes, true);
  const sender = openSender(region, sendAt);
  bindSender(sender, link.index, inside);
  bindRings(rings, link.index, inside);
  const batch = createBatch(256);
  return {
    device,
    send(frame) {
      enqueue(sender, frame, 0, frame.length, false);
      flushSender(sender);
    },
    sendOpen(bytes) {
      enqueue(sender, bytes, VNET_HEADER_BYTES, bytes.length - VNET_HEADER_BYTES, true);
      flushSender(sender);
    },
    received() {
      const frames: Uint8Array[] = [];
      for (let count = receiveBatch(rings, batch); count > 0; count = receiveBatch(rings, batch))
        for (let n = 0; n < count; n++)
          frames.push(batch.bytes.slice(batch.offset[n]!, batch.offset[n]! + batch.length[n]!));
      return frames;
    },
    close() {
      closeRings(rings);
      closeSender(sender);
      release(region);
    },
  };
}

let serial = 0;

/** ip(8) for many at once: a process each takes longer than what it does. */
function ipBatch(commands: readonly string[], ...options: string[]): void {
  const done = spawnSync("ip", [...options, "-batch", "-"], { input: commands.join("\n"), encoding: "utf8" });
  if (done.status !== 0) throw new Error(`ip -batch: ${done.error?.message ?? done.stderr.trim()}`);
}

/**
 * `count` pairs, the inner ends e1 … in one namespace; `slots` frames wait at each. Everything goes with `close` or with the
 * process.
 */
export function wireEnds(count: number, slots = SLOTS): VethEnds {
  const group = `${process.pid.toString(36)}${(serial++).toString(36)}`;
  const namespace = `weir-wire-${group}`;
  const opened: (VethEnd & { close(): void })[] = [];
  const devices = Array.from({ length: count }, (_, n) => `we${group}x${n + 1}`);
  const close = (): void => {
    process.off("exit", close);
    for (const end of opened.splice(0)) end.close();
    const input = devices.map((device) => `link del ${device}`).join("\n");
    spawnSync("ip", ["-force", "-batch", "-"], { input });
    spawnSync("ip", ["netns", "del", namespace]);
  };
  process.once("exit", close);
  try {
    sh("ip", "netns", "add", namespace);
    sh("ip", "netns", "exec", namespace, "sysctl", "-qw", "net.ipv6.conf.default.disable_ipv6=1");
    ipBatch(devices.map((device, n) => `link add ${device} type veth peer name e${n + 1} netns ${namespace}`));
    for (const device of devices) setIpv6Disabled(device, true);
    const up = (names: readonly string[]): string[] => names.map((name) => `link set ${name} up`);
    ipBatch(up(devices.map((_, n) => `e${n + 1}`)), "-n", namespace);
    ipBatch(up(devices));
    for (const [n, device] of devices.entries())
      opened.push(inNamespace(namespace, () => openEnd(device, `e${n + 1}`, slots)));
  } catch (error) {
    close();
    throw error;
  }
  return { ends: opened, close };
}
