/** weir top as text: a function of what was asked last and what the keys said. */
import type { FlowJson, PortJson, SystemJson, TenantJson } from "../../bridge/views/json.ts";
import { flowColumns } from "./flows.ts";
import type { Screen } from "./context.ts";
import { left, right, table } from "./table.ts";
import { cut, visible } from "./text.ts";
import { bitRate, count, si } from "./units.ts";
import { ownerName, tenantName } from "./words.ts";

export const VIEWS = ["tenant", "vm", "port", "flow"] as const;
export type TopView = (typeof VIEWS)[number];

/** What a row shows; the sort keys are these. */
export const SORTS = ["rxBps", "txBps", "rxPps", "newFlowsPps", "dropPps", "lostPps", "name"] as const;
export type TopSort = (typeof SORTS)[number];

export interface TopRow {
  readonly name: string;
  readonly rxBps: number;
  readonly txBps: number;
  readonly rxPps: number;
  readonly newFlowsPps: number;
  readonly dropPps: number;
  readonly lostPps: number;
}

export interface TopState {
  readonly by: TopView;
  readonly sort: TopSort;
  readonly filter: string;
  /** The filter is being typed. */
  readonly editing: boolean;
  readonly frozen: boolean;
  /** Why the last question failed. */
  readonly trouble?: string;
}

export interface TopData {
  readonly system: SystemJson;
  readonly rows: readonly TopRow[];
  readonly flows: readonly FlowJson[];
  /** Bits in per second, oldest first, by row name. */
  readonly history: ReadonlyMap<string, readonly number[]>;
}

function add(rows: Map<string, TopRow>, name: string, from: Omit<TopRow, "name">): void {
  const row = rows.get(name) ?? { name, rxBps: 0, txBps: 0, rxPps: 0, newFlowsPps: 0, dropPps: 0, lostPps: 0 };
  rows.set(name, {
    name,
    rxBps: row.rxBps + from.rxBps,
    txBps: row.txBps + from.txBps,
    rxPps: row.rxPps + from.rxPps,
    newFlowsPps: row.newFlowsPps + from.newFlowsPps,
    dropPps: row.dropPps + from.dropPps,
    lostPps: row.lostPps + from.lostPps,
  });
}

export function tenantRows(tenants: readonly TenantJson[]): TopRow[] {
  const rows = new Map<string, TopRow>();
  for (const tenant of tenants) add(rows, tenant.tenant ?? tenantName(tenant), tenant);
  return [...rows.values()];
}

export function portRows(ports: readonly PortJson[], by: "vm" | "port"): TopRow[] {
  const rows = new Map<string, TopRow>();
  for (const port of ports)
    add(
      rows,
      by === "port" ? port.name : port.owner?.vm === undefined ? `(${port.name})` : ownerName(port.owner),
      port,
    );
  return [...rows.values()];
}

export function sortRows(rows: readonly TopRow[], sort: TopSort): TopRow[] {
  const byName = (a: TopRow, b: TopRow): number => a.name.localeCompare(b.name, "en", { numeric: true });
  if (sort === "name") return rows.toSorted(byName);
  return rows.toSorted((a, b) => b[sort] - a[sort] || byName(a, b));
}

const LEVELS = ["_", ".", "-", "^"] as const;

/** The last minute in plain characters, scaled to its own largest value. */
export function sparkline(values: readonly number[]): string {
  const most = Math.max(...values, 1);
  return values
    .map((value) => LEVELS[Math.min(LEVELS.length - 1, Math.round((value / most) * (LEVELS.length - 1)))])
    .join("");
}

