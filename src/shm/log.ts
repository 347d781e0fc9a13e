/**
 * The record log: a ring of fixed flow records that the sweeper appends to and every exporter reads at its own pace.
 * A slow exporter is overrun, which is counted for that exporter, and blocks nobody.
 *
 * ```
 * HEADER 64 bytes: f64 0 = number of the next record
 * RECORD 256 bytes                                            f64 index, or u32 word index where marked w
 *  f64  0 number        1 bootMs        2 firstMs      3 lastMs        when: see below
 *  f64  4 packets       5 bytes         6 l3Bytes      7 droppedPackets   8 droppedBytes       of this interval
 *  f64  9 packets      10 bytes        11 l3Bytes     12 droppedPackets  13 droppedBytes       of the flow, after it
 *  w   28..47 key[20]
 *  w   48 slot         49 gen          50 rule        51 tcpFlags
 *  w   52 endReason    53 disposition  54 dropReason  55 outputs (number of)
 *  w   56 output port  57 input ifIndex 58 output ifIndex (0 none)      59..63 reserve
 * ```
 *
 * `firstMs` and `lastMs` are uptime: milliseconds since `bootMs`, which is Unix time in ms. One log has several boot
 * times only where time itself jumped (replay of a capture whose clock jumps; a stepped wall clock).
 */

export const RECORD_VERSION = 1;
export const RECORD_BYTES = 256;
const HEADER_BYTES = 64;
const F64 = RECORD_BYTES / 8;
const W32 = RECORD_BYTES / 4;

// Float64 offsets inside a record.
export const REC_NUMBER = 0;
export const REC_BOOT_MS = 1;
export const REC_FIRST_MS = 2;
export const REC_LAST_MS = 3;
export const REC_PACKETS = 4;
export const REC_BYTES = 5;
export const REC_L3_BYTES = 6;
export const REC_DROPPED_PACKETS = 7;
export const REC_DROPPED_BYTES = 8;
/** First of the five totals, in the order of the five deltas. */
export const REC_TOTALS = 9;

// Word offsets inside a record.
export const REC_KEY = 28;
export const REC_SLOT = 48;
export const REC_GEN = 49;
export const REC_RULE = 50;
export const REC_TCP_FLAGS = 51;
export const REC_END_REASON = 52;
export const REC_DISPOSITION = 53;
export const REC_DROP_REASON = 54;
export const REC_OUTPUTS = 55;
export const REC_OUTPUT_PORT = 56;
export const REC_INPUT_IFINDEX = 57;
export const REC_OUTPUT_IFINDEX = 58;

export class RecordLog {
  readonly buffer: ArrayBufferLike;
  readonly capacity: number;
  private readonly f64: Float64Array;
  private readonly u32: Uint32Array;

  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.capacity = (buffer.byteLength - HEADER_BYTES) / RECORD_BYTES;
    if (!Number.isInteger(this.capacity) || this.capacity < 1)
      throw new RangeError("a record log is a header and whole records");
    this.f64 = new Float64Array(buffer);
    this.u32 = new Uint32Array(buffer);
  }

  static bytes(capacity: number): number {
    return HEADER_BYTES + capacity * RECORD_BYTES;
  }

  static create(capacity: number): RecordLog {
    return new RecordLog(new SharedArrayBuffer(RecordLog.bytes(capacity)));
  }

  /** Number of the next record: also how many were ever written. */
  get head(): number {
    return this.f64[0]!;
  }

  /** Number of the oldest record that is still whole. */
  get oldest(): number {
    return Math.max(0, this.head - this.capacity);
  }

  /** Writer: the record to fill next; `publish` makes it visible. */
  next(into: RecordCursor): RecordCursor {
    into.place(this.f64, this.u32, this.slotOf(this.head));
    into.f64[into.f + REC_NUMBER] = this.head;
    return into;
  }

  publish(): void {
    this.f64[0] = this.head + 1;
  }

  /** Reader: point the cursor at record `number`, which must be in oldest ..< head. */
  at(number: number, into: RecordCursor): RecordCursor {
    return into.place(this.f64, this.u32, this.slotOf(number));
  }

  private slotOf(number: number): number {
    return number % this.capacity;
  }
}

/** A reusable pointer at one record of a log. `f64[f + REC_…]`, `u32[w + REC_…]`; getters for those who read once. */
export class RecordCursor {
  f64: Float64Array = new Float64Array(0);
  u32: Uint32Array = new Uint32Array(0);
  f = 0;
  w = 0;

  place(f64: Float64Array, u32: Uint32Array, index: number): this {
    this.f64 = f64;
    this.u32 = u32;
    this.f = HEADER_BYTES / 8 + index * F64;
    this.w = HEADER_BYTES / 4 + index * W32;
    return this;
  }

  get number(): number {
    return this.f64[this.f + REC_NUMBER]!;
  }
  /** Unix time, ms, of uptime 0. */
  get bootMs(): number {
    return this.f64[this.f + REC_BOOT_MS]!;
  }
  /** Uptime of the first frame of the interval, ms. */
  get firstMs(): number {
    return this.f64[this.f + REC_FIRST_MS]!;
  }
  /** Uptime of the last frame of the interval, ms. */
  get lastMs(): number {
    return this.f64[this.f + REC_LAST_MS]!;
  }
  /** Frames of the interval, forwarded and refused together, in wire packets. */
  get packets(): number {
    return this.f64[this.f + REC_PACKETS]!;
  }
  /** Frame bytes without FCS. */
  get bytes(): number {
    return this.f64[this.f + REC_BYTES]!;
  }
  /** IP total lengths. */
  get l3Bytes(): number {
    return this.f64[this.f + REC_L3_BYTES]!;
  }
  get droppedPackets(): number {
    return this.f64[this.f + REC_DROPPED_PACKETS]!;
  }
  get droppedBytes(): number {
    return this.f64[this.f + REC_DROPPED_BYTES]!;
  }
  /** Word `n` of the flow's key. */
  key(n: number): number {
    return this.u32[this.w + REC_KEY + n]!;
  }
  get tcpFlags(): number {
    return this.u32[this.w + REC_TCP_FLAGS]!;
  }
  /** RFC 5102 flowEndReason. */
  get endReason(): number {
    return this.u32[this.w + REC_END_REASON]!;
  }
  get disposition(): number {
    return this.u32[this.w + REC_DISPOSITION]!;
  }
  get dropReason(): number {
    return this.u32[this.w + REC_DROP_REASON]!;
  }
  /** How many ports the flow leaves by. */
  get outputs(): number {
    return this.u32[this.w + REC_OUTPUTS]!;
  }
  /** Port number of the output where there is just one. */
  get outputPort(): number {
    return this.u32[this.w + REC_OUTPUT_PORT]!;
  }
  get inputIfIndex(): number {
    return this.u32[this.w + REC_INPUT_IFINDEX]!;
  }
  /** ifIndex of the output where there is just one, else 0. */
  get outputIfIndex(): number {
    return this.u32[this.w + REC_OUTPUT_IFINDEX]!;
  }
}

/** A run of records of one log, for exporters: `for (let n = 0; n < batch.count; n++) batch.at(n)`. */
export class RecordBatch {
  readonly count: number;
  /** Number of the first record; the others follow without a gap. */
  readonly first: number;
  private readonly log: RecordLog;
  private readonly cursor = new RecordCursor();

  constructor(log: RecordLog, first: number, count: number) {
    this.log = log;
    this.first = first;
    this.count = count;
  }

  /** Record n of the batch. The same object each time: read it before the next call. */
  at(n: number): RecordCursor {
    return this.log.at(this.first + n, this.cursor);
  }
}
