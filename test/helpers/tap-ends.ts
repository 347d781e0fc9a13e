/** Taps for a test: it holds the ends that VMs would, and sends and receives raw frames there (as wire-ends.ts on veth). */
import { spawnSync } from "node:child_process";
import { libc } from "../../src/sys/libc.ts";
import { openTap } from "../../src/sys/tun.ts";
import { VNET_HEADER_BYTES } from "../../src/wire/vnet.ts";
import type { WireEnds } from "./wire-ends.ts";

const MOST = 70_000;

let serial = 0;

/** Names for `count` taps that somebody is to make; `open` when they are there. */
export function tapEnds(count: number): WireEnds & { open(): void } {
  const group = `${process.pid.toString(36)}${(serial++).toString(36)}`;
  const names = Array.from({ length: count }, (_, n) => `wt${group}${n + 1}`);
  const fds: number[] = [];
  const buffer = new Uint8Array(MOST);
  const close = (): void => {
    process.off("exit", close);
    for (const fd of fds.splice(0)) libc().close(fd);
    for (const name of names) spawnSync("ip", ["link", "del", name]);
  };
  process.once("exit", close);
  return {
    ends: names.map((device, n) => ({
      device,
      send(frame) {
        const whole = new Uint8Array(VNET_HEADER_BYTES + frame.length);
        whole.set(frame, VNET_HEADER_BYTES);
        libc().write(fds[n]!, whole, whole.length);
      },
      received() {
        const frames: Uint8Array[] = [];
        for (let got = 0; (got = libc().read(fds[n]!, buffer, MOST)) > 0;)
          frames.push(buffer.slice(VNET_HEADER_BYTES, got));
        return frames;
      },
    })),
    open: () => void fds.push(...names.map((name) => openTap(name))),
    close,
  };
}
