/**
 * Changing a running switch: reload of the file, ports by command, and the way back. Changes run one after the other;
 * each is the difference between what runs and what is wanted.
 */
import type { RunningConfig } from "../api/live.ts";
import { Problem } from "../api/problem.ts";
import type { PortPatch, ReloadRequest } from "../api/switch.ts";
import { settled } from "../bridge/settle.ts";
import type { ReloadJson } from "../bridge/views/json.ts";
import { readPortEntry } from "../config/check.ts";
import type { PortConfig, WeirConfig } from "../config/config.ts";
import type { LoadedConfig } from "../config/load.ts";
import { type Plan, planReload } from "../config/plan.ts";
import { ConfigError } from "../config/problem.ts";
import { expandTemplates, loadPortTypes, refusals, withAddedPorts } from "./effective.ts";
import type { LiveSwitch } from "./live.ts";

interface Failure {
  readonly path: string;
  readonly message: string;
}

export class Reloader {
  /** What runs: the file, and what was added to it. */
  running: WeirConfig;
  private readonly live: LiveSwitch;
  private loaded: LoadedConfig;
  private loadedMs: number;
  private generation = 1;
  private working: Promise<unknown> = Promise.resolve();
  /** Of a reload that is on trial: what to go back to, and when. */
  private trial: { readonly back: LoadedConfig; readonly untilMs: number; readonly timer: NodeJS.Timeout } | undefined;
  /** Ports switched off or on by command, over what the file says. */
  private readonly enabled = new Map<string, boolean>();
  private readonly timers = new Map<string, NodeJS.Timeout>();

  constructor(live: LiveSwitch, loaded: LoadedConfig) {
    this.live = live;
    this.loaded = loaded;
    this.loadedMs = Date.now();
    this.running = loaded.config;
  }

  describe(): RunningConfig {
    const { trial, loaded, loadedMs, generation } = this;
    const config = { value: this.running, path: this.live.options.path, loadedMs, sha256: loaded.sha256, generation };
    return trial === undefined ? config : { ...config, revertsMs: trial.untilMs };
  }

  close(): void {
    clearTimeout(this.trial?.timer);
    for (const timer of this.timers.values()) clearTimeout(timer);
  }

  /** A file that cannot be used changes nothing (Problem 422); what could not be brought up is listed in `failed`. */
  reload(request: ReloadRequest): Promise<ReloadJson> {
    return this.exclusive(() => this.change(request));
  }

  private async change({ dryRun = false, tryMs, keep = false }: ReloadRequest): Promise<ReloadJson> {
    if (keep) return this.keep();
    const next = await this.read();
    const wanted = await this.effective(next);
    const plan = planReload(this.running, wanted);
    if (dryRun) return this.answer(plan, { dryRun, applied: false, failed: [] });
    await this.refuse(wanted);
    const back = this.trial?.back ?? this.loaded;
    const failed = await this.apply(wanted, plan);
    this.loaded = next;
    this.generation++;
    this.loadedMs = Date.now();
    this.endTrial();
    if (tryMs !== undefined) this.startTrial(back, tryMs);
    this.tell(`configuration ${this.generation} is in force`);
    return this.answer(plan, { dryRun, applied: true, failed });
  }

  private async read(): Promise<LoadedConfig> {
    try {
      return await this.live.options.load();
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      this.tell("the new configuration cannot be used; the running one stays");
      const errors = error.problems.map(({ path, message }) => ({ path, message }));
      throw new Problem(422, error.message, errors);
    }
  }

  private async effective(loaded: LoadedConfig): Promise<WeirConfig> {
    const { registries } = this.live.options;
    const config = await withAddedPorts(loaded.config, this.live.identity.addedPorts, registries);
    const bridges = config.bridges.map((bridge) => ({
      ...bridge,
      ports: bridge.ports.map((port) => ({ ...port, enabled: this.enabled.get(port.name) ?? port.enabled })),
    }));
    return { ...config, bridges };
  }

