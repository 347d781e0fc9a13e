/**
 * Frames without a flow, by port and outer VLAN: what keeps the totals whole when the flow table is full. One writer
 * (the datapath), any number of readers, no lock: each value is one aligned 8-byte store, which every 64-bit machine
 * does whole; the three values of a row may be one frame apart while frames arrive.
 *
 * ```
 * byte 0     u32 ports     u32 rows (a power of two)     8 reserve
 * byte 64    rows × u32: (port << 12 | vlan) + 1, 0 = empty; linear probing, never removed
 * then       (rows + ports) × 3 f64: packets, bytes, l3Bytes; row rows + p is port p's "other" (VLAN OTHER_VLAN)
 * ```
 *
 * The rows are bounded: beyond three quarters full, new pairs count in their port's "other" row. Nothing is lost.
 */
const HEADER_BYTES = 64;
const VALUES = 3;

/** VLAN of the row that holds what found no row of its own. */
export const OTHER_VLAN = 0xffff;

export interface UnattributedRow {
  readonly port: number;
  /** Outer VLAN id, 0 = untagged, OTHER_VLAN. */
  readonly vlan: number;
  readonly packets: number;
  readonly bytes: number;
  readonly l3Bytes: number;
}

function valuesByte(rows: number): number {
  return HEADER_BYTES + Math.ceil(rows / 2) * 8;
}

export class UnattributedTable {
  readonly buffer: ArrayBufferLike;
  private readonly ports: number;
  private readonly rows: number;
  private readonly keys: Int32Array;
  private readonly values: Float64Array;
  /** Rows taken; known to the writer only. */
  private used = 0;

  constructor(buffer: ArrayBufferLike) {
    const header = new Uint32Array(buffer, 0, 2);
    this.buffer = buffer;
    this.ports = header[0]!;
    this.rows = header[1]!;
    this.keys = new Int32Array(buffer, HEADER_BYTES, this.rows);
    this.values = new Float64Array(buffer, valuesByte(this.rows), (this.rows + this.ports) * VALUES);
    for (let row = 0; row < this.rows; row++) if (this.keys[row] !== 0) this.used++;
  }

  /** `rows` is a power of two, 4 or more (one row stays empty, where a search ends); ports are 0 ..< `ports`. */
  static create(ports: number, rows = 4096): UnattributedTable {
    if (rows < 4 || (rows & (rows - 1)) !== 0) throw new RangeError(`rows are a power of two from 4, not ${rows}`);
    return UnattributedTable.over(new SharedArrayBuffer(UnattributedTable.bytes(ports, rows)), ports, rows);
  }

  static bytes(ports: number, rows: number): number {
    return valuesByte(rows) + (rows + ports) * VALUES * 8;
  }

  /** In memory of zeros, or where such a table of the same size stands already. */
  static over(buffer: ArrayBufferLike, ports: number, rows: number): UnattributedTable {
    new Uint32Array(buffer, 0, 2).set([ports, rows]);
    return new UnattributedTable(buffer);
  }

  /** Writer: count frames of `port` (below `ports`) on `vlan` (0..4095, OTHER_VLAN where nobody knows). */
  add(port: number, vlan: number, packets: number, bytes: number, l3Bytes: number): void {
    const at = this.rowOf(port, vlan) * VALUES;
    const values = this.values;
    values[at] = values[at]! + packets;
    values[at + 1] = values[at + 1]! + bytes;
    values[at + 2] = values[at + 2]! + l3Bytes;
  }

  private rowOf(port: number, vlan: number): number {
    if (vlan === OTHER_VLAN) return this.rows + port;
    const key = ((port << 12) | vlan) + 1;
    const mask = this.rows - 1;
    let row = (Math.imul(key, 0x9e3779b1) >>> 16) & mask;
    for (;;) {
      const found = this.keys[row]!;
      if (found === key) return row;
      if (found === 0) break;
      row = (row + 1) & mask;
    }
    if (this.used * 4 >= this.rows * 3) return this.rows + port;
    this.used++;
    Atomics.store(this.keys, row, key);
    return row;
  }

  /** Reader: every row that has counted something, in no order. */
  read(): UnattributedRow[] {
    const out: UnattributedRow[] = [];
    for (let row = 0; row < this.rows + this.ports; row++) {
      const own = row < this.rows;
      const key = own ? Atomics.load(this.keys, row) - 1 : 0;
      const packets = this.values[row * VALUES]!;
      if (packets === 0) continue;
      out.push({
        port: own ? key >>> 12 : row - this.rows,
        vlan: own ? key & 0xfff : OTHER_VLAN,
        packets,
        bytes: this.values[row * VALUES + 1]!,
        l3Bytes: this.values[row * VALUES + 2]!,
      });
    }
    return out;
  }
}
