/**
 * One document of located values → a configuration, or every problem in it. Structure comes from the schemas, what spans
 * several entries from semantics.ts.
 */
import * as z from "zod";
import type { Owner } from "../flow/attachment.ts";
import type { PortPlan, PortType } from "../ports/port.ts";
import type { ExporterType } from "../telemetry/exporter.ts";
import { formatCollector, parseCollector } from "../text/collector.ts";
import { didYouMean } from "../text/suggest.ts";
import type { BridgeConfig, ExporterConfig, MirrorConfig, PortConfig, WeirConfig } from "./config.ts";
import type { HostDefaults } from "./host.ts";
import { mirrorEntry, toMirror } from "./mirror-schema.ts";
import { problemAt, problemsOf } from "./issues.ts";
import { ConfigError, type Problem } from "./problem.ts";
import { configSchema, DEVICE_PLACEHOLDER, exporterCommon, portCommon } from "./schema.ts";
import { checkSemantics } from "./semantics.ts";
import { locatePlain, type Located } from "./source.ts";

/** The kinds of ports and exporters there are, each loaded when a configuration names it (src/registry.gen.ts). */
export interface Registries {
  readonly portTypes: Readonly<Record<string, () => Promise<PortType>>>;
  readonly exporterTypes: Readonly<Record<string, () => Promise<ExporterType>>>;
}

/** What one entry of the file made. Present as far as it could be read, so that one run shows all there is to mend. */
export interface PortEntry {
  readonly at: Located;
  /** The bridge's entry. */
  readonly bridge: Located;
  readonly name: string;
  /** The ports made from it; empty where something in it is wrong. */
  readonly ports: readonly PortConfig[];
}

export interface ExporterEntry {
  readonly at: Located;
  readonly name: string;
  readonly type: string;
  /** What no other exporter to the same collector may have. */
  readonly identity?: string;
  readonly exporter?: ExporterConfig;
}

export interface CheckResult {
  /** Present when there are no problems. */
  readonly config?: WeirConfig;
  readonly problems: readonly Problem[];
}

/** Reads the document and everything its entries' types have to say about it. Never throws for what is in the file. */
export async function checkDocument(root: Located, registries: Registries, host: HostDefaults): Promise<CheckResult> {
  const problems: Problem[] = [];
  const schema = configSchema(host);
  const parsed = schema.safeParse(root.value);
  if (!parsed.success) problems.push(...problemsOf(parsed.error.issues, root, schema));
  const bridgesAt = membersOf(root.members?.get("bridges"));
  const portsAt = bridgesAt.flatMap((bridge) => membersOf(bridge.members?.get("ports")).map((at) => ({ at, bridge })));
  const exportersAt = membersOf(root.members?.get("exporters"));
  const types = await loadTypes(
    portsAt.map(({ at }) => at),
    exportersAt,
    registries,
    problems,
  );
  const ports = portsAt.flatMap(({ at, bridge }) => readPort(at, bridge, types, problems));
  for (const bridge of bridgesAt) ports.push(...(await readMembers(bridge, registries)));
  const exporters = exportersAt.flatMap((at) => readExporter(at, types, problems));
  checkSemantics(root, ports, exporters, problems);
  if (!parsed.success || problems.length > 0) return { problems };
  return { config: assemble(parsed.data, root, ports, exporters), problems };
}

/**
 * One entry of `bridges[].ports[]` that a command gave, as plain data → the ports that it makes. Throws a ConfigError whose
 * problems have paths within the entry; `source` stands for the file.
 */
export async function readPortEntry(
  entry: unknown,
  source: string,
  origin: PortConfig["origin"],
  registries: Registries,
): Promise<readonly PortConfig[]> {
  const problems: Problem[] = [];
  const at = locatePlain(entry, source);
  const schema = z.looseObject(portCommon.shape);
  const parsed = schema.safeParse(at.value);
  if (!parsed.success) problems.push(...problemsOf(parsed.error.issues, at, schema));
  const types = await loadTypes([at], [], registries, problems);
  const entries = readPort(at, at, types, problems);
  checkSemantics(at, entries, [], problems);
  if (problems.length > 0) throw new ConfigError(problems);
  return entries.flatMap(({ ports }) => ports.map((port) => ({ ...port, origin })));
}

