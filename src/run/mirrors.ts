/** The mirror sessions of all bridges, as the API asks for them. */
import { join } from "node:path";
import type { Mirrors } from "../api/mirrors.ts";
import { Problem } from "../api/problem.ts";
import type { Bridge } from "../bridge/bridge.ts";
import { readMirrorEntry } from "../config/check.ts";
import type { BridgeConfig, MirrorConfig, WeirConfig } from "../config/config.ts";
import { ConfigError } from "../config/problem.ts";
import type { Boot } from "../flow/record.ts";
import { hostTunnels } from "../mirror/erspan.ts";
import { MirrorKeeper } from "../mirror/keeper.ts";
import { MirrorRefused } from "../mirror/refuse.ts";
import type { Remotes } from "../mirror/remotes.ts";
import { selectPorts } from "../mirror/select.ts";
import type { EventBus } from "../telemetry/events.ts";
import { isGlob } from "../text/glob.ts";

/** What a session of a command or the API is held to unless it says otherwise. */
const DEFAULT_MS = 600_000;
const DEFAULT_PPS = 10_000;
const DEFAULT_BPS = 100_000_000;

export interface BridgeMirrors {
  readonly bridge: Bridge;
  readonly mirrors: MirrorKeeper;
}

export interface MirrorEnv {
  readonly captures: string;
  /** Of all bridges. */
  readonly remotes: Remotes;
  readonly events: EventBus;
  boot(): Boot;
  /** As configured: templates not expanded. */
  config(): BridgeConfig;
  /** Unix ms. */
  now(): number;
}

/** Where capture files are. */
export function capturesDir(config: WeirConfig): string {
  return config.captures?.dir ?? join(config.host.stateDir, "captures");
}

export function createMirrors(bridge: Bridge, env: MirrorEnv): MirrorKeeper {
  return new MirrorKeeper({
    bridge: bridge.name,
    datapath: bridge.datapath,
    capturesDir: env.captures,
    tunnels: hostTunnels,
    remotes: env.remotes,
    ports: () => bridge.ports(),
    port: (no) => {
      const entry = bridge.portAt(no);
      return entry && { name: entry.name, speed: entry.status.speed };
    },
    mode: () => bridge.config.mode,
    setPlan: (plan) => bridge.setMirrors(plan),
    isTemplated: (name) => !env.config().ports.some((port) => port.name === name),
    nowNs: () => bridge.datapath.nowNs(),
    unix: (ns) => {
      const boot = env.boot();
      const bootSeconds = Math.floor(boot.unixMs / 1000);
      const rest = Math.round((boot.unixMs - bootSeconds * 1000) * 1e6) + Math.round(ns - boot.ns);
      const seconds = Math.floor(rest / 1e9);
      return { seconds: bootSeconds + seconds, nanoseconds: rest - seconds * 1e9 };
    },
    tell: (message, fields) => env.events.publish({ kind: "mirror", bridge: bridge.name, message, fields }, env.now()),
  });
}

export function mirrorsApi(bridges: () => readonly BridgeMirrors[], now: () => number): Mirrors {
  const holder = (name: string): BridgeMirrors => {
    const found = bridges().find(({ mirrors }) => mirrors.find(name) !== undefined);
    if (found === undefined) throw new Problem(404, `there is no mirror ${JSON.stringify(name)}`);
    return found;
  };
  return {
    list: () => bridges().flatMap(({ mirrors }) => mirrors.list()),
    async put(name, entry, caller) {
      const { bridge: asked, ...rest } = entry as Record<string, unknown>;
      const config = withDefaults(read({ ...rest, name }, `mirror ${name}`));
      const { mirrors } = choose(bridges(), asked, config);
      return refusing(() => mirrors.start(config, caller, now()));
    },
    stop: (name) => refusing(() => holder(name).mirrors.stop(name)),
    capture: (name, signal) => holder(name).mirrors.capture(name, signal),
  };
}

function read(entry: unknown, source: string): MirrorConfig {
  try {
    return readMirrorEntry(entry, source);
  } catch (error) {
    if (!(error instanceof ConfigError)) throw error;
    const errors = error.problems.map(({ path, message }) => ({ path, message }));
    throw new Problem(422, error.message, errors);
  }
}

function withDefaults(config: MirrorConfig): MirrorConfig {
  const { pps, bps, durationMs, packets } = config.limit;
  const limit = {
    pps: pps || DEFAULT_PPS,
    bps: bps || DEFAULT_BPS,
    durationMs: durationMs || DEFAULT_MS,
    packets,
  };
  return { ...config, limit };
}

/** The bridge that is named, or the only one that has what is selected. */
function choose(bridges: readonly BridgeMirrors[], asked: unknown, config: MirrorConfig): BridgeMirrors {
  if (asked !== undefined) {
    const found = bridges.find(({ bridge }) => bridge.name === asked);
    if (found !== undefined) return found;
    throw new Problem(422, `bridge: there is no bridge ${JSON.stringify(asked)}`);
  }
  const unknown = config.select.ports.find((name) => !isGlob(name) && !bridges.some(({ bridge }) => bridge.port(name)));
  if (unknown !== undefined && config.select.ports.length === 1 && config.select.owners.length === 0)
    throw new Problem(422, `select.ports: there is no port ${JSON.stringify(unknown)}`);
  const fit = bridges.filter(({ bridge }) => selectPorts(config.select, bridge.ports()).length > 0);
  if (fit.length === 1) return fit[0]!;
  if (bridges.length === 1) return bridges[0]!;
  throw new Problem(422, `bridge: say which: ${bridges.map(({ bridge }) => bridge.name).join(", ")}`);
}

async function refusing<T>(work: () => T | Promise<T>): Promise<T> {
  try {
    return await work();
  } catch (error) {
    if (error instanceof MirrorRefused) throw new Problem(error.status, error.message);
    throw error;
  }
}
