/**
 * Two configurations → what a reload would do. Pure: the applier does what the steps say, the command prints their lines.
 *
 *     ~ ports.db1.vlan   access 100 -> trunk 100,200   flows of db1 re-evaluated, counters go on
 *     + ports.web2       netdev 52:54:00:12:34:60      waits for its device
 *     = 12 ports, 3 exporters untouched
 */
import { isDeepStrictEqual } from "node:util";
import { vlanSetText, type VlanConfig } from "../flow/attachment.ts";
import { hostPort } from "../text/host-port.ts";
import { DURATION, PERCENT, formatQuantity } from "../text/units.ts";
import type { BridgeConfig, ExporterConfig, PortConfig, WeirConfig } from "./config.ts";

export type PlanOp = "+" | "~" | "-" | "=";

export interface PlanLine {
  readonly op: PlanOp;
  /** `ports.db1.vlan`; with several bridges `weir0.ports.db1.vlan`. */
  readonly path: string;
  readonly text: string;
  readonly note?: string;
}

/** What becomes of one thing with a name. */
export interface Change<T> {
  readonly op: "+" | "~" | "-";
  readonly name: string;
  /** The bridge of a port. */
  readonly bridge?: string;
  readonly before?: T;
  readonly after?: T;
  /** Keys that differ (~). */
  readonly keys: readonly string[];
}

export interface Plan {
  readonly bridges: readonly Change<BridgeConfig>[];
  readonly ports: readonly Change<PortConfig>[];
  readonly exporters: readonly Change<ExporterConfig>[];
  /** Of host, api, flows, tenants: those that differ, as `flows.idleTimeout`. */
  readonly settings: readonly string[];
  /** Paths whose new value is used at the next start only; the running one stays. */
  readonly restart: readonly string[];
  readonly lines: readonly PlanLine[];
}

/** Fixed while the process runs: memory is of that size, sockets and state are there. */
const AT_START = ["host.name", "host.stateDir", "api.socket", "flows.max"];
const BRIDGE_AT_START = ["datapath", "mode"];

/** Keys as the file has them. */
const FILE_NAMES: Readonly<Record<string, string>> = {
  activeTimeoutMs: "activeTimeout",
  idleTimeoutMs: "idleTimeout",
  tcpEndTimeoutMs: "tcpEndTimeout",
  macAgingMs: "macAging",
};

export function planReload(before: WeirConfig, after: WeirConfig): Plan {
  const lines: PlanLine[] = [];
  const settings: string[] = [];
  const restart: string[] = [];

  const setting = (path: string, old: unknown, now: unknown, atStart: boolean, note?: string) => {
    lines.push({
      op: old === undefined ? "+" : now === undefined ? "-" : "~",
      path,
      text:
        old === undefined
          ? show(path, now)
          : now === undefined
            ? show(path, old)
            : `${show(path, old)} -> ${show(path, now)}`,
      ...(atStart ? { note: "at the next start; until then as it is" } : note !== undefined && { note }),
    });
    if (atStart) restart.push(path);
  };

  for (const section of ["host", "api", "flows", "tenants"] as const)
    for (const key of differences(before[section], after[section])) {
      const path = `${section}.${FILE_NAMES[key] ?? key}`;
      settings.push(path);
      setting(path, member(before[section], key), member(after[section], key), AT_START.includes(path));
    }

  const single = new Set([...before.bridges, ...after.bridges].map((bridge) => bridge.name)).size <= 1;
  const bridges = pair(before.bridges, after.bridges, (bridge) => ({ ...bridge, ports: [], mirrors: [] }));
  const ports: Change<PortConfig>[] = [];
  let untouchedPorts = 0;
  for (const change of bridges.changes) {
    const path = `bridges.${change.name}`;
    if (change.op === "+") lines.push({ op: "+", path, text: count(change.after!.ports.length, "port") });
    else if (change.op === "-")
      lines.push({
        op: "-",
        path,
        text: count(change.before!.ports.length, "port"),
        note: "its flows end, their records are sent",
      });
    else
      for (const key of change.keys)
        setting(
          `${path}.${FILE_NAMES[key] ?? key}`,
          member(change.before!, key),
          member(change.after!, key),
          BRIDGE_AT_START.includes(key),
        );
  }
  for (const name of new Set([...before.bridges, ...after.bridges].map((bridge) => bridge.name))) {
    const old = before.bridges.find((bridge) => bridge.name === name)?.ports ?? [];
    const now = after.bridges.find((bridge) => bridge.name === name)?.ports ?? [];
    const paired = pair(old, now);
    untouchedPorts += paired.untouched;
    for (const change of paired.changes) {
      ports.push({ ...change, bridge: name });
      lines.push(...portLines(change, `${single ? "" : `${name}.`}ports.${change.name}`));
    }
  }

  for (const name of new Set([...before.bridges, ...after.bridges].map((bridge) => bridge.name))) {
    const old = before.bridges.find((bridge) => bridge.name === name)?.mirrors ?? [];
    const now = after.bridges.find((bridge) => bridge.name === name)?.mirrors ?? [];
    for (const { op, name: mirror, after: next, before: last } of pair(old, now).changes) {
      const text = (next ?? last!).outputs.map(({ type }) => type).join(", ");
      const note = op === "-" ? "ends" : op === "~" ? "ends and begins anew" : "begins";
      lines.push({ op, path: `${single ? "" : `${name}.`}mirrors.${mirror}`, text, note });
    }
  }

  const exporters = pair(before.exporters, after.exporters);
  for (const change of exporters.changes) lines.push(...exporterLines(change));
  const untouched = [
    ...(untouchedPorts ? [count(untouchedPorts, "port")] : []),
    ...(exporters.untouched ? [count(exporters.untouched, "exporter")] : []),
  ];
  if (untouched.length) lines.push({ op: "=", path: "", text: `${untouched.join(", ")} untouched` });
  return { bridges: bridges.changes, ports, exporters: exporters.changes, settings, restart, lines };
}

