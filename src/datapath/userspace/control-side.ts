/** The control thread's side of the shared memory: what the in-thread and the worker datapath have in common. */
import { KEY_WORDS } from "../../flow/key.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";
import { type FlowViews, releaseSlot } from "../../shm/memory.ts";
import type { Miss, Unattributed } from "../datapath.ts";

/** Misses waiting in the ring, oldest first, at most `limit`. */
export function takeMisses(views: Pick<FlowViews, "misses">, limit: number): Miss[] {
  const { misses } = views;
  const taken: Miss[] = [];
  while (taken.length < limit) {
    const at = misses.peek();
    if (at < 0) break;
    const word = at >>> 2;
    taken.push({ id: misses.u32[word]!, key: misses.u32.slice(word + 1, word + 1 + KEY_WORDS) });
    misses.release();
  }
  return taken;
}

/** Slots that the datapath has unlinked; appended to `out`. Returns how many. */
export function takeQuiesced(views: FlowViews, out: number[]): number {
  let count = 0;
  for (let slot = views.quiesced.pop(); slot >= 0; slot = views.quiesced.pop()) {
    out.push(slot);
    count++;
  }
  return count;
}

/** `atOnce`: where the caller's thread also makes the flows. */
export function release(views: FlowViews, slots: readonly number[], atOnce = false): void {
  for (const slot of slots) releaseSlot(views.slots, views.free, slot, atOnce);
}

export function readCounters(views: FlowViews, out: CounterSnapshot): CounterSnapshot {
  return views.counters.snapshot(out);
}

export function readUnattributed(views: FlowViews): Unattributed[] {
  return views.unattributed.read();
}
