/**
 * Many switches measured in turns of a fraction of a second: a machine with neighbours is a fifth slower for a second, and
 * then is not, which so meets all of them. A sender for each stands ready and stopped, so that a turn costs no program's
 * start; the receiver's counter is read without one.
 */
import { readFileSync } from "node:fs";
import { setTimeout as sleep } from "node:timers/promises";
import type { Bed, Lane } from "./bed.ts";

/** After a sender is let go its frames fill caches and queues that others have used: each flow's once, at 250,000 a second. */
const SETTLE_MS = 25;
const FLOWS_PER_MS = 250;

/** One lane with a sender of its own. */
export interface Turns {
  /** Frames a second that reach the receiver while the sender sends as fast as it can, for `ms` after a short run-in. */
  rate(ms: number): Promise<number>;
  end(): void;
}

/** Frames that a device has received, of the network namespace of a process. */
export function receivedIn(pid: number, device: string): number {
  const line = readFileSync(`/proc/${pid}/net/dev`, "utf8")
    .split("\n")
    .find((text) => text.trimStart().startsWith(`${device}:`));
  if (line === undefined) throw new Error(`no device ${device}`);
  return Number(line.trim().split(/[\s:]+/)[2]);
}

/** A sender of so many flows for the lane, stopped until its first turn. */
export async function turnsOf(bed: Bed, lane: Lane, flows: number): Promise<Turns> {
  const sender = bed.sender(lane, flows);
  const { pid, device } = bed.watcher(lane);
  const settleMs = Math.max(SETTLE_MS, flows / FLOWS_PER_MS);
  await sleep(settleMs);
  sender.kill("SIGSTOP");
  return {
    async rate(ms) {
      sender.kill("SIGCONT");
      await sleep(settleMs);
      const [before, from] = [receivedIn(pid, device), process.hrtime.bigint()];
      await sleep(ms);
      const [after, to] = [receivedIn(pid, device), process.hrtime.bigint()];
      sender.kill("SIGSTOP");
      return (after - before) / (Number(to - from) / 1e9);
    },
    end: () => void sender.kill("SIGKILL"),
  };
}
