/**
 * The places of the rule table. A freed index rests before it is given to another rule, so that records of flows that
 * still name it find what became of them. What one port may hold depends on what is free (a dynamic threshold, Choudhury
 * and Hahne 1998): a port that makes rules without end gets four fifths of the table, and never another port's share.
 */
const GREED = 4;

export class RuleIndexes {
  private readonly restNs: () => number;
  private readonly free: Int32Array;
  private freeCount: number;
  /** Resting indexes, oldest first: a ring. */
  private readonly resting: Int32Array;
  private readonly restedSince: Float64Array;
  private restingHead = 0;
  private restingCount = 0;
  private readonly gen: Uint32Array;
  private readonly portOf: Uint16Array;
  private readonly heldBy: Uint32Array;

  constructor(rules: number, ports: number, restNs: () => number) {
    this.restNs = restNs;
    this.free = new Int32Array(rules);
    for (let n = 0; n < rules; n++) this.free[n] = rules - 1 - n;
    this.freeCount = rules;
    this.resting = new Int32Array(rules);
    this.restedSince = new Float64Array(rules);
    this.gen = new Uint32Array(rules);
    this.portOf = new Uint16Array(rules);
    this.heldBy = new Uint32Array(ports);
  }

  /** Rules that an earlier process left; every generation from now on is new. */
  restore(
    rules: Iterable<{ readonly index: number; readonly gen: number; readonly port: number }>,
    nextGen: number,
  ): void {
    this.gen.fill(nextGen - 1);
    const taken = new Uint8Array(this.gen.length);
    for (const { index, gen, port } of rules) {
      taken[index] = 1;
      this.gen[index] = gen;
      this.portOf[index] = port;
      this.heldBy[port]!++;
    }
    this.freeCount = 0;
    for (let index = taken.length - 1; index >= 0; index--) if (taken[index] === 0) this.free[this.freeCount++] = index;
  }

  /** An index for a rule of `port`, −1 = the port has its share, or nothing is free. */
  take(port: number, nowNs: number): number {
    this.wake(nowNs);
    if (this.freeCount === 0 || this.heldBy[port]! >= this.freeCount * GREED) return -1;
    const index = this.free[--this.freeCount]!;
    this.gen[index] = (this.gen[index]! + 1) >>> 0 || 1;
    this.portOf[index] = port;
    this.heldBy[port]!++;
    return index;
  }

  /** Generation of the index's newest rule. */
  genOf(index: number): number {
    return this.gen[index]!;
  }

  /** Ingress port of the index's newest rule. */
  portOfRule(index: number): number {
    return this.portOf[index]!;
  }

  give(index: number, nowNs: number): void {
    this.resting[(this.restingHead + this.restingCount) % this.resting.length] = index;
    this.restingCount++;
    this.restedSince[index] = nowNs;
  }

  private wake(nowNs: number): void {
    const until = nowNs - this.restNs();
    while (this.restingCount > 0) {
      const index = this.resting[this.restingHead]!;
      if (this.restedSince[index]! > until) return;
      this.restingHead = (this.restingHead + 1) % this.resting.length;
      this.restingCount--;
      this.heldBy[this.portOf[index]!]!--;
      this.free[this.freeCount++] = index;
    }
  }
}
