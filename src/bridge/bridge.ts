/**
 * One running bridge: the control side of a datapath. It owns the MAC table, the snapshot and the rules, answers misses,
 * sweeps the flows and keeps the ports. `tick` does a bounded piece of all of it; nothing here asks a clock.
 *
 * Records leave by `log`, samples and notices by the datapath's rings, events by `onEvent`: whoever runs the bridge hands
 * them to the hub.
 */
import { setImmediate as nextTurn } from "node:timers/promises";
import { isDeepStrictEqual } from "node:util";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../config/config.ts";
import {
  type Datapath,
  type LeftBehind,
  MAX_MASKS,
  MAX_PORTS,
  MAX_RULES,
  type Miss,
  type RuleChange,
} from "../datapath/datapath.ts";
import { END_FORCED } from "../flow/disposition.ts";
import { Outcomes } from "../flow/outcomes.ts";
import type { Boot } from "../flow/record.ts";
import { SLICE, Sweeper } from "../flow/sweep.ts";
import { MacTable, type MacEntry, type MacStats } from "../pipeline/mac-table.ts";
import { awayFloods } from "../pipeline/away.ts";
import { NO_MIRRORS, type MirrorPlan } from "../pipeline/mirror-plan.ts";
import { carries, Snapshot } from "../pipeline/snapshot.ts";
import { trace, type Trace } from "../pipeline/trace.ts";
import { C_PENDING, CounterSnapshot } from "../shm/counters.ts";
import type { RecordLog } from "../shm/log.ts";
import type { PortInfo } from "../telemetry/exporter.ts";
import { AdaptiveSampling } from "./adaptive.ts";
import { audit, auditInSlices, type Audit, type AuditSource } from "./audit.ts";
import { limits, restNs, timeouts } from "./flow-limits.ts";
import { MacMoves } from "./moves.ts";
import { portInfo, snapshotPort, type PortEntry } from "./port-book.ts";
import { isOtherAttachment, PortKeeper, type PortFailure } from "./port-keeper.ts";
import { RuleKeeper } from "./rules.ts";
import { Drain, restorePorts, restoreRules } from "./take-over.ts";

/** Something for people: `message` is a sentence, `fields` the same for a program. */
export interface BridgeEvent {
  readonly kind: "port" | "mac" | "config";
  readonly bridge: string;
  readonly port?: string;
  readonly message: string;
  readonly fields?: Readonly<Record<string, string | number | boolean>>;
}

export type { PortFailure };

export interface BridgeOptions {
  readonly config: BridgeConfig;
  readonly flows: FlowsConfig;
  readonly datapath: Datapath;
  readonly log: RecordLog;
  readonly boot: Boot;
  /** The exported ifIndex of a port, the same for ever; `physical` is the NIC's own, 0 = none. */
  readonly ifIndexFor: (bridge: string, port: string, physical: number) => number;
  readonly onEvent?: (event: BridgeEvent) => void;
  /** One thread, virtual time (replay). */
  readonly exact?: boolean;
}

const MISSES_AT_ONCE = 256;
const BATCHES_A_TICK = 4;
const SECOND = 1e9;
const STOP_NS = 10 * SECOND;
const LEAVE_AT_ONCE = 4096;
/** Ways of arrival (port and tag) that are flooded while nobody answers. */
const MAX_AWAY = 65_536;
const MACS_AGED_AT_ONCE = 1024;

export class Bridge {
  readonly name: string;
  readonly log: RecordLog;
  readonly datapath: Datapath;
  readonly sweeper: Sweeper;
  readonly outcomes = new Outcomes(MAX_RULES, MAX_PORTS);
  readonly rules: RuleKeeper;
  private readonly keeper: PortKeeper;
  private macs: MacTable;
  private snapshot: Snapshot;
  private current: BridgeConfig;
  private flows: FlowsConfig;
  private readonly options: BridgeOptions;
  private readonly moves = new MacMoves();
  private readonly adaptive = new AdaptiveSampling();
  private readonly scratch = new CounterSnapshot(MAX_PORTS);
  private mirrors = NO_MIRRORS;
  private secondNs = -Infinity;
  /** Changes of configuration run one after the other. */
  private changing: Promise<unknown> = Promise.resolve();

