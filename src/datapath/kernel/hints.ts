/**
 * Hints: where a key's hash leads, without the hash table's misses of the cache. A set of them is 32 bytes:
 *
 * ```
 * word 0 … 6   number of a slot, in the highest byte eight bits of the hash; 0 = none
 * word 7       flows of this set whose hint found no room
 * ```
 *
 * That a hint leads to the right slot, the key there says. They only ever save the way by `flows`, which alone decides who
 * makes a flow: a key without a hint, in a set that has lost none, is taken for new without asking there. In a storm of new
 * flows that look into a full table was a sixth of all time.
 *
 * A hint must not lead to a slot after the grace period that follows `retire`. So it is left once, by the program that
 * made the slot and before that is LIVE (bpf/flows.h), and taken away by `forgetHint`, together with the key.
 */
import { KEY_WORDS } from "../../flow/key.ts";
import { HASH_FACTOR, HINT_LOST, HINT_WAYS, HINT_WORDS, SET_HINT_MASK } from "./layout.ts";
import type { KernelMaps } from "./maps.ts";

/** Bits of a hint that are the slot's number. */
const HINT_SLOT = 0xffffff;

const FACTORS = new Int32Array(KEY_WORDS);
for (let n = 0, factor = HASH_FACTOR; n < KEY_WORDS; n++, factor = Math.imul(factor, HASH_FACTOR)) FACTORS[n] = factor;

/** Sets for so many slots: four a set on average when all are used; two in a hundred find no room then. */
export function hintSets(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(4, capacity / 4)));
}

/** u32; the words of a key stand at `at`. */
export function hashKey(words: Uint32Array, at: number): number {
  let sum = 0;
  for (let n = 0; n < KEY_WORDS; n++) sum = (sum + Math.imul(words[at + n]!, FACTORS[n]!)) | 0;
  sum ^= sum >>> 15;
  sum = Math.imul(sum, HASH_FACTOR);
  return (sum ^ (sum >>> 13)) >>> 0;
}

/** No hint leads to the slot any more, whose key stands at `at`. */
export function forgetHint({ hints, settings }: KernelMaps, slot: number, words: Uint32Array, at: number): void {
  const first = (hashKey(words, at) & settings[SET_HINT_MASK]!) * HINT_WORDS;
  for (let n = first; n < first + HINT_WAYS; n++) {
    const hint = Atomics.load(hints, n);
    if (hint !== 0 && (hint & HINT_SLOT) === slot && Atomics.compareExchange(hints, n, hint, 0) === hint) return;
  }
  // It had lost its place, or is forgotten once more after a kill: the count only says whether to ask `flows`.
  const lost = Atomics.load(hints, first + HINT_LOST);
  if (lost > 0) Atomics.compareExchange(hints, first + HINT_LOST, lost, lost - 1);
}
