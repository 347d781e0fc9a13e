/**
 * One exporter as the hub drives it: its senders, its place in every bridge's log, what it was given, what it committed,
 * and what was lost on the way. An exporter that throws loses that batch, counted, and disturbs nobody.
 */
import type { CounterSnapshot } from "../shm/counters.ts";
import type { Cursor } from "../shm/cursors.ts";
import { RecordBatch, RecordCursor } from "../shm/log.ts";
import type { RecordLog } from "../shm/log.ts";
import type { Sample } from "../shm/samples.ts";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import type { Exporter, ExporterEnv, ExporterType, Moment, SenderStats } from "./exporter.ts";
import { httpTarget } from "./http.ts";
import type { ExporterSpec, ExporterView } from "./exporter-view.ts";
import type { UdpSender } from "./sender.ts";
import { spool } from "./spool.ts";

/** Records handed over in one call: with a record a datagram at worst, a quarter of a sender's queue. */
export const BATCH_RECORDS = 256;

/** A sender that has sent nothing for this long is idle. */
const IDLE_MS = 10_000;
/** A refusal is known within this time of the datagram that met it. */
const REFUSAL_MS = 100;

/** Where this exporter stands in one bridge's log. */
interface Place {
  readonly log: RecordLog;
  /** Next record to hand over. */
  next: number;
  /** Packets handed over since `start`, and what the bridge had recorded by then: their difference finds losses. */
  handedPackets: number;
  readonly recordedBefore: number;
  readonly recordedPackets: (() => number) | undefined;
  /** Where it survives the process; what was last written there, and what has left since as far as the exporter says. */
  readonly cursors: CursorStore | undefined;
  kept: Cursor;
  sent: Cursor;
  /** Where a datagram of the last process ended: this one makes it the same. 0: none. */
  until: number;
}

/** Where exporters stand in a log, by name, beyond the end of the process. */
export interface CursorStore {
  read(exporter: string): Cursor | undefined;
  write(exporter: string, cursor: Cursor): void;
}

export interface FeedSource {
  readonly name: string;
  readonly log: RecordLog;
  /** Packets of all records ever appended: what an overrun lost can then be told in packets. */
  readonly recordedPackets?: (() => number) | undefined;
  readonly cursors?: CursorStore;
}

export interface FeedEnv {
  readonly port: ExporterEnv["port"];
  readonly ports: ExporterEnv["ports"];
  readonly host: ExporterEnv["host"];
  readonly bridge: ExporterEnv["bridge"];
  readonly tenant?: ExporterEnv["tenant"];
  readonly exporters?: ExporterEnv["exporters"];
  readonly mirrors?: ExporterEnv["mirrors"];
  readonly stateDir?: string | undefined;
  readonly startedMs?: number | undefined;
  /** Unix time, ms. */
  readonly now: () => number;
  readonly agentAddress: string;
  readonly log: ExporterEnv["log"];
  /** Where it goes on (`ExporterEnv.resume`). */
  readonly resume: ExporterEnv["resume"];
  readonly senders: readonly UdpSender[];
  readonly overrun: (records: number, bridge: string) => void;
}

export class Feed {
  readonly spec: ExporterSpec;
  readonly senders: readonly UdpSender[];
  private committed: number;
  private readonly exporter: Exporter;
  private readonly env: FeedEnv;
  private readonly places = new Map<string, Place>();
  private readonly targets: ReturnType<typeof httpTarget>[] = [];
  private lostRecords = 0;
  private failures = 0;
  private failure: string | undefined;