  /** Inert: the datapath hears of nothing before `start`. */
  constructor(options: BridgeOptions) {
    const { config, flows, datapath } = options;
    this.options = options;
    this.name = config.name;
    this.keeper = new PortKeeper({
      datapath,
      ifIndexFor: (port, physical) => options.ifIndexFor(config.name, port, physical),
      onIfIndex: (no, ifIndex) => (this.outcomes.ifIndexOf[no] = ifIndex),
      tell: (port, message, fields) => this.event("port", message, port, fields),
    });
    this.log = options.log;
    this.datapath = datapath;
    this.current = { ...config, ports: [] };
    this.flows = flows;
    this.macs = this.makeMacs(config);
    this.snapshot = this.makeSnapshot();
    this.rules = new RuleKeeper({
      maxRules: MAX_RULES,
      maxMasks: MAX_MASKS,
      maxPorts: MAX_PORTS,
      macs: this.macs,
      outcomes: this.outcomes,
      snapshot: this.snapshot,
      restNs: restNs(flows),
      onMove: (at, from, to) => this.moves.note(at, from, to),
    });
    const { kept } = datapath;
    this.sweeper = new Sweeper({
      slots: datapath.slots,
      free: datapath.free,
      retirer: datapath,
      log: options.log,
      outcomes: this.outcomes,
      ports: MAX_PORTS,
      timeouts: timeouts(flows),
      boot: options.boot,
      exact: options.exact ?? false,
      ...(kept && { ledger: kept.ledger, recorded: kept.recorded, retired: kept.retired }),
    });
  }

  get config(): BridgeConfig {
    return this.current;
  }

  /**
   * Attach the ports. Those that cannot be are returned, and stay on the bridge as failed. Where an earlier process left the
   * datapath forwarding, it goes on with that.
   */
  async start(): Promise<PortFailure[]> {
    const { config } = this.options;
    const left = this.datapath.kept?.left;
    this.datapath.program({ limits: limits(this.flows) });
    if (left) {
      const { flooded, refused } = left.away;
      const met = `${flooded} packets without a rule were flooded, ${refused} refused`;
      this.event("config", `goes on where an earlier process ended; meanwhile ${met}`, undefined, { flooded, refused });
      restorePorts(this.keeper.book, left, new Set(config.ports.map(({ name }) => name)));
      // Records of their flows name them.
      for (const entry of this.keeper.book.present()) this.keeper.giveIfIndex(entry);
    }
    this.left = left;
    try {
      const failures = await this.apply(config);
      this.drains = (left?.quiet ?? []).map(
        (quiet) => new Drain(quiet, this.datapath.kept!, this.options.boot, this.outcomes.ifIndexOf),
      );
      for (const drain of this.drains) await drain.settle();
      return failures;
    } finally {
      this.left = undefined;
    }
  }

  /** Flows of memory that an earlier process left and this one has replaced, on their way into records. */
  private drains: Drain[] = [];

  /** What an earlier process left and this one has not taken over yet. */
  private left: LeftBehind | undefined;

  /**
   * Bring the running bridge to another configuration by the difference: ports that stay keep their flows and counters.
   * Calls queue up. Templates ("{device}") are the caller's to expand.
   */
  apply(config: BridgeConfig, flows: FlowsConfig = this.flows): Promise<PortFailure[]> {
    const done = this.changing.then(() => this.change(config, flows));
    this.changing = done.catch(() => {});
    return done;
  }

  /**
   * A small piece of work: misses, rules, sweep, and once a second ports and MAC ages. True: more is waiting, come back
   * soon. `sweepBudget`: see Sweeper.sweep.
   */
  tick(nowNs: number, sweepBudget?: number): boolean {
    const missed = this.answerMisses(nowNs);
    const change = this.rules.turn(nowNs);
    if (change) this.datapath.program(change);
    const swept = this.sweeper.sweep(nowNs, sweepBudget);
    if (this.drains[0]?.step(SLICE)) this.drains.shift();
    if (nowNs - this.secondNs >= SECOND) {
      this.secondNs = nowNs;
      this.macs.age(nowNs, MACS_AGED_AT_ONCE);
      // A capture's ports have no devices that could change.
      if (this.options.exact !== true && this.keeper.poll()) this.refresh();
    }
    const sampling = this.adaptive.look(() => this.counters(), nowNs);
    if (sampling.length > 0) this.datapath.program({ sampling });
    this.tellMoves(nowNs);
    return missed || this.rules.busy || swept >= SLICE || this.drains.length > 0;
  }

  /** Answer waiting misses; true: there may be more. Cheap when there are none. */
  answerMisses(nowNs: number): boolean {
    // Decided by half of what is there, frames would go astray: they wait.
    if (this.left) return false;
    for (let batch = 0; batch < BATCHES_A_TICK; batch++) {
      const misses = this.datapath.misses.take(MISSES_AT_ONCE);
      if (misses.length > 0) this.datapath.program(this.rules.resolve(misses, nowNs));
      if (misses.length < MISSES_AT_ONCE) return false;
    }
    return true;
  }

  /** One miss, answered on the spot: for a datapath in the same thread, which programs the answer itself. */
  resolve(miss: Miss): RuleChange {
    return this.rules.resolve([miss], this.datapath.nowNs());
  }

  get mirrorPlan(): MirrorPlan {
    return this.mirrors;
  }

