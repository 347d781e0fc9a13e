/**
 * A running switch: bridges, exporters and API, and the clockwork of the control thread that drives them. The one place,
 * with the worker's loop, where real time enters.
 */
import { release } from "node:os";
import { setTimeout as sleep } from "node:timers/promises";
import { liveView, type Running } from "../api/live.ts";
import type { Bridge } from "../bridge/bridge.ts";
import type { MirrorJson } from "../bridge/views/json.ts";
import type { Breath } from "../bridge/views/flow-rates.ts";
import type { Registries } from "../config/check.ts";
import type { ApiConfig } from "../config/config.ts";
import { type Identity, openIdentity } from "../config/identity.ts";
import type { LoadedConfig } from "../config/load.ts";
import { monotonicNs } from "../datapath/userspace/clock.ts";
import { SLOT_BYTES } from "../shm/slots.ts";
import { MomentClock } from "../telemetry/clock.ts";
import { DropTable } from "../telemetry/drops.ts";
import { EventBus } from "../telemetry/events.ts";
import type { MirrorInfo, PortInfo } from "../telemetry/exporter.ts";
import { Hub } from "../telemetry/hub.ts";
import { expandTemplates, loadPortTypes, type PortTypes, refusals, withAddedPorts } from "./effective.ts";
import { agentAddress, datapathId, hostInfo } from "./host-info.ts";
import { detachOthers } from "./left.ts";
import type { Log } from "./log.ts";
import { type Trouble, Web } from "./web.ts";
import { Remotes } from "../mirror/remotes.ts";
import { capturesDir, mirrorsApi } from "./mirrors.ts";
import { Reloader } from "./reload.ts";
import { createBridge, type RunningBridge } from "./running-bridge.ts";

/** Between two turns of the control thread when nothing waits. */
const TURN_MS = 20;
const HUB_EVERY_MS = 250;
const SECOND_MS = 1000;
/** For the last datagrams at the end. */
const FLUSH_MS = 5000;

export interface LiveOptions {
  readonly loaded: LoadedConfig;
  readonly path: string;
  readonly registries: Registries;
  readonly version: string;
  readonly machineId: string | undefined;
  readonly log: Log;
  /** The key of the demo's link: whoever opens it first is an operator. */
  readonly oneTimeKey?: string;
  /** Read the configuration anew (reload). */
  readonly load: () => Promise<LoadedConfig>;
}

/** The configuration cannot be run here: exit code 2. */
export class Refused extends Error {
  readonly exitCode = 2;
}

/** Unix ms. */
export const unixNow = (): number => Date.now();

/** The control thread works so long on one thing before all others have their turn, ns. */
const WORK_NS = 0.5e6;
let breathedNs = 0;
const breath: Breath = {
  async breathe() {
    if (monotonicNs() - breathedNs < WORK_NS) return;
    await new Promise((resolve) => setImmediate(resolve));
    breathedNs = monotonicNs();
  },
  sleep: (ms) => sleep(ms),
};

/** Small pieces of a bridge's work, until none is waiting or the time is over. True: more is waiting. */
function work(bridge: Bridge, nowNs: number): boolean {
  let isMore: boolean;
  do isMore = bridge.tick(nowNs);
  while (isMore && monotonicNs() - nowNs < WORK_NS);
  return isMore;
}

export class LiveSwitch {
  readonly bridges = new Map<string, RunningBridge>();
  readonly events = new EventBus();
  readonly drops = new DropTable();
  readonly identity: Identity;
  readonly hub: Hub;
  readonly options: LiveOptions;
  /** Rejects when forwarding has failed by itself. */
  readonly failed: Promise<never>;
  types: PortTypes = new Map();
  /** One sentence each: what `weir status` calls degraded beside what it finds itself. */
  readonly problems = new Map<string, string>();
  private readonly clock = new MomentClock({ monotonicNs, wallMs: unixNow });
  private readonly reloader: Reloader;
  private readonly startedMs = unixNow();
  private fail: (error: Error) => void = () => {};
  private web: Web | undefined;
  private timer: NodeJS.Timeout | undefined;
  private readonly remotes = new Remotes();
  private soon: NodeJS.Immediate | undefined;
  private steps = 0;
  private hubMs = -Infinity;
  private secondMs = -Infinity;
  private isStopping = false;

