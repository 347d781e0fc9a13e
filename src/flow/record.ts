/**
 * From slot to record: takes an interval out of a slot and appends it to the log. The order is that of
 * src/shm/README.md "Interval": append, publish, then move the ledger, so that a process killed in between finds the
 * totals in the newest record and can tell.
 */
import {
  REC_BOOT_MS,
  REC_DISPOSITION,
  REC_DROP_REASON,
  REC_END_REASON,
  REC_FIRST_MS,
  REC_GEN,
  REC_INPUT_IFINDEX,
  REC_KEY,
  REC_LAST_MS,
  REC_OUTPUT_IFINDEX,
  REC_OUTPUT_PORT,
  REC_OUTPUTS,
  REC_PACKETS,
  REC_RULE,
  REC_SLOT,
  REC_TCP_FLAGS,
  REC_TOTALS,
  RecordCursor,
  type RecordLog,
} from "../shm/log.ts";
import {
  FLAG_ENDED,
  KEY_WORDS,
  plainCounter,
  readCounter,
  SLOT_FIRST,
  SLOT_GEN,
  SLOT_KEY,
  SLOT_LAST,
  SLOT_REASON,
  SLOT_RECORDED,
  SLOT_RULE,
  SLOT_RULE_GEN,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  writeCounter,
  type FlowSlots,
} from "../shm/slots.ts";
import { DROPPED, FORWARDED } from "./disposition.ts";
import type { Ledger } from "./ledger.ts";
import type { Outcomes } from "./outcomes.ts";
import { COUNT_DROPPED_PACKETS, COUNT_PACKETS, COUNTS, plainCounts, portOf, PortTotals, readCounts } from "./totals.ts";

/** TCP FIN and RST, RFC 9293 section 3.1. */
export const TCP_FIN_RST = 0x05;
const TCP_FLAGS = 0x1ff;

/** A bridge's boot: the same moment as Unix time and on the clock of the slots. */
export interface Boot {
  /** Unix time, ms. */
  readonly unixMs: number;
  /** The slots' clock, ns. */
  readonly ns: number;
}

export interface RecordSource {
  readonly slots: FlowSlots;
  /** What records have said of each. */
  readonly ledger: Ledger;
  readonly log: RecordLog;
  readonly outcomes: Outcomes;
  readonly ports: number;
  /** Where `recorded` is kept; absent: in this process. */
  readonly recorded?: Float64Array;
}

export class RecordWriter {
  boot: Boot;
  /** Everything ever written into records, by ingress port. */
  readonly recorded: PortTotals;
  private readonly source: RecordSource;
  private readonly cursor = new RecordCursor();
  private readonly totals = new Float64Array(COUNTS);
  private readonly delta = new Float64Array(COUNTS);

  constructor(source: RecordSource, boot: Boot) {
    this.source = source;
    this.boot = boot;
    this.recorded = new PortTotals(source.ports, source.recorded);
  }

  /**
   * Record the interval of a flow that is being hit, and begin the next. Nothing happens where `first` is not set: no
   * frame has come since the last record.
   */
  interval(slot: number, endReason: number): void {
    const { slots } = this.source;
    const { i32 } = slots;
    const at = slot * SLOT_WORDS;
    if (Atomics.load(i32, at + SLOT_FIRST) === 0) return;
    // The low word is not 0, so both words are ours and stand still; storing 0 in it gives them to the datapath.
    const first = plainCounter(slots.u32, at + SLOT_FIRST);
    Atomics.store(i32, at + SLOT_FIRST + 1, 0);
    Atomics.store(i32, at + SLOT_FIRST, 0);
    const flags = Atomics.and(i32, at + SLOT_TCP_FLAGS, FLAG_ENDED | 0);
    readCounts(slots, slot, this.totals);
    if (!this.difference(slot)) {
      Atomics.or(i32, at + SLOT_TCP_FLAGS, flags & TCP_FLAGS);
      return;
    }
    if (flags & TCP_FIN_RST) Atomics.or(i32, at + SLOT_TCP_FLAGS, FLAG_ENDED | 0);
    const last = this.append(slot, first, readCounter(i32, at + SLOT_LAST), flags & TCP_FLAGS, endReason);
    writeCounter(slots.u32, at + SLOT_RECORDED, last);
  }