  /** Other mirrors: decided rules follow as after any change of configuration. */
  setMirrors(plan: MirrorPlan): void {
    this.mirrors = plan;
    this.refresh();
  }

  /** Why a frame of this key goes where it goes. Changes nothing. */
  trace(key: Uint32Array): Trace {
    return trace(key, this.snapshot);
  }

  /** Proof that every frame is counted once. */
  audit(): Audit {
    return audit(this.books);
  }

  /** The same, in slices between which the switch goes on. */
  async auditInSlices(breathe: () => Promise<void>): Promise<Audit> {
    // Flows on their way are in neither place.
    while (this.drains.length > 0) await breathe();
    return auditInSlices(this.books, breathe);
  }

  private get books(): AuditSource {
    return { counters: (out) => this.datapath.counters(out), sweeper: this.sweeper, ports: MAX_PORTS };
  }

  /** The port counters now; the same object each time. */
  counters(): CounterSnapshot {
    return this.datapath.counters(this.scratch);
  }

  macEntries(nowNs: number): Iterable<MacEntry> {
    return this.macs.entries(nowNs);
  }

  macStats(): MacStats {
    return this.macs.stats();
  }

  ports(): PortEntry[] {
    return this.keeper.book.present();
  }

  port(name: string): PortEntry | undefined {
    return this.keeper.book.find(name);
  }

  /** Also a port that is gone, as long as its number is its own. */
  portAt(no: number): PortEntry | undefined {
    return this.keeper.book.at(no);
  }

  /** Also of ports that are gone, as long as records may name them. */
  portInfo(no: number): PortInfo | undefined {
    const entry = this.keeper.book.at(no);
    return entry && portInfo(entry, this.name);
  }

  portInfos(): PortInfo[] {
    return this.keeper.book.all().map((entry) => portInfo(entry, this.name));
  }

  /** Administrative state of one port; undefined: no such port. */
  setEnabled(name: string, enabled: boolean): boolean {
    const entry = this.keeper.book.find(name);
    if (entry === undefined) return false;
    if (entry.config.enabled === enabled) return true;
    entry.config = { ...entry.config, enabled };
    const ports = this.current.ports.map((port) => (port.name === name ? entry.config : port));
    this.current = { ...this.current, ports };
    if (entry.attached) this.keeper.programEnabled(entry);
    this.event("port", `${name} is ${enabled ? "enabled" : "disabled"}`, name, { enabled });
    this.refresh();
    return true;
  }

  /**
   * Take all ports off, end all flows, and return when their records are in the log; false: the datapath did not answer in
   * 10 s. It stays open.
   */
  async stop(): Promise<boolean> {
    await this.apply({ ...this.current, ports: [] });
    const untilNs = this.datapath.nowNs() + STOP_NS;
    await this.answerAll(untilNs);
    this.sweeper.endAll(this.datapath.nowNs(), END_FORCED);
    while (this.sweeper.closing > 0 && this.datapath.nowNs() < untilNs) {
      this.sweeper.sweep(this.datapath.nowNs());
      await nextTurn();
    }
    return this.sweeper.closing === 0;
  }

  /**
   * The datapath goes on without this process: every flow's interval so far is put into the log, `pump` hands out what is
   * there in between.
   */
  async leave(pump: () => void): Promise<void> {
    this.datapath.program({ leaving: true });
    await this.answerAll(this.datapath.nowNs() + SECOND);
    for (let slot = 0; slot >= 0; slot = this.sweeper.recordAll(slot, LEAVE_AT_ONCE)) {
      pump();
      await nextTurn();
    }
  }

  /** Answer misses until no frame waits: one that is decided after its flow's end would make a flow that nobody ends. */
  private async answerAll(untilNs: number): Promise<void> {
    let waiting = true;
    while (waiting && this.datapath.nowNs() < untilNs) {
      this.answerMisses(this.datapath.nowNs());
      const generation = this.datapath.program({});
      while (this.datapath.applied() !== generation && this.datapath.nowNs() < untilNs) await nextTurn();
      const counters = this.counters();
      waiting = this.keeper.book.all().some(({ no }) => counters.get(no, C_PENDING) > 0);
    }
  }

