/** The look at a block of slots, of which there are many: what is due in it, which rules are in use, when to come again. */
import {
  FLAG_ENDED,
  readCounter,
  SLOT_FIRST,
  SLOT_LAST,
  SLOT_PACKETS,
  SLOT_RULE,
  SLOT_RULE_GEN,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_LIVE,
  STATE_RETURNED,
  type FlowSlots,
} from "../shm/slots.ts";
import { splitHigh, splitLow } from "./count.ts";
import { BLOCK_SLOTS, type DueBlocks } from "./due.ts";
import type { IdleTimeouts, SweepTimeouts } from "./idle.ts";
import type { Outcomes } from "./outcomes.ts";
import type { PortEnds } from "./port-ends.ts";
import { TCP_FIN_RST } from "./record.ts";
import { TICK_NS, tickOf, ticks } from "./ticks.ts";

/** In tcpFlags: its TCP connection ends, or has ended. */
export const ENDED = TCP_FIN_RST | FLAG_ENDED;

/** No block is looked at more often than this, unless exact. */
const LOOK_AGAIN_NS = 100e6;
/** Work of a slice, in slots looked at, that making one record costs. */
export const RECORD_COST = 32;

/** What a sweeper lends. */
export interface LookParts {
  readonly slots: FlowSlots;
  readonly outcomes: Outcomes;
  readonly idle: IdleTimeouts;
  readonly due: DueBlocks;
  readonly ends: PortEnds;
  readonly exact: boolean;
  /** A flow may be due: exact reads decide. True: it was closed, or its interval recorded. */
  act(slot: number, nowNs: number): boolean;
  /** A slot that its maker did not use. */
  giveBack(slot: number): void;
}

export class Looks {
  private readonly parts: LookParts;
  /** By block: tick of the last look. */
  private readonly lookedAt: Int32Array;
  /** Of the block that is looked at: ticks until one of its flows can be due. */
  private readonly least = new Int32Array(1);

  constructor(parts: LookParts) {
    this.parts = parts;
    this.lookedAt = new Int32Array(parts.due.blocks);
  }

  /**
   * Look at one block: close and record what is due, note when to come again. Returns the work done. No flow is due sooner
   * than `shortestNs` after it was hit.
   *
   * The loop works on whole ticks of 2^24 ns with 32-bit differences, from plain reads: a flow that is due is never
   * missed (limits are rounded down), one that only seems so is asked again with exact reads in `act`.
   */
  look(block: number, nowNs: number, timeouts: SweepTimeouts, shortestNs: number): number {
    const { slots, idle, due, ends, exact, act, giveBack } = this.parts;
    const { i32, capacity } = slots;
    const searching = ends.unsearched[block] === 1;
    const now = tickOf(splitLow(nowNs), splitHigh(nowNs));
    const active = ticks(timeouts.activeNs);
    const tcpEnd = ticks(timeouts.tcpEndNs);
    const idleMany = ticks(idle.many);
    const idleOne = ticks(idle.one);
    const limits = { one: idleOne, many: idleMany, tcpEnd, active };
    const sinceLook = (now - this.lookedAt[block]!) | 0;
    this.lookedAt[block] = now;
    const from = block * BLOCK_SLOTS;
    const to = Math.min(capacity, from + BLOCK_SLOTS) * SLOT_WORDS;
    const { least } = this;
    least[0] = ticks(shortestNs);
    let records = 0;
    for (let at = from * SLOT_WORDS; at < to; at += SLOT_WORDS) {
      if (!searching) at = passQuiet(i32, at, to, now, sinceLook, limits, least);
      if (at === to) break;
      if (i32[at + SLOT_STATE] !== STATE_LIVE) {
        if (i32[at + SLOT_STATE] === STATE_RETURNED) giveBack(at / SLOT_WORDS);
        continue;
      }
      const silent = (now - tickOf(i32[at + SLOT_LAST]!, i32[at + SLOT_LAST + 1]!)) | 0;
      if (silent <= sinceLook) this.ruleUsed(at);
      const isOne = i32[at + SLOT_PACKETS] === 1 && i32[at + SLOT_PACKETS + 1] === 0;
      let left = (isOne ? idleOne : idleMany) - silent;
      if ((i32[at + SLOT_TCP_FLAGS]! & ENDED) !== 0 && tcpEnd - silent < left) left = tcpEnd - silent;
      if (i32[at + SLOT_FIRST] !== 0) {
        const toActive = active - ((now - tickOf(i32[at + SLOT_FIRST]!, i32[at + SLOT_FIRST + 1]!)) | 0);
        if (toActive < left) left = toActive;
      }
      if ((left <= 0 || searching) && act(at / SLOT_WORDS, nowNs)) records++;
      else if (left < least[0]!) least[0] = left;
    }
    if (searching) ends.searched(block);
    const wait = Math.max(1, least[0]! - 1) * TICK_NS;
    due.set(block, nowNs + (exact ? wait : Math.max(wait, LOOK_AGAIN_NS)));
    return BLOCK_SLOTS + records * RECORD_COST;
  }

