/**
 * The keys with most bytes among many, in bounded memory: when there are too many, the small ones go, and what comes
 * after begins with the largest that went, which is also how much too high it may be.
 */
export interface TopEntry {
  readonly key: string;
  bytes: number;
  packets: number;
  /** `bytes` may be too high by so much. */
  error: number;
}

const KEPT = 4096;

export class Top {
  private entries = new Map<string, TopEntry>();
  private floor = 0;

  add(key: string, bytes: number, packets: number): void {
    const entry = this.entries.get(key);
    if (entry !== undefined) {
      entry.bytes += bytes;
      entry.packets += packets;
      return;
    }
    if (this.entries.size >= 2 * KEPT) this.prune();
    this.entries.set(key, { key, bytes: bytes + this.floor, packets, error: this.floor });
  }

  /** The `count` largest; it begins anew. */
  take(count: number): TopEntry[] {
    const largest = this.sorted().slice(0, count);
    this.entries = new Map();
    this.floor = 0;
    return largest;
  }

  private prune(): void {
    const sorted = this.sorted();
    this.floor = Math.max(this.floor, sorted[KEPT]!.bytes);
    this.entries = new Map(sorted.slice(0, KEPT).map((entry) => [entry.key, entry]));
  }

  private sorted(): TopEntry[] {
    return [...this.entries.values()].toSorted((a, b) => b.bytes - a.bytes);
  }
}