function header(data: TopData, state: TopState, screen: Screen): string {
  const { bridges } = data.system;
  const sum = (pick: (bridge: (typeof bridges)[number]) => number): number =>
    bridges.reduce((all, bridge) => all + pick(bridge), 0);
  const conserved = bridges.every((bridge) => bridge.conserved);
  const figures = [
    bridges.map((bridge) => visible(bridge.name)).join(","),
    `${bitRate(sum((bridge) => bridge.rates.rxBps))} in`,
    `${si(sum((bridge) => bridge.rates.rxPps))} pps `,
    `${si(sum((bridge) => bridge.rates.refusedPps))} refused/s`,
    `${si(sum((bridge) => bridge.rates.lostPps))} lost/s `,
    `${count(sum((bridge) => bridge.flows))} flows +${si(sum((bridge) => bridge.rates.newFlowsPps))}/s `,
    conserved ? "conserved" : screen.paint("red", "NOT CONSERVED"),
  ];
  const tabs = VIEWS.map((view) => (view === state.by ? screen.paint("reverse", `[${view}]`) : view)).join(" ");
  return `${figures.join("  ")}   by: ${tabs}${state.frozen ? "   FROZEN" : ""}`;
}

function body(data: TopData, state: TopState, screen: Screen): string[] {
  if (state.by === "flow") return table(flowColumns(screen), data.flows, { paint: screen.paint });
  const mark = (sort: TopSort, title: string): string => (state.sort === sort ? `*${title}` : title);
  const columns = [
    left(mark("name", state.by.toUpperCase()), (row: TopRow) => visible(row.name)),
    right(mark("rxBps", "IN bit/s"), (row: TopRow) => si(row.rxBps)),
    right(mark("txBps", "OUT bit/s"), (row: TopRow) => si(row.txBps)),
    right(mark("rxPps", "pps"), (row: TopRow) => si(row.rxPps)),
    right(mark("newFlowsPps", "NEW/s"), (row: TopRow) => si(row.newFlowsPps)),
    right(mark("dropPps", "REFUSED/s"), (row: TopRow) =>
      row.dropPps > 0 ? screen.paint("red", si(row.dropPps)) : "0",
    ),
    right(mark("lostPps", "LOST/s"), (row: TopRow) =>
      row.lostPps > 0 ? screen.paint("yellow", si(row.lostPps)) : "0",
    ),
    left("60 s", (row: TopRow) => sparkline(data.history.get(row.name) ?? [])),
  ];
  return table(columns, sortRows(data.rows, state.sort), { paint: screen.paint });
}

function footer(state: TopState, screen: Screen): string {
  if (state.editing) return `/${visible(state.filter)}_   enter: use it   escape: forget it`;
  if (state.trouble !== undefined) return screen.paint("red", visible(state.trouble));
  const filter = state.filter === "" ? "" : `   only ${visible(state.filter)}`;
  return `t v p f: by   s: sort   /: filter   space: ${state.frozen ? "go on" : "freeze"}   q: quit${filter}`;
}

/** Exactly as many lines as the terminal has rows, none wider than it. */
export function renderTop(
  data: TopData | undefined,
  state: TopState,
  size: { readonly rows: number; readonly columns: number },
  screen: Screen,
): string[] {
  const lines = data === undefined ? ["asking ..."] : [header(data, state, screen), ...body(data, state, screen)];
  const room = Math.max(1, size.rows - 1);
  const shown = lines.slice(0, room);
  while (shown.length < room) shown.push("");
  return [...shown, footer(state, screen)].map((line) => cut(line, size.columns));
}

/** The state after a key; undefined = leave. */
export function press(state: TopState, key: string): TopState | undefined {
  if (key === "\u0003") return undefined;
  if (state.editing) return edit(state, key);
  if (key === "q") return undefined;
  if (key === " ") return { ...state, frozen: !state.frozen };
  if (key === "/") return { ...state, editing: true };
  if (key === "s") return { ...state, sort: SORTS[(SORTS.indexOf(state.sort) + 1) % SORTS.length]! };
  const by = VIEWS.find((view) => view[0] === key);
  return by === undefined ? state : { ...state, by };
}

const MAX_FILTER = 200;

function edit(state: TopState, key: string): TopState {
  if (key === "\r" || key === "\n") return { ...state, editing: false };
  if (key === "\u001b") return { ...state, editing: false, filter: "" };
  if (key === "\u007f" || key === "\b") return { ...state, filter: [...state.filter].slice(0, -1).join("") };
  if (key < " ") return state;
  return { ...state, filter: (state.filter + key).slice(0, MAX_FILTER) };
}
