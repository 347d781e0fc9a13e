/** Seeded pseudo-random numbers: mulberry32 (public domain, T. Ettinger). The state is one word in an array, never boxed. */
export type Random = Int32Array;

export function createRandom(seed: number): Random {
  return Int32Array.of(seed);
}

/** Uniform 32-bit unsigned. */
export function next(random: Random): number {
  const state = (random[0]! + 0x6d2b79f5) | 0;
  random[0] = state;
  let t = Math.imul(state ^ (state >>> 15), state | 1);
  t ^= t + Math.imul(t ^ (t >>> 7), t | 61);
  return (t ^ (t >>> 14)) >>> 0;
}

/** Uniform integer in 0 ..< bound (bound ≪ 2^32: the bias is below bound / 2^32). */
export function below(random: Random, bound: number): number {
  return next(random) % bound;
}

/** Uniform in [0, 1). */
export function unit(random: Random): number {
  return next(random) / 4294967296;
}

/**
 * Bounded Pareto, in whole units: heavy-tailed, as sizes of transfers are (Crovella and Bestavros 1997). `alpha` is the
 * tail exponent: 1.1 … 1.3 fits web and bulk traffic. Inverse transform of the truncated distribution.
 */
export function pareto(random: Random, min: number, max: number, alpha: number): number {
  if (min >= max) return min;
  const cut = 1 - Math.pow(min / max, alpha);
  return Math.floor(min / Math.pow(1 - unit(random) * cut, 1 / alpha));
}
