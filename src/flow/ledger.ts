/**
 * What records have said of each flow so far, by slot: the next record is the difference. Packets, bytes and l3Bytes
 * stand in a row of doubles; dropped packets and bytes in the slot itself, in its last two counters. Exact to 2^53, as
 * the counters are.
 */
import { plainCounter, SLOT_RECORDED_DROPS, SLOT_WORDS, writeCounter, type FlowSlots } from "../shm/slots.ts";
import { COUNTS } from "./totals.ts";

/** Doubles of a row: the first of COUNT_…. */
export const LEDGER_COUNTS = 3;
const ROW_BYTES = LEDGER_COUNTS * 8;

export class Ledger {
  private readonly slots: FlowSlots;
  private readonly rows: Float64Array;

  static bytes(slots: number): number {
    return slots * ROW_BYTES;
  }

  /** `rows`: where they outlive the process, LEDGER_COUNTS a slot. */
  constructor(slots: FlowSlots, rows: Float64Array = new Float64Array(slots.capacity * LEDGER_COUNTS)) {
    this.slots = slots;
    this.rows = rows;
  }

  get(slot: number, count: number): number {
    if (count < LEDGER_COUNTS) return this.rows[slot * LEDGER_COUNTS + count]!;
    return plainCounter(this.slots.u32, dropsAt(slot, count));
  }

  set(slot: number, count: number, value: number): void {
    if (count < LEDGER_COUNTS) this.rows[slot * LEDGER_COUNTS + count] = value;
    else writeCounter(this.slots.u32, dropsAt(slot, count), value);
  }

  /** The slot is given back. */
  clear(slot: number): void {
    for (let count = 0; count < COUNTS; count++) this.set(slot, count, 0);
  }
}

function dropsAt(slot: number, count: number): number {
  return slot * SLOT_WORDS + SLOT_RECORDED_DROPS + (count - LEDGER_COUNTS) * 2;
}