  /**
   * Record what is left of a flow that nobody can hit any more, if anything; afterwards the slot may be given back, and with
   * it its row of the ledger: not before, or a process killed in between would leave a flow that looks unrecorded.
   * `finalTotals` then holds its totals.
   */
  final(slot: number, endReason: number): void {
    const { slots } = this.source;
    const { u32 } = slots;
    const at = slot * SLOT_WORDS;
    plainCounts(slots, slot, this.totals);
    if (this.difference(slot)) {
      const last = plainCounter(u32, at + SLOT_LAST);
      const first = u32[at + SLOT_FIRST] === 0 ? last : plainCounter(u32, at + SLOT_FIRST);
      this.append(slot, first, last, u32[at + SLOT_TCP_FLAGS]! & TCP_FLAGS, endReason);
    }
  }

  /** Totals of the flow that `final` saw last. */
  get finalTotals(): Float64Array {
    return this.totals;
  }

  private difference(slot: number): boolean {
    const { ledger } = this.source;
    let any = false;
    for (let n = 0; n < COUNTS; n++) {
      this.delta[n] = this.totals[n]! - ledger.get(slot, n);
      if (this.delta[n] !== 0) any = true;
    }
    return any;
  }

  private uptimeMs(ns: number): number {
    return (ns - this.boot.ns) / 1e6;
  }

  /** Returns the end of the record's interval, ns. */
  private append(slot: number, firstNs: number, lastNs: number, flags: number, endReason: number): number {
    const { slots, ledger, log, outcomes } = this.source;
    const { u32 } = slots;
    const at = slot * SLOT_WORDS;
    const record = log.next(this.cursor);
    const { f64, u32: words, f, w } = record;
    // Frames that came while the last record was made are in it and may have set this `first`. Of two processors, one may
    // have looked at its clock before the other and written after it: then `last` goes back, too.
    const recordedNs = plainCounter(u32, at + SLOT_RECORDED);
    const last = Math.max(lastNs, recordedNs);
    const first = Math.min(Math.max(firstNs, recordedNs), last);
    f64[f + REC_BOOT_MS] = this.boot.unixMs;
    f64[f + REC_FIRST_MS] = this.uptimeMs(first);
    f64[f + REC_LAST_MS] = this.uptimeMs(last);
    for (let n = 0; n < COUNTS; n++) {
      f64[f + REC_PACKETS + n] = this.delta[n]!;
      f64[f + REC_TOTALS + n] = this.totals[n]!;
    }
    for (let n = 0; n < KEY_WORDS; n++) words[w + REC_KEY + n] = u32[at + SLOT_KEY + n]!;
    words[w + REC_SLOT] = slot;
    words[w + REC_GEN] = u32[at + SLOT_GEN]!;
    words[w + REC_RULE] = u32[at + SLOT_RULE]!;
    words[w + REC_TCP_FLAGS] = flags;
    words[w + REC_END_REASON] = endReason;
    const port = portOf(slots, slot);
    words[w + REC_INPUT_IFINDEX] = outcomes.ifIndexOf[port] ?? 0;
    this.outcome(words, w, at);
    log.publish();
    for (let n = 0; n < COUNTS; n++) ledger.set(slot, n, this.totals[n]!);
    this.recorded.add(port, this.delta);
    return last;
  }

  /** What became of the frames: the rule's decision, but dropped where every frame of the interval was refused. */
  private outcome(words: Uint32Array, w: number, at: number): void {
    const { slots, outcomes } = this.source;
    const { u32 } = slots;
    const row = outcomes.find(u32[at + SLOT_RULE]!, u32[at + SLOT_RULE_GEN]!);
    const droppedPackets = this.delta[COUNT_DROPPED_PACKETS]!;
    const allDropped = droppedPackets > 0 && droppedPackets >= this.delta[COUNT_PACKETS]!;
    const disposition = allDropped ? DROPPED : row < 0 ? FORWARDED : outcomes.disposition[row]!;
    const outputs = row < 0 || disposition !== FORWARDED ? 0 : outcomes.outputs[row]!;
    const outputPort = outputs === 1 ? outcomes.outputPort[row]! : 0;
    const ruleReason = disposition === DROPPED && row >= 0 ? outcomes.reason[row]! : 0;
    words[w + REC_DISPOSITION] = disposition;
    words[w + REC_DROP_REASON] = droppedPackets > 0 ? u32[at + SLOT_REASON]! : ruleReason;
    words[w + REC_OUTPUTS] = outputs;
    words[w + REC_OUTPUT_PORT] = outputPort;
    words[w + REC_OUTPUT_IFINDEX] = outputs === 1 ? (outcomes.ifIndexOf[outputPort] ?? 0) : 0;
  }
}
