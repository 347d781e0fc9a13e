/** The view of a running switch: bridges, hub and drop table behind the API. Reads in place, changes nothing itself. */
import type { WeirConfig } from "../config/config.ts";
import { describeKey } from "../flow/describe.ts";
import { DROP_REASONS } from "../flow/disposition.ts";
import { FACT_WORDS } from "../flow/facts.ts";
import { FilterError, FLOW_KEYS } from "../flow/filter.ts";
import { frameOf, parseFrameSpec, type DescribedFrame } from "../flow/frame-spec.ts";
import { KEY_PORT, KEY_WORDS } from "../flow/key.ts";
import { parseKey } from "../flow/parse.ts";
import { SLOT_GEN, SLOT_KEY, SLOT_STATE, SLOT_WORDS, STATE_LIVE } from "../shm/slots.ts";
import type { DropTable } from "../telemetry/drops.ts";
import type { EventBus } from "../telemetry/events.ts";
import { isTrouble } from "../telemetry/exporter.ts";
import type { ExporterView } from "../telemetry/hub.ts";
import { Tenants } from "../bridge/owners.ts";
import { BridgeView } from "../bridge/views/bridge-view.ts";
import { dropJson, lostJson, type DropContext } from "../bridge/views/drops.ts";
import type { Breath } from "../bridge/views/flow-rates.ts";
import { findFlow, streamFlows, topFlows, type FlowSource } from "../bridge/views/flows.ts";
import type { FlowJson, MirrorJson, PortJson, ReloadJson, SystemJson, TraceJson } from "../bridge/views/json.ts";
import { tenantsJson } from "../bridge/views/tenants.ts";
import { traceJson } from "../bridge/views/trace.ts";
import { Problem } from "./problem.ts";
import { compareBy } from "./query.ts";
import type { Mirrors } from "./mirrors.ts";
import type { DropQuery, FlowChoice, FlowQuery, PortPatch, ReloadRequest, SwitchView, TraceRequest } from "./switch.ts";
import { compileWhere } from "./where.ts";

export interface RunningConfig {
  readonly value: WeirConfig;
  readonly path: string;
  readonly loadedMs: number;
  readonly sha256: string;
  /** Counts up with every applied change. */
  readonly generation: number;
  /** Unix ms at which a `reload --try` goes back. */
  readonly revertsMs?: number;
}

/** What the composition gives; methods that change something are its own. */
export interface Running {
  readonly version: string;
  readonly node: string;
  readonly kernel: string;
  readonly pid: number;
  readonly startedMs: number;
  /** Unix ms. */
  now(): number;
  readonly breath: Breath;
  bridges(): readonly BridgeView[];
  exporters(): readonly ExporterView[];
  readonly events: EventBus;
  readonly drops: DropTable;
  config(): RunningConfig;
  /** Beside what the view finds itself: the API did not start, a device is refused. One sentence each. */
  problems(): readonly string[];
  memory(): SystemJson["memory"];
  api(): SystemJson["api"];
  reload(request: ReloadRequest): Promise<ReloadJson>;
  /** After these the port's JSON is read anew. Throw a Problem to refuse. */
  putPort(name: string, entry: unknown): Promise<void>;
  patchPort(name: string, patch: PortPatch): Promise<void>;
  deletePort(name: string): Promise<void>;
  readonly mirrors: Mirrors;
}

