/** One bridge of a running switch: its datapath, its control side, and how it is shown. */
import { Bridge } from "../bridge/bridge.ts";
import { BridgeView } from "../bridge/views/bridge-view.ts";
import type { Breath } from "../bridge/views/flow-rates.ts";
import type { BridgeConfig, FlowsConfig } from "../config/config.ts";
import type { Identity } from "../config/identity.ts";
import type { Boot } from "../flow/record.ts";
import { COUNT_PACKETS } from "../flow/totals.ts";
import { RecordLog } from "../shm/log.ts";
import type { EventBus } from "../telemetry/events.ts";
import type { Hub } from "../telemetry/hub.ts";
import type { MirrorKeeper } from "../mirror/keeper.ts";
import type { Remotes } from "../mirror/remotes.ts";
import { createMirrors } from "./mirrors.ts";
import { openDatapath } from "./open-datapath.ts";
import { expandTemplates, type PortTypes } from "./effective.ts";

/** Records that every exporter may lag behind: 16 MiB, a flush of 65,536 flows at once. */
const LOG_RECORDS = 65_536;

export interface RunningBridgeEnv {
  readonly flows: FlowsConfig;
  readonly baseDir: string;
  readonly stateDir: string;
  readonly identity: Identity;
  readonly boot: Boot;
  /** The same, after the wall clock was stepped too. */
  readonly bootNow: () => Boot;
  readonly captures: string;
  readonly remotes: Remotes;
  readonly hub: Hub;
  readonly events: EventBus;
  readonly breath: Breath;
  /** Unix ms. */
  readonly now: () => number;
  /** Misses, samples or notices wait. */
  readonly onAttention: () => void;
  readonly onFailure: (error: Error) => void;
}

export interface RunningBridge {
  readonly bridge: Bridge;
  readonly view: BridgeView;
  readonly mirrors: MirrorKeeper;
  /** As configured, templates not expanded. */
  config: BridgeConfig;
  /** As last given to the bridge. */
  expanded: BridgeConfig;
}

/** Make a bridge and hand it to the hub; its ports come with `bridge.start()`. */
export function createBridge(config: BridgeConfig, types: PortTypes, env: RunningBridgeEnv): RunningBridge {
  const { flows, identity, now } = env;
  const { datapath, why: datapathWhy } = openDatapath(config, {
    capacity: flows.max,
    records: LOG_RECORDS,
    stateDir: env.stateDir,
    baseDir: env.baseDir,
    onAttention: env.onAttention,
    onFailure: env.onFailure,
  });
  const expanded = expandTemplates(config, types);
  const overrides = new Map<string, number>();
  const log = datapath.kept?.log ?? RecordLog.create(LOG_RECORDS);
  const bridge = new Bridge({
    config: expanded,
    flows,
    datapath,
    log,
    boot: env.boot,
    ifIndexFor: (name, port, physical) => {
      const override = overrides.get(port);
      return identity.ifIndex(name, port, { physical, ...(override !== undefined && { override }) }, now());
    },
    onEvent: (event) => env.events.publish(event, now()),
  });
  env.hub.addBridge({
    name: config.name,
    log,
    ...(datapath.kept && { cursors: datapath.kept.cursors }),
    recordedPackets: () => bridge.sweeper.recorded.total(COUNT_PACKETS),
    samples: datapath.samples,
    notices: datapath.notices,
    counters: () => bridge.counters(),
  });
  const view = new BridgeView({ bridge, datapathWhy, startedMs: now(), breath: env.breath });
  const running: RunningBridge = {
    bridge,
    view,
    config,
    expanded,
    mirrors: createMirrors(bridge, {
      captures: env.captures,
      remotes: env.remotes,
      events: env.events,
      boot: env.bootNow,
      config: () => running.config,
      now,
    }),
  };
  return running;
}
