/**
 * The flow table: exact match from key to slot, used by the userspace datapath's thread alone. It holds no flow data:
 * the key that decides stands in the slot, in shared memory.
 *
 * ```
 * entries   Int32Array, two words an entry: hash of the key | slot + 1 (0 = empty)
 * ```
 *
 * Open addressing, linear probing, at most half full (a power of two ≥ 2 × capacity entries), removal by shifting back
 * what follows: no tombstones, so a table that lived through a million flows is as fast as a new one. Nothing here
 * allocates.
 */
import { KEY_WORDS, SLOT_KEY, SLOT_WORDS, type FlowSlots } from "../shm/slots.ts";

export interface FlowTable {
  readonly slots: FlowSlots;
  readonly entries: Int32Array;
  /** Entries − 1. */
  readonly mask: number;
  /** KEY_WORDS random words: who does not know them cannot make keys collide. */
  readonly seed: Int32Array;
  /** Flows in the table. */
  size: number;
}

/** `random` returns 32-bit numbers; the same ones make the same table (replay). */
export function createTable(slots: FlowSlots, random: () => number): FlowTable {
  const entries = 2 ** Math.ceil(Math.log2(Math.max(8, slots.capacity * 2)));
  return {
    slots,
    entries: new Int32Array(entries * 2),
    mask: entries - 1,
    seed: Int32Array.from({ length: KEY_WORDS }, () => random() | 0),
    size: 0,
  };
}

/**
 * Hash of KEY_WORDS words at `words[at]`: NH (Black et al., "UMAC", CRYPTO '99) over 16-bit halves: a sum of products
 * of data plus seed, so that two keys chosen without knowing the seed collide with a chance of about 2^-16, whatever
 * they are; the 20 products do not wait for each other. Then MurmurHash3's finalizer, a bijection, spreads the bits.
 */
export function hashWords(seed: Int32Array, words: Uint32Array, at: number): number {
  let sum = 0;
  for (let n = 0; n < KEY_WORDS; n++) {
    const t = (words[at + n]! + seed[n]!) | 0;
    sum = (sum + Math.imul(t & 0xffff, t >>> 16)) | 0;
  }
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return sum ^ (sum >>> 16);
}

/** Hash of a key, for `find`, `insert` and `remove`. A signed 32-bit number. */
export function hashKey(table: FlowTable, key: Uint32Array): number {
  return hashWords(table.seed, key, 0);
}

/** All 20 words, without a branch between them: when the hash agrees, the key nearly always does. */
function sameKey(slotWords: Int32Array, at: number, key: Uint32Array): boolean {
  let difference = 0;
  for (let n = 0; n < KEY_WORDS; n++) difference |= slotWords[at + n]! ^ key[n]!;
  return difference === 0;
}

/** The slot of this key, or -1. */
export function find(table: FlowTable, key: Uint32Array, hash: number): number {
  const entries = table.entries;
  const mask = table.mask;
  const slotWords = table.slots.i32;
  let n = hash & mask;
  for (;;) {
    const slot = entries[n * 2 + 1]! - 1;
    if (slot < 0) return -1;
    if (entries[n * 2] === hash && sameKey(slotWords, slot * SLOT_WORDS + SLOT_KEY, key)) return slot;
    n = (n + 1) & mask;
  }
}

/** Enter a slot whose key is not in the table. There is always room: entries are twice the slots. */
export function insert(table: FlowTable, slot: number, hash: number): void {
  const entries = table.entries;
  let n = hash & table.mask;
  while (entries[n * 2 + 1] !== 0) n = (n + 1) & table.mask;
  entries[n * 2] = hash;
  entries[n * 2 + 1] = slot + 1;
  table.size++;
}

/** Unlink a slot, found by the key that stands in it. False: it was not in the table. */
export function remove(table: FlowTable, slot: number): boolean {
  const { entries, mask } = table;
  let hole = hashWords(table.seed, table.slots.u32, slot * SLOT_WORDS + SLOT_KEY) & mask;
  while (entries[hole * 2 + 1] !== slot + 1) {
    if (entries[hole * 2 + 1] === 0) return false;
    hole = (hole + 1) & mask;
  }
  // Shift back every follower whose own place is not between the hole and it (Knuth, vol. 3, algorithm 6.4 R).
  let n = hole;
  for (;;) {
    n = (n + 1) & mask;
    if (entries[n * 2 + 1] === 0) break;
    const home = entries[n * 2]! & mask;
    if (((n - home) & mask) < ((n - hole) & mask)) continue;
    entries[hole * 2] = entries[n * 2]!;
    entries[hole * 2 + 1] = entries[n * 2 + 1]!;
    hole = n;
  }
  entries[hole * 2] = 0;
  entries[hole * 2 + 1] = 0;
  table.size--;
  return true;
}