  /** Devices that must be left alone, of ports that are new. */
  private async refuse(wanted: WeirConfig): Promise<void> {
    const known = new Set(
      this.running.bridges.flatMap((bridge) => bridge.ports.map((port) => keyOf(bridge.name, port))),
    );
    const types = await loadPortTypes(wanted, this.live.options.registries);
    const refused = refusals(wanted, types, (bridge, port) => known.has(keyOf(bridge, port)));
    if (refused.length > 0) throw new Problem(409, refused.join("\n"));
    this.live.types = types;
  }

  private async apply(wanted: WeirConfig, plan: Plan): Promise<Failure[]> {
    const { live } = this;
    const failed: Failure[] = [];
    const before = this.running;
    this.running = wanted;
    for (const { op, name } of plan.bridges) if (op === "-") await live.removeBridge(name);
    for (const bridge of wanted.bridges) {
      const running = live.bridges.get(bridge.name);
      let failures: readonly { readonly port: string; readonly message: string }[];
      if (running === undefined) failures = await live.addBridge(bridge);
      else {
        running.config = bridge;
        running.expanded = expandTemplates(bridge, live.types);
        failures = await running.bridge.apply(running.expanded, { ...wanted.flows, max: before.flows.max });
        failures = [...failures, ...live.configureMirrors(running)];
      }
      for (const { port, message } of failures)
        failed.push({ path: port.startsWith("mirror ") ? `mirrors.${port.slice(7)}` : `ports.${port}`, message });
    }
    for (const change of plan.exporters)
      try {
        await this.changeExporter(change);
      } catch (error) {
        failed.push({ path: `exporters.${change.name}`, message: (error as Error).message });
      }
    failed.push(...(await live.configureApi(wanted.api)));
    live.hub.refresh();
    for (const { bridge } of live.bridges.values())
      if (!(await settled(bridge)))
        failed.push({ path: `bridges.${bridge.name}`, message: "its datapath does not take up the change" });
    return failed;
  }

  private async changeExporter({ op, name, after }: Plan["exporters"][number]): Promise<void> {
    const { live } = this;
    if (op === "-") return live.removeExporter(name);
    const type = await live.options.registries.exporterTypes[after!.type]!();
    if (op === "+") live.hub.addExporter(after!, type);
    else await live.replaceExporter(after!, type);
  }

  // ---- trial ------------------------------------------------------------------------------------------------------------

  private startTrial(back: LoadedConfig, tryMs: number): void {
    const timer = setTimeout(() => void this.exclusive(() => this.goBack(back)), tryMs);
    this.trial = { back, untilMs: Date.now() + tryMs, timer };
  }

  private endTrial(): void {
    clearTimeout(this.trial?.timer);
    this.trial = undefined;
  }

  private keep(): ReloadJson {
    if (this.trial === undefined) throw new Problem(409, "no reload is on trial");
    this.endTrial();
    this.tell(`configuration ${this.generation} is kept`);
    return this.answer(planReload(this.running, this.running), { dryRun: false, applied: true, failed: [] });
  }

  private async goBack(back: LoadedConfig): Promise<void> {
    const wanted = await this.effective(back);
    await this.apply(wanted, planReload(this.running, wanted));
    this.loaded = back;
    this.generation++;
    this.loadedMs = Date.now();
    this.endTrial();
    this.tell("nobody kept the configuration on trial; the one before is in force again");
  }

  // ---- ports by command ---------------------------------------------------------------------------------------------------

  putPort(name: string, entry: unknown): Promise<void> {
    return this.exclusive(async () => {
      if (typeof entry !== "object" || entry === null || Array.isArray(entry))
        throw new Problem(400, "a port entry of the configuration is expected", [
          { path: "body", message: "not an object" },
        ]);
      const { bridge: asked, ...rest } = entry as Record<string, unknown>;
      const bridge = this.bridgeFor(asked);
      const inFile = this.loaded.config.bridges.some(({ ports }) => ports.some((port) => port.name === name));
      if (inFile) throw new Problem(409, `${name} is in ${this.live.options.path}; change it there and reload`);
      const whole = { ...rest, name };
      await this.checkEntry(whole, name);
      const { addedPorts } = this.live.identity;
      const old = addedPorts.find((port) => port.bridge === bridge && port.entry.name === name);
      this.live.identity.addPort({ bridge, entry: whole });
      try {
        await this.applyAdded();
      } catch (error) {
        if (old === undefined) this.live.identity.removePort(bridge, name);
        else this.live.identity.addPort(old);
        throw error;
      }
    });
  }

