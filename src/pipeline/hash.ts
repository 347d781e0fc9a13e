/**
 * Hashing that a tenant cannot steer: addresses and ports come from guests, so a fixed hash would let one of them fill
 * a single chain. Multiply-shift over 16-bit characters with random 32-bit factors (Dietzfelbinger et al., "A reliable
 * randomized algorithm for the closest-pair problem", 1997): for any two keys the chance to share one of 2^b places,
 * b ≤ 17, is about 2^-b, whatever the keys. The place is the top b bits.
 */
import { getRandomValues } from "node:crypto";

/** Factors for keys of `words` 32-bit words: two a word, for its low and its high half. */
export function hashFactors(words: number): Uint32Array {
  return getRandomValues(new Uint32Array(words * 2));
}

/** Hash of two words, 0 … 2^32 − 1. Use the top bits. */
export function hash2(factors: Uint32Array, a: number, b: number): number {
  return (
    (Math.imul(a & 0xffff, factors[0]!) +
      Math.imul(a >>> 16, factors[1]!) +
      Math.imul(b & 0xffff, factors[2]!) +
      Math.imul(b >>> 16, factors[3]!)) >>>
    0
  );
}
