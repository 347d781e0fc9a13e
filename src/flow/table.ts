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
  /** What the words add to a hash that are 0 in keys of IPv4 (`others`). */
  readonly zeros: number;
  /** Flows in the table. */
  size: number;
}

/** `random` returns 32-bit numbers; the same ones make the same table (replay). */
export function createTable(slots: FlowSlots, random: () => number): FlowTable {
  const entries = 2 ** Math.ceil(Math.log2(Math.max(8, slots.capacity * 2)));
  const seed = Int32Array.from({ length: KEY_WORDS }, () => random() | 0);
  return {
    slots,
    entries: new Int32Array(entries * 2),
    mask: entries - 1,
    seed,
    zeros: others(new Uint32Array(KEY_WORDS), seed),
    size: 0,
  };
}

/** One product of NH: the halves of a seeded word, 16 × 16 → 32 bits. */
function nh(t: number): number {
  return Math.imul(t & 0xffff, t >>> 16);
}

/**
 * Hash of a key, for `find` and `insert`; a signed 32-bit number. It is NH (Black et al., "UMAC", CRYPTO '99) over
 * 16-bit halves: a sum of products of data plus seed, so that two keys chosen without knowing the seed collide with a
 * chance of about 2^-16, whatever they are; the 20 products do not wait for each other. MurmurHash3's finalizer, a
 * bijection, then spreads the bits. Written out because a loop takes a fifth longer.
 *
 * A word that is 0 adds a product of the seed alone. Most keys are IPv4's, whose other eleven words are: their sum is
 * made once (`zeros`), and the hash is the same as the long way round.
 */
export function hashKey(table: FlowTable, key: Uint32Array): number {
  const s = table.seed;
  const k = key;
  let sum =
    (nh((k[0]! + s[0]!) | 0) +
      nh((k[1]! + s[1]!) | 0) +
      nh((k[2]! + s[2]!) | 0) +
      nh((k[3]! + s[3]!) | 0) +
      nh((k[4]! + s[4]!) | 0) +
      nh((k[5]! + s[5]!) | 0) +
      nh((k[6]! + s[6]!) | 0) +
      nh((k[10]! + s[10]!) | 0) +
      nh((k[14]! + s[14]!) | 0)) |
    0;
  if ((k[7]! | k[8]! | k[9]! | k[11]! | k[12]! | k[13]! | k[15]! | k[16]! | k[17]! | k[18]! | k[19]!) === 0)
    sum = (sum + table.zeros) | 0;
  else sum = (sum + others(k, s)) | 0;
  sum = Math.imul(sum ^ (sum >>> 16), 0x85ebca6b);
  sum = Math.imul(sum ^ (sum >>> 13), 0xc2b2ae35);
  return sum ^ (sum >>> 16);
}

/** The words that IPv4, ARP and frames of other types leave 0. */
function others(k: Uint32Array, s: Int32Array): number {
  return (
    (nh((k[7]! + s[7]!) | 0) +
      nh((k[8]! + s[8]!) | 0) +
      nh((k[9]! + s[9]!) | 0) +
      nh((k[11]! + s[11]!) | 0) +
      nh((k[12]! + s[12]!) | 0) +
      nh((k[13]! + s[13]!) | 0) +
      nh((k[15]! + s[15]!) | 0) +
      nh((k[16]! + s[16]!) | 0) +
      nh((k[17]! + s[17]!) | 0) +
      nh((k[18]! + s[18]!) | 0) +
      nh((k[19]! + s[19]!) | 0)) |
    0
  );
}

/**
 * All 20 words of the slot against the key. Written out, because a loop takes nearly twice as long, and without a branch
 * for each word: where the hash is the same, the key nearly always is.
 */
function sameKey(w: Int32Array, at: number, k: Uint32Array): boolean {
  return (
    ((w[at]! ^ k[0]!) |
      (w[at + 1]! ^ k[1]!) |
      (w[at + 2]! ^ k[2]!) |
      (w[at + 3]! ^ k[3]!) |
      (w[at + 4]! ^ k[4]!) |
      (w[at + 5]! ^ k[5]!) |
      (w[at + 6]! ^ k[6]!) |
      (w[at + 7]! ^ k[7]!) |
      (w[at + 8]! ^ k[8]!) |
      (w[at + 9]! ^ k[9]!) |
      (w[at + 10]! ^ k[10]!) |
      (w[at + 11]! ^ k[11]!) |
      (w[at + 12]! ^ k[12]!) |
      (w[at + 13]! ^ k[13]!) |
      (w[at + 14]! ^ k[14]!) |
      (w[at + 15]! ^ k[15]!) |
      (w[at + 16]! ^ k[16]!) |
      (w[at + 17]! ^ k[17]!) |
      (w[at + 18]! ^ k[18]!) |
      (w[at + 19]! ^ k[19]!)) ===
    0
  );
}

const slotKey = new Uint32Array(KEY_WORDS);

/** The hash of the key that stands in a slot. */
export function hashSlot(table: FlowTable, slot: number): number {
  const at = slot * SLOT_WORDS + SLOT_KEY;
  for (let n = 0; n < KEY_WORDS; n++) slotKey[n] = table.slots.u32[at + n]!;
  return hashKey(table, slotKey);
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
  let hole = hashSlot(table, slot) & mask;
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
