/**
 * One moment on two clocks. Uptime is the monotonic clock; Unix time is boot time + uptime, so that what a header says of
 * now and what its records say of then come from one clock. The boot time stays fixed while the wall clock is slewed, and
 * is set anew when it was stepped by more than STEP_MS.
 */
import type { Moment } from "./exporter.ts";

export const STEP_MS = 1000;

export interface Clocks {
  /** ns of the monotonic clock that also stamps the flow slots. */
  monotonicNs(): number;
  /** Unix time, ms. */
  wallMs(): number;
}

export class MomentClock {
  /** Unix time, ms, of uptime 0. */
  bootMs: number;
  /** How often the wall clock was found stepped. */
  steps = 0;
  private readonly clocks: Clocks;

  constructor(clocks: Clocks) {
    this.clocks = clocks;
    this.bootMs = clocks.wallMs() - clocks.monotonicNs() / 1e6;
  }

  now(): Moment {
    const uptimeMs = this.clocks.monotonicNs() / 1e6;
    const wallMs = this.clocks.wallMs();
    if (Math.abs(wallMs - (this.bootMs + uptimeMs)) > STEP_MS) {
      this.bootMs = wallMs - uptimeMs;
      this.steps++;
    }
    return { uptimeMs, unixMs: this.bootMs + uptimeMs };
  }
}