  constructor(spec: ExporterSpec, type: ExporterType, env: FeedEnv) {
    this.spec = spec;
    this.env = env;
    this.senders = env.senders;
    this.committed = env.resume.sequence;
    this.exporter = type.open(spec.options, {
      name: spec.name,
      collectors: env.senders,
      port: env.port,
      ports: env.ports,
      ...(env.host && { host: env.host }),
      ...(env.bridge && { bridge: env.bridge }),
      ...(env.tenant && { tenant: env.tenant }),
      ...(env.startedMs !== undefined && { startedMs: env.startedMs }),
      ...(env.exporters && { exporters: env.exporters }),
      ...(env.mirrors && { mirrors: env.mirrors }),
      http: (url, timeoutMs, ca) => {
        const target = httpTarget(url, { timeoutMs, ca, now: env.now });
        this.targets.push(target);
        return target;
      },
      spool: (maxBytes) =>
        spool(env.stateDir && join(env.stateDir, "spool", encodeURIComponent(spec.name)), maxBytes, (text) =>
          env.log("warn", `exporter ${spec.name}: ${text}`),
        ),
      secret: (path) => readFileSync(path, "utf8").split("\n", 1)[0]!.trim(),
      resume: env.resume,
      leaving: (bridge, next, sequence) => this.leaving(bridge, next, sequence),
      sent: (bridge, next, sequence) => this.sent(bridge, next, sequence),
      agentAddress: env.agentAddress,
      log: env.log,
    });
  }

  serves(bridge: string): boolean {
    return this.spec.bridges.length === 0 || this.spec.bridges.includes(bridge);
  }

  /** To go on with after a restart. */
  get sequence(): number {
    return this.exporter.nextSequence ?? this.committed;
  }

  get wantsSamples(): boolean {
    return this.exporter.samples !== undefined;
  }

  get wantsCounters(): boolean {
    return this.exporter.counters !== undefined;
  }

  /** All senders have room, or are such that waiting would not help. */
  get ready(): boolean {
    return this.senders.every((sender) => sender.ready);
  }

  /** Start to read a bridge's log: at record `from`, or where the last process stood. */
  attach(source: FeedSource, from: number, resumed?: Cursor): void {
    if (!this.serves(source.name) || !this.exporter.records) return;
    const { log, cursors } = source;
    const next = Math.min(resumed?.cursor ?? from, log.head);
    const kept = { cursor: next, sequence: this.committed, until: 0 };
    const isWhole = resumed !== undefined && resumed.until > next && resumed.until <= log.head;
    const place: Place = {
      log,
      next,
      handedPackets: 0,
      recordedBefore: (source.recordedPackets?.() ?? 0) - packetsBetween(log, Math.max(next, log.oldest), log.head),
      recordedPackets: source.recordedPackets,
      cursors,
      kept,
      sent: kept,
      until: isWhole ? resumed.until : 0,
    };
    if (!isWhole) cursors?.write(this.spec.name, kept);
    this.places.set(source.name, place);
  }

  /** The first datagram since the cursor was written: where it ends is written before it goes. */
  private leaving(bridge: string, next: number, sequence: number): void {
    const place = this.places.get(bridge);
    if (place?.cursors === undefined || place.kept !== place.sent || place.kept.until !== 0) return;
    if (next === place.kept.cursor) return;
    place.kept = place.sent = { cursor: place.kept.cursor, sequence, until: next };
    place.cursors.write(this.spec.name, place.kept);
  }

  private sent(bridge: string, next: number, sequence: number): void {
    this.committed = sequence;
    const place = this.places.get(bridge);
    if (place !== undefined && next > 0) place.sent = { cursor: next, sequence, until: 0 };
  }

  /** What the exporter has sent has left this host, as far as it can be known (`force`: or will): its cursors move. */
  settle(force = false): void {
    if (!force && this.senders.some(({ stats }) => stats.queued > 0)) return;
    for (const place of this.places.values()) {
      if (place.kept === place.sent) continue;
      place.kept = place.sent;
      place.cursors?.write(this.spec.name, place.kept);
    }
  }

  detach(bridge: string): void {
    this.places.delete(bridge);
  }

