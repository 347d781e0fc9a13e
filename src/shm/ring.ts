/**
 * Single-producer, single-consumer rings between two threads: of 32-bit numbers (slot lists), and of records of bytes
 * (samples, notices, misses). A full ring refuses and the producer counts; nobody waits.
 *
 * ```
 * word 0      head: written by the consumer     (own cache line)
 * word 16     tail: written by the producer     (own cache line)
 * word 32 ..  data, a power of two of words
 * ```
 *
 * Head and tail run over 2^32; the word at position p is `32 + (p & mask)`. A record starts with one word, its length
 * in bytes; records do not wrap: where one would, a word PAD says "go on at the start".
 */
const HEAD = 0;
const TAIL = 16;
const DATA = 32;
const PAD = 0xffffffff;

function powerOfTwo(words: number): number {
  if (words < 16 || (words & (words - 1)) !== 0)
    throw new RangeError(`a ring needs a power of two of words, not ${words}`);
  return words;
}

/** Bytes of shared memory for a ring of so many words. */
export function ringBytes(words: number): number {
  return (DATA + powerOfTwo(words)) * 4;
}

/** A ring of 32-bit numbers. */
export class WordRing {
  readonly buffer: ArrayBufferLike;
  private readonly i32: Int32Array;
  private readonly mask: number;

  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.i32 = new Int32Array(buffer);
    this.mask = powerOfTwo(this.i32.length - DATA) - 1;
  }

  static create(words: number): WordRing {
    return new WordRing(new SharedArrayBuffer(ringBytes(words)));
  }

  /** Producer. False when full. */
  push(value: number): boolean {
    const tail = this.i32[TAIL]!;
    if (((tail - Atomics.load(this.i32, HEAD)) | 0) > this.mask) return false;
    this.i32[DATA + (tail & this.mask)] = value;
    Atomics.store(this.i32, TAIL, (tail + 1) | 0);
    return true;
  }

  /** Consumer. -1 when empty (numbers above 2^31 come back negative: do not put them in). */
  pop(): number {
    const head = this.i32[HEAD]!;
    if (Atomics.load(this.i32, TAIL) === head) return -1;
    const value = this.i32[DATA + (head & this.mask)]!;
    Atomics.store(this.i32, HEAD, (head + 1) | 0);
    return value;
  }

  /**
   * Give back a number that was popped, to be the next one popped: for a consumer that is its own producer. What was used
   * last is still in the cache.
   */
  unpop(value: number): boolean {
    const head = (this.i32[HEAD]! - 1) | 0;
    if (((this.i32[TAIL]! - head) | 0) > this.mask + 1) return false;
    this.i32[DATA + (head & this.mask)] = value;
    Atomics.store(this.i32, HEAD, head);
    return true;
  }

  /** Producer of an empty ring: 0 ..< count. */
  fill(count: number): void {
    if (count > this.mask + 1 || this.size > 0)
      throw new RangeError(`${count} numbers into a ring of ${this.mask + 1}`);
    const tail = this.i32[TAIL]!;
    for (let n = 0; n < count; n++) this.i32[DATA + ((tail + n) & this.mask)] = n;
    Atomics.store(this.i32, TAIL, (tail + count) | 0);
  }

  get size(): number {
    return (Atomics.load(this.i32, TAIL) - Atomics.load(this.i32, HEAD)) | 0;
  }

  /** Numbers that it can hold. */
  get capacity(): number {
    return this.mask + 1;
  }

  /** Position of the oldest number: how many were ever taken out, modulo 2^32. */
  get head(): number {
    return Atomics.load(this.i32, HEAD);
  }

  /** Producer: the number at a position below `head`, as long as it has not pushed `capacity` numbers since. */
  taken(position: number): number {
    return this.i32[DATA + (position & this.mask)]!;
  }
}

/** A ring of byte records, each aligned to 8 bytes. */
export class RecordRing {
  readonly buffer: ArrayBufferLike;
  /** The whole ring; a record's bytes start where `reserve` and `peek` say. */
  readonly u8: Uint8Array;
  readonly u32: Uint32Array;
  readonly f64: Float64Array;
  private readonly i32: Int32Array;
  private readonly mask: number;
  private pending = 0;
  private current = 0;

  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.i32 = new Int32Array(buffer);
    this.u32 = new Uint32Array(buffer);
    this.u8 = new Uint8Array(buffer);
    this.f64 = new Float64Array(buffer);
    this.mask = powerOfTwo(this.i32.length - DATA) - 1;
  }

  static create(words: number): RecordRing {
    return new RecordRing(new SharedArrayBuffer(ringBytes(words)));
  }

  /**
   * Producer: room for a record of `bytes`. Returns the byte offset to write at (8-byte aligned), or -1 when the ring is
   * full. Nothing is visible until `commit`. A record may fill half the ring at most: a larger one would fit or not by
   * where the tail happens to stand.
   */
  reserve(bytes: number): number {
    const words = ((bytes + 8 + 7) >> 3) << 1;
    if (words * 2 > this.mask + 1) return -1;
    const tail = this.i32[TAIL]!;
    const free = this.mask + 1 - ((tail - Atomics.load(this.i32, HEAD)) | 0);
    const at = tail & this.mask;
    const toEnd = this.mask + 1 - at;
    const skip = toEnd < words ? toEnd : 0;
    if (skip + words > free) return -1;
    let start = at;
    if (skip > 0) {
      this.u32[DATA + at] = PAD;
      start = 0;
    }
    this.u32[DATA + start] = bytes;
    this.pending = skip + words;
    return (DATA + start + 2) * 4;
  }

  /** Producer: publish what was reserved last. */
  commit(): void {
    Atomics.store(this.i32, TAIL, (this.i32[TAIL]! + this.pending) | 0);
    this.pending = 0;
  }

  /** Consumer: byte offset of the oldest record, or -1. Its length is `peekLength`. It stays until `release`. */
  peek(): number {
    const tail = Atomics.load(this.i32, TAIL);
    let head = this.i32[HEAD]!;
    if (tail === head) return -1;
    if (this.u32[DATA + (head & this.mask)] === PAD) {
      head = (head + this.mask + 1 - (head & this.mask)) | 0;
      Atomics.store(this.i32, HEAD, head);
    }
    this.current = head & this.mask;
    return (DATA + this.current + 2) * 4;
  }

  /** Consumer: bytes of the record that `peek` returned. */
  get peekLength(): number {
    return this.u32[DATA + this.current]!;
  }

  /** Consumer: done with the record that `peek` returned. */
  release(): void {
    const bytes = this.u32[DATA + this.current]!;
    const words = ((bytes + 8 + 7) >> 3) << 1;
    Atomics.store(this.i32, HEAD, (this.i32[HEAD]! + words) | 0);
  }
}
