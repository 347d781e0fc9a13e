/**
 * Sampling rates that follow the traffic: a port with a ceiling of samples a second is sampled 1 in N with N doubled when a
 * second's worth is used up, and halved, down to every packet, while three quarters of it are left over. So a quiet
 * port's estimates are as good as its samples can make them, and a busy one costs what was agreed.
 *
 * Each sample carries the rate that it was taken at, and the pool goes on: estimates hold across every change.
 */
import { C_SAMPLE_DROPS, C_SAMPLES } from "../shm/counters.ts";
import type { BridgeConfig, PortConfig } from "../config/config.ts";
import type { CounterSnapshot } from "../shm/counters.ts";

/** A burst is met after this, not after a second. */
const LOOK_NS = 100e6;
const WINDOW_NS = 1e9;
/** Below this share of the ceiling the rate is halved: twice as many samples are still only half of it. */
const QUIET = 1 / 4;
const MAX_RATE = 1e9;

interface Adapted {
  /** As configured. */
  readonly base: number;
  readonly ceiling: number;
  /** In force. */
  rate: number;
  /** The second that is being looked at, and samples taken or lost before it. */
  fromNs: number;
  before: number;
}

/** What a datapath is told (RuleChange.sampling). */
export interface PortSampling {
  readonly port: number;
  readonly rate: number;
  readonly header: number;
}

export class AdaptiveSampling {
  private readonly ports = new Map<number, Adapted>();
  private header = 0;
  private lookedNs = -Infinity;

  /** What to program for these ports, which are all there are, after a change of the configuration. */
  plan(
    { rate, header, ceiling = 0 }: BridgeConfig["sampling"],
    ports: readonly { readonly no: number; readonly config: Pick<PortConfig, "sampling"> }[],
  ): PortSampling[] {
    this.header = header;
    for (const no of this.ports.keys()) if (!ports.some((port) => port.no === no)) this.ports.delete(no);
    return ports.map(({ no, config: { sampling } }) => ({
      port: no,
      rate: this.configure(no, sampling?.rate ?? rate, sampling?.ceiling ?? ceiling),
      header,
    }));
  }

  /** Configured rate and ceiling (0 = none) of a port; the rate to program. An unchanged port keeps the rate it has found. */
  private configure(no: number, rate: number, ceiling: number): number {
    if (rate === 0 || ceiling === 0) {
      this.ports.delete(no);
      return rate;
    }
    const known = this.ports.get(no);
    if (known?.base === rate && known.ceiling === ceiling) return known.rate;
    this.ports.set(no, { base: rate, ceiling, rate, fromNs: NaN, before: 0 });
    return rate;
  }

  /** Rates to program now. `counters` is only called when it is time to look. */
  look(counters: () => CounterSnapshot, nowNs: number): PortSampling[] {
    if (this.ports.size === 0 || nowNs - this.lookedNs < LOOK_NS) return [];
    this.lookedNs = nowNs;
    const snapshot = counters();
    const changed: PortSampling[] = [];
    for (const [port, adapted] of this.ports) {
      const total = snapshot.get(port, C_SAMPLES) + snapshot.get(port, C_SAMPLE_DROPS);
      const rate = nextRate(adapted, total - adapted.before, nowNs - adapted.fromNs);
      // Also where it is NaN: the first look.
      if (rate === adapted.rate && nowNs - adapted.fromNs < WINDOW_NS) continue;
      adapted.fromNs = nowNs;
      adapted.before = total;
      if (rate === adapted.rate) continue;
      adapted.rate = rate;
      changed.push({ port, rate, header: this.header });
    }
    return changed;
  }
}

function nextRate({ rate, ceiling }: Adapted, samples: number, elapsedNs: number): number {
  if (Number.isNaN(elapsedNs)) return rate;
  if (samples > ceiling) {
    const times = (samples / ceiling) * Math.max(1, WINDOW_NS / elapsedNs);
    return Math.min(MAX_RATE, rate * 2 ** Math.max(1, Math.ceil(Math.log2(times))));
  }
  if (elapsedNs >= WINDOW_NS && samples < ceiling * QUIET) return Math.max(1, Math.floor(rate / 2));
  return rate;
}
