/**
 * Which port a captured frame came in by, where nobody knows but the frame: each source MAC is a port of its own, the
 * first 256 of them; frames of the rest, and frames without a whole source address, share the port `others`.
 */

/** Ports for MACs, and the one for the rest. */
export const MAC_PORTS = 256;
export const OTHERS_PORT = MAC_PORTS + 1;

/** Where the source address stands (IEEE 802.3 clause 3.1.1), and where it ends. */
const SOURCE = 6;
const SOURCE_END = 12;
/** A power of two, four times the ports: probes are short. */
const ENTRIES = 1024;
const MASK = ENTRIES - 1;

export class MacPorts {
  /** By entry: address bytes 0..1 and 2..5, and the port's number, 0 = an empty entry. */
  private readonly high = new Uint16Array(ENTRIES);
  private readonly low = new Int32Array(ENTRIES);
  private readonly port = new Uint16Array(ENTRIES);
  private used = 0;

  /** Port of the frame at `bytes[at]`, of which `captured` bytes are there. */
  portOf(bytes: Uint8Array, at: number, captured: number): number {
    if (captured < SOURCE_END) return OTHERS_PORT;
    const from = at + SOURCE;
    const high = (bytes[from]! << 8) | bytes[from + 1]!;
    const low = (bytes[from + 2]! << 24) | (bytes[from + 3]! << 16) | (bytes[from + 4]! << 8) | bytes[from + 5]!;
    const hash = Math.imul(low ^ (high << 7), 0x9e3779b1);
    let n = (hash >>> 16) & MASK;
    for (;;) {
      const port = this.port[n]!;
      if (port === 0) return this.add(n, high, low);
      if (this.low[n] === low && this.high[n] === high) return port;
      n = (n + 1) & MASK;
    }
  }

  private add(n: number, high: number, low: number): number {
    if (this.used === MAC_PORTS) return OTHERS_PORT;
    this.high[n] = high;
    this.low[n] = low;
    this.port[n] = ++this.used;
    return this.used;
  }
}
