/** XDR (RFC 4506) out of bytes. Every read is bounded by the structure that it stands in. */

/** What is wrong, and where: an offset in the datagram. Thrown and caught inside this package only. */
export class Fault extends Error {
  readonly offset: number;

  constructor(offset: number, message: string) {
    super(message);
    this.offset = offset;
  }
}

const text = new TextDecoder();

export class Cursor {
  readonly bytes: Uint8Array;
  private readonly view: DataView;
  at: number;
  /** First byte behind the structure. */
  readonly end: number;

  constructor(bytes: Uint8Array, at = 0, end = bytes.length) {
    this.bytes = bytes;
    this.view = new DataView(bytes.buffer, bytes.byteOffset, bytes.byteLength);
    this.at = at;
    this.end = end;
  }

  get left(): number {
    return this.end - this.at;
  }

  /** Room for `bytes`, or a fault. Returns where they begin, and goes behind them. */
  take(bytes: number, what: string): number {
    if (bytes > this.left) throw new Fault(this.at, `${what} needs ${bytes} bytes, ${this.left} are left`);
    const { at } = this;
    this.at += bytes;
    return at;
  }

  u32(): number {
    return this.view.getUint32(this.take(4, "a number"));
  }

  i32(): number {
    return this.view.getInt32(this.take(4, "a number"));
  }

  u64(): bigint {
    return this.view.getBigUint64(this.take(8, "a number"));
  }

  f32(): number {
    return this.view.getFloat32(this.take(4, "a number"));
  }

  /** A copy of `length` bytes, without the padding behind them. */
  fixed(length: number): Uint8Array {
    const at = this.take((length + 3) & ~3, `opaque[${length}]`);
    return this.bytes.slice(at, at + length);
  }

  opaque(): Uint8Array {
    const at = this.at;
    const length = this.u32();
    if (length > this.left) throw new Fault(at, `opaque of ${length} bytes, ${this.left} are left`);
    return this.fixed(length);
  }

  string(): string {
    return text.decode(this.opaque());
  }

  /** How many elements of at least `least` bytes follow. */
  count(least: number, what: string): number {
    const at = this.at;
    const count = this.u32();
    if (count * least > this.left) throw new Fault(at, `${count} ${what} do not fit into ${this.left} bytes`);
    return count;
  }

  list<T>(least: number, what: string, read: (cursor: Cursor) => T): T[] {
    return Array.from({ length: this.count(least, what) }, () => read(this));
  }

  mac(): string {
    return [...this.fixed(6)].map(hex2).join(":");
  }

  ipv4(): string {
    return this.fixed(4).join(".");
  }

  ipv6(): string {
    return ipv6Text(this.fixed(16));
  }

  /** address: a type, then as many bytes as it says; "" = unknown. */
  address(): string {
    const at = this.at;
    const type = this.u32();
    if (type === 0) return "";
    if (type === 1) return this.ipv4();
    if (type === 2) return this.ipv6();
    throw new Fault(at, `address type ${type} is not 0, 1 or 2`);
  }

  /** 16 bytes, as RFC 4122 writes them. */
  uuid(): string {
    const digits = [...this.fixed(16)].map(hex2).join("");
    return [0, 8, 12, 16, 20].map((from, n, all) => digits.slice(from, all[n + 1])).join("-");
  }

  /** A part of this structure, `length` bytes long; this cursor goes behind it and its padding. */
  part(length: number, what: string): Cursor {
    const padded = length + ((4 - (length % 4)) % 4);
    // The last structure of a datagram is met without its padding now and then.
    const at = this.take(Math.min(padded, Math.max(length, this.left)), what);
    return new Cursor(this.bytes, at, at + length);
  }
}

function hex2(byte: number): string {
  return byte.toString(16).padStart(2, "0");
}

/** RFC 5952: lower case, the first of the longest runs of zero groups as "::". */
function ipv6Text(bytes: Uint8Array): string {
  const groups = Array.from({ length: 8 }, (_, n) => (bytes[n * 2]! << 8) | bytes[n * 2 + 1]!);
  let [from, longest] = [-1, 1];
  for (let n = 0, run = 0; n < 8; n++) {
    run = groups[n] === 0 ? run + 1 : 0;
    if (run > longest) [from, longest] = [n - run + 1, run];
  }
  const write = (part: readonly number[]): string => part.map((group) => group.toString(16)).join(":");
  return from < 0 ? write(groups) : `${write(groups.slice(0, from))}::${write(groups.slice(from + longest))}`;
}