/** A mirror entry that a command gave. Throws a ConfigError whose problems have paths within the entry. */
export function readMirrorEntry(entry: unknown, source: string): MirrorConfig {
  const at = locatePlain(entry, source);
  const parsed = mirrorEntry.safeParse(at.value);
  if (!parsed.success) throw new ConfigError(problemsOf(parsed.error.issues, at, mirrorEntry));
  return toMirror(parsed.data);
}

interface Types {
  readonly ports: ReadonlyMap<string, PortType>;
  readonly exporters: ReadonlyMap<string, ExporterType>;
}

const membersOf = (at: Located | undefined): Located[] =>
  Array.isArray(at?.value) ? [...(at.members?.values() ?? [])] : [];

async function loadTypes(
  ports: readonly Located[],
  exporters: readonly Located[],
  registries: Registries,
  problems: Problem[],
): Promise<Types> {
  const load = async <T>(
    entries: readonly Located[],
    kinds: Readonly<Record<string, () => Promise<T>>>,
    what: string,
  ) => {
    const loaded = new Map<string, T>();
    for (const entry of entries) {
      const type = entry.members?.get("type")?.value;
      if (typeof type !== "string" || loaded.has(type)) continue;
      if (Object.hasOwn(kinds, type)) loaded.set(type, await kinds[type]!());
      else {
        const names = Object.keys(kinds);
        const hint = didYouMean(type, names) || `; known: ${names.join(", ") || "none"}`;
        problems.push(problemAt(entry, ["type"], `${JSON.stringify(type.slice(0, 40))} is not ${what}${hint}`));
      }
    }
    return loaded;
  };
  return {
    ports: await load(ports, registries.portTypes, "a type of port"),
    exporters: await load(exporters, registries.exporterTypes, "a type of exporter"),
  };
}

/** A type's schema with unknown keys refused, whatever its author chose. */
function strict(schema: z.ZodType): z.ZodType {
  return schema instanceof z.ZodObject && schema.def.catchall === undefined ? schema.strict() : schema;
}

/** The keys of an entry that are its type's own, read by the type's schema; undefined when they do not fit. */
function readOptions(
  at: Located,
  common: z.ZodObject,
  type: { readonly schema: z.ZodType },
  problems: Problem[],
): unknown {
  const own = Object.create(null) as Record<string, unknown>;
  for (const [key, value] of Object.entries(at.value as object))
    if (!Object.hasOwn(common.shape, key)) own[key] = value;
  const schema = strict(type.schema);
  const parsed = schema.safeParse(own);
  if (parsed.success) return parsed.data ?? {};
  problems.push(...problemsOf(parsed.error.issues, at, schema, Object.keys(common.shape)));
  return undefined;
}

function readPort(at: Located, bridge: Located, types: Types, problems: Problem[]): PortEntry[] {
  const { name, type: kind } = (at.value ?? {}) as { name?: unknown; type?: unknown };
  if (typeof name !== "string") return [];
  const type = types.ports.get(kind as string);
  const options = type && readOptions(at, portCommon, type, problems);
  // The whole document's schema has told what is wrong here.
  const common = portCommon.safeParse(at.value);
  if (!type || options === undefined || !common.success) return [{ at, bridge, name, ports: [] }];
  try {
    const plans = type.plan?.(name, options);
    const ports = plans
      ? plans.map((plan) => toPort(common.data, plan, name))
      : [toPort(common.data, { name, options })];
    return [{ at, bridge, name, ports }];
  } catch (error) {
    problems.push(problemAt(at, [], (error as Error).message));
    return [{ at, bridge, name, ports: [] }];
  }
}