  private constructor(options: LiveOptions, identity: Identity) {
    this.options = options;
    this.identity = identity;
    this.failed = new Promise((_resolve, reject) => (this.fail = reject));
    this.failed.catch(() => {});
    this.hub = new Hub({
      state: {
        get: (name) => ({ sequence: identity.sequence(name) }),
        set: (name, value) => identity.setSequence(name, (value as { sequence: number }).sequence),
      },
      port: (bridge, no) => this.bridges.get(bridge)?.bridge.portInfo(no),
      ports: () => [...this.bridges.values()].flatMap(({ bridge }) => bridge.portInfos()),
      bridge: (name) => {
        const bridge = this.bridges.get(name)?.bridge;
        return bridge && { datapathId: datapathId(identity.id, name), masks: bridge.rules.stats().masks };
      },
      stateDir: options.loaded.config.host.stateDir,
      startedMs: this.startedMs,
      tenant: (port) => this.tenantOf(port),
      mirrors: () => [...this.bridges.values()].flatMap(({ mirrors }) => mirrors.list().map(mirrorInfo)),
      host: hostInfo(options.loaded.config.host.name, identity.id),
      agentAddress: agentAddress(),
      log: (level, message) => options.log(level, message),
      now: unixNow,
      events: this.events,
      onNotice: (notice, bridge, now) => this.drops.notice(notice, bridge, now),
      onCounters: (counters, bridge, now) => {
        this.drops.counters(counters, bridge, now);
        this.bridges.get(bridge)?.view.look(counters, unixNow());
      },
    });
    this.reloader = new Reloader(this, options.loaded);
  }

  /** Refuses before anything is touched; afterwards what fails is a problem to show, not an end. */
  static async start(options: LiveOptions): Promise<LiveSwitch> {
    const { loaded, registries, log } = options;
    const types = await loadPortTypes(loaded.config, registries);
    const refused = refusals(loaded.config, types);
    if (refused.length > 0) throw new Refused(refused.map((text) => `${options.path}: ${text}`).join("\n"));
    const { stateDir } = loaded.config.host;
    const machineId = options.machineId === undefined ? {} : { machineId: options.machineId };
    const identity = openIdentity({ stateDir, ...machineId, nowMs: unixNow(), warn: (text) => log("warn", text) });
    const live = new LiveSwitch(options, identity);
    try {
      await live.startAll();
    } catch (error) {
      // What an earlier process left goes on as it did.
      const isTakenOver = [...live.bridges.values()].some(({ bridge }) => bridge.datapath.kept?.left !== undefined);
      await live.stop({ keepForwarding: isTakenOver });
      throw error;
    }
    return live;
  }

  private async startAll(): Promise<void> {
    const { loaded, registries, log } = this.options;
    const config = await withAddedPorts(loaded.config, this.identity.addedPorts, registries);
    this.types = await loadPortTypes(config, registries);
    this.reloader.running = config;
    const names = config.bridges.map(({ name }) => name);
    for (const name of detachOthers(config.host.stateDir, names))
      log("warn", `bridge ${name} is not configured any more; what forwarded it in the kernel was taken away`);
    for (const bridge of config.bridges) await this.addBridge(bridge);
    for (const exporter of config.exporters)
      this.hub.addExporter(exporter, await registries.exporterTypes[exporter.type]!());
    const { oneTimeKey } = this.options;
    this.web = new Web({ view: liveView(this.running()), log, now: unixNow, oneTimeKey });
    await this.web.start(config.api);
    this.turn();
    log("info", "forwarding", { bridges: [...this.bridges.keys()], config: this.options.path });
  }

  /** Addresses of the API on TCP. */
  get listening(): readonly string[] {
    return this.web?.listening ?? [];
  }

  /** The API's socket; undefined: it is not open. */
  get socket(): string | undefined {
    return this.web?.socket;
  }

  get summary(): string {
    const ports = [...this.bridges.values()].reduce((sum, { bridge }) => sum + bridge.ports().length, 0);
    return `${this.bridges.size} bridges, ${ports} ports, ${this.hub.exporterNames.length} exporters`;
  }