export function liveView(running: Running): SwitchView {
  const tenants = (): Tenants => new Tenants(running.config().value.tenants);
  const sources = (): FlowSource[] => {
    const owners = tenants();
    return running.bridges().map((view) => view.flowSource(owners));
  };
  const ports = (): PortJson[] => {
    const owners = tenants();
    const sessions = running.mirrors.list().filter(({ state }) => state === "running");
    const all = running.bridges().flatMap((view) => view.ports(owners));
    return sessions.length === 0 ? all : all.map((port) => withMirrors(port, sessions));
  };
  const portNamed = (name: string): PortJson => {
    const found = ports().find((port) => port.name === name);
    if (found === undefined) throw new Problem(404, `there is no port ${JSON.stringify(name)}`);
    return found;
  };
  const refresh = async (): Promise<void> => {
    await Promise.all(running.bridges().map((view) => view.flowRates.refresh(() => view.bridge.datapath.nowNs())));
  };
  return {
    events: running.events,
    system: () => system(running),
    bridges: () => running.bridges().map((view) => view.json(running.now())),
    ports,
    tenants: () => tenantsJson(ports(), running.config().value.tenants),
    macs: () => {
      const owners = tenants();
      return running.bridges().flatMap((view) => view.macs(owners));
    },
    rules: () => running.bridges().flatMap((view) => view.rules()),
    drops: (query) => drops(running, query, tenants()),
    exporters: () => [...running.exporters()],
    audit: () => audit(running),
    config: () => publicConfig(running.config().value),
    async flows(query) {
      const choice = chooseFlows(query);
      await refresh();
      const [list] = await topFlows(sources(), [choice], running.breath);
      return list!;
    },
    chooseFlows,
    async flowLists(choices) {
      await refresh();
      const { sleep } = running.breath;
      return topFlows(sources(), choices, { breathe: () => sleep(1), sleep });
    },
    async *flowStream(query) {
      const { matches } = flowFilter(query);
      await refresh();
      yield* streamFlows(sources(), matches, running.breath);
    },
    trace: (request) => trace(running, request),
    reload: (request) => running.reload(request),
    async putPort(name, entry) {
      await running.putPort(name, entry);
      return portNamed(name);
    },
    async patchPort(name, patch) {
      portNamed(name);
      await running.patchPort(name, patch);
      return portNamed(name);
    },
    async deletePort(name) {
      portNamed(name);
      await running.deletePort(name);
    },
    mirrors: () => running.mirrors.list(),
    putMirror: (name, entry, caller) => running.mirrors.put(name, entry, caller),
    deleteMirror: (name) => running.mirrors.stop(name),
    capture: (name, signal) => running.mirrors.capture(name, signal),
  };
}

function withMirrors(port: PortJson, sessions: readonly MirrorJson[]): PortJson {
  const here = sessions.filter(({ bridge }) => bridge === port.bridge);
  const of = here.filter(({ ports }) => ports.includes(port.name)).map(({ name }) => name);
  const isOutput = ({ outputs }: MirrorJson): boolean =>
    outputs.some(({ kind, target }) => kind === "span" && target === port.name);
  const outputOf = here.filter(isOutput).map(({ name }) => name);
  return { ...port, ...(of.length > 0 && { mirrors: of }), ...(outputOf.length > 0 && { mirrorOutputOf: outputOf }) };
}

function flowFilter(query: FlowQuery): { matches?: (flow: FlowJson) => boolean } {
  return query.where === undefined ? {} : { matches: compileWhere(query.where, FLOW_KEYS) };
}

function chooseFlows(query: FlowQuery): FlowChoice {
  return { ...flowFilter(query), sort: checkSort(query.sort), limit: query.limit, compare: compareBy };
}

function checkSort(sort: string): string {
  const key = sort.replace(/^-/, "").split(".")[0]!;
  if (!FLOW_KEYS.includes(key))
    throw new Problem(400, `sort: a flow has no key ${key}`, [{ path: "sort", message: "unknown key" }]);
  return sort;
}

function system(running: Running): SystemJson {
  const nowMs = running.now();
  const { value, ...config } = running.config();
  const bridges = running.bridges().map((view) => view.json(nowMs));
  const exporters = running.exporters().map(({ name, type, state, lastError }) => ({
    name,
    type,
    state,
    ...(isTrouble(state) && lastError !== undefined && { message: lastError }),
  }));
  const problems = [
    ...running.problems(),
    ...bridges.filter((bridge) => !bridge.conserved).map((bridge) => `${bridge.name}: counts do not add up`),
    ...running.bridges().flatMap((view) =>
      view.bridge
        .ports()
        .filter(({ status, config }) => config.enabled && (status.state === "conflict" || status.state === "failed"))
        .map(({ name, status }) => `port ${name} ${status.state}: ${status.message ?? "no reason given"}`),
    ),
    ...exporters
      .filter(({ state }) => isTrouble(state))
      .map(({ name, state, message }) => `exporter ${name} ${state}${message === undefined ? "" : `: ${message}`}`),
  ];
  return {
    at: new Date(nowMs).toISOString(),
    version: running.version,
    node: running.node,
    kernel: running.kernel,
    host: { name: value.host.name },
    pid: running.pid,
    startedMs: running.startedMs,
    upMs: nowMs - running.startedMs,
    state: problems.length === 0 ? "ok" : "degraded",
    problems,
    config,
    memory: running.memory(),
    api: running.api(),
    bridges,
    exporters,
  };
}

