/**
 * All memory that one bridge's userspace datapath (a worker thread) shares with the control thread: a plain object of
 * SharedArrayBuffers that is posted to the worker once. `attach` makes the views on either side.
 *
 * ```
 *                 written by                      read by
 * slots           datapath, sweeper (README)      sweeper, API
 * free            control pushes, datapath pops   slots that nobody uses; 0, 1, 2 … at the start
 * retire          control → datapath              slots to unlink from the flow table
 * quiesced        datapath → control              slots that no frame can touch any more
 * counters        datapath                        API, exporters
 * unattributed    datapath                        API, audit
 * samples, notices, misses   datapath             hub; pipeline
 * copies, sessions           datapath             mirrors: frames they want, and what is counted of them (copies.ts)
 * control         both, by Atomics                words named CONTROL_…; from CONTROL_OWN on free for the datapath
 * ```
 */
import { MAX_SESSIONS, SESSION_COUNTERS } from "./copies.ts";
import { PortCounters } from "./counters.ts";
import { RecordRing, ringBytes, WordRing } from "./ring.ts";
import { FlowSlots, SLOT_GEN, SLOT_STATE, SLOT_VERSION, SLOT_WORDS, STATE_FREE } from "./slots.ts";
import { UnattributedTable } from "./unattributed.ts";

/** Generation of the rules in force. */
export const CONTROL_APPLIED = 0;
/** Not 0: the worker finishes its batch, answers what is asked, and ends. */
export const CONTROL_STOP = 1;
/** Raised by the control thread when there is something to do; the idle worker waits on it (Atomics.wait). */
export const CONTROL_WAKE = 2;
/** First word that this folder gives no meaning to. */
export const CONTROL_OWN = 16;
export const CONTROL_WORDS = 64;

/** Slots that may be between `retire` and `quiesced` at one time. */
export const MAX_RETIRING = 8192;

export interface FlowMemoryOptions {
  /** Flow slots. */
  readonly capacity: number;
  /** Port numbers are below this. */
  readonly ports: number;
  /** Sizes of the record rings in 32-bit words, powers of two. */
  readonly sampleWords?: number;
  readonly noticeWords?: number;
  readonly missWords?: number;
  readonly copyWords?: number;
  /** Rows of the table of frames without a flow, a power of two. */
  readonly unattributedRows?: number;
}

/** Plain and structured-clonable: give it to a worker as it is. */
export interface FlowMemory {
  readonly version: number;
  readonly capacity: number;
  readonly ports: number;
  readonly slots: SharedArrayBuffer;
  readonly free: SharedArrayBuffer;
  readonly retire: SharedArrayBuffer;
  readonly quiesced: SharedArrayBuffer;
  readonly counters: SharedArrayBuffer;
  readonly unattributed: SharedArrayBuffer;
  readonly samples: SharedArrayBuffer;
  readonly notices: SharedArrayBuffer;
  readonly misses: SharedArrayBuffer;
  readonly copies: SharedArrayBuffer;
  readonly sessions: SharedArrayBuffer;
  readonly control: SharedArrayBuffer;
}

export interface FlowViews {
  readonly memory: FlowMemory;
  readonly slots: FlowSlots;
  readonly free: WordRing;
  readonly retire: WordRing;
  readonly quiesced: WordRing;
  readonly counters: PortCounters;
  readonly unattributed: UnattributedTable;
  readonly samples: RecordRing;
  readonly notices: RecordRing;
  readonly misses: RecordRing;
  readonly copies: RecordRing;
  readonly sessions: Float64Array;
  readonly control: Int32Array;
}

/** Smallest power of two that is ≥ n and ≥ 16. */
export function ringWords(n: number): number {
  return n <= 16 ? 16 : 2 ** Math.ceil(Math.log2(n));
}

export function createFlowMemory(options: FlowMemoryOptions): FlowMemory {
  const { capacity, ports } = options;
  if (!Number.isInteger(capacity) || capacity < 1 || capacity > 2 ** 24)
    throw new RangeError(`a flow table has 1 … ${2 ** 24} slots, not ${capacity}`);
  const ring = (words: number): SharedArrayBuffer => new SharedArrayBuffer(ringBytes(words));
  const retiring = ringWords(Math.min(capacity, MAX_RETIRING));
  const memory: FlowMemory = {
    version: SLOT_VERSION,
    capacity,
    ports,
    slots: FlowSlots.create(capacity).buffer as SharedArrayBuffer,
    free: ring(ringWords(capacity)),
    retire: ring(retiring),
    quiesced: ring(retiring),
    counters: PortCounters.create(ports).buffer as SharedArrayBuffer,
    unattributed: UnattributedTable.create(ports, options.unattributedRows).buffer as SharedArrayBuffer,
    samples: ring(options.sampleWords ?? 1 << 18),
    notices: ring(options.noticeWords ?? 1 << 16),
    misses: ring(options.missWords ?? 1 << 18),
    copies: ring(options.copyWords ?? 1 << 21),
    sessions: new SharedArrayBuffer(MAX_SESSIONS * SESSION_COUNTERS * 8),
    control: new SharedArrayBuffer(CONTROL_WORDS * 4),
  };
  new WordRing(memory.free).fill(capacity);
  return memory;
}

export function attach(memory: FlowMemory): FlowViews {
  if (memory.version !== SLOT_VERSION)
    throw new Error(`flow memory has layout ${memory.version}, this program has ${SLOT_VERSION}`);
  return {
    memory,
    slots: new FlowSlots(memory.slots, memory.capacity),
    free: new WordRing(memory.free),
    retire: new WordRing(memory.retire),
    quiesced: new WordRing(memory.quiesced),
    counters: new PortCounters(memory.counters),
    unattributed: new UnattributedTable(memory.unattributed),
    samples: new RecordRing(memory.samples),
    notices: new RecordRing(memory.notices),
    misses: new RecordRing(memory.misses),
    copies: new RecordRing(memory.copies),
    sessions: new Float64Array(memory.sessions),
    control: new Int32Array(memory.control),
  };
}

/**
 * Give one slot back after its last record: zeroed, generation raised, FREE, and into the ring. Only after the grace
 * period (nobody holds the slot), by the one thread that pushes. `atOnce`: where that thread also pops, it is the next to be used,
 * so that a table of few flows touches few slots. `forget` is called when the slot is zero and not yet FREE.
 */
export function releaseSlot(
  slots: FlowSlots,
  free: WordRing,
  slot: number,
  atOnce = false,
  forget?: (slot: number) => void,
): void {
  const at = slot * SLOT_WORDS;
  const gen = slots.u32[at + SLOT_GEN]!;
  // A loop, for fill() is a call out of compiled code that takes several times as long for so few words.
  for (let word = at + 1; word < at + SLOT_WORDS; word++) slots.u32[word] = 0;
  slots.u32[at + SLOT_GEN] = gen + 1;
  forget?.(slot);
  Atomics.store(slots.i32, at + SLOT_STATE, STATE_FREE);
  if (!(atOnce ? free.unpop(slot) : free.push(slot))) throw new Error(`slot ${slot} was given back twice`);
}
