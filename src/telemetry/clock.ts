/**
 * One moment on two clocks. Uptime is the slots' monotonic clock; Unix time is boot time + uptime, so that what a header
 * says of now and what its records say of then come from one clock. The boot time stays fixed while the wall clock is
 * slewed, and is set anew when it was stepped by more than STEP_MS.
 */
import type { Boot } from "../flow/record.ts";
import type { Moment } from "./exporter.ts";

export const STEP_MS = 1000;

export interface Clocks {
  /** ns of the clock that also stamps the flow slots. */
  monotonicNs(): number;
  /** Unix time, ms. */
  wallMs(): number;
}

/** `ns` on the slots' clock, as a moment of this boot. */
export function momentOf(boot: Boot, ns: number): Moment {
  const uptimeMs = (ns - boot.ns) / 1e6;
  return { uptimeMs, unixMs: boot.unixMs + uptimeMs };
}

export class MomentClock {
  /** For the sweeper. Another object after a step: then its flows begin a new epoch. */
  boot: Boot;
  /** How often the wall clock was found stepped. */
  steps = 0;
  private readonly clocks: Clocks;

  constructor(clocks: Clocks) {
    this.clocks = clocks;
    this.boot = { ns: 0, unixMs: clocks.wallMs() - clocks.monotonicNs() / 1e6 };
  }

  now(): Moment {
    const ns = this.clocks.monotonicNs();
    const wallMs = this.clocks.wallMs();
    const now = momentOf(this.boot, ns);
    if (Math.abs(wallMs - now.unixMs) <= STEP_MS) return now;
    this.boot = { ns: 0, unixMs: wallMs - ns / 1e6 };
    this.steps++;
    return momentOf(this.boot, ns);
  }
}