  private async change(config: BridgeConfig, flows: FlowsConfig): Promise<PortFailure[]> {
    this.changeFlows(flows);
    const wanted = new Map(config.ports.filter((port) => !port.name.includes("{")).map((port) => [port.name, port]));
    const leaving = this.keeper.book.present().filter((entry) => {
      const port = wanted.get(entry.name);
      return port === undefined || isOtherAttachment(entry.config, port);
    });
    this.keeper.silence(leaving);
    for (const entry of leaving) await (wanted.has(entry.name) ? this.keeper.detach(entry) : this.removePort(entry));
    this.changeMacs(config);
    this.current = { ...config, ports: [...wanted.values()] };
    for (const port of wanted.values()) {
      const entry = this.keeper.book.find(port.name);
      if (entry) this.changePort(entry, port);
    }
    // Refusals of the new configuration hold before the first of its new ports is there.
    this.refresh();
    const attached = new Set(this.keeper.book.present().filter((entry) => entry.attached));
    const failures: PortFailure[] = [];
    for (const port of wanted.values()) {
      const failure = await this.keeper.attach(port, (old) => this.mayReuse(old));
      if (failure) failures.push(failure);
    }
    this.programSampling();
    this.keeper.poll();
    this.refresh();
    if (this.left)
      await restoreRules(this.rules, this.left, this.datapath.slots, this.datapath.nowNs(), () => nextTurn());
    const fresh = this.keeper.book.present().filter((entry) => entry.attached && !attached.has(entry));
    if (config.mode === "observe") this.datapath.program(this.rules.ahead(fresh, this.datapath.nowNs()));
    // Now that all are known, those that are new may speak.
    this.keeper.programEnabled(...fresh);
    return failures;
  }

  private changeFlows(flows: FlowsConfig): void {
    if (isDeepStrictEqual(flows, this.flows)) return;
    this.flows = flows;
    this.sweeper.setTimeouts(timeouts(flows));
    this.rules.setRest(restNs(flows));
    this.datapath.program({ limits: limits(flows) });
  }

  private changeMacs(config: BridgeConfig): void {
    this.macs.setAgeing(config.macAgingMs * 1e6);
    if (config.macTableSize === this.macs.capacity) return;
    const old = this.macs;
    this.macs = this.makeMacs(config);
    this.macs.adopt(old);
    this.rules.setMacs(this.macs);
  }

  private makeMacs(config: BridgeConfig): MacTable {
    return new MacTable({ capacity: config.macTableSize, ageingNs: config.macAgingMs * 1e6, maxPorts: MAX_PORTS });
  }

  /** A port that stays: everything but its attachment. */
  private changePort(entry: PortEntry, config: PortConfig): void {
    const { enabled } = entry.config;
    const isOtherVlan = !isDeepStrictEqual(entry.config.vlan, config.vlan);
    entry.config = config;
    if (isOtherVlan) this.macs.flush(entry.no, (vlan) => carries(config.vlan, vlan));
    if (entry.attached && enabled !== config.enabled) this.keeper.programEnabled(entry);
    if (entry.known) this.keeper.giveIfIndex(entry);
  }

  private async removePort(entry: PortEntry): Promise<void> {
    await this.keeper.detach(entry);
    const nowNs = this.datapath.nowNs();
    this.sweeper.endPort(entry.no, nowNs);
    this.macs.flush(entry.no);
    this.keeper.book.remove(entry, nowNs);
    this.event("port", `${entry.name} left the bridge`, entry.name, { state: "removed" });
  }

  /** Nothing names the old port by number any more: flows, resting rules, records. */
  private mayReuse(entry: PortEntry): boolean {
    const restedNs = this.datapath.nowNs() - entry.goneNs;
    return restedNs > restNs(this.flows) && !this.sweeper.ending(entry.no) && this.sweeper.closing === 0;
  }

  private programSampling(): void {
    const ports = this.keeper.book.present().filter((entry) => entry.attached);
    this.datapath.program({ sampling: this.adaptive.plan(this.current.sampling, ports) });
  }

  /** A new snapshot; every rule is decided again in the turns that follow. */
  private refresh(): void {
    this.snapshot = this.makeSnapshot();
    this.rules.setSnapshot(this.snapshot);
    const { failMode, mode } = this.current;
    if (this.datapath.kept && mode === "switch")
      this.datapath.program({ away: failMode === "standalone" ? awayFloods(this.snapshot, MAX_AWAY) : [] });
  }

  private makeSnapshot(): Snapshot {
    const { mode, dropMalformed } = this.current;
    const ports = this.keeper.book.present().filter((entry) => entry.attached);
    return new Snapshot({
      mode,
      dropMalformed,
      ports: ports.map(snapshotPort),
      macs: this.macs,
      mirrors: this.mirrors,
    });
  }

  private tellMoves(nowNs: number): void {
    const nameOf = (no: number): string => this.keeper.book.at(no)?.name ?? `#${no}`;
    for (const { message, port, fields } of this.moves.take(nowNs, nameOf)) this.event("mac", message, port, fields);
  }

  private event(kind: BridgeEvent["kind"], message: string, port?: string, fields?: BridgeEvent["fields"]): void {
    this.options.onEvent?.({
      kind,
      bridge: this.name,
      message,
      ...(port !== undefined && { port }),
      ...(fields && { fields }),
    });
  }
}