  private tenantOf({ bridge, no, owner }: PortInfo): string | undefined {
    if (owner?.tenant !== undefined) return owner.tenant;
    const vlan = this.bridges.get(bridge)?.bridge.portAt(no)?.config.vlan;
    if (vlan?.mode !== "access") return undefined;
    const { tenants } = this.reloader.running;
    return Object.keys(tenants).find((name) => tenants[name]!.vlans.includes(vlan.tag));
  }

  reload(): Promise<unknown> {
    return this.reloader.reload({});
  }

  // ---- what a reload changes ------------------------------------------------------------------------------------------

  async configureApi(config: ApiConfig): Promise<Trouble[]> {
    return (await this.web?.apply(config)) ?? [];
  }

  /** Make and start a bridge. Returns its ports that could not be attached. */
  async addBridge(config: Parameters<typeof createBridge>[0]): Promise<{ port: string; message: string }[]> {
    const running = createBridge(config, this.types, {
      flows: this.reloader.running.flows,
      baseDir: this.options.loaded.baseDir,
      stateDir: this.options.loaded.config.host.stateDir,
      identity: this.identity,
      boot: this.clock.boot,
      bootNow: () => this.clock.boot,
      remotes: this.remotes,
      captures: capturesDir(this.reloader.running),
      hub: this.hub,
      events: this.events,
      breath,
      now: unixNow,
      onAttention: () => this.attend(config.name),
      onFailure: (error) => this.fail(error),
    });
    this.bridges.set(config.name, running);
    const failures = await running.bridge.start();
    return [...failures, ...this.configureMirrors(running)];
  }

  /** Sessions of the configuration; those of commands stay. Returns what could not be started, as ports that could not. */
  configureMirrors({ config, mirrors }: RunningBridge): { port: string; message: string }[] {
    return mirrors.configure(config.mirrors ?? [], unixNow()).map(({ name, message }) => {
      this.options.log("error", `mirror ${name}: ${message}`);
      return { port: `mirror ${name}`, message };
    });
  }

  async removeBridge(name: string): Promise<void> {
    const running = this.bridges.get(name);
    if (running === undefined) return;
    await running.mirrors.close();
    await this.emptyBridge(running);
    this.hub.removeBridge(name, this.clock.now());
    this.drops.forgetBridge(name);
    this.bridges.delete(name);
    await running.bridge.datapath.close({ keepForwarding: false });
  }

  removeExporter(name: string): Promise<void> {
    return this.hub.removeExporter(name, this.clock.now());
  }

  replaceExporter(...[spec, type]: Parameters<Hub["addExporter"]>): Promise<void> {
    return this.hub.replaceExporter(spec, type, this.clock.now());
  }

  /** End all flows of a bridge, handing their records out as they come. */
  private async emptyBridge({ bridge }: RunningBridge): Promise<void> {
    let isEmpty = false;
    const stopped = bridge.stop().finally(() => (isEmpty = true));
    while (!isEmpty) {
      this.hub.pump(this.clock.now());
      await breath.breathe();
    }
    await stopped;
    this.hub.pump(this.clock.now());
  }

  // ---- the control thread's turns ---------------------------------------------------------------------------------------

  private attend(name: string): void {
    const isMore = this.bridges.get(name)?.bridge.answerMisses(monotonicNs()) ?? false;
    if (isMore) this.turnSoon();
  }

  private turnSoon(): void {
    if (this.soon !== undefined || this.isStopping) return;
    this.soon = setImmediate(() => {
      this.soon = undefined;
      this.turn();
    });
  }

