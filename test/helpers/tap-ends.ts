/** Taps for a test: it holds the ends that VMs would, and sends and receives raw frames there (as wire-ends.ts on veth). */
import { spawnSync } from "node:child_process";
import { libc } from "../../src/sys/libc.ts";
import { openTap } from "../../src/sys/tun.ts";
import { VNET_HEADER_BYTES } from "../../src/wire/vnet.ts";
import type { WireEnd, WireEnds } from "./wire-ends.ts";

const MOST = 70_000;

let serial = 0;

/** Open a tap as a VM does. */
export function openVm(device: string): WireEnd & { close(): void } {
  const fd = openTap(device);
  const buffer = new Uint8Array(MOST);
  let isClosed = false;
  return {
    device,
    send(frame) {
      const whole = new Uint8Array(VNET_HEADER_BYTES + frame.length);
      whole.set(frame, VNET_HEADER_BYTES);
      libc().write(fd, whole, whole.length);
    },
    received() {
      const frames: Uint8Array[] = [];
      for (let got = 0; (got = libc().read(fd, buffer, MOST)) > 0;) frames.push(buffer.slice(VNET_HEADER_BYTES, got));
      return frames;
    },
    close() {
      if (!isClosed) libc().close(fd);
      isClosed = true;
    },
  };
}

/** Names for `count` taps that somebody is to make; `open` when they are there, before anything is sent. */
export function tapEnds(count: number): WireEnds & { open(): void } {
  const group = `${process.pid.toString(36)}${(serial++).toString(36)}`;
  const names = Array.from({ length: count }, (_, n) => `wt${group}${n + 1}`);
  const vms: ReturnType<typeof openVm>[] = [];
  const close = (): void => {
    process.off("exit", close);
    for (const vm of vms.splice(0)) vm.close();
    for (const name of names) spawnSync("ip", ["link", "del", name]);
  };
  process.once("exit", close);
  return {
    ends: names.map((device, n) => ({
      device,
      send: (frame) => vms[n]!.send(frame),
      received: () => vms[n]!.received(),
    })),
    open: () => void vms.push(...names.map((name) => openVm(name))),
    close,
  };
}