/** Exporters read the records of all bridges: their equation stands with the last. */
async function audit(running: Running): Promise<Awaited<ReturnType<BridgeView["audit"]>>[]> {
  const at = new Date(running.now()).toISOString();
  const bridges = running.bridges();
  const audits: Awaited<ReturnType<BridgeView["audit"]>>[] = [];
  for (const view of bridges) audits.push(await view.audit(at));
  // Read in one go with what exporters say: records are made while an audit takes its slices.
  const inRecords = bridges.reduce((sum, { recordedPackets }) => sum + recordedPackets, 0);
  // Samples estimate; they are no part of the sum.
  const exact = running.exporters().filter(({ sampling }) => sampling === undefined);
  const equations = exact.map((exporter) => exporterAudit(exporter, inRecords));
  return audits.map((one, n) =>
    n < audits.length - 1
      ? one
      : { ...one, ok: one.ok && equations.every((equation) => equation.ok), exporters: equations },
  );
}

/** What it sent, could not say, holds and lost is what records said since it was opened: never more than all of them. */
function exporterAudit(exporter: ExporterView, inRecords: number) {
  const { name, packets, notExportable, pendingPackets, lostPackets } = exporter;
  const told = packets + Object.values(notExportable).reduce((sum, count) => sum + count, 0);
  const ok = told + pendingPackets + lostPackets <= inRecords;
  return { name, packets, notExportable: { ...notExportable }, pending: pendingPackets, lost: lostPackets, ok };
}

function drops(running: Running, query: DropQuery, owners: Tenants): ReturnType<SwitchView["drops"]> {
  const expected = { packets: 0, reasons: new Set<number>() };
  const items: ReturnType<typeof dropJson>[] = [];
  const lost: ReturnType<typeof lostJson>[] = [];
  for (const view of running.bridges()) {
    const { bridge } = view;
    const { slots } = bridge.datapath;
    const context: DropContext = {
      bridge: bridge.name,
      port: (no) => bridge.portAt(no),
      tenant: ({ config }) =>
        config.owner?.tenant ?? (config.vlan?.mode === "access" ? owners.ofVlan(config.vlan.tag) : undefined),
      lives: (slot, gen) =>
        slot < slots.capacity &&
        slots.u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE &&
        slots.u32[slot * SLOT_WORDS + SLOT_GEN] === gen,
    };
    for (const row of running.drops.drops(bridge.name, query.since)) {
      if (query.all || DROP_REASONS[row.reason]!.class !== "expected") items.push(dropJson(row, context));
      else {
        expected.packets += row.packets;
        expected.reasons.add(row.reason);
      }
    }
    lost.push(...running.drops.lost(bridge.name, query.since).map((row) => lostJson(row, context)));
  }
  const windowMs = query.since === "start" ? running.now() - running.startedMs : query.since;
  return { items, windowMs, lost, expected: { packets: expected.packets, reasons: expected.reasons.size } };
}

/** The configuration has no secrets today; what is named like one is left out all the same. */
function publicConfig(config: WeirConfig): unknown {
  return JSON.parse(
    JSON.stringify(config, (key, value: unknown) =>
      /^(token|secret|password|key)s?$/i.test(key) ? "(left out)" : value,
    ),
  ) as unknown;
}

const facts = new Int32Array(FACT_WORDS);

