/**
 * Times in whole ticks of 2^24 ns (16.8 ms), 32 bits, compared by difference: what loops over all slots reckon with, so
 * that no time becomes a double there.
 */
export const TICK_NS = 2 ** 24;
const MAX_TICKS = 2 ** 30;

/** A time in ns, given as its words. COUNTER_BUSY falls out at the top. */
export function tickOf(low: number, high: number): number {
  return (high << 8) | (low >>> 24);
}

/** A duration in whole ticks, rounded down; more than half a year is half a year. */
export function ticks(ns: number): number {
  return Math.min(MAX_TICKS, Math.floor(ns / TICK_NS));
}
