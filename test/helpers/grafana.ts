/** What Grafana does with a committed dashboard before a data source sees it: variables, intervals, times, transformations. */
import { readdirSync, readFileSync } from "node:fs";
import { join } from "node:path";
import { projectRoot } from "./captures.ts";

export interface DashboardJson {
  readonly uid: string;
  readonly title: string;
  readonly panels: readonly PanelJson[];
  readonly templating: { readonly list: readonly VariableJson[] };
}
export interface PanelJson {
  readonly type: string;
  readonly title: string;
  readonly targets?: readonly TargetJson[];
  readonly transformations?: readonly { readonly id: string; readonly options: any }[];
}
export interface TargetJson {
  readonly refId: string;
  readonly query?: string;
  readonly expr?: string;
  readonly instant?: boolean;
  readonly resultFormat?: "time_series" | "table";
}
export interface VariableJson {
  readonly name: string;
  readonly type: string;
  readonly query: string | { readonly query: string };
  readonly allValue?: string;
}

/** The committed boards of a folder below dashboards/json. */
export function committed(folder: "influx" | "prometheus"): DashboardJson[] {
  const path = join(projectRoot, "dashboards/json", folder);
  return readdirSync(path).map((name) => JSON.parse(readFileSync(join(path, name), "utf8")) as DashboardJson);
}

/** What is chosen of a variable: values, or all. */
export type Choice = readonly string[] | "All";

export interface View {
  readonly choices: Readonly<Record<string, Choice>>;
  readonly fromMs: number;
  readonly toMs: number;
  /** Of the data source or the panel. */
  readonly intervalMs: number;
}

// As Grafana escapes for `${name:regex}`.
const escapeRegex = (value: string): string => value.replace(/[\\^$*+?.()|[\]{}/]/g, "\\$&");
// As its Prometheus data source does for a variable of several values in double quotes.
const escapePrometheus = (value: string): string =>
  value.replaceAll("\\", "\\\\\\\\").replace(/[$^*{}[\]'+?.()|]/g, "\\\\$&");

function alternatives(values: readonly string[], escape: (value: string) => string): string {
  const escaped = values.map(escape);
  return escaped.length === 1 ? escaped[0]! : `(${escaped.join("|")})`;
}

const duration = (ms: number): string => (ms % 1000 === 0 ? `${ms / 1000}s` : `${ms}ms`);

/** A query as the data source gets it; throws where a variable stays. */
export function expand(text: string, board: DashboardJson, view: View): string {
  const { choices, fromMs, toMs, intervalMs } = view;
  const builtIn: Record<string, string> = {
    __interval: duration(intervalMs),
    // At least four scrapes, as Grafana has it.
    __rate_interval: duration(4 * intervalMs),
    __range: duration(Math.ceil((toMs - fromMs) / 1000) * 1000),
    timeFilter: `time >= ${fromMs}ms and time <= ${toMs}ms`,
  };
  return text.replace(/\$(?:\{(\w+)(?::(\w+))?\}|(\w+))/g, (whole, braced, format, bare) => {
    const name = (braced ?? bare) as string;
    if (name in builtIn) return builtIn[name]!;
    const variable = board.templating.list.find((one) => one.name === name);
    const choice = choices[name];
    if (variable === undefined || choice === undefined) throw new Error(`${board.uid}: ${whole} in ${text}`);
    if (choice === "All") return variable.allValue!;
    return alternatives(choice, format === "regex" ? escapeRegex : escapePrometheus);
  });
}

/** The boards' variables that ask a data source, in their order. */
export const queried = (board: DashboardJson): readonly VariableJson[] =>
  board.templating.list.filter(({ type }) => type === "query");

export type Row = Readonly<Record<string, unknown>>;

/** The tables of a panel's queries after its transformations. */
export function transformed(tables: readonly (readonly Row[])[], panel: PanelJson): Row[] {
  let left = tables.map((rows) => [...rows]);
  for (const { id, options } of panel.transformations ?? []) {
    const transform = TRANSFORMATIONS[id];
    if (id === "merge") left = [merged(left)];
    else if (transform === undefined)
      throw new Error(`"${panel.title}": the tests do not know the transformation ${id}`);
    else left = left.map((rows) => transform(rows, options));
  }
  if (left.length !== 1) throw new Error(`"${panel.title}": ${left.length} tables where one can be shown`);
  return left[0]!;
}

/** Rows become one where all columns that they share are equal, and they share some. */
function merged(tables: readonly (readonly Row[])[]): Row[] {
  const names = tables.map((rows) => new Set(rows.flatMap((row) => Object.keys(row))));
  const shared = [...names[0]!].filter((name) => names.every((those) => those.has(name)));
  const rows = new Map<string, Row>();
  for (const row of tables.flat()) {
    const key = JSON.stringify(shared.map((name) => row[name]));
    rows.set(key, { ...rows.get(key), ...row });
  }
  return [...rows.values()];
}

const TRANSFORMATIONS: Readonly<Record<string, (rows: Row[], options: any) => Row[]>> = {
  filterFieldsByName: (rows, { include }) => columns(rows, include.names),
  organize: (rows, { indexByName, renameByName }) =>
    rows.map((row) =>
      Object.fromEntries(
        Object.entries(row)
          .toSorted(([a], [b]) => indexByName[a] - indexByName[b])
          .map(([name, value]) => [renameByName[name] ?? name, value]),
      ),
    ),
  groupBy(rows, { fields }) {
    const keys = Object.keys(fields).filter((name) => fields[name].operation === "groupby");
    const sums = Object.keys(fields).filter((name) => fields[name].operation === "aggregate");
    const groups = new Map<string, Record<string, unknown>>();
    for (const row of rows) {
      const key = JSON.stringify(keys.map((name) => row[name]));
      const group = groups.get(key) ?? columns([row], keys)[0]!;
      for (const name of sums) group[`${name} (sum)`] = Number(group[`${name} (sum)`] ?? 0) + Number(row[name]);
      groups.set(key, group);
    }
    return [...groups.values()];
  },
  sortBy: (rows, { sort: [{ field, desc }] }) =>
    rows.toSorted((a, b) => (Number(a[field]) - Number(b[field])) * (desc ? -1 : 1)),
  limit: (rows, { limitField }) => rows.slice(0, Number(limitField)),
};

/** Columns by name; one that no row has fails, one that a row lacks is empty there. */
function columns(rows: readonly Row[], names: readonly string[]): Record<string, unknown>[] {
  for (const name of names)
    if (!rows.some((row) => name in row))
      throw new Error(`no column "${name}" in ${Object.keys(rows[0] ?? {}).join(", ")}`);
  return rows.map((row) => Object.fromEntries(names.map((name) => [name, row[name]])));
}
