/**
 * A capture's time as the bridge's clock. The bridge's clock counts ns from the start of the replay and never runs back;
 * an epoch ties it to Unix time. Within an epoch both advance alike. Where the capture's clock jumps, a new epoch begins
 * at the same ns: timers are not fooled by a jump, and numbers stay small enough to be exact (ns for 104 days, µs for
 * ever).
 */
import type { Boot } from "../flow/record.ts";
import type { Moment } from "../telemetry/exporter.ts";
import { momentOf } from "../telemetry/clock.ts";

const SECOND = 1e9;
/** A step back of the capture's clock up to this is disorder among its packets: they count as now. */
const DISORDER_NS = SECOND;
/** A pause above this is another clock. Uptimes in NetFlow are 32 bits of ms, told apart up to half of that: 24.8 days. */
const MAX_PAUSE_NS = 24 * 86_400 * SECOND;

export class CaptureClock {
  /** Now: the newest packet's time. */
  ns: number;
  boot: Boot;
  /** Unix seconds that the bridge's clock 0 would be in this epoch, as whole seconds and ns, so that nothing is rounded. */
  private baseSeconds = 0;
  private baseNs = 0.5;

  /** At `ns` on the bridge's clock. `begin` comes first. */
  constructor(ns: number) {
    this.ns = ns;
    this.boot = { unixMs: 0, ns };
  }

  /** When a packet comes, on the bridge's clock; NaN: the capture's clock jumped, and `begin` must be called. */
  at(seconds: number, nanoseconds: number): number {
    const ns = (seconds - this.baseSeconds) * SECOND + (nanoseconds + this.baseNs);
    if (ns >= this.ns) return ns - this.ns <= MAX_PAUSE_NS ? ns : NaN;
    return this.ns - ns <= DISORDER_NS ? this.ns : NaN;
  }

  /**
   * Times of packets from ..< to into `out`, as long as they lie before `until` and the clock does not jump: returns the
   * first packet that does not. Now is the last one that does.
   */
  fill(
    seconds: Float64Array,
    nanoseconds: Int32Array,
    from: number,
    to: number,
    until: number,
    out: Float64Array,
  ): number {
    const { baseSeconds, baseNs } = this;
    let now = this.ns;
    let n = from;
    for (; n < to; n++) {
      let ns = (seconds[n]! - baseSeconds) * SECOND + (nanoseconds[n]! + baseNs);
      if (ns < now && now - ns <= DISORDER_NS) ns = now;
      if (!(ns >= now && ns < until && ns - now <= MAX_PAUSE_NS)) break;
      out[n] = now = ns;
    }
    this.ns = now;
    return n;
  }

  /** A new epoch whose first packet came then. Its boot is that packet's time in whole ms. */
  begin(seconds: number, nanoseconds: number): Boot {
    const rest = nanoseconds % 1e6;
    this.boot = { unixMs: seconds * 1000 + (nanoseconds - rest) / 1e6, ns: this.ns };
    this.ns += rest;
    this.baseSeconds = seconds;
    this.baseNs = this.ns - nanoseconds;
    return this.boot;
  }

  /** Now, on both of the bridge's clocks. */
  moment(): Moment {
    return momentOf(this.boot, this.ns);
  }
}