  /**
   * Hand over what is in the logs, as long as the senders have room; `force`: whether they have or not. Returns how many
   * records stay in the logs: the log is the long queue, the sender's the short one.
   */
  pump(now: Moment, force = false): number {
    const room = (): boolean => force || this.ready;
    let unread = 0;
    this.settle();
    for (const [bridge, place] of this.places) {
      const { log } = place;
      this.skipOverwritten(bridge, place);
      if (place.until > place.next) this.repeat(bridge, place, now);
      while (place.next < log.head && room()) {
        const batch = new RecordBatch(log, place.next, Math.min(BATCH_RECORDS, log.head - place.next));
        place.next += batch.count;
        place.handedPackets += packetsBetween(log, batch.first, place.next);
        this.guard(() => this.exporter.records!(batch, bridge, now), batch.count);
      }
      unread += log.head - place.next;
    }
    return unread;
  }

  /** The datagram that the last process may have sent or not: the same records, the same sequence. */
  private repeat(bridge: string, place: Place, now: Moment): void {
    while (place.next < place.until) {
      const batch = new RecordBatch(place.log, place.next, Math.min(BATCH_RECORDS, place.until - place.next));
      place.next += batch.count;
      place.handedPackets += packetsBetween(place.log, batch.first, place.next);
      this.guard(() => this.exporter.records!(batch, bridge, now), batch.count);
    }
    this.flush(now);
  }

  samples(batch: readonly Sample[], bridge: string, now: Moment): void {
    if (this.serves(bridge)) this.guard(() => this.exporter.samples?.(batch, bridge, now));
  }

  counters(snapshot: CounterSnapshot, bridge: string, now: Moment): void {
    if (this.serves(bridge)) this.guard(() => this.exporter.counters?.(snapshot, bridge, now));
  }

  tick(now: Moment): void {
    this.guard(() => this.exporter.tick(now));
  }

  flush(now: Moment): void {
    this.guard(() => this.exporter.flush(now));
  }

  /** Wait until the senders have sent what they hold, at most `timeoutMs`. False: some of it is still there. */
  async drain(timeoutMs: number): Promise<boolean> {
    let timer: NodeJS.Timeout | undefined;
    const late = new Promise<boolean>((resolve) => (timer = setTimeout(resolve, timeoutMs, false)));
    const answered = Promise.race([late, this.exporter.drained?.().then(() => true) ?? true]);
    const drained = await Promise.all([...this.senders.map((sender) => sender.drain(timeoutMs)), answered]);
    clearTimeout(timer);
    if (drained.every(Boolean)) this.settle();
    return drained.every(Boolean);
  }

  async close(): Promise<void> {
    try {
      await this.exporter.close();
    } catch (error) {
      this.env.log("warn", `exporter ${this.spec.name}: ${(error as Error).message}`);
    }
    for (const target of this.targets) target.close();
    await Promise.all(this.senders.map((sender) => sender.close()));
  }

  /** `nowMs` is Unix time on the senders' clock. */
  view(nowMs: number): ExporterView {
    const status = this.exporter.status();
    const collectors = [...this.senders, ...this.targets].map(({ stats }) => stats);
    const last = collectors.reduce<SenderStats | undefined>(later("lastErrorMs"), undefined);
    const sent = collectors.reduce<SenderStats | undefined>(later("lastSentMs"), undefined);
    const pending = this.pending(status.packets + sum(status.notExportable));
    return {
      name: this.spec.name,
      type: this.spec.type,
      to: collectors.map((stats) => stats.collector),
      state: this.failure === undefined ? stateOf(collectors, nowMs) : "FAILED",
      datagrams: collectors.reduce((total, stats) => total + stats.datagrams, 0),
      sendErrors: collectors.reduce((total, stats) => total + stats.sendErrors, 0),
      records: status.records,
      packets: status.packets,
      octets: status.octets,
      basis: status.basis,
      ...(status.sampling && { sampling: status.sampling }),
      pendingPackets: pending.packets,
      pendingRecords: pending.records,
      notExportable: status.notExportable,
      notExportableRecords: status.notExportableRecords,
      lostRecords: this.lostRecords,
      lostPackets: pending.lostPackets,
      collectors,
      ...(last?.lastError !== undefined && { lastError: last.lastError }),
      ...(last?.lastErrorMs !== undefined && { lastErrorMs: last.lastErrorMs }),
      ...(sent?.lastSentMs !== undefined && { lastSentMs: sent.lastSentMs }),
      detail: [...status.detail, ...this.details(sent, nowMs)],
    };
  }

