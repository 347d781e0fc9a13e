/**
 * The flow slots: one record per flow, written by a datapath and read in place by the sweeper. README.md of this folder
 * is the protocol; this file is the layout. `test/conformance/slots.ts` checks it against the C header of the second
 * writer.
 *
 * ```
 * SLOT, 192 bytes = 3 cache lines, little endian. The sweep reads line 0 only.
 * byte   0 state u32        4 gen u32          8 packets u64      16 bytes u64
 *       24 l3Bytes u64     32 last u64 ns     40 first u64 ns     48 tcpFlags u32    52 reason u32
 *       56 rule u32        60 ruleGen u32
 * byte  64 key u32 × 20   144 droppedPackets u64   152 droppedBytes u64   160 created u64 ns   168 recorded u64 ns
 *      176 recorded droppedPackets u64   184 recorded droppedBytes u64
 * ```
 *
 * Times are nanoseconds of the datapath's monotonic clock. All counters are totals of the flow's life.
 */
/** Words of a flow key; src/flow/key.ts says what they hold. */
export const KEY_WORDS = 20;

export const SLOT_VERSION = 1;
export const SLOT_BYTES = 192;
export const SLOT_WORDS = SLOT_BYTES / 4;

// Word offsets inside a slot; a u64 is low word, high word.
export const SLOT_STATE = 0;
export const SLOT_GEN = 1;
export const SLOT_PACKETS = 2;
export const SLOT_BYTES_COUNT = 4;
export const SLOT_L3_BYTES = 6;
export const SLOT_LAST = 8;
export const SLOT_FIRST = 10;
export const SLOT_TCP_FLAGS = 12;
/** Last drop reason; 0 while no frame of the flow was refused. */
export const SLOT_REASON = 13;
export const SLOT_RULE = 14;
export const SLOT_RULE_GEN = 15;
export const SLOT_KEY = 16;
export const SLOT_DROPPED_PACKETS = 36;
export const SLOT_DROPPED_BYTES = 38;
export const SLOT_CREATED = 40;
/** `last` as the newest record said it: the next record does not start before it. Written by the sweeper alone. */
export const SLOT_RECORDED = 42;
/** Dropped packets and bytes, two counters, as records have said them (src/flow/ledger.ts). Written by the sweeper alone. */
export const SLOT_RECORDED_DROPS = 44;

/**
 * In tcpFlags, the sweeper's own bit: a record has already taken a FIN or RST of this flow away. The flags themselves
 * are the low 9 bits.
 */
export const FLAG_ENDED = 0x80000000;

export const STATE_FREE = 0;
export const STATE_LIVE = 1;
export const STATE_CLOSING = 2;
/** Popped by a writer that lost the race to insert its key; the sweeper gives it back. */
export const STATE_RETURNED = 3;

/** In the high word of a 64-bit counter: its JavaScript writer is carrying from the low word; read again. */
export const COUNTER_BUSY = 0x80000000;

const TWO_32 = 4294967296;

/** Views over one array of slots: a SharedArrayBuffer, or a mapped BPF array. Both have one hidden class. */
export class FlowSlots {
  readonly buffer: ArrayBufferLike;
  readonly capacity: number;
  readonly u32: Uint32Array;
  readonly i32: Int32Array;

  constructor(buffer: ArrayBufferLike, capacity: number) {
    if (buffer.byteLength < capacity * SLOT_BYTES)
      throw new RangeError(`${capacity} flow slots need ${capacity * SLOT_BYTES} bytes`);
    this.buffer = buffer;
    this.capacity = capacity;
    this.u32 = new Uint32Array(buffer, 0, capacity * SLOT_WORDS);
    this.i32 = new Int32Array(buffer, 0, capacity * SLOT_WORDS);
  }

  static create(capacity: number): FlowSlots {
    return new FlowSlots(new SharedArrayBuffer(capacity * SLOT_BYTES), capacity);
  }
}

/**
 * Add to a 64-bit counter that another thread reads: the only writer is the caller. `amount` is below 2^32.
 * A reader sees the old sum, the new one, or COUNTER_BUSY while the low word carries.
 */
export function addCounter(u32: Uint32Array, i32: Int32Array, word: number, amount: number): void {
  const before = u32[word]!;
  const after = (before + amount) >>> 0;
  if (after >= before) {
    u32[word] = after;
    return;
  }
  const high = u32[word + 1]!;
  Atomics.store(i32, word + 1, high | COUNTER_BUSY | 0);
  Atomics.store(i32, word, after | 0);
  Atomics.store(i32, word + 1, (high + 1) | 0);
}

/** Read a 64-bit counter while it is being added to: high, low, high again. Exact to 2^53. */
export function readCounter(i32: Int32Array, word: number): number {
  for (;;) {
    const high = Atomics.load(i32, word + 1);
    const low = Atomics.load(i32, word);
    if (high >= 0 && Atomics.load(i32, word + 1) === high) return high * TWO_32 + (low >>> 0);
  }
}

/**
 * Store a 64-bit time that another thread reads; the only writer is the caller. `low` and `high` are its words. The high
 * word changes every 4.3 s: a reader then sees the old time, COUNTER_BUSY, or the new time, never a mixture.
 */
export function storeTime(i32: Int32Array, word: number, low: number, high: number): void {
  if (i32[word + 1] === high) {
    i32[word] = low;
    return;
  }
  Atomics.store(i32, word + 1, high | COUNTER_BUSY | 0);
  Atomics.store(i32, word, low | 0);
  Atomics.store(i32, word + 1, high);
}

/** Read a 64-bit word that nobody writes now. */
export function plainCounter(u32: Uint32Array, word: number): number {
  return u32[word + 1]! * TWO_32 + u32[word]!;
}

/** Write a 64-bit word that nobody reads now, or a time whose reader accepts the race. `value` is below 2^53 or a time in ns. */
export function writeCounter(u32: Uint32Array, word: number, value: number): void {
  u32[word] = value % TWO_32;
  u32[word + 1] = value / TWO_32;
}
