/**
 * Copies to SPAN ports and into RSPAN VLANs leave by the thread that forwards, and one costs it as much as an original does.
 * While the thread has time left nothing is lost by that. When it has none, copies get a share of its time and no more: what
 * does not fit is not made and counted as queue-dropped, so that a mirror of everything never halves what tenants get.
 */

/** Of the thread's time. With what selecting costs it leaves originals more than 0.6 of what they were (npm run bench -- mirror). */
const SHARE = 0.3;
/** What may be spent ahead: the bursts of a guest's TCP are copied whole, a flood is not. */
const BURST_NS = 30e6;

export class CopyShare {
  /** Copies have had their share: make none. */
  isUsedUp = false;
  /** Spent beyond the share, ns; below 0: what is left. The fraction keeps these fields doubles. */
  private debtNs = 0.5;
  private sinceNs = 0.5;

  /** A turn begins. `hadTime`: in the last one no frame waited, all of it could have gone to copies. */
  turn(nowNs: number, hadTime: boolean): void {
    const left = this.debtNs - (nowNs - this.sinceNs) * (hadTime ? 1 : SHARE);
    this.debtNs = left < -BURST_NS ? -BURST_NS : left;
    this.sinceNs = nowNs;
    this.isUsedUp = this.debtNs > 0;
  }

  spend(ns: number): void {
    this.debtNs += ns;
  }
}
