/**
 * The hub hands what the bridges measured to the exporters: records from each bridge's log, samples and notices from the
 * rings, counters once a second. It knows nothing of what exporters make of that, nor of datapaths.
 *
 * Driven by its owner: `pump` after every slice of the sweep, `tick` a few times a second. Asks no clock.
 */
import type { CounterSnapshot } from "../shm/counters.ts";
import type { Cursor } from "../shm/cursors.ts";
import type { RecordRing } from "../shm/ring.ts";
import { readSample } from "../shm/samples.ts";
import type { Sample } from "../shm/samples.ts";
import { parseCollector } from "../text/collector.ts";
import type { EventBus } from "./events.ts";
import type { BridgeInfo, ExporterEnv, ExporterType, HostInfo, Moment, PortInfo } from "./exporter.ts";
import { Feed } from "./feed.ts";
import type { ExporterSpec, ExporterView } from "./exporter-view.ts";
import type { FeedSource } from "./feed.ts";
import { udpSender } from "./sender.ts";
import type { UdpSender, UdpSenderOptions } from "./sender.ts";
import { streamSender } from "./stream-sender.ts";

export type { ExporterSpec, ExporterView } from "./exporter-view.ts";

/** One bridge, as far as the hub reads it. Without rings and counters: a capture being replayed, a test. */
export interface BridgeSource extends FeedSource {
  readonly samples?: RecordRing;
  readonly notices?: RecordRing;
  /** The counters now; the snapshot may be the same object each time. */
  readonly counters?: () => CounterSnapshot;
}

/** What survives a restart, by name: `{ sequence }` of an exporter. Written a few times a second at most. */
export interface StateStore {
  get(name: string): unknown;
  set(name: string, value: unknown): void;
}

export interface HubOptions {
  readonly state: StateStore;
  readonly port: (bridge: string, no: number) => PortInfo | undefined;
  readonly ports: () => readonly PortInfo[];
  readonly host?: HostInfo;
  readonly bridge?: (name: string) => BridgeInfo | undefined;
  readonly tenant?: ExporterEnv["tenant"];
  readonly mirrors?: ExporterEnv["mirrors"];
  /** Where exporters may keep what waits; absent: in memory only. */
  readonly stateDir?: string;
  /** Unix time, ms, when the counters began; absent: at uptime 0. */
  readonly startedMs?: number;
  readonly agentAddress: string;
  readonly log: ExporterEnv["log"];
  /** Unix time, ms: when things were sent, and the pace. Real time, also where the bridges' is a capture's. */
  readonly now: () => number;
  readonly events?: EventBus;
  /** Datagrams per second and collector, 0 = no limit. */
  readonly pace?: number;
  /** For UDP; udpSender unless given. */
  readonly sender?: (collector: { host: string; port: number }, options: UdpSenderOptions) => UdpSender;
  /** Each drop notice and each counter snapshot, for the drop table. */
  readonly onNotice?: (notice: Sample, bridge: string, now: Moment) => void;
  readonly onCounters?: (snapshot: CounterSnapshot, bridge: string, now: Moment) => void;
}

const COUNTERS_EVERY_MS = 1000;
/** Samples handed over in one call, and calls in one turn: a flood of them cannot hold the thread. */
const SAMPLES_AT_ONCE = 1024;
const SAMPLE_BATCHES_A_TURN = 4;

export class Hub {
  private readonly options: HubOptions;
  private readonly bridges = new Map<string, BridgeSource>();
  private readonly feeds = new Map<string, Feed>();
  /** Sequences as last written to the store. */
  private readonly stored = new Map<string, number>();
  private countersAtMs = -Infinity;
  /** Bridge and exporter that met in this process: where the last one stood matters no more. */
  private readonly attached = new Set<string>();

  constructor(options: HubOptions) {
    this.options = options;
  }

  /** All its records are handed out, from the oldest that its log still has. */
  addBridge(source: BridgeSource): void {
    if (this.bridges.has(source.name)) throw new Error(`the hub already has a bridge ${source.name}`);
    this.bridges.set(source.name, source);
    for (const feed of this.feeds.values()) this.attach(feed, source, source.log.oldest);
  }

  private attach(feed: Feed, source: BridgeSource, from: number): void {
    const { name } = feed.spec;
    const resumed = this.resumed(source, name);
    this.attached.add(JSON.stringify([source.name, name]));
    feed.attach(source, from, resumed);
  }

  /** Where the last process stood in this log. */
  private resumed(source: BridgeSource, exporter: string): Cursor | undefined {
    return this.attached.has(JSON.stringify([source.name, exporter])) ? undefined : source.cursors?.read(exporter);
  }

