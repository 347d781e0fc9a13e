/** What a replay needs to know, from its options and, where it names one, a configuration file. */
import type { ReplayOptions } from "../cli/deps.ts";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../config/config.ts";
import type { Registries } from "../config/check.ts";
import type { VlanConfig } from "../flow/attachment.ts";
import type { ExporterType } from "../telemetry/exporter.ts";
import type { ExporterSpec } from "../telemetry/hub.ts";
import { MAC_PORTS, OTHERS_PORT } from "./mac-ports.ts";

/** As src/config/schema.ts has them. */
const FLOWS: FlowsConfig = {
  activeTimeoutMs: 60_000,
  idleTimeoutMs: 15_000,
  tcpEndTimeoutMs: 2_000,
  max: 262_144,
  maxPerPort: 1,
};

const BRIDGE: BridgeConfig = {
  name: "replay",
  datapath: "userspace",
  mode: "switch",
  failMode: "standalone",
  macAgingMs: 300_000,
  macTableSize: 8192,
  dropMalformed: false,
  // Nothing takes samples but exporters of a configuration.
  sampling: { rate: 0, header: 128 },
  ports: [],
};

/** Takes frames with any tag and without, and never has to take a tag off. */
const EVERYTHING: VlanConfig = { mode: "nativeTagged", tag: 1, trunks: "all" };

/** Ports are numbered as a switch numbers them. */
const FIRST_IFINDEX = 20_001;

const NETFLOW = "netflow-v5";
const IPFIX = "ipfix";
const SFLOW = "sflow";
/** Where `--sflow` is given and no rate. */
const SFLOW_RATE = 400;

export interface ReplaySettings {
  readonly flows: FlowsConfig;
  /** With its ports. */
  readonly bridge: BridgeConfig;
  readonly exporters: readonly { readonly spec: ExporterSpec; readonly type: ExporterType }[];
}

export async function replaySettings(options: ReplayOptions, registries: Registries): Promise<ReplaySettings> {
  const exporters: { spec: ExporterSpec; type: ExporterType }[] = [];
  let flows = FLOWS;
  let bridge = BRIDGE;
  if (options.config !== undefined) {
    // zod and yaml take longer to load than many captures to read.
    const { loadConfig } = await import("../config/load.ts");
    const { config } = await loadConfig(options.config, registries);
    // A port here stands for a station of the capture: none is kept from its share of the table.
    flows = { ...config.flows, maxPerPort: 1 };
    bridge = { ...BRIDGE, ...config.bridges[0], datapath: "userspace", mode: "switch" };
    for (const spec of config.exporters) {
      const type = await registries.exporterTypes[spec.type]!();
      exporters.push({ spec: { ...spec, bridges: [] }, type });
    }
  }
  for (const [kind, collectors] of [
    [NETFLOW, options.netflow],
    [IPFIX, options.ipfix ?? []],
    [SFLOW, options.sflow ?? []],
  ] as const) {
    if (collectors.length === 0) continue;
    const type = await registries.exporterTypes[kind]!();
    const taken = new Set(exporters.map(({ spec }) => spec.name));
    let name: string = kind;
    for (let n = 2; taken.has(name); n++) name = `${kind}-${n}`;
    exporters.push({ spec: { name, type: kind, collectors, bridges: [], options: type.schema.parse({}) }, type });
  }
  const { sampling } = bridge;
  const wanted = options.sflow?.length && sampling.rate === 0 ? SFLOW_RATE : sampling.rate;
  const rate = options.sampling ?? wanted;
  return { flows, exporters, bridge: { ...bridge, sampling: { ...sampling, rate }, ports: ports(options.ports) } };
}

/** All ports from the start: what is sent to a station that was not heard yet has places to go. */
function ports(how: ReplayOptions["ports"]): PortConfig[] {
  const port = (name: string, ifIndex: number): PortConfig => {
    return { name, type: "replay", vlan: EVERYTHING, ifIndex, enabled: true, options: undefined, origin: "cli" };
  };
  if (how === "single") return [port("all", FIRST_IFINDEX)];
  return Array.from({ length: OTHERS_PORT }, (_, n) => {
    return port(n < MAC_PORTS ? `mac${n + 1}` : "others", FIRST_IFINDEX + n);
  });
}