  private turn(): void {
    clearTimeout(this.timer);
    if (this.isStopping) return;
    const nowNs = monotonicNs();
    const now = this.clock.now();
    this.followSteps();
    let isMore = false;
    for (const { bridge, mirrors } of this.bridges.values()) {
      isMore = work(bridge, nowNs) || isMore;
      isMore = mirrors.tick(unixNow()) || isMore;
    }
    this.hub.pump(now);
    if (now.uptimeMs - this.hubMs >= HUB_EVERY_MS) {
      this.hubMs = now.uptimeMs;
      this.hub.tick(now);
      this.identity.tick(unixNow());
    }
    if (now.uptimeMs - this.secondMs >= SECOND_MS) {
      this.secondMs = now.uptimeMs;
      this.followDevices();
      for (const { mirrors } of this.bridges.values()) mirrors.follow();
    }
    if (isMore) this.turnSoon();
    else this.timer = setTimeout(() => this.turn(), TURN_MS);
  }

  /** The wall clock was stepped: records of before keep the dates of before. */
  private followSteps(): void {
    if (this.steps === this.clock.steps) return;
    this.steps = this.clock.steps;
    for (const { bridge } of this.bridges.values()) bridge.sweeper.newEpoch(monotonicNs(), this.clock.boot);
    this.options.log("warn", "the wall clock was stepped; flows were recorded up to it");
  }

  /** Devices came or went: templates make other ports. */
  private followDevices(): void {
    for (const running of this.bridges.values()) {
      if (!running.config.ports.some(({ name }) => name.includes("{"))) continue;
      const expanded = expandTemplates(running.config, this.types);
      const names = (ports: typeof expanded.ports): string => ports.map(({ name }) => name).join();
      if (names(expanded.ports) === names(running.expanded.ports)) continue;
      running.expanded = expanded;
      void running.bridge.apply(expanded);
    }
  }

  // ---- the end ------------------------------------------------------------------------------------------------------------

  /**
   * Records of every flow, then everything sent, then everything given back; `keepForwarding`: datapaths that can go on
   * without this process do.
   */
  async stop({ keepForwarding }: { readonly keepForwarding: boolean }): Promise<void> {
    if (this.isStopping) return;
    this.isStopping = true;
    clearTimeout(this.timer);
    if (this.soon !== undefined) clearImmediate(this.soon);
    this.reloader.close();
    for (const { mirrors } of this.bridges.values()) await mirrors.close();
    await this.web?.close();
    for (const running of this.bridges.values()) {
      if (keepForwarding && running.bridge.datapath.kept)
        await running.bridge.leave(() => this.hub.pump(this.clock.now()));
      else await this.emptyBridge(running);
    }
    await this.hub.flush(this.clock.now(), FLUSH_MS);
    await this.hub.close();
    for (const { bridge } of this.bridges.values()) await bridge.datapath.close({ keepForwarding });
    await this.identity.close(unixNow());
  }

  private running(): Running {
    const { options, reloader } = this;
    return {
      version: options.version,
      node: process.versions.node,
      kernel: release(),
      pid: process.pid,
      startedMs: this.startedMs,
      now: unixNow,
      breath,
      bridges: () => [...this.bridges.values()].map(({ view }) => view),
      exporters: () => this.hub.exporters(),
      events: this.events,
      drops: this.drops,
      config: () => reloader.describe(),
      problems: () => [...this.problems.values(), ...(this.web?.problems ?? [])],
      memory: () => {
        const { rss, heapUsed } = process.memoryUsage();
        const slots = [...this.bridges.values()].reduce((sum, { bridge }) => sum + bridge.datapath.slots.capacity, 0);
        return { rss, heapUsed, shared: slots * SLOT_BYTES };
      },
      api: () => ({ ...(this.socket !== undefined && { socket: this.socket }), listen: [...this.listening] }),
      reload: (request) => reloader.reload(request),
      putPort: (name, entry) => reloader.putPort(name, entry),
      patchPort: (name, patch) => reloader.patchPort(name, patch),
      deletePort: (name) => reloader.deletePort(name),
      mirrors: mirrorsApi(() => [...this.bridges.values()], unixNow),
    };
  }
}

function mirrorInfo(mirror: MirrorJson): MirrorInfo {
  const { bridge, name, state, matched, sent, bytesAfter, rateDropped, queueDropped, failed, startedMs } = mirror;
  const dropped = rateDropped + queueDropped + failed;
  const counts = { selected: matched, sent, sentBytes: bytesAfter, dropped };
  return { bridge, name, active: state === "running", ...counts, sinceMs: startedMs };
}
