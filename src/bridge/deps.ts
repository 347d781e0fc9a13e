/**
 * Which rules rest on which MAC table entries: learning, moving or forgetting (VLAN, MAC) concerns those rules only. A
 * rule has at most two entries, its source's and its destination's: two nodes at fixed places, in chained buckets.
 */
import { hash2, hashFactors } from "../pipeline/hash.ts";
import type { MacRef } from "../pipeline/normal.ts";

export const SOURCE = 0;
export const DESTINATION = 1;

const NONE = -1;
const UNLINKED = -2;
const BITS = 17;

export class MacDependencies {
  // By node: 2 × rule index + SOURCE or DESTINATION. A key is VLAN << 16 | first 16 bits, and the last 32.
  private readonly high: Uint32Array;
  private readonly low: Uint32Array;
  private readonly next: Int32Array;
  private readonly before: Int32Array;
  private readonly buckets = new Int32Array(1 << BITS).fill(NONE);
  private readonly factors = hashFactors(2);

  constructor(rules: number) {
    this.high = new Uint32Array(rules * 2);
    this.low = new Uint32Array(rules * 2);
    this.next = new Int32Array(rules * 2);
    this.before = new Int32Array(rules * 2).fill(UNLINKED);
  }

  /** Rule `index` rests on these entries from now on, and on no others. */
  set(index: number, source: MacRef | undefined, destination: MacRef | undefined): void {
    this.put(2 * index + SOURCE, source);
    this.put(2 * index + DESTINATION, destination);
  }

  /** Call back with every rule that rests on (VLAN, MAC), and how. The callback must not change them. */
  each(vlan: number, high: number, low: number, visit: (rule: number, role: number) => void): void {
    const first = (vlan << 16) | high;
    for (let node = this.buckets[this.bucketOf(first, low)]!; node !== NONE; node = this.next[node]!)
      if (this.high[node] === first && this.low[node] === low) visit(node >> 1, node & 1);
  }

  /** The source entry that rule `index` rests on. */
  sourceOf(index: number): MacRef | undefined {
    const node = 2 * index + SOURCE;
    if (this.before[node] === UNLINKED) return undefined;
    return { vlan: this.high[node]! >>> 16, high: this.high[node]! & 0xffff, low: this.low[node]! };
  }

  private put(node: number, ref: MacRef | undefined): void {
    this.unlink(node);
    if (ref === undefined) return;
    const high = (ref.vlan << 16) | ref.high;
    const bucket = this.bucketOf(high, ref.low);
    const next = this.buckets[bucket]!;
    this.high[node] = high;
    this.low[node] = ref.low;
    this.next[node] = next;
    this.before[node] = NONE;
    if (next !== NONE) this.before[next] = node;
    this.buckets[bucket] = node;
  }

  private unlink(node: number): void {
    const before = this.before[node]!;
    if (before === UNLINKED) return;
    const next = this.next[node]!;
    if (before === NONE) this.buckets[this.bucketOf(this.high[node]!, this.low[node]!)] = next;
    else this.next[before] = next;
    if (next !== NONE) this.before[next] = before;
    this.before[node] = UNLINKED;
  }

  private bucketOf(high: number, low: number): number {
    return hash2(this.factors, high, low) >>> (32 - BITS);
  }
}
