/**
 * Rates of ports: the newest counters against those of ten seconds ago. Counters come about once a second, with the time;
 * nothing here asks a clock.
 *
 * A look at the counters is a row of METERS numbers a port, in a ring of LOOKS rows; a rate is the difference of two.
 */
import { DROP_REASONS } from "../../flow/disposition.ts";
import * as C from "../../shm/counters.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";

export const WINDOW_MS = 10_000;
/** Looks closer together than this are not kept: the ring must span the window. */
const SPACING_MS = 900;
const LOOKS = 12;

// What is measured, by port.
export const RX_PACKETS = 0;
export const RX_BYTES = 1;
export const TX_PACKETS = 2;
export const TX_BYTES = 3;
export const FORWARDED = 4;
export const DROPPED = 5;
/** Dropped for a reason that is not expected of a switch at work. */
export const REFUSED = 6;
export const CONSUMED = 7;
export const LOST = 8;
export const NEW_FLOWS = 9;
const METERS = 10;

const EXPECTED = DROP_REASONS.flatMap((reason, n) => (reason.class === "expected" && n > 0 ? [n] : []));

function expectedDrops(counters: CounterSnapshot, port: number): number {
  return EXPECTED.reduce((sum, reason) => sum + counters.get(port, C.C_DROP_REASON + reason), 0);
}

export class Rates {
  private readonly ports: number;
  private readonly rows: Float64Array[];
  private readonly atMs = new Float64Array(LOOKS);
  /** Looks so far; the newest is number count − 1. */
  private count = 0;

  /** Port numbers are below `ports`. */
  constructor(ports: number) {
    this.ports = ports;
    this.rows = Array.from({ length: LOOKS }, () => new Float64Array(ports * METERS));
  }

  /** Keep these counters. Calls closer together than about a second are ignored. */
  look(counters: CounterSnapshot, nowMs: number): void {
    if (this.count > 0 && nowMs - this.at(this.count - 1) < SPACING_MS) return;
    const row = this.rows[this.count % LOOKS]!;
    this.atMs[this.count % LOOKS] = nowMs;
    for (let port = 0; port < Math.min(this.ports, counters.ports); port++) {
      const at = port * METERS;
      row[at + RX_PACKETS] = counters.get(port, C.C_RX_PACKETS);
      row[at + RX_BYTES] = counters.get(port, C.C_RX_BYTES);
      row[at + TX_PACKETS] = counters.get(port, C.C_TX_PACKETS);
      row[at + TX_BYTES] = counters.get(port, C.C_TX_BYTES);
      row[at + FORWARDED] = counters.get(port, C.C_FORWARDED) + counters.get(port, C.C_OBSERVED);
      row[at + DROPPED] = counters.get(port, C.C_DROPPED);
      row[at + REFUSED] = counters.get(port, C.C_DROPPED) - expectedDrops(counters, port);
      row[at + CONSUMED] = counters.get(port, C.C_CONSUMED);
      row[at + LOST] = counters.sum(port, C.C_LOST_RING, 4);
      row[at + NEW_FLOWS] = counters.get(port, C.C_FLOWS_CREATED);
    }
    this.count++;
  }

  /** Per second, of one port; 0 until two looks were taken. Never below 0: a device that is attached anew counts from 0. */
  perSecond(port: number, meter: number): number {
    return this.sum(port, port + 1, meter);
  }

  /** Of all ports together. */
  total(meter: number): number {
    return this.sum(0, this.ports, meter);
  }

  private sum(from: number, to: number, meter: number): number {
    const newest = this.count - 1;
    const oldest = this.windowStart();
    if (oldest >= newest) return 0;
    const seconds = (this.at(newest) - this.at(oldest)) / 1000;
    if (seconds <= 0) return 0;
    const [now, before] = [this.rows[newest % LOOKS]!, this.rows[oldest % LOOKS]!];
    let sum = 0;
    for (let port = from; port < to; port++) {
      const at = port * METERS + meter;
      sum += Math.max(0, now[at]! - before[at]!);
    }
    return sum / seconds;
  }

  private at(look: number): number {
    return this.atMs[look % LOOKS]!;
  }

  /** The oldest look that is kept and not older than the window. */
  private windowStart(): number {
    let look = Math.max(0, this.count - LOOKS);
    while (look < this.count - 1 && this.at(this.count - 1) - this.at(look) > WINDOW_MS + SPACING_MS) look++;
    return look;
  }
}