  /** The newest that is known: a process that was killed could not write down what it had sent in its last second. */
  private resume(name: string): ExporterEnv["resume"] {
    let newest = this.storedSequence(name);
    for (const bridge of this.bridges.values()) {
      const cursor = this.resumed(bridge, name);
      // The datagram that may have left is made again, under the sequence it had: the store may know of its end already.
      if (cursor && cursor.until > cursor.cursor) return { sequence: cursor.sequence, again: true };
      // Sequences wrap: the newer is ahead by less than half.
      if (cursor && ((cursor.sequence - newest) | 0) > 0) newest = cursor.sequence;
    }
    return { sequence: newest };
  }

  /** Its last records are handed out. `flush` before it waits for room. */
  removeBridge(name: string, now: Moment): void {
    const bridge = this.bridges.get(name);
    if (bridge) this.drainRings(bridge, now);
    this.bridges.delete(name);
    for (const feed of this.feeds.values()) {
      feed.pump(now, true);
      feed.flush(now);
      feed.detach(name);
    }
  }

  /**
   * Open an exporter. It gets the records from now on; its sequence goes on where that of the same name stood. Throws an
   * Error that names the fix, and has changed nothing then.
   */
  addExporter(spec: ExporterSpec, type: ExporterType): void {
    if (this.feeds.has(spec.name)) throw new Error(`there already is an exporter ${spec.name}`);
    const { options } = this;
    const collectors = spec.collectors.map((text) => parseCollector(text, type.defaultPort));
    const source = type.source?.(spec.options);
    const transport = type.transport?.(spec.options) ?? { kind: "udp" };
    const senders = collectors.map((collector) => {
      if (transport.kind !== "udp") return streamSender(collector, { source, transport, now: options.now });
      return (options.sender ?? udpSender)(collector, { source, pace: options.pace ?? 0, now: options.now });
    });
    let feed: Feed;
    try {
      feed = new Feed(spec, type, {
        port: options.port,
        ports: options.ports,
        host: options.host,
        bridge: options.bridge,
        ...(options.tenant && { tenant: options.tenant }),
        ...(options.mirrors && { mirrors: options.mirrors }),
        exporters: () => this.exporters(),
        stateDir: options.stateDir,
        startedMs: options.startedMs,
        now: options.now,
        agentAddress: options.agentAddress,
        log: options.log,
        resume: this.resume(spec.name),
        senders,
        overrun: (records, bridge) => this.overrun(spec.name, bridge, records),
      });
    } catch (error) {
      for (const sender of senders) void sender.close();
      throw error;
    }
    this.feeds.set(spec.name, feed);
    for (const bridge of this.bridges.values()) this.attach(feed, bridge, bridge.log.head);
  }

  /** Send what it holds, wait at most `timeoutMs`, close it. Its sequence is kept. */
  async removeExporter(name: string, now: Moment, timeoutMs = 1000): Promise<void> {
    const feed = this.feeds.get(name);
    if (feed) this.finish(feed, now);
    await feed?.drain(timeoutMs);
    await feed?.close();
  }

  /**
   * Same name, other options: no record is lost or told twice, and the sequence goes on. Throws as `addExporter` does;
   * the old one goes on then.
   */
  async replaceExporter(spec: ExporterSpec, type: ExporterType, now: Moment, timeoutMs = 1000): Promise<void> {
    const old = this.feeds.get(spec.name);
    if (old) this.finish(old, now);
    try {
      this.addExporter(spec, type);
    } catch (error) {
      if (old) this.feeds.set(spec.name, old);
      throw error;
    }
    await old?.drain(timeoutMs);
    await old?.close();
  }

  /** Names of the exporters, in the order in which they were added. */
  get exporterNames(): string[] {
    return [...this.feeds.keys()];
  }

  /**
   * Hand over new records, to each exporter as far as its senders have room. Returns how many stay in the logs, summed
   * over exporters. Who must not lose (replay) makes no more records then: `while (hub.pump(now) > 0) await hub.writable()`.
   */
  pump(now: Moment): number {
    let unread = 0;
    for (const feed of this.feeds.values()) unread += feed.pump(now);
    return unread;
  }

  /** Resolves when every sender has room again. */
  async writable(): Promise<void> {
    for (const feed of this.feeds.values()) for (const sender of feed.senders) await sender.writable();
  }

  /** A few times a second: pump, samples, counters, and the exporters' own clockwork. */
  tick(now: Moment): void {
    this.pump(now);
    for (const bridge of this.bridges.values()) this.drainRings(bridge, now);
    if (now.uptimeMs - this.countersAtMs >= COUNTERS_EVERY_MS || now.uptimeMs < this.countersAtMs) {
      this.countersAtMs = now.uptimeMs;
      for (const bridge of this.bridges.values()) this.readCounters(bridge, now);
    }
    for (const feed of this.feeds.values()) {
      feed.tick(now);
      this.store(feed);
    }
  }