/** `members: br0` of a bridge that observes: a template for every member of that Linux bridge. */
async function readMembers(bridge: Located, registries: Registries): Promise<PortEntry[]> {
  const at = bridge.members?.get("members");
  const netdev = await (typeof at?.value === "string" ? registries.portTypes["netdev"]?.() : undefined);
  const options = netdev?.schema.safeParse({ match: { master: at!.value } });
  if (!options?.success) return [];
  const port: PortConfig = {
    name: DEVICE_PLACEHOLDER,
    type: "netdev",
    enabled: true,
    options: options.data,
    origin: "config",
  };
  return [{ at: at!, bridge, name: port.name, ports: [port] }];
}

function toPort(raw: z.output<typeof portCommon>, plan: PortPlan, entry?: string): PortConfig {
  const vlan = plan.vlan ?? raw.vlan;
  const owner = plan.owner ?? raw.owner;
  return {
    name: plan.name,
    type: raw.type,
    enabled: raw.enabled,
    options: plan.options,
    origin: "config",
    ...(vlan && { vlan }),
    ...(owner && { owner: owner as Owner }),
    ...(raw.ifIndex !== undefined && { ifIndex: raw.ifIndex }),
    ...(raw.sampling && { sampling: raw.sampling }),
    ...(entry !== undefined && { entry }),
  };
}

function readExporter(at: Located, types: Types, problems: Problem[]): ExporterEntry[] {
  const { name, type: kind } = (at.value ?? {}) as { name?: unknown; type?: unknown };
  if (typeof kind !== "string") return [];
  const entry = { at, name: typeof name === "string" ? name : kind, type: kind };
  const type = types.exporters.get(kind);
  if (!type) return [entry];
  const options = readOptions(at, exporterCommon, type, problems);
  const collectors: string[] = [];
  const listed = at.members?.get("collectors");
  for (const [index, { value: text }] of listed?.members ?? []) {
    if (typeof text !== "string" || text === "") continue;
    try {
      collectors.push(formatCollector(parseCollector(text, type.defaultPort)));
    } catch (error) {
      problems.push(problemAt(at, ["collectors", index], (error as Error).message));
    }
  }
  if (type.defaultPort > 0 && (listed?.value === undefined || listed.members?.size === 0))
    problems.push(problemAt(at, ["collectors"], `required: who receives this, as ["127.0.0.1:${type.defaultPort}"]`));
  const common = exporterCommon.safeParse(at.value);
  if (options === undefined || !common.success) return [entry];
  const identity = type.identity?.(options);
  const exporter = { name: entry.name, type: kind, collectors, bridges: common.data.bridges, options };
  return [{ ...entry, exporter, ...(identity !== undefined && { identity }) }];
}

function assemble(
  raw: z.output<ReturnType<typeof configSchema>>,
  root: Located,
  ports: readonly PortEntry[],
  exporters: readonly ExporterEntry[],
): WeirConfig {
  const bridges = raw.bridges.map((bridge, index): BridgeConfig => {
    const at = root.members!.get("bridges")!.members!.get(index)!;
    return {
      name: bridge.name,
      datapath: bridge.datapath,
      mode: bridge.mode,
      failMode: bridge.failMode,
      macAgingMs: bridge.macAging,
      macTableSize: bridge.macTableSize,
      dropMalformed: bridge.dropMalformed,
      sampling: bridge.sampling,
      ports: ports.filter((entry) => entry.bridge === at).flatMap((entry) => entry.ports),
      ...(bridge.mirrors.length > 0 && { mirrors: bridge.mirrors.map(toMirror) }),
    };
  });
  return {
    host: raw.host,
    ...(raw.captures !== undefined && { captures: raw.captures }),
    api: raw.api,
    flows: {
      activeTimeoutMs: raw.flows.activeTimeout,
      idleTimeoutMs: raw.flows.idleTimeout,
      tcpEndTimeoutMs: raw.flows.tcpEndTimeout,
      max: raw.flows.max,
      maxPerPort: raw.flows.maxPerPort,
    },
    tenants: raw.tenants,
    bridges,
    exporters: exporters.flatMap((entry) => entry.exporter ?? []),
  };
}
