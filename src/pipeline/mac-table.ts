/**
 * The MAC table: (VLAN, MAC) → port, of fixed size and bounded work, because a guest can send any number of source
 * addresses. When it is full the oldest entry of the port that has the most makes room, so that a flood of addresses
 * pushes out its own and a quiet port keeps what it has (as in OVS, lib/mac-learning.c).
 *
 * Entries stand in parallel typed arrays. A key is 60 bits, more than a number holds, so it is two words:
 * VLAN 12 << 16 | first 16 bits of the MAC, and the last 32. Each port's entries are a list from least to most recently
 * heard of.
 */
import { macText } from "./fields.ts";
import { hash2, hashFactors } from "./hash.ts";
import type { MacView } from "./snapshot.ts";

export interface MacTableOptions {
  /** Entries; 8192 unless configured. */
  readonly capacity: number;
  readonly ageingNs: number;
  /** Port numbers are below this. */
  readonly maxPorts: number;
  /** Entries that one port may have; absent: no limit but the fair share when the table is full. */
  readonly maxPerPort?: number;
}

export const MAC_KNOWN = 0;
export const MAC_LEARNED = 1;
export const MAC_MOVED = 2;
/** The port has all it may have. */
export const MAC_REFUSED = 3;

export interface MacEntry {
  readonly vlan: number;
  readonly mac: string;
  readonly port: number;
  readonly ageNs: number;
}

export interface MacStats {
  readonly entries: number;
  readonly learned: number;
  readonly moved: number;
  readonly expired: number;
  readonly evicted: number;
  readonly refused: number;
}

const NONE = -1;

export class MacTable implements MacView {
  readonly capacity: number;
  private ageingNs: number;
  private maxPerPort: number;
  private readonly high: Uint32Array;
  private readonly low: Uint32Array;
  private readonly port: Uint16Array;
  private readonly lastNs: Float64Array;
  /** Next entry in the same bucket; in the free list for a free entry. */
  private readonly chain: Int32Array;
  private readonly older: Int32Array;
  private readonly newer: Int32Array;
  private readonly buckets: Int32Array;
  private readonly shift: number;
  private readonly factors = hashFactors(2);
  private readonly oldestOf: Int32Array;
  private readonly newestOf: Int32Array;
  private readonly countOf: Uint32Array;
  private free = 0;
  private used = 0;
  private learned = 0;
  private moved = 0;
  private expired = 0;
  private evicted = 0;
  private refused = 0;
  /** Told of every entry that goes, with the time it was last heard of: what rests on it must be decided again. */
  onGone: (vlan: number, high: number, low: number) => void = () => {};
  /**
   * Last use of an entry that the caller knows of, ns: frames that follow a rule pass without a word to this table.
   * Asked only before an entry is given up.
   */
  lastUseNs: (vlan: number, high: number, low: number, port: number) => number = () => 0;

  constructor(options: MacTableOptions) {
    const { capacity, maxPorts } = options;
    this.capacity = capacity;
    this.ageingNs = options.ageingNs;
    this.maxPerPort = options.maxPerPort ?? Infinity;
    this.high = new Uint32Array(capacity);
    this.low = new Uint32Array(capacity);
    this.port = new Uint16Array(capacity);
    this.lastNs = new Float64Array(capacity);
    this.chain = Int32Array.from({ length: capacity }, (_, n) => (n + 1 < capacity ? n + 1 : NONE));
    this.older = new Int32Array(capacity).fill(NONE);
    this.newer = new Int32Array(capacity).fill(NONE);
    const bits = Math.min(17, Math.max(4, Math.ceil(Math.log2(capacity)) + 1));
    this.buckets = new Int32Array(1 << bits).fill(NONE);
    this.shift = 32 - bits;
    this.oldestOf = new Int32Array(maxPorts).fill(NONE);
    this.newestOf = new Int32Array(maxPorts).fill(NONE);
    this.countOf = new Uint32Array(maxPorts);
  }

  get size(): number {
    return this.used;
  }

  stats(): MacStats {
    const { learned, moved, expired, evicted, refused } = this;
    return { entries: this.used, learned, moved, expired, evicted, refused };
  }

  /** Entries of one port. */
  sizeOf(port: number): number {
    return this.countOf[port]!;
  }

  setAgeing(ageingNs: number): void {
    this.ageingNs = ageingNs;
  }

  portOf(vlan: number, high: number, low: number): number {
    const entry = this.find(vlan, high, low);
    return entry === NONE ? 0 : this.port[entry]!;
  }

  wouldLearn(_vlan: number, _high: number, _low: number, port: number): boolean {
    return this.countOf[port]! < this.maxPerPort;
  }

  /** Note that (VLAN, MAC) sent from `port` at `nowNs`. Returns MAC_KNOWN, MAC_LEARNED, MAC_MOVED or MAC_REFUSED. */
  learn(vlan: number, high: number, low: number, port: number, nowNs: number): number {
    let entry = this.find(vlan, high, low);
    if (entry !== NONE && this.port[entry] === port) {
      this.refresh(entry, nowNs);
      return MAC_KNOWN;
    }
    if (this.countOf[port]! >= this.maxPerPort) {
      this.refused++;
      return MAC_REFUSED;
    }
    if (entry !== NONE) {
      this.unlist(entry);
      this.list(entry, port, nowNs);
      this.moved++;
      return MAC_MOVED;
    }
    if (this.free === NONE) this.evict();
    entry = this.free;
    this.free = this.chain[entry]!;
    this.high[entry] = (vlan << 16) | high;
    this.low[entry] = low;
    const bucket = this.bucketOf(this.high[entry]!, low);
    this.chain[entry] = this.buckets[bucket]!;
    this.buckets[bucket] = entry;
    this.list(entry, port, nowNs);
    this.used++;
    this.learned++;
    return MAC_LEARNED;
  }