function trace(running: Running, request: TraceRequest): TraceJson {
  if (request.flow !== undefined) return traceFlow(running, request.flow);
  for (const view of running.bridges()) {
    const entry = view.bridge.port(request.port!);
    if (entry === undefined) continue;
    const { frame, invented } =
      request.frame === undefined
        ? describedFrame(request.match ?? "", view, entry.no)
        : { frame: fromHex(request.frame), invented: [] };
    const key = new Uint32Array(KEY_WORDS);
    if (!parseKey(frame, 0, frame.length, frame.length, entry.no, key, facts))
      throw new Problem(400, "frame: shorter than an Ethernet header", [
        { path: "frame", message: "14 bytes at least" },
      ]);
    return answer(running, view, key, invented);
  }
  throw new Problem(404, `there is no port ${JSON.stringify(request.port)}`);
}

function traceFlow(running: Running, id: string): TraceJson {
  const owners = new Tenants({});
  for (const view of running.bridges()) {
    const source = view.flowSource(owners);
    const slot = findFlow(source, id);
    if (slot < 0) continue;
    const at = slot * SLOT_WORDS + SLOT_KEY;
    return answer(running, view, source.slots.u32.slice(at, at + KEY_WORDS), []);
  }
  throw new Problem(404, `there is no flow ${JSON.stringify(id)} any more`);
}

function answer(running: Running, view: BridgeView, key: Uint32Array, invented: readonly string[]): TraceJson {
  const { bridge } = view;
  const port = bridge.portAt(key[KEY_PORT]! >>> 16);
  return traceJson(bridge.trace(key), {
    bridge: bridge.name,
    port: port?.name ?? "?",
    key,
    invented,
    sampling: port?.config.sampling?.rate ?? bridge.config.sampling.rate,
    recordExporters: running.exporters().flatMap(({ name, sampling }) => (sampling === undefined ? name : [])),
    filters: filtersOf(running),
    rule: bridge.rules.cache.lookup(key),
    ifIndex: (name) => bridge.port(name)?.ifIndex ?? 0,
  });
}

function filtersOf({ mirrors }: Running): Map<string, string> {
  const running = mirrors.list().filter(({ state }) => state === "running");
  return new Map(running.flatMap(({ name, select: { filter } }) => (filter === undefined ? [] : [[name, filter]])));
}

function fromHex(text: string): Uint8Array {
  if (!/^([0-9a-f]{2}){1,65536}$/i.test(text))
    throw new Problem(400, "frame: write hex digits, two a byte", [{ path: "frame", message: "not hex" }]);
  return new Uint8Array(Buffer.from(text, "hex"));
}

/** The frame of a description. Addresses that it leaves open are those of stations that were heard, where there are any. */
function describedFrame(match: string, view: BridgeView, port: number): DescribedFrame {
  try {
    const spec = parseFrameSpec(match);
    const ethSrc = spec.ethSrc ?? onlyStation(view, port);
    const ethDst = spec.ethDst ?? (spec.ipDst === undefined ? undefined : stationWith(view, spec.ipDst));
    return frameOf({ ...spec, ...(ethSrc !== undefined && { ethSrc }), ...(ethDst !== undefined && { ethDst }) });
  } catch (error) {
    if (!(error instanceof FilterError)) throw error;
    throw new Problem(400, `match: ${error.message}`, [{ path: "match", message: error.message }]);
  }
}

function onlyStation({ bridge }: BridgeView, port: number): string | undefined {
  const heard = [...bridge.macEntries(bridge.datapath.nowNs())].filter((entry) => entry.port === port);
  return heard.length === 1 ? heard[0]!.mac : undefined;
}

/** Who sends from this IP address. */
function stationWith({ bridge }: BridgeView, ip: string): string | undefined {
  const { slots } = bridge.datapath;
  for (let slot = 0; slot < slots.capacity; slot++) {
    if (slots.u32[slot * SLOT_WORDS + SLOT_STATE] !== STATE_LIVE) continue;
    const fields = describeKey(slots.u32, slot * SLOT_WORDS + SLOT_KEY);
    if (fields.ipSrc === ip) return fields.ethSrc;
  }
  return undefined;
}
