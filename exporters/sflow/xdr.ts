/** XDR (RFC 4506) into one preallocated buffer: big endian, everything a multiple of 4 bytes. Pure. */
const TWO_32 = 4294967296;
const encoder = new TextEncoder();

export class Xdr {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  /** Where the next value is written. */
  at = 0;

  constructor(size: number) {
    this.bytes = new Uint8Array(size);
    this.view = new DataView(this.bytes.buffer);
  }

  /** Modulo 2^32: counters wrap. */
  u32(value: number): void {
    this.view.setUint32(this.at, value);
    this.at += 4;
  }

  /** Modulo 2^64; exact up to 2^53. */
  u64(value: number): void {
    const high = Math.floor(value / TWO_32);
    this.view.setUint32(this.at, high);
    this.view.setUint32(this.at + 4, value - high * TWO_32);
    this.at += 8;
  }

  /** A u32 at an earlier place. */
  patch(at: number, value: number): void {
    this.view.setUint32(at, value);
  }

  /** Fixed-length opaque (RFC 4506 section 4.9): the first `length` bytes, padded. */
  fixed(bytes: Uint8Array, length: number): void {
    this.bytes.set(bytes.length > length ? bytes.subarray(0, length) : bytes, this.at);
    this.bytes.fill(0, this.at + Math.min(length, bytes.length), this.at + padded(length));
    this.at += padded(length);
  }

  /** Variable-length opaque (section 4.10). */
  opaque(bytes: Uint8Array, length: number): void {
    this.u32(length);
    this.fixed(bytes, length);
  }

  /** string<limit> (section 4.11): as much of it as fits, UTF-8, whole characters, padded with zeros. */
  string(text: string, limit: number): void {
    const { written } = encoder.encodeInto(text, this.bytes.subarray(this.at + 4, this.at + 4 + limit));
    this.u32(written);
    this.bytes.fill(0, this.at + written, this.at + padded(written));
    this.at += padded(written);
  }

  /** Begin what is told by a tag and a length (sFlow's `opaque` structures); `close` fills the length in. */
  open(tag: number): number {
    this.u32(tag);
    this.u32(0);
    return this.at;
  }

  close(mark: number): void {
    this.patch(mark - 4, this.at - mark);
  }
}

function padded(length: number): number {
  return (length + 3) & ~3;
}