  /** Frames of (VLAN, MAC) from `port` were seen at `lastNs`. */
  touch(vlan: number, high: number, low: number, port: number, lastNs: number): void {
    const entry = this.find(vlan, high, low);
    if (entry !== NONE && this.port[entry] === port && lastNs > this.lastNs[entry]!) this.refresh(entry, lastNs);
  }

  /** Give up entries not heard of for the ageing time; looks at no more than `limit` and a list end per port. */
  age(nowNs: number, limit: number): number {
    let gone = 0;
    for (let port = 0; port < this.countOf.length; port++) {
      for (let entry = this.oldestOf[port]!; entry !== NONE && limit-- > 0; entry = this.oldestOf[port]!) {
        if (nowNs - this.lastNs[entry]! < this.ageingNs) break;
        if (this.refreshFromUse(entry) && nowNs - this.lastNs[entry]! < this.ageingNs) continue;
        this.drop(entry);
        this.expired++;
        gone++;
      }
    }
    return gone;
  }

  /** Forget what was learned on a port, or only what `keep` does not want to keep there. */
  flush(port: number, keep: (vlan: number) => boolean = () => false): void {
    for (let entry = this.oldestOf[port]!; entry !== NONE;) {
      const next = this.newer[entry]!;
      if (!keep(this.high[entry]! >>> 16)) this.drop(entry);
      entry = next;
    }
  }

  /** Take over another table's entries, the most recently heard of where not all fit. */
  adopt(from: MacTable): void {
    const entries: number[] = [];
    for (let port = 0; port < from.countOf.length; port++)
      for (let entry = from.oldestOf[port]!; entry !== NONE; entry = from.newer[entry]!) entries.push(entry);
    entries.sort((a, b) => from.lastNs[a]! - from.lastNs[b]!);
    for (const entry of entries.slice(-this.capacity)) {
      const high = from.high[entry]!;
      this.learn(high >>> 16, high & 0xffff, from.low[entry]!, from.port[entry]!, from.lastNs[entry]!);
    }
  }

  /** All entries, by port and from oldest to newest. */
  *entries(nowNs: number): Generator<MacEntry> {
    for (let port = 0; port < this.countOf.length; port++)
      for (let entry = this.oldestOf[port]!; entry !== NONE; entry = this.newer[entry]!)
        yield {
          vlan: this.high[entry]! >>> 16,
          mac: macText({ high: this.high[entry]! & 0xffff, low: this.low[entry]! }),
          port,
          ageNs: Math.max(0, nowNs - Math.max(this.lastNs[entry]!, this.useOf(entry))),
        };
  }

  private bucketOf(high: number, low: number): number {
    return hash2(this.factors, high, low) >>> this.shift;
  }

  private find(vlan: number, high: number, low: number): number {
    const first = (vlan << 16) | high;
    let entry = this.buckets[this.bucketOf(first, low)]!;
    while (entry !== NONE && (this.high[entry] !== first || this.low[entry] !== low)) entry = this.chain[entry]!;
    return entry;
  }

  /** Make room: the least recently heard of the port with the most entries goes, unless its rules are in use. */
  private evict(): void {
    let most = 0;
    for (let port = 1; port < this.countOf.length; port++) if (this.countOf[port]! > this.countOf[most]!) most = port;
    // A few second chances: bounded work for every new address.
    for (let tries = 0; tries < 8 && this.refreshFromUse(this.oldestOf[most]!); tries++);
    this.drop(this.oldestOf[most]!);
    this.evicted++;
  }

  private useOf(entry: number): number {
    return this.lastUseNs(this.high[entry]! >>> 16, this.high[entry]! & 0xffff, this.low[entry]!, this.port[entry]!);
  }

  private refreshFromUse(entry: number): boolean {
    const used = this.useOf(entry);
    if (used <= this.lastNs[entry]!) return false;
    this.refresh(entry, used);
    return true;
  }

  private refresh(entry: number, nowNs: number): void {
    const port = this.port[entry]!;
    this.unlist(entry);
    this.list(entry, port, nowNs);
  }

  private drop(entry: number): void {
    const high = this.high[entry]!;
    const bucket = this.bucketOf(high, this.low[entry]!);
    if (this.buckets[bucket] === entry) this.buckets[bucket] = this.chain[entry]!;
    else {
      let before = this.buckets[bucket]!;
      while (this.chain[before] !== entry) before = this.chain[before]!;
      this.chain[before] = this.chain[entry]!;
    }
    this.unlist(entry);
    this.chain[entry] = this.free;
    this.free = entry;
    this.used--;
    this.onGone(high >>> 16, high & 0xffff, this.low[entry]!);
  }

  private list(entry: number, port: number, nowNs: number): void {
    this.port[entry] = port;
    this.lastNs[entry] = nowNs;
    const newest = this.newestOf[port]!;
    this.older[entry] = newest;
    this.newer[entry] = NONE;
    if (newest === NONE) this.oldestOf[port] = entry;
    else this.newer[newest] = entry;
    this.newestOf[port] = entry;
    this.countOf[port]!++;
  }

  private unlist(entry: number): void {
    const port = this.port[entry]!;
    const older = this.older[entry]!;
    const newer = this.newer[entry]!;
    if (older === NONE) this.oldestOf[port] = newer;
    else this.newer[older] = newer;
    if (newer === NONE) this.newestOf[port] = older;
    else this.older[newer] = older;
    this.countOf[port]!--;
  }
}