  /**
   * Hand over and send everything. True: it has left. False: after `timeoutMs` some of it was still waiting, and what had
   * no room was refused by the senders, counted. With a pace, give it the time that takes.
   */
  async flush(now: Moment, timeoutMs = 5000): Promise<boolean> {
    const began = this.options.now();
    const left = (): number => Math.max(0, timeoutMs - (this.options.now() - began));
    while (this.pump(now) > 0 && left() > 0) await atMost(this.writable(), left());
    for (const bridge of this.bridges.values()) this.drainRings(bridge, now);
    for (const bridge of this.bridges.values()) this.readCounters(bridge, now);
    for (const feed of this.feeds.values()) {
      feed.pump(now, true);
      feed.flush(now);
      this.store(feed);
    }
    const drained = await Promise.all([...this.feeds.values()].map((feed) => feed.drain(left())));
    return drained.every(Boolean);
  }

  /** Resolve collectors' names again (reload). */
  refresh(): void {
    for (const feed of this.feeds.values()) for (const sender of feed.senders) sender.refresh();
  }

  /** What `weir show exporters` and `/api/v1/exporters` list. */
  exporters(): ExporterView[] {
    return [...this.feeds.values()].map((feed) => feed.view(this.options.now()));
  }

  async close(): Promise<void> {
    const feeds = [...this.feeds.values()];
    this.feeds.clear();
    this.bridges.clear();
    for (const feed of feeds) this.store(feed);
    await Promise.all(feeds.map((feed) => feed.close()));
  }

  /** Its last datagrams go into the senders' queues; it gets nothing more. */
  private finish(feed: Feed, now: Moment): void {
    feed.pump(now, true);
    feed.flush(now);
    feed.settle(true);
    this.store(feed);
    this.feeds.delete(feed.spec.name);
  }

  private drainRings(bridge: BridgeSource, now: Moment): void {
    const takers = [...this.feeds.values()].filter((feed) => feed.wantsSamples);
    const hand = (ring: RecordRing, before?: (batch: readonly Sample[]) => void): void => {
      for (let turn = 0; turn < SAMPLE_BATCHES_A_TURN; turn++) {
        const batch = take(ring);
        before?.(batch);
        if (batch.length > 0) for (const feed of takers) feed.samples(batch, bridge.name, now);
        if (batch.length < SAMPLES_AT_ONCE) return;
      }
    };
    if (bridge.samples) {
      if (takers.length > 0) hand(bridge.samples);
      else discard(bridge.samples);
    }
    if (bridge.notices)
      hand(bridge.notices, (notices) => {
        for (const notice of notices) this.options.onNotice?.(notice, bridge.name, now);
      });
  }

  private readCounters(bridge: BridgeSource, now: Moment): void {
    const snapshot = bridge.counters?.();
    if (!snapshot) return;
    this.options.onCounters?.(snapshot, bridge.name, now);
    for (const feed of this.feeds.values()) if (feed.wantsCounters) feed.counters(snapshot, bridge.name, now);
  }

  private overrun(exporter: string, bridge: string, records: number): void {
    const message = `log overrun: ${records} records of ${bridge} lost for exporter ${exporter}`;
    this.options.log("warn", message);
    this.options.events?.publish(
      { kind: "exporter", bridge, message, fields: { exporter, records } },
      this.options.now(),
    );
  }

  private storedSequence(name: string): number {
    const value = this.options.state.get(stateName(name)) as { sequence?: unknown } | undefined;
    const sequence = value?.sequence;
    return typeof sequence === "number" && Number.isSafeInteger(sequence) && sequence >= 0 ? sequence : 0;
  }

  private store(feed: Feed): void {
    const { name } = feed.spec;
    if (this.stored.get(name) === feed.sequence) return;
    this.stored.set(name, feed.sequence);
    this.options.state.set(stateName(name), { sequence: feed.sequence });
  }
}

function stateName(exporter: string): string {
  return `exporter/${exporter}`;
}

async function atMost(work: Promise<void>, ms: number): Promise<void> {
  let timer: NodeJS.Timeout | undefined;
  await Promise.race([work, new Promise<void>((resolve) => (timer = setTimeout(resolve, ms)))]);
  clearTimeout(timer);
}

/** Up to SAMPLES_AT_ONCE samples, as copies. */
function take(ring: RecordRing): Sample[] {
  const batch: Sample[] = [];
  for (let at = ring.peek(); at >= 0 && batch.length < SAMPLES_AT_ONCE; at = ring.peek()) {
    batch.push(readSample(ring, at));
    ring.release();
  }
  return batch;
}

/** Nobody wants them: make room, so that the datapath does not count them as lost. */
function discard(ring: RecordRing): void {
  for (let n = 0; n < 16 * SAMPLES_AT_ONCE && ring.peek() >= 0; n++) ring.release();
}
