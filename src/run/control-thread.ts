/**
 * What a running switch asks for its control thread, which works little and is to answer at once while senders and the
 * forwarding have the processors.
 */
import { getPriority } from "node:os";
import { setFlagsFromString } from "node:v8";
import { setSchedule } from "../sys/scheduling.ts";

const AHEAD = 10;
const LOWEST = -20;
/**
 * It means to run this long at a time, ns, the least there is: who wakes with a shorter slice than the one who runs goes
 * first. With the scheduler's own it waited a fifth of the time, mostly until the next tick of the clock (4 ms).
 */
const SLICE_NS = 100_000;

export function preferControlThread(): void {
  // V8 lets the young generation grow to 32 MB, which stay resident; what is made here dies at once, and fits in 2. It
  // reads both flags when they matter.
  setFlagsFromString("--semi-space-growth-factor=1");
  // Helpers of a collection wait for a processor, and this thread for them.
  setFlagsFromString("--no-parallel-scavenge");
  const nice = getPriority();
  try {
    if (!setSchedule(Math.max(LOWEST, nice - AHEAD), SLICE_NS)) setSchedule(nice, SLICE_NS);
  } catch {
    // No koffi: no ports on devices either.
  }
}
