/**
 * `weir replay`: capture files through the same engine, pipeline, sweeper and exporters as a running switch, in one
 * thread, at the captures' own time. Equal input gives equal datagrams: nothing here depends on how fast this host is.
 */
import { accessSync, constants, statSync } from "node:fs";
import { setImmediate as turnOfLoop, setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../bridge/bridge.ts";
import type { ReplayOptions } from "../cli/deps.ts";
import type { ReplayResult } from "../cli/render/replay.ts";
import type { Registries } from "../config/check.ts";
import { MAX_PORTS } from "../datapath/datapath.ts";
import type { ReadFrames } from "../datapath/userspace/engine.ts";
import { LocalDatapath } from "../datapath/userspace/local.ts";
import { END_FORCED } from "../flow/disposition.ts";
import type { Port } from "../ports/port.ts";
import { RecordLog } from "../shm/log.ts";
import type { Moment } from "../telemetry/exporter.ts";
import { Hub, type HubOptions } from "../telemetry/hub.ts";
import { createCaptureBatch, openCaptureFile } from "../wire/capture-file.ts";
import { CaptureClock } from "./capture-clock.ts";
import { MacPorts } from "./mac-ports.ts";
import { replayResult, type FileReport } from "./replay-result.ts";
import { replaySettings, type ReplaySettings } from "./replay-settings.ts";

/** Of hashes and sampling: the same every time. */
const SEED = 0x57656972;
/** The bridge's clock when the first packet comes. */
const START_NS = 1e9;
const MS = 1e6;
/** Packets read at once. */
const BATCH = 256;
/** Records handed over in one go: full datagrams but for one. */
const PUMP_RECORDS = 2048;
/** Records that one step may add before it is asked again: flows ended in one go, or a slice of the sweep. */
const STEP_RECORDS = 4096;
/** The work of such a slice (Sweeper.sweep): 32 a record, and the rest of a block of 256 slots. */
const SWEEP_BUDGET = STEP_RECORDS * 32;
/** Small enough for a core's cache, and room for what waits and a step. */
const LOG_RECORDS = 2 * (PUMP_RECORDS + STEP_RECORDS);
/** They do not wait longer than this (bridge's clock): a header's time and its records' must lie within 24 days. */
const PUMP_NS = 3600e9;
/** Where packets come at their own pace, and where there are samples, as often as in a running switch. */
const PUMP_LIVE_NS = 250 * MS;
/** Every hit asks first whether its flow was due, so records do not depend on the sweep: it only ends what is silent. */
const SWEEP_NS = 60e9;
/** Where packets come at their own pace, so do records. */
const SWEEP_LIVE_NS = 100 * MS;
/** How often it looks where the flow table fills up, and the share of free slots below which that is. */
const CROWDED_NS = 100 * MS;
const CROWDED = 0.5;
/** The longest sleep while waiting for a packet (real time): the switch goes on meanwhile. */
const NAP_MS = 250;
/** Timers are that exact: a packet that is due within this is due now. */
const EARLY_MS = 1;
/** A person who waits is told so often. */
const PROGRESS_MS = 200;
/** How long the last datagrams may take, beside what their pace takes. */
const FLUSH_MS = 5000;

/**
 * Datagrams a second: nfcapd with the socket buffer of a default Linux (208 KiB, about 90 datagrams) lost none of 11,701
 * at this pace on a busy host, and some at twice it. The sender's bursts are what would have left in 10 ms.
 */
export const DEFAULT_PACE = 5000;

export interface ReplayDeps extends Registries {
  /** Unix ms: the real time, in which datagrams leave. */
  now(): number;
  readonly sender?: HubOptions["sender"];
  /** Warnings for the user. */
  readonly log?: HubOptions["log"];
}

/** Replays `options.files`, and resolves when all is exported. Rejects where it cannot begin. */
export async function replay(options: ReplayOptions, deps: ReplayDeps): Promise<ReplayResult> {
  const startedMs = deps.now();
  const totalBytes = options.files.reduce((sum, path) => sum + fileBytes(path), 0);
  const settings = await replaySettings(options, deps);
  const run = new Replay(options, settings, deps, totalBytes);
  try {
    await run.start(settings);
    for (const path of options.files) await run.file(path);
    await run.finish();
    const { bridge, hub, files, log } = run;
    return replayResult({ bridge, files, records: log.head, exporters: hub.exporters(), ms: deps.now() - startedMs });
  } finally {
    await run.hub.close();
  }
}

/** Size of a file that can be read; throws what is wrong with it. */
function fileBytes(path: string): number {
  try {
    const info = statSync(path);
    if (info.isDirectory()) throw new Error(`${path}: is a folder, not a capture file`);
    accessSync(path, constants.R_OK);
    return info.size;
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    const known: Record<string, string> = { ENOENT: "no such file", EACCES: "may not be read: permission denied" };
    throw code === undefined ? error : new Error(`${path}: ${known[code] ?? message}`, { cause: error });
  }
}

class Replay {
  readonly files: FileReport[] = [];
  readonly bridge: Bridge;
  readonly hub: Hub;
  readonly log: RecordLog;
  private readonly datapath: LocalDatapath;
  private readonly deps: ReplayDeps;
  private readonly progress: ReplayOptions["progress"];
  private readonly pace: number;
  /** Absent: all frames come in by port 1. */
  private readonly macs: MacPorts | undefined;
  private readonly batch = createCaptureBatch(BATCH);
  /** Port and time of each of its packets. */
  private readonly port = new Int32Array(BATCH).fill(1);
  private readonly timeNs = new Float64Array(BATCH);
  /** The batch, as the datapath takes it. */
  private readonly frames: ReadFrames = { ...this.batch, port: this.port, timeNs: this.timeNs };
  private readonly pumpNs: number;
  private readonly crowdedBelow: number;
  /** Seconds of the capture in a real one; 0 = as fast as it goes. */
  private readonly speed: number;
  /** From the first packet on. */
  private clock: CaptureClock | undefined;
  /** The same moment on the bridge's clock and in real time, for `speed`. */
  private tiedNs = 0;
  private tiedMs = 0;
  private nextSweepNs = 0;
  private nextPumpNs = 0;
  /** Records below this number were handed over. */
  private pumped = 0;
  private readonly totalBytes: number;
  private packets = 0;
  private doneBytes = 0;
  private toldMs = 0;

  constructor(options: ReplayOptions, settings: ReplaySettings, deps: ReplayDeps, totalBytes: number) {
    const { bridge: config, flows } = settings;
    const isSampling = config.sampling.rate > 0;
    this.deps = deps;
    this.progress = options.progress;
    this.totalBytes = totalBytes;
    this.pace = options.pace ?? DEFAULT_PACE;
    this.speed = options.speed === "max" ? 0 : options.speed === "realtime" ? 1 : Number(options.speed);
    this.macs = options.ports === "by-mac" ? new MacPorts() : undefined;
    this.pumpNs = this.speed > 0 || isSampling ? PUMP_LIVE_NS : PUMP_NS;
    this.crowdedBelow = flows.max * CROWDED;
    this.log = RecordLog.create(LOG_RECORDS);
    this.datapath = new LocalDatapath({
      capacity: flows.max,
      ports: MAX_PORTS,
      seed: SEED,
      open: () => CAPTURED,
      transmits: false,
    });
    this.bridge = new Bridge({
      config,
      flows,
      datapath: this.datapath,
      log: this.log,
      boot: { unixMs: 0, ns: 0 },
      ifIndexFor: () => 0,
      exact: true,
    });
    this.datapath.resolve = (miss) => this.bridge.resolve(miss);
    this.datapath.due = this.bridge.sweeper;
    const state = new Map<string, unknown>();
    this.hub = new Hub({
      state: { get: (name) => state.get(name), set: (name, value) => void state.set(name, value) },
      port: (_bridge, no) => this.bridge.portInfo(no),
      ports: () => this.bridge.portInfos(),
      agentAddress: "127.0.0.1",
      log: deps.log ?? (() => {}),
      now: () => deps.now(),
      pace: this.pace,
      ...(deps.sender && { sender: deps.sender }),
    });
    const { samples, notices } = this.datapath;
    const sampled = isSampling && { samples, notices, counters: () => this.bridge.counters() };
    this.hub.addBridge({ name: config.name, log: this.log, ...sampled });
  }

  async start(settings: ReplaySettings): Promise<void> {
    for (const { spec, type } of settings.exporters) this.hub.addExporter(spec, type);
    await this.bridge.start();
  }

  /** All packets of one file. What is wrong with it stands in its report. */
  async file(path: string): Promise<void> {
    const report: FileReport = { path, packets: 0, bytes: 0, complete: false };
    this.files.push(report);
    const reader = openCaptureFile(path);
    try {
      for (let count; (count = reader.read(this.batch)) > 0;) {
        for (let from = 0; from < count;) {
          from = this.receive(from, count, report);
          if (from < count) await this.turn(from);
        }
        if (this.log.head - this.pumped >= PUMP_RECORDS) await this.pump();
        if (this.progress) this.tell(this.progress, reader.position);
      }
      if (reader.error) report.error = { offset: reader.error.offset, message: reader.error.message };
      else report.complete = true;
    } finally {
      this.doneBytes += reader.position;
      reader.close();
    }
  }

  /** End all flows, and wait until everything has left. */
  async finish(): Promise<void> {
    const { clock, hub } = this;
    if (clock === undefined) return;
    await this.endAll(clock.ns, clock.moment());
    const queued = hub.exporters().flatMap(({ collectors }) => collectors.map((collector) => collector.queued));
    await hub.flush(clock.moment(), FLUSH_MS + (this.pace > 0 ? (Math.max(1, ...queued) * 1000) / this.pace : 0));
    // A host without a collector refuses the last datagram after it was sent: when the loop has polled once more.
    await turnOfLoop();
    await turnOfLoop();
  }

  /** Packets from ..< count, up to the first before which there is something else to do. Returns its index. */
  private receive(from: number, count: number, report: FileReport): number {
    const { clock, macs, datapath } = this;
    if (clock === undefined) return from;
    const { batch, port } = this;
    const { offset, captured, length } = batch;
    const until = Math.min(
      this.nextSweepNs,
      this.nextPumpNs,
      this.speed > 0 ? this.realNs() + EARLY_MS * MS : Infinity,
    );
    const to = clock.fill(batch.seconds, batch.nanoseconds, from, count, until, this.timeNs);
    if (macs !== undefined)
      for (let n = from; n < to; n++) port[n] = macs.portOf(batch.bytes, offset[n]!, captured[n]!);
    this.frames.bytes = batch.bytes;
    datapath.receiveFrames(this.frames, from, to);
    let sum = 0;
    for (let n = from; n < to; n++) sum += length[n]!;
    report.packets += to - from;
    report.bytes += sum;
    this.packets += to - from;
    if (datapath.free.size < this.crowdedBelow) this.nextSweepNs = Math.min(this.nextSweepNs, clock.ns + CROWDED_NS);
    return to;
  }

  /** Whatever has to happen before packet `n` of the batch is received: an epoch, waiting, a sweep, an export. */
  private async turn(n: number): Promise<void> {
    const seconds = this.batch.seconds[n]!;
    const nanoseconds = this.batch.nanoseconds[n]!;
    let ns = this.clock?.at(seconds, nanoseconds) ?? NaN;
    if (Number.isNaN(ns)) ns = await this.newEpoch(seconds, nanoseconds);
    if (this.speed > 0) await this.waitFor(ns);
    await this.pass(ns);
  }

  /** Time goes on to `ns`. */
  private async pass(ns: number): Promise<void> {
    const clock = this.clock!;
    clock.ns = ns;
    if (ns >= this.nextSweepNs) {
      this.bridge.tick(ns, SWEEP_BUDGET);
      this.nextSweepNs = ns + (this.speed > 0 ? SWEEP_LIVE_NS : SWEEP_NS);
      await this.pumpWhenFull();
      while (this.bridge.sweeper.sweep(ns, SWEEP_BUDGET) > 0) await this.pumpWhenFull();
    }
    if (ns >= this.nextPumpNs) await this.pump();
  }

  /** The capture's clock begins, or jumps: all flows end at the old time. Returns the packet's time. */
  private async newEpoch(seconds: number, nanoseconds: number): Promise<number> {
    const oldNs = this.clock?.ns ?? START_NS;
    const oldMoment = this.clock?.moment();
    const clock = (this.clock ??= new CaptureClock(oldNs));
    if (oldMoment) await this.endAll(oldNs, oldMoment);
    this.bridge.sweeper.newEpoch(oldNs, clock.begin(seconds, nanoseconds));
    this.tiedNs = clock.ns;
    this.tiedMs = this.deps.now();
    return clock.ns;
  }

  /** Now in real time, on the bridge's clock, where packets come at a given speed. */
  private realNs(): number {
    return this.tiedNs + (this.deps.now() - this.tiedMs) * this.speed * MS;
  }

  private async waitFor(ns: number): Promise<void> {
    for (;;) {
      const waitMs = (ns - this.realNs()) / MS / this.speed;
      if (waitMs < EARLY_MS) return;
      await sleep(Math.min(waitMs, NAP_MS));
      await this.pass(Math.max(this.clock!.ns, Math.min(ns, this.realNs())));
      if (this.progress) this.tell(this.progress, 0);
    }
  }

  private async endAll(ns: number, moment: Moment): Promise<void> {
    do await this.pump(moment);
    while (this.bridge.sweeper.endAll(ns, END_FORCED, STEP_RECORDS) > 0);
  }

  private pumpWhenFull(): Promise<void> | undefined {
    return this.log.head - this.pumped >= PUMP_RECORDS ? this.pump() : undefined;
  }

  /** Hand all records over, as fast as the senders take them: none is lost. */
  private async pump(moment: Moment = this.clock!.moment()): Promise<void> {
    while (this.hub.pump(moment) > 0) await this.hub.writable();
    if (this.pumpNs === PUMP_LIVE_NS) {
      this.hub.tick(moment);
      await this.hub.writable();
    }
    this.pumped = this.log.head;
    this.nextPumpNs = this.clock!.ns + this.pumpNs;
  }

  private tell(progress: NonNullable<ReplayOptions["progress"]>, position: number): void {
    const now = this.deps.now();
    if (now - this.toldMs < PROGRESS_MS) return;
    this.toldMs = now;
    progress({ packets: this.packets, bytes: this.doneBytes + position, total: this.totalBytes });
  }
}

/** A port of a replay is a number: it has no device, and sends nowhere. */
const CAPTURED: Port = {
  ended: true,
  receive: () => 0,
  transmit: () => true,
  flush: () => {},
  status: () => ({ state: "up", mtu: 0, speed: 0, ifIndex: 0, lost: { ring: 0, nic: 0, tap: 0, qdisc: 0 } }),
  close: () => {},
};