  /** A flow was hit since the last look: its rule is in use. */
  private ruleUsed(at: number): void {
    const { slots, outcomes } = this.parts;
    const { u32, i32 } = slots;
    const { gen, lastNs } = outcomes;
    const rule = u32[at + SLOT_RULE]!;
    if (gen[rule] !== u32[at + SLOT_RULE_GEN]) return;
    const last = readCounter(i32, at + SLOT_LAST);
    if (last > lastNs[rule]!) lastNs[rule] = last;
  }
}

/** How long a flow may be silent, and an interval last, in ticks. `one`, at most `many`: of flows with one packet. */
export interface Limits {
  readonly one: number;
  readonly many: number;
  readonly tcpEnd: number;
  readonly active: number;
}

/**
 * From word index `at` on, the first slot below `to` that needs more than a look: given back, hit within `sinceLook`
 * ticks, or due; else `to`. `least[0]` falls to the ticks after which one of those that were passed can be due. A loop by
 * itself, without a call or a store, is compiled to loads and compares: half of what it took among the rest.
 */
export function passQuiet(
  i32: Int32Array,
  at: number,
  to: number,
  now: number,
  sinceLook: number,
  { one, many, tcpEnd, active }: Limits,
  least: Int32Array,
): number {
  // What is imported is loaded anew in each turn of the loop: a nanosecond of five.
  const [step, stateAt, lastAt, firstAt, live] = [SLOT_WORDS, SLOT_STATE, SLOT_LAST, SLOT_FIRST, STATE_LIVE];
  let earliest = least[0]!;
  // Most are neither silent nor old enough to be the first that is due.
  const silentFew = (Math.min(one, tcpEnd) - earliest) | 0;
  const lastedFew = (active - earliest) | 0;
  for (; at < to; at += step) {
    const state = i32[at + stateAt]!;
    if (state !== live) {
      if (state === STATE_RETURNED) break;
      continue;
    }
    const silent = (now - tickOf(i32[at + lastAt]!, i32[at + lastAt + 1]!)) | 0;
    if (silent <= sinceLook) break;
    let left = earliest;
    if (silent > silentFew) {
      const isOne = i32[at + SLOT_PACKETS] === 1 && i32[at + SLOT_PACKETS + 1] === 0;
      left = Math.min(left, ((isOne ? one : many) - silent) | 0);
      if ((i32[at + SLOT_TCP_FLAGS]! & ENDED) !== 0) left = Math.min(left, (tcpEnd - silent) | 0);
    }
    const first = i32[at + firstAt]!;
    if (first !== 0) {
      const lasted = (now - tickOf(first, i32[at + firstAt + 1]!)) | 0;
      if (lasted > lastedFew) left = Math.min(left, (active - lasted) | 0);
    }
    if (left <= 0) break;
    earliest = left;
  }
  least[0] = earliest;
  return at;
}
