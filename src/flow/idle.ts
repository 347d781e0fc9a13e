/**
 * How long a flow may be silent. When free slots are scarce the idle timeouts shrink, of one-packet flows first, so that
 * a scan gives back what it took before anybody else has to.
 */
export interface SweepTimeouts {
  readonly activeNs: number;
  readonly idleNs: number;
  readonly tcpEndNs: number;
}

/** Below this share of free slots the idle timeout of one-packet flows shrinks; below half of it, everybody's. */
const SCARCE = 0.25;
/** The idle timeout shrinks in so many steps, to one step of itself at least. */
const STEPS = 32;
/** No shrinking sooner than this after the last one: each makes every block due again. */
const SHRINK_AGAIN_NS = 100e6;

export class IdleTimeouts {
  /** In force now, ns: of flows with one packet, and of the others. */
  one = 0;
  many = 0;
  private idleNs: number;
  private step = STEPS;
  private shrunkNs = -Infinity;

  constructor(timeouts: SweepTimeouts) {
    this.idleNs = timeouts.idleNs;
    this.derive();
  }

  set(timeouts: SweepTimeouts): void {
    this.idleNs = timeouts.idleNs;
    this.derive();
  }

  /** The table has this share of its slots free. True: timeouts shrank, so that any flow may be due sooner than was known. */
  measure(share: number, nowNs: number): boolean {
    const step = share >= SCARCE ? STEPS : Math.max(1, Math.ceil((share / SCARCE) * STEPS));
    const shrinks = step < this.step;
    if (step === this.step || (shrinks && nowNs >= this.shrunkNs && nowNs < this.shrunkNs + SHRINK_AGAIN_NS))
      return false;
    if (shrinks) this.shrunkNs = nowNs;
    this.step = step;
    this.derive();
    return shrinks;
  }

  private derive(): void {
    this.one = (this.idleNs * this.step) / STEPS;
    this.many = Math.min(this.idleNs, this.one * 2);
  }
}
