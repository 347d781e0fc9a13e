/**
 * Ports whose flows are being ended: which blocks of slots have still to be searched for them, and how many closed flows
 * of each port have no last record yet.
 */
export class PortEnds {
  /** Flow end reason by port that is being emptied; 0: none. */
  readonly reason: Uint8Array;
  /** By block: 1 where such a port's flows may still be. */
  readonly unsearched: Uint8Array;
  private left = 0;
  private readonly closing: Int32Array;

  constructor(ports: number, blocks: number) {
    this.reason = new Uint8Array(ports);
    this.closing = new Int32Array(ports);
    this.unsearched = new Uint8Array(blocks);
  }

  /** From now on every block that has flows (`used` above 0) is searched for this port's. */
  begin(port: number, reason: number, used: Int32Array): void {
    this.reason[port] = reason;
    this.left = 0;
    for (let block = 0; block < used.length; block++) {
      this.unsearched[block] = used[block] === 0 ? 0 : 1;
      this.left += this.unsearched[block]!;
    }
    if (this.left === 0) this.reason.fill(0);
  }

  searched(block: number): void {
    this.unsearched[block] = 0;
    if (--this.left === 0) this.reason.fill(0);
  }

  closed(port: number): void {
    this.closing[port]!++;
  }

  recorded(port: number): void {
    this.closing[port]!--;
  }

  /** Flows of this port are still being searched for, or wait for their last record. */
  pending(port: number): boolean {
    return this.reason[port] !== 0 || this.closing[port]! > 0;
  }
}