  private bridgeFor(asked: unknown): string {
    const names = [...this.live.bridges.keys()];
    if (asked === undefined && names.length === 1) return names[0]!;
    if (typeof asked === "string" && names.includes(asked)) return asked;
    const message =
      asked === undefined ? `say which: ${names.join(", ")}` : `there is no bridge ${JSON.stringify(asked)}`;
    throw new Problem(400, `bridge: ${message}`, [{ path: "bridge", message }]);
  }

  private async checkEntry(entry: unknown, name: string): Promise<void> {
    try {
      await readPortEntry(entry, `port ${name}`, "cli", this.live.options.registries);
    } catch (error) {
      if (!(error instanceof ConfigError)) throw error;
      throw new Problem(
        422,
        error.message,
        error.problems.map(({ path, message }) => ({ path, message })),
      );
    }
  }

  deletePort(name: string): Promise<void> {
    return this.exclusive(async () => {
      const bridge = this.live.identity.addedPorts.find((port) => port.entry.name === name)?.bridge;
      if (bridge === undefined)
        throw new Problem(
          409,
          `${name} was not added at run time; take it out of ${this.live.options.path} and reload`,
        );
      this.live.identity.removePort(bridge, name);
      this.live.identity.releaseIfIndex(bridge, name, Date.now());
      await this.applyAdded();
    });
  }

  private async applyAdded(): Promise<void> {
    const wanted = await this.effective(this.loaded);
    await this.refuse(wanted);
    await this.apply(wanted, planReload(this.running, wanted));
    this.generation++;
  }

  async patchPort(name: string, { enabled, forMs }: PortPatch): Promise<void> {
    clearTimeout(this.timers.get(name));
    this.timers.delete(name);
    this.setEnabled(name, enabled, forMs === undefined ? undefined : Date.now() + forMs);
    if (forMs !== undefined) {
      const timer = setTimeout(() => {
        this.timers.delete(name);
        this.setEnabled(name, !enabled, undefined);
      }, forMs);
      this.timers.set(name, timer);
    }
    await Promise.all([...this.live.bridges.values()].map(({ bridge }) => settled(bridge)));
  }

  private setEnabled(name: string, enabled: boolean, untilMs: number | undefined): void {
    this.enabled.set(name, enabled);
    for (const { bridge, view } of this.live.bridges.values()) {
      if (!bridge.setEnabled(name, enabled)) continue;
      if (untilMs === undefined || enabled) view.disabledUntilMs.delete(name);
      else view.disabledUntilMs.set(name, untilMs);
    }
    const bridges = this.running.bridges.map((bridge) => ({
      ...bridge,
      ports: bridge.ports.map((port) => (port.name === name ? { ...port, enabled } : port)),
    }));
    this.running = { ...this.running, bridges };
  }

  // ---------------------------------------------------------------------------------------------------------------------------

  private answer(plan: Plan, result: Pick<ReloadJson, "dryRun" | "applied" | "failed">): ReloadJson {
    const answer = {
      path: this.live.options.path,
      generation: this.generation,
      plan: plan.lines.map((line) => ({ ...line })),
      ...result,
    };
    return this.trial === undefined ? answer : { ...answer, revertsMs: this.trial.untilMs };
  }

  private tell(message: string): void {
    this.live.events.publish({ kind: "config", message }, Date.now());
    this.live.options.log("info", message);
  }

  private exclusive<T>(work: () => Promise<T>): Promise<T> {
    const done = this.working.then(work);
    this.working = done.catch(() => {});
    return done;
  }
}

/** A port that stays attached as it is needs no second permission. */
function keyOf(bridge: string, port: PortConfig): string {
  return JSON.stringify([bridge, port.name, port.type, port.options]);
}
