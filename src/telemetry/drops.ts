/**
 * What was refused and what was lost, by port and reason, over the last seconds, the last hour and since the start: the
 * totals come from the port counters once a second, the last frame of each from the drop notices. Notices are rate
 * limited in the datapath and never counted here.
 *
 * ```
 * row     (bridge, port, counter)   a drop reason, or a place of loss
 * series  61 totals, one a second   61 totals, one a minute            1 KiB a row, MAX_ROWS rows
 * ```
 */
import { DROP_REASON_COUNT } from "../flow/disposition.ts";
import { C_DROP_REASON, C_LOST_NIC, C_LOST_QDISC, C_LOST_RING, C_LOST_TAP } from "../shm/counters.ts";
import type { CounterSnapshot } from "../shm/counters.ts";
import type { Sample } from "../shm/samples.ts";
import type { Moment } from "./exporter.ts";

/** Rows that are kept; what is beyond is counted in `untracked`. A port has a few reasons, not all. */
export const MAX_ROWS = 4096;
/** Rates are over the last 10 s. */
const RATE_MS = 10_000;
const POINTS = 61;

/** Length of the window, ms (at most an hour), or since the counters began. */
export type Since = number | "start";

/** A refused frame: its first bytes as received. src/telemetry/frame-text.ts puts it into words. */
export interface RefusedFrame {
  readonly data: Uint8Array;
  /** Its length on the wire without FCS, bytes. */
  readonly wireLength: number;
  /** Unix time, ms. */
  readonly atMs: number;
  /** Its flow, 0xffffffff = none. */
  readonly slot: number;
  readonly gen: number;
}

export interface CountedRow {
  readonly port: number;
  /** In the window. */
  readonly packets: number;
  /** Per second, over the last 10 s. */
  readonly pps: number;
  readonly totalPackets: number;
  /** Unix time, ms, of the last one, to the second; absent: before we looked. */
  readonly lastMs?: number;
}

export interface DropRow extends CountedRow {
  /** Index into DROP_REASONS. */
  readonly reason: number;
  readonly frame?: RefusedFrame;
}

export interface LostRow extends CountedRow {
  readonly where: "ring" | "nic" | "tap" | "qdisc";
}

const LOST = new Map<number, LostRow["where"]>([
  [C_LOST_RING, "ring"],
  [C_LOST_NIC, "nic"],
  [C_LOST_TAP, "tap"],
  [C_LOST_QDISC, "qdisc"],
]);

/** The counters that have rows. */
const COUNTERS = [...LOST.keys(), ...Array.from({ length: DROP_REASON_COUNT - 1 }, (_, n) => C_DROP_REASON + 1 + n)];

interface Row {
  readonly port: number;
  readonly counter: number;
  readonly seconds: Series;
  readonly minutes: Series;
  total: number;
  lastMs: number | undefined;
  frame: RefusedFrame | undefined;
}

interface BridgeRows {
  readonly rows: Map<number, Row>;
  /** Nothing was read yet: what the counters hold is from before us. */
  fresh: boolean;
  uptimeMs: number;
}

export class DropTable {
  /** Rows that there was no room for. */
  untracked = 0;
  private readonly bridges = new Map<string, BridgeRows>();
  private count = 0;

  /** Once a second, with the counters of all ports of a bridge. */
  counters(snapshot: CounterSnapshot, bridge: string, now: Moment): void {
    const known = this.bridge(bridge);
    for (let port = 0; port < snapshot.ports; port++)
      for (const counter of COUNTERS) {
        const total = snapshot.get(port, counter);
        if (total === 0) continue;
        const row = this.row(known, port, counter, now, known.fresh ? total : 0);
        if (!row || total === row.total) continue;
        if (total > row.total) row.lastMs = now.unixMs;
        row.total = total;
      }
    for (const row of known.rows.values()) {
      row.seconds.push(now.uptimeMs, row.total);
      row.minutes.push(now.uptimeMs, row.total);
    }
    known.fresh = false;
    known.uptimeMs = now.uptimeMs;
  }

  /** A drop notice. The frame is kept as bytes; decoding it is for whoever looks. */
  notice(notice: Sample, bridge: string, now: Moment): void {
    if (notice.kind !== "drop" || notice.reason <= 0 || notice.reason >= DROP_REASON_COUNT) return;
    const row = this.row(this.bridge(bridge), notice.port, C_DROP_REASON + notice.reason, now, 0);
    if (!row) return;
    const atMs = Math.min(now.unixMs, now.unixMs - now.uptimeMs + notice.timeNs / 1e6);
    row.frame = { data: notice.data, wireLength: notice.wireLength, atMs, slot: notice.slot, gen: notice.gen };
    row.lastMs = Math.max(row.lastMs ?? atMs, atMs);
  }

