/**
 * The flow index: which slot a key has. A bucket is 32 bytes, and two share a cache line:
 *
 * ```
 * word 0 … 6   an entry: number of a slot, in the highest byte eight bits of the key's hash; 0 = none
 * word 7       bit 31: a program inserts here; below: how many flows of this bucket found no room
 * ```
 *
 * Those without room stand in `overflow`, the kernel's own hash table, which is asked where word 7 says so. (It used to be
 * asked for all. Of a flow that is found its walk was half of the time, of a new flow its insertion two thirds.) That an
 * entry leads to the right slot, the key there says; that a key has one slot only, the lock: who inserts looks once more
 * while it holds that. Whoever looks up takes no lock.
 *
 * An entry must not lead to a slot after the grace period that follows `retire`. So it is made once, by the program that
 * made the slot and before that is LIVE (bpf/flows.h), and taken away by `unlinkSlot`.
 */
import { KEY_BYTES, KEY_WORDS } from "../../flow/key.ts";
import { deleteElement, lookupElement } from "../../sys/bpf-maps.ts";
import { BUCKET_LOCK, BUCKET_STATE, BUCKET_WAYS, BUCKET_WORDS, HASH_FACTOR, SET_BUCKET_MASK } from "./layout.ts";
import type { KernelMaps } from "./maps.ts";

/** Bits of an entry that are the slot's number. */
const ENTRY_SLOT = 0xffffff;
/** Elements of `overflow` that are there whatever the number of slots: a small table has few buckets. */
const LEAST_OVERFLOW = 1024;

const FACTORS = new Int32Array(KEY_WORDS);
for (let n = 0, factor = HASH_FACTOR; n < KEY_WORDS; n++, factor = Math.imul(factor, HASH_FACTOR)) FACTORS[n] = factor;

/** Buckets for so many slots: four flows a bucket on average when all are used; two in a hundred find no room then. */
export function bucketCount(capacity: number): number {
  return 2 ** Math.ceil(Math.log2(Math.max(4, capacity / 4)));
}

/**
 * Elements of `overflow`: ten times what chance sends there. Who chooses keys that collide can fill it; then flows whose
 * bucket is full as well are counted without a flow, as in a full table.
 */
export function overflowSize(capacity: number): number {
  return Math.min(capacity, Math.max(LEAST_OVERFLOW, capacity / 4));
}

/** u32; the words of a key stand at `at`. */
export function hashKey(words: Uint32Array, at: number): number {
  let sum = 0;
  for (let n = 0; n < KEY_WORDS; n++) sum = (sum + Math.imul(words[at + n]!, FACTORS[n]!)) | 0;
  sum ^= sum >>> 15;
  sum = Math.imul(sum, HASH_FACTOR);
  return (sum ^ (sum >>> 13)) >>> 0;
}

/**
 * No key leads to the slot any more, whose key stands at `at`. Of one that was unlinked before a process was killed none
 * did, and its key may have another slot by now.
 */
export function unlinkSlot(
  { buckets, settings, object }: KernelMaps,
  slot: number,
  words: Uint32Array,
  at: number,
): void {
  const first = (hashKey(words, at) & settings[SET_BUCKET_MASK]!) * BUCKET_WORDS;
  for (let n = first; n < first + BUCKET_WAYS; n++) {
    const entry = Atomics.load(buckets, n);
    if (entry !== 0 && (entry & ENTRY_SLOT) === slot && Atomics.compareExchange(buckets, n, entry, 0) === entry) return;
  }
  if ((Atomics.load(buckets, first + BUCKET_STATE) & ~BUCKET_LOCK) === 0) return;
  const overflow = object.map("overflow");
  const key = new Uint8Array(words.buffer, at * 4, KEY_BYTES).slice();
  const found = new Uint32Array(1);
  if (!lookupElement(overflow, key, new Uint8Array(found.buffer)) || found[0] !== slot) return;
  deleteElement(overflow, key);
  Atomics.sub(buckets, first + BUCKET_STATE, 1);
}
