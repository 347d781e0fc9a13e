/**
 * Where each exporter stands: number of the next record of the log it will send, and its flow sequence. Two copies are
 * written in turn, so that a process killed in the middle of a write leaves one whole copy, at most one step old.
 *
 * ```
 * block of an exporter, 64 bytes: copy 0, copy 1
 * copy  u32 generation   u32 generation again   f64 cursor   f64 sequence   f64 until
 * ```
 *
 * A write takes the older copy: first generation, values, second generation. A copy is whole where both are equal and
 * not 0. (The memory outlives the process: a mapped file or map. It need not survive the machine.)
 */
const BLOCK_BYTES = 64;
const COPY_BYTES = 32;

export interface Cursor {
  /** Number of the next record to send. */
  readonly cursor: number;
  /** Flow sequence before that record. */
  readonly sequence: number;
  /** Where the datagram that may be leaving ends, so that it is made the same again; 0: none is. */
  readonly until: number;
}

export class ExporterCursors {
  readonly buffer: ArrayBufferLike;
  readonly exporters: number;
  private readonly i32: Int32Array;
  private readonly f64: Float64Array;

  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.exporters = Math.floor(buffer.byteLength / BLOCK_BYTES);
    this.i32 = new Int32Array(buffer);
    this.f64 = new Float64Array(buffer);
  }

  static bytes(exporters: number): number {
    return exporters * BLOCK_BYTES;
  }

  static create(exporters: number): ExporterCursors {
    return new ExporterCursors(new SharedArrayBuffer(ExporterCursors.bytes(exporters)));
  }

  /** The newest whole copy; undefined where nothing was ever written. */
  read(exporter: number): Cursor | undefined {
    const copy = this.newest(exporter);
    if (copy < 0) return undefined;
    const at = copy / 8;
    return { cursor: this.f64[at + 1]!, sequence: this.f64[at + 2]!, until: this.f64[at + 3]! };
  }

  write(exporter: number, cursor: number, sequence: number, until = 0): void {
    const newest = this.newest(exporter);
    const first = exporter * BLOCK_BYTES;
    const at = newest === first ? first + COPY_BYTES : first;
    const before = newest < 0 ? 0 : this.i32[newest / 4]!;
    const generation = before === -1 ? 1 : (before + 1) | 0;
    Atomics.store(this.i32, at / 4, generation);
    this.f64[at / 8 + 1] = cursor;
    this.f64[at / 8 + 2] = sequence;
    this.f64[at / 8 + 3] = until;
    Atomics.store(this.i32, at / 4 + 1, generation);
  }

  /** Byte offset of the newest whole copy, or -1. */
  private newest(exporter: number): number {
    const a = exporter * BLOCK_BYTES;
    const b = a + COPY_BYTES;
    const wholeA = this.whole(a);
    const wholeB = this.whole(b);
    if (wholeA && wholeB) return ((this.i32[a / 4]! - this.i32[b / 4]!) | 0) > 0 ? a : b;
    return wholeA ? a : wholeB ? b : -1;
  }

  private whole(at: number): boolean {
    const generation = Atomics.load(this.i32, at / 4);
    return generation !== 0 && Atomics.load(this.i32, at / 4 + 1) === generation;
  }
}
