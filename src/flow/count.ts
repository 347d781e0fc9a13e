/**
 * What the userspace datapath writes into a flow's slot, frame by frame. src/shm/README.md is the protocol; here is why
 * these plain stores are enough.
 *
 * Counters and `last` have one writer, this thread; the sweeper reads them. On x86 (TSO) stores become visible in
 * program order, so bytes, which are added before packets, never lag behind packets that the sweeper has read first. On
 * ARM they may: a record can then leave the bytes of its last frame to the next record. Sums stay exact on both,
 * because what one record leaves the next one takes, and the last one is made after the grace period, when nobody
 * writes. An atomic store for each counter would cost more than the rest of the frame.
 *
 * `first` is written by both sides, without a compare-and-swap: its low word is never 0 when set, and says whose it is.
 * 0: the datapath's (it stores high, then low); not 0: the sweeper's (it takes the time, then stores high = 0, low = 0).
 * A datapath of several writers (the kernel's) does the same with one 64-bit cmpxchg of 0 → now.
 * (A time whose low word would be 0, one in 2^32, is given 1 ns more.)
 *
 * Times are two words, `nowLow` and `nowHigh` (`splitLow`, `splitHigh`), cut once a batch.
 */
import type { WordRing } from "../shm/ring.ts";
import {
  addCounter,
  KEY_WORDS,
  SLOT_BYTES_COUNT,
  SLOT_CREATED,
  SLOT_DROPPED_BYTES,
  SLOT_DROPPED_PACKETS,
  SLOT_FIRST,
  SLOT_KEY,
  SLOT_L3_BYTES,
  SLOT_LAST,
  SLOT_PACKETS,
  SLOT_REASON,
  SLOT_RULE,
  SLOT_RULE_GEN,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_LIVE,
  storeTime,
  type FlowSlots,
} from "../shm/slots.ts";

const TWO_32 = 4294967296;

/** High word of a time in ns (0 … 2^63). */
export function splitHigh(ns: number): number {
  return Math.floor(ns / TWO_32);
}

/** Low word of a time in ns, as a signed 32-bit number. */
export function splitLow(ns: number): number {
  return (ns - Math.floor(ns / TWO_32) * TWO_32) | 0;
}

/**
 * Make a flow: takes a free slot and writes key, rule and time; counters are 0, the first `hit` follows. Returns the
 * slot, or -1 when none is free (count the frame as unattributed, cause tableFull). Entering it in the table is the
 * caller's next step.
 */
export function createFlow(
  slots: FlowSlots,
  free: WordRing,
  key: Uint32Array,
  rule: number,
  ruleGen: number,
  nowLow: number,
  nowHigh: number,
): number {
  const slot = free.pop();
  if (slot < 0) return -1;
  const { u32, i32 } = slots;
  const at = slot * SLOT_WORDS;
  for (let n = 0; n < KEY_WORDS; n++) u32[at + SLOT_KEY + n] = key[n]!;
  i32[at + SLOT_CREATED] = nowLow;
  i32[at + SLOT_CREATED + 1] = nowHigh;
  // `last` is set before LIVE: a flow must not look idle since the beginning of time before its first hit.
  i32[at + SLOT_LAST] = nowLow;
  i32[at + SLOT_LAST + 1] = nowHigh;
  u32[at + SLOT_RULE] = rule;
  u32[at + SLOT_RULE_GEN] = ruleGen;
  Atomics.store(i32, at + SLOT_STATE, STATE_LIVE);
  return slot;
}

/** The flow follows another rule from now on. */
export function setRule(slots: FlowSlots, slot: number, rule: number, ruleGen: number): void {
  const at = slot * SLOT_WORDS;
  slots.u32[at + SLOT_RULE] = rule;
  slots.u32[at + SLOT_RULE_GEN] = ruleGen;
}

/**
 * Count a frame of a flow: `packets` wire packets, their frame bytes and IP bytes together (each below 2^32). Nothing
 * is tested: the slot is the caller's until it unlinks it.
 */
export function hit(
  slots: FlowSlots,
  slot: number,
  packets: number,
  bytes: number,
  l3Bytes: number,
  tcpFlags: number,
  nowLow: number,
  nowHigh: number,
): void {
  const { u32, i32 } = slots;
  const at = slot * SLOT_WORDS;
  addCounter(u32, i32, at + SLOT_BYTES_COUNT, bytes);
  addCounter(u32, i32, at + SLOT_L3_BYTES, l3Bytes);
  addCounter(u32, i32, at + SLOT_PACKETS, packets);
  storeTime(i32, at + SLOT_LAST, nowLow, nowHigh);
  if (i32[at + SLOT_FIRST] === 0) {
    i32[at + SLOT_FIRST + 1] = nowHigh;
    Atomics.store(i32, at + SLOT_FIRST, nowLow === 0 ? 1 : nowLow);
  }
  if ((tcpFlags & ~i32[at + SLOT_TCP_FLAGS]!) !== 0) Atomics.or(i32, at + SLOT_TCP_FLAGS, tcpFlags);
}

/**
 * Say that a frame was refused. It still counts in `hit`; call this first, so that a record never has a packet without
 * what became of it.
 */
export function countDropped(slots: FlowSlots, slot: number, packets: number, bytes: number, reason: number): void {
  const { u32, i32 } = slots;
  const at = slot * SLOT_WORDS;
  u32[at + SLOT_REASON] = reason;
  addCounter(u32, i32, at + SLOT_DROPPED_BYTES, bytes);
  addCounter(u32, i32, at + SLOT_DROPPED_PACKETS, packets);
}
