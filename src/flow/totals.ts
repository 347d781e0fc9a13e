/** Sums of flow counters by port: what the audit adds up, and how to read a slot's five counters. */
import {
  plainCounter,
  readCounter,
  SLOT_BYTES_COUNT,
  SLOT_DROPPED_BYTES,
  SLOT_DROPPED_PACKETS,
  SLOT_KEY,
  SLOT_L3_BYTES,
  SLOT_PACKETS,
  SLOT_STATE,
  SLOT_WORDS,
  STATE_CLOSING,
  STATE_LIVE,
  type FlowSlots,
} from "../shm/slots.ts";
import { BLOCK_SLOTS, usedBlocks } from "./due.ts";
import type { Ledger } from "./ledger.ts";

// The five counters of a flow, in the order of a record's deltas (src/shm/log.ts) and of the ledger (ledger.ts).
export const COUNT_PACKETS = 0;
export const COUNT_BYTES = 1;
export const COUNT_L3_BYTES = 2;
export const COUNT_DROPPED_PACKETS = 3;
export const COUNT_DROPPED_BYTES = 4;
export const COUNTS = 5;

/** Word 0 of a key holds the port in its high half (src/flow/key.ts). */
export function portOf(slots: FlowSlots, slot: number): number {
  return slots.u32[slot * SLOT_WORDS + SLOT_KEY]! >>> 16;
}

/** The counters of a slot that its datapath may be adding to: packets first, so that the others never lag. */
export function readCounts(slots: FlowSlots, slot: number, out: Float64Array): void {
  const at = slot * SLOT_WORDS;
  const i32 = slots.i32;
  out[COUNT_PACKETS] = readCounter(i32, at + SLOT_PACKETS);
  out[COUNT_BYTES] = readCounter(i32, at + SLOT_BYTES_COUNT);
  out[COUNT_L3_BYTES] = readCounter(i32, at + SLOT_L3_BYTES);
  out[COUNT_DROPPED_PACKETS] = readCounter(i32, at + SLOT_DROPPED_PACKETS);
  out[COUNT_DROPPED_BYTES] = readCounter(i32, at + SLOT_DROPPED_BYTES);
}

/** The counters of a slot that nobody writes (after its grace period). */
export function plainCounts(slots: FlowSlots, slot: number, out: Float64Array): void {
  const at = slot * SLOT_WORDS;
  const u32 = slots.u32;
  out[COUNT_PACKETS] = plainCounter(u32, at + SLOT_PACKETS);
  out[COUNT_BYTES] = plainCounter(u32, at + SLOT_BYTES_COUNT);
  out[COUNT_L3_BYTES] = plainCounter(u32, at + SLOT_L3_BYTES);
  out[COUNT_DROPPED_PACKETS] = plainCounter(u32, at + SLOT_DROPPED_PACKETS);
  out[COUNT_DROPPED_BYTES] = plainCounter(u32, at + SLOT_DROPPED_BYTES);
}

/** Five sums for each port. */
export class PortTotals {
  readonly ports: number;
  readonly values: Float64Array<ArrayBufferLike>;

  /** `values`: where they are kept, COUNTS a port. */
  constructor(ports: number, values: Float64Array<ArrayBufferLike> = new Float64Array(ports * COUNTS)) {
    this.ports = ports;
    this.values = values;
  }

  get(port: number, count: number): number {
    return this.values[port * COUNTS + count]!;
  }

  add(port: number, counts: Float64Array): void {
    const at = port * COUNTS;
    for (let n = 0; n < COUNTS; n++) this.values[at + n] = this.values[at + n]! + counts[n]!;
  }

  /** One count over all ports. */
  total(count: number): number {
    let sum = 0;
    for (let at = count; at < this.values.length; at += COUNTS) sum += this.values[at]!;
    return sum;
  }

  clear(): this {
    this.values.fill(0);
    return this;
  }
}

const counts = new Float64Array(COUNTS);

/**
 * Add the flows in the table (slots from ..< to, whole blocks) to `out`, by port; with a ledger, only what no record has said yet. `used` counts the slots in use
 * of each block: memory that no flow touched is not touched here either.
 */
export function sumTable(
  slots: FlowSlots,
  out: PortTotals,
  used: Int32Array,
  ledger?: Ledger,
  from = 0,
  to = slots.capacity,
): PortTotals {
  for (const first of usedBlocks(used, to, from))
    for (let slot = first; slot < Math.min(to, first + BLOCK_SLOTS); slot++) {
      const state = Atomics.load(slots.i32, slot * SLOT_WORDS + SLOT_STATE);
      if (state !== STATE_LIVE && state !== STATE_CLOSING) continue;
      readCounts(slots, slot, counts);
      if (ledger) for (let n = 0; n < COUNTS; n++) counts[n] = counts[n]! - ledger.get(slot, n);
      out.add(portOf(slots, slot), counts);
    }
  return out;
}
