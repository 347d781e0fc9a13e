/**
 * The loop over slots in which nothing happened, by itself: no call, no store, so that it is compiled to plain loads and
 * compares (a third of the time that it took among the rest of `Sweeper.look`).
 */
import {
  FLAG_ENDED,
  SLOT_FIRST,
  SLOT_LAST,
  SLOT_PACKETS,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_LIVE,
  STATE_RETURNED,
} from "../shm/slots.ts";
import { TCP_FIN_RST } from "./record.ts";
import { tickOf } from "./ticks.ts";

/** In tcpFlags: its TCP connection ends, or has ended. */
export const ENDED = TCP_FIN_RST | FLAG_ENDED;

/** How long a flow may be silent, and an interval last, in ticks. `one`, at most `many`: of flows with one packet. */
export interface Limits {
  readonly one: number;
  readonly many: number;
  readonly tcpEnd: number;
  readonly active: number;
}

/**
 * From word index `at` on, the first slot below `to` that needs more than a look: given back, hit within `sinceLook`
 * ticks, or due; else `to`. `least[0]` falls to the ticks after which one of those that were passed can be due.
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
  let earliest = least[0]!;
  // Most are neither silent nor old enough to be the first that is due.
  const silentFew = (Math.min(one, tcpEnd) - earliest) | 0;
  const lastedFew = (active - earliest) | 0;
  for (; at < to; at += SLOT_WORDS) {
    const state = i32[at + SLOT_STATE]!;
    if (state !== STATE_LIVE) {
      if (state === STATE_RETURNED) break;
      continue;
    }
    const silent = (now - tickOf(i32[at + SLOT_LAST]!, i32[at + SLOT_LAST + 1]!)) | 0;
    if (silent <= sinceLook) break;
    let left = earliest;
    if (silent > silentFew) {
      const isOne = i32[at + SLOT_PACKETS] === 1 && i32[at + SLOT_PACKETS + 1] === 0;
      left = Math.min(left, ((isOne ? one : many) - silent) | 0);
      if ((i32[at + SLOT_TCP_FLAGS]! & ENDED) !== 0) left = Math.min(left, (tcpEnd - silent) | 0);
    }
    const first = i32[at + SLOT_FIRST]!;
    if (first !== 0) {
      const lasted = (now - tickOf(first, i32[at + SLOT_FIRST + 1]!)) | 0;
      if (lasted > lastedFew) left = Math.min(left, (active - lasted) | 0);
    }
    if (left <= 0) break;
    earliest = left;
  }
  least[0] = earliest;
  return at;
}
