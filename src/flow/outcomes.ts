/**
 * What records need to know of rules and ports: a copy, by number, of decisions whose home is the pipeline. Filled by
 * the control thread when it programs the datapath, read and aged by the sweeper in the same thread.
 *
 * A rule index is given to another rule while flows that followed the old one are still in the table: the outcome
 * before the newest is kept beside it (`find` returns either row).
 */
export interface Outcome {
  /** FORWARDED, DROPPED, CONSUMED, OBSERVED. */
  readonly disposition: number;
  /** Drop reason, where dropped. */
  readonly reason: number;
  /** How many ports the frames leave by, mirrors not counted. */
  readonly outputs: number;
  /** The port, where there is just one. */
  readonly outputPort: number;
}

export class Outcomes {
  readonly rules: number;
  /** By rule index: generation of the newest rule there. */
  readonly gen: Uint32Array;
  /** By rule index: newest frame of any of its flows that a sweep has seen, ns. Rules idle out by it. */
  readonly lastNs: Float64Array;
  /** By port number: the exported ifIndex. */
  readonly ifIndexOf: Uint32Array;
  // By row: the newest rule of index n is row n, the one before it row rules + n.
  readonly disposition: Uint8Array;
  readonly reason: Uint8Array;
  readonly outputs: Uint16Array;
  readonly outputPort: Uint16Array;
  private readonly previousGen: Uint32Array;
  private readonly known: Uint8Array;

  constructor(rules: number, ports: number) {
    this.rules = rules;
    this.gen = new Uint32Array(rules);
    this.previousGen = new Uint32Array(rules);
    this.known = new Uint8Array(rules * 2);
    this.lastNs = new Float64Array(rules);
    this.ifIndexOf = new Uint32Array(ports);
    this.disposition = new Uint8Array(rules * 2);
    this.reason = new Uint8Array(rules * 2);
    this.outputs = new Uint16Array(rules * 2);
    this.outputPort = new Uint16Array(rules * 2);
  }

  /** A new rule, or (same generation) another decision of the same rule. */
  set(index: number, gen: number, outcome: Outcome, nowNs: number): void {
    if (this.known[index] === 1 && this.gen[index] !== gen) {
      const old = this.rules + index;
      this.known[old] = 1;
      this.previousGen[index] = this.gen[index]!;
      this.disposition[old] = this.disposition[index]!;
      this.reason[old] = this.reason[index]!;
      this.outputs[old] = this.outputs[index]!;
      this.outputPort[old] = this.outputPort[index]!;
    }
    this.known[index] = 1;
    this.gen[index] = gen;
    this.lastNs[index] = nowNs;
    this.disposition[index] = outcome.disposition;
    this.reason[index] = outcome.reason;
    this.outputs[index] = outcome.outputs;
    this.outputPort[index] = outcome.outputPort;
  }

  /** Row of the rule's outcome, or -1 where it is forgotten. */
  find(index: number, gen: number): number {
    if (index >= this.rules) return -1;
    if (this.known[index] === 1 && this.gen[index] === gen) return index;
    if (this.known[this.rules + index] === 1 && this.previousGen[index] === gen) return this.rules + index;
    return -1;
  }
}