const member = (object: object, key: string): unknown => (object as Record<string, unknown>)[key];
const count = (number: number, what: string) => `${number} ${what}${number === 1 ? "" : "s"}`;

/** Keys whose values differ, those of the old first. */
function differences(before: object, after: object): string[] {
  return [...new Set([...Object.keys(before), ...Object.keys(after)])].filter(
    (key) => !isDeepStrictEqual(member(before, key), member(after, key)),
  );
}

/** Pairs two lists by name; what is gone first, so that names, devices and numbers are free for what comes. */
function pair<T extends { readonly name: string }>(
  before: readonly T[],
  after: readonly T[],
  compared: (item: T) => object = (item) => item,
): { changes: Change<T>[]; untouched: number } {
  const gone: Change<T>[] = [];
  const rest: Change<T>[] = [];
  let untouched = 0;
  const old = new Map(before.map((item) => [item.name, item]));
  const now = new Set(after.map((item) => item.name));
  for (const item of before) if (!now.has(item.name)) gone.push({ op: "-", name: item.name, before: item, keys: [] });
  for (const item of after) {
    const was = old.get(item.name);
    if (!was) rest.push({ op: "+", name: item.name, after: item, keys: [] });
    else {
      const keys = differences(compared(was), compared(item));
      if (keys.length) rest.push({ op: "~", name: item.name, before: was, after: item, keys });
      else untouched++;
    }
  }
  return { changes: [...gone, ...rest], untouched };
}

const PORT_NOTES: Readonly<Record<string, string>> = {
  vlan: "flows of NAME re-evaluated, counters go on",
  owner: "from now on; counters go on",
  options: "NAME is attached again, counters go on",
  type: "NAME is attached again, counters go on",
  ifIndex: "collectors see another interface",
};

function portLines(change: Change<PortConfig>, path: string): PlanLine[] {
  if (change.op === "+") {
    const waits = isWaiting(change.after!) ? { note: "waits for its device" } : {};
    return [{ op: "+", path, text: describePort(change.after!), ...waits }];
  }
  if (change.op === "-")
    return [{ op: "-", path, text: describePort(change.before!), note: "its flows end, their records are sent" }];
  return change.keys.map((key) => {
    const note = PORT_NOTES[key]?.replace("NAME", change.name);
    const [old, now] = [member(change.before!, key), member(change.after!, key)];
    return { op: "~", path: `${path}.${key}`, text: `${show(key, old)} -> ${show(key, now)}`, ...(note && { note }) };
  });
}

function exporterLines(change: Change<ExporterConfig>): PlanLine[] {
  const path = `exporters.${change.name}`;
  const text = (exporter: ExporterConfig) => [exporter.type, ...exporter.collectors].join(" ");
  if (change.op === "+") return [{ op: "+", path, text: text(change.after!) }];
  if (change.op === "-") return [{ op: "-", path, text: text(change.before!), note: "what it holds is sent first" }];
  return change.keys.map((key) => ({
    op: "~",
    path: `${path}.${key}`,
    text: `${show(key, member(change.before!, key))} -> ${show(key, member(change.after!, key))}`,
    note: "opened again, its sequence goes on",
  }));
}

/** What tells a port's attachment: its device, its device's address, its file. */
function attachment(port: PortConfig): string {
  const options = (port.options ?? {}) as Record<string, unknown>;
  const match = (options.match ?? {}) as Record<string, unknown>;
  for (const value of [options.device, match.device, match.mac, options.file, port.entry])
    if (typeof value === "string") return value;
  return "";
}

const describePort = (port: PortConfig) => `${port.type} ${attachment(port)}`.trimEnd();
const isWaiting = (port: PortConfig) => (port.options as { match?: unknown } | undefined)?.match !== undefined;

function show(path: string, value: unknown): string {
  const key = path.slice(path.lastIndexOf(".") + 1);
  if (value === undefined) return key === "vlan" ? "untagged" : "none";
  if (key === "vlan") return showVlan(value as VlanConfig);
  if (typeof value === "number" && /Timeout$|Aging$/.test(key)) return formatQuantity(value, DURATION);
  if (typeof value === "number" && key === "maxPerPort") return formatQuantity(value, PERCENT);
  if (Array.isArray(value) && value.some((item) => typeof item === "object"))
    return (value as { name?: string; host?: string; port?: number }[])
      .map(({ name, host, port }) => name ?? (host === undefined ? "{ … }" : hostPort(host, port!)))
      .join(",");
  if (Array.isArray(value))
    return value.every((item) => typeof item === "number") ? vlanSetText(value) : value.join(",") || "none";
  if (typeof value !== "object" || value === null) return String(value);
  const inner = Object.entries(value).map(([name, member]) => `${name} ${show(name, member)}`);
  return `{ ${inner.join(", ")} }`;
}

function showVlan(vlan: VlanConfig): string {
  if (vlan.mode === "access") return `access ${vlan.tag}`;
  const trunk = `trunk ${vlanSetText(vlan.trunks)}`;
  return vlan.mode === "trunk" ? trunk : `${vlan.mode} ${vlan.tag}, ${trunk}`;
}
