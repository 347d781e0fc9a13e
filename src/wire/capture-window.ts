/**
 * What the readers of capture files share: the shape of what they deliver, and a window that moves over the file, in
 * which the formats read their records in place.
 */
/** Where the bytes come from: a file, a pipe, memory. */
export interface ByteSource {
  /** Read up to `length` bytes to `into[at]`; 0 = the end. Throws what the system says. */
  read(into: Uint8Array, at: number, length: number): number;
  close(): void;
}

/** Packets delivered by one `read`, as parallel arrays. Valid until the next `read`. */
export interface CaptureBatch {
  readonly capacity: number;
  /** Where the packets' bytes stand. */
  bytes: Uint8Array;
  readonly offset: Int32Array;
  /** Bytes that are there; of the packet on the wire (≥ captured). Without FCS where the file says that it has one. */
  readonly captured: Int32Array;
  readonly length: Int32Array;
  /** Time since 1970-01-01 UTC: whole seconds (may be negative) and nanoseconds 0..999,999,999. Both are exact. */
  readonly seconds: Float64Array;
  readonly nanoseconds: Int32Array;
  /** Index into the reader's `interfaces`. */
  readonly interface: Int32Array;
}

export function createCaptureBatch(capacity: number): CaptureBatch {
  return {
    capacity,
    bytes: new Uint8Array(0),
    offset: new Int32Array(capacity),
    captured: new Int32Array(capacity),
    length: new Int32Array(capacity),
    seconds: new Float64Array(capacity),
    nanoseconds: new Int32Array(capacity),
    interface: new Int32Array(capacity),
  };
}

/** pcap has one; pcapng one for each Interface Description Block, counted on over all sections. */
export interface CaptureInterface {
  readonly linktype: number;
  readonly name?: string;
  /** 0 = unlimited. */
  readonly snaplen: number;
  /** Bytes of FCS at the end of each packet in the file; not part of what is delivered. */
  readonly fcsBytes: number;
}

export interface CaptureError {
  /** In the file, of the header, record or block that is wrong. */
  readonly offset: number;
  readonly message: string;
}

/** The largest packet that libpcap and Wireshark take; a record that claims more is damage. */
export const MAX_CAPTURED = 262144;
/** The largest block that is kept in memory: options are the only part without a bound of their own. */
export const MAX_NEEDED = 16 << 20;

/** A window on the file that moves forward only. The formats read their records in it in place. */
export class CaptureWindow {
  bytes: Uint8Array;
  view: DataView;
  /** The unread part is bytes[at ..< end]. */
  at = 0;
  end = 0;
  /** File offset of bytes[0]. */
  base = 0;
  ended = false;
  error: CaptureError | undefined;
  private readonly source: ByteSource;

  constructor(source: ByteSource, chunkBytes: number) {
    this.source = source;
    this.bytes = new Uint8Array(chunkBytes);
    this.view = new DataView(this.bytes.buffer);
  }

  /** File offset of the unread part. */
  get offset(): number {
    return this.base + this.at;
  }

  fail(offset: number, message: string): false {
    this.error ??= { offset, message };
    return false;
  }

  /**
   * Bring `count` bytes (≤ MAX_NEEDED) into the window. What was at `at` may move to 0: nothing delivered may still be in
   * use. False at the end of the file, or when the system refuses (`error` is set then).
   */
  fill(count: number): boolean {
    if (this.end - this.at >= count) return true;
    const old = this.bytes;
    if (count > old.length) {
      this.bytes = new Uint8Array(Math.min(MAX_NEEDED, Math.max(count, 2 * old.length)));
      this.view = new DataView(this.bytes.buffer);
      this.bytes.set(old.subarray(this.at, this.end));
    } else old.copyWithin(0, this.at, this.end);
    this.base += this.at;
    this.end -= this.at;
    this.at = 0;
    while (this.end < count && !this.ended) this.pull();
    return this.end >= count;
  }

  /** Move `count` bytes forward, through the file where they are not in the window. False when it ends before. */
  skip(count: number): boolean {
    let left = count - (this.end - this.at);
    if (left <= 0) {
      this.at += count;
      return true;
    }
    while (left > 0) {
      this.base += this.end;
      this.at = this.end = 0;
      if (this.ended) return false;
      this.pull();
      this.at = Math.min(left, this.end);
      left -= this.at;
    }
    return true;
  }

  private pull(): void {
    try {
      const got = this.source.read(this.bytes, this.end, this.bytes.length - this.end);
      if (got === 0) this.ended = true;
      this.end += got;
    } catch (error) {
      this.ended = true;
      this.fail(this.base + this.end, `the file cannot be read on: ${(error as Error).message}`);
    }
  }

  close(): void {
    this.source.close();
  }
}

/** What a format makes of a window. `next` fills the batch; it returns 0 at the end or with `window.error`. */
export interface CaptureFormat {
  readonly interfaces: readonly CaptureInterface[];
  next(batch: CaptureBatch): number;
}