  private details(sent: SenderStats | undefined, nowMs: number): string[] {
    const lines: string[] = [];
    const sources = new Set(this.senders.map((sender) => sender.stats.source).filter((source) => source !== undefined));
    if (sources.size > 0) lines.push(`source ${[...sources].join(", ")}`);
    if (sent?.lastSentMs !== undefined) lines.push(`last sent ${((nowMs - sent.lastSentMs) / 1000).toFixed(1)} s ago`);
    if (this.lostRecords > 0) lines.push(`log overrun: ${this.lostRecords} records lost`);
    if (this.failure !== undefined) lines.push(`failed ${this.failures} times: ${this.failure}`);
    return lines;
  }

  /** Packets of records that have not left, and of those that were overwritten unread. */
  private pending(answered: number): { records: number; packets: number; lostPackets: number } {
    let records = 0;
    let packets = 0;
    let handed = 0;
    let lostPackets = 0;
    for (const place of this.places.values()) {
      const { log, recordedPackets } = place;
      const from = Math.max(place.next, log.oldest);
      const unread = packetsBetween(log, from, log.head);
      records += log.head - from;
      packets += unread;
      handed += place.handedPackets;
      if (recordedPackets && place.next >= log.oldest)
        lostPackets += Math.max(0, recordedPackets() - place.recordedBefore - place.handedPackets - unread);
    }
    return { records, packets: packets + Math.max(0, handed - answered), lostPackets };
  }

  private skipOverwritten(bridge: string, place: Place): void {
    const lost = place.log.oldest - place.next;
    if (lost <= 0) return;
    place.next += lost;
    this.lostRecords += lost;
    this.env.overrun(lost, bridge);
  }

  /** Run the exporter's code. What it throws is a fault of ours, told once; the next batch is tried again. */
  private guard(work: () => void, records = 0): void {
    try {
      work();
    } catch (error) {
      this.lostRecords += records;
      this.failures++;
      if (this.failure === undefined)
        this.env.log("error", `exporter ${this.spec.name} failed: ${(error as Error).stack ?? String(error)}`);
      this.failure = (error as Error).message;
    }
  }
}

const cursor = new RecordCursor();

/** Packets of records from ..< to. */
function packetsBetween(log: RecordLog, from: number, to: number): number {
  let packets = 0;
  for (let number = from; number < to; number++) packets += log.at(number, cursor).packets;
  return packets;
}

function later(field: "lastErrorMs" | "lastSentMs") {
  return (best: SenderStats | undefined, stats: SenderStats): SenderStats | undefined =>
    (stats[field] ?? -1) > (best?.[field] ?? -1) ? stats : best;
}

/** The worst of the collectors' states. */
function stateOf(collectors: readonly SenderStats[], nowMs: number): ExporterView["state"] {
  const refused = (stats: SenderStats): boolean =>
    stats.lastErrorMs !== undefined && stats.lastErrorMs >= (stats.lastSentMs ?? 0) - REFUSAL_MS;
  const bad = collectors.filter(refused);
  if (bad.length > 0)
    return bad.some((stats) => /ECONNREFUSED|^40[134] /.test(stats.lastError!)) ? "REFUSED" : "FAILING";
  if (collectors.every((stats) => stats.lastSentMs === undefined)) return "starting";
  return collectors.some((stats) => nowMs - (stats.lastSentMs ?? 0) < IDLE_MS) ? "sending" : "idle";
}

function sum(counts: Readonly<Record<string, number>>): number {
  return Object.values(counts).reduce((total, count) => total + count, 0);
}