  /** What was refused in the window, most packets first. */
  drops(bridge: string, since: Since): DropRow[] {
    return this.counted(bridge, since, (row) => !LOST.has(row.counter)).map(({ row, counted }) => ({
      ...counted,
      reason: row.counter - C_DROP_REASON,
      ...(row.frame && { frame: row.frame }),
    }));
  }

  /** What was lost around the switch in the window, most packets first. */
  lost(bridge: string, since: Since): LostRow[] {
    return this.counted(bridge, since, (row) => LOST.has(row.counter)).map(({ row, counted }) => ({
      ...counted,
      where: LOST.get(row.counter)!,
    }));
  }

  forgetPort(bridge: string, port: number): void {
    const rows = this.bridges.get(bridge)?.rows;
    if (!rows) return;
    for (const [id, row] of rows) if (row.port === port && rows.delete(id)) this.count--;
  }

  forgetBridge(bridge: string): void {
    this.count -= this.bridges.get(bridge)?.rows.size ?? 0;
    this.bridges.delete(bridge);
  }

  private counted(bridge: string, since: Since, which: (row: Row) => boolean): { row: Row; counted: CountedRow }[] {
    const known = this.bridges.get(bridge);
    if (!known) return [];
    return [...known.rows.values()]
      .filter(which)
      .map((row) => ({ row, counted: countedRow(row, since, known.uptimeMs) }))
      .filter(({ counted }) => counted.packets > 0)
      .sort((a, b) => b.counted.packets - a.counted.packets || b.counted.totalPackets - a.counted.totalPackets);
  }

  private bridge(name: string): BridgeRows {
    let known = this.bridges.get(name);
    if (!known) this.bridges.set(name, (known = { rows: new Map(), fresh: true, uptimeMs: 0 }));
    return known;
  }

  /** The row of a counter, made at need: `before` is what it held when we began. */
  private row(known: BridgeRows, port: number, counter: number, now: Moment, before: number): Row | undefined {
    const id = port * 256 + counter;
    const found = known.rows.get(id);
    if (found) return found;
    if (this.count >= MAX_ROWS) {
      this.untracked++;
      return undefined;
    }
    const row: Row = {
      port,
      counter,
      seconds: new Series(1000, before, now.uptimeMs),
      minutes: new Series(60_000, before, now.uptimeMs),
      total: before,
      lastMs: undefined,
      frame: undefined,
    };
    known.rows.set(id, row);
    this.count++;
    return row;
  }
}

function countedRow(row: Row, since: Since, uptimeMs: number): CountedRow {
  const series = since === "start" || since <= 60_000 ? row.seconds : row.minutes;
  const before = since === "start" ? 0 : series.before(uptimeMs, since);
  return {
    port: row.port,
    packets: Math.max(0, row.total - before),
    pps: Math.max(0, row.total - row.seconds.before(uptimeMs, RATE_MS)) / (RATE_MS / 1000),
    totalPackets: row.total,
    ...(row.lastMs !== undefined && { lastMs: row.lastMs }),
  };
}

/** A counter's totals at the ends of the last POINTS − 1 units of time, and now. */
class Series {
  private readonly unitMs: number;
  private readonly totals = new Float64Array(POINTS);
  private newest: number;

  constructor(unitMs: number, total: number, uptimeMs: number) {
    this.unitMs = unitMs;
    this.totals.fill(total);
    this.newest = Math.floor(uptimeMs / unitMs);
  }

  push(uptimeMs: number, total: number): void {
    const unit = Math.floor(uptimeMs / this.unitMs);
    const newest = this.totals[this.newest % POINTS]!;
    if (unit < this.newest || unit - this.newest >= POINTS) this.totals.fill(newest);
    else for (let n = this.newest + 1; n < unit; n++) this.totals[n % POINTS] = newest;
    this.newest = unit;
    this.totals[unit % POINTS] = total;
  }

  /** The total as it was `ms` before, as far back as this goes. */
  before(uptimeMs: number, ms: number): number {
    const back = Math.min(POINTS - 1, Math.max(1, Math.round(ms / this.unitMs)));
    const unit = Math.min(Math.floor(uptimeMs / this.unitMs) - back, this.newest);
    return this.totals[((unit % POINTS) + POINTS) % POINTS]!;
  }
}
