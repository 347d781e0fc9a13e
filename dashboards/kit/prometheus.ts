/**
 * PromQL, by the names of `/metrics`: a family that is not there does not compile, nor does a rate of a gauge. Rates come
 * before sums; the host is Prometheus' `instance`.
 */
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { DataqueryBuilder, PromQueryFormat } from "@grafana/grafana-foundation-sdk/prometheus";
import { METRICS } from "../../src/api/metrics/families.ts";
import { LEVEL_UNITS, RATE_UNITS, sourceOf, TOTAL_UNITS, unitOf, type Target } from "./target.ts";
import { choice } from "./variables.ts";

type MetricKey = keyof typeof METRICS;

/** What a variable chooses, and the family that has its values. */
const VARIABLES = {
  host: { label: "instance", of: "healthy", title: "Host" },
  bridge: { label: "bridge", of: "bridgeInfo", title: "Bridge" },
  tenant: { label: "tenant", of: "portInfo", title: "Tenant" },
  port: { label: "port", of: "portInfo", title: "Port" },
  session: { label: "session", of: "mirrorActive", title: "Session" },
  exporter: { label: "exporter", of: "exporterUp", title: "Exporter" },
} as const satisfies Record<string, { label: string; of: MetricKey; title: string }>;
type Variable = keyof typeof VARIABLES;

/** Labels of the families of a kind, which the variables can ask for. */
const LABELS = {
  process: ["host"],
  bridge: ["host", "bridge"],
  port: ["host", "bridge", "port"],
  tenant: ["host", "tenant"],
  exporter: ["host", "exporter"],
  mirror: ["host", "bridge", "session"],
  info: ["host", "bridge", "tenant", "port"],
} as const satisfies Record<string, readonly Variable[]>;

function kindOf(metric: MetricKey): keyof typeof LABELS {
  if (metric === "portInfo") return "info";
  const name = METRICS[metric].name;
  for (const kind of ["bridge", "tenant", "exporter", "mirror"] as const)
    if (name.startsWith(`weir_${kind}_`)) return kind;
  if (name.startsWith("weir_collector_")) return "exporter";
  const isPort = /^weir_(port|dropped|malformed|unattributed|lost)_/.test(name);
  return isPort ? "port" : "process";
}

interface Options {
  /** One line or row for each value of these labels; of none: one of everything. */
  readonly by?: readonly string[];
  /** More labels that must have a value: { why: "failed" }. */
  readonly where?: Readonly<Record<string, string>>;
  /** What a line is called; after `by` unless given. */
  readonly legend?: string;
}

const isBytes = (metric: MetricKey): boolean => /_(bytes|octets)$/.test(METRICS[metric].name);
const isPackets = (metric: MetricKey): boolean => METRICS[metric].name.endsWith("_packets");
const kindOfUnit = (metric: MetricKey): string => (isBytes(metric) ? "bytes" : isPackets(metric) ? "packets" : "count");

/** What is called so in `/metrics`. */
export function nameOf(metric: MetricKey): string {
  const { name, type } = METRICS[metric];
  return type === "counter" ? `${name}_total` : name;
}

export function prometheus(variables: readonly Variable[]) {
  const selector = (metric: MetricKey, where: Options["where"] = {}, upTo = variables.length): string => {
    const known: readonly Variable[] = LABELS[kindOf(metric)];
    const chosen = variables.slice(0, upTo).filter((name) => known.includes(name));
    const matchers = [
      ...chosen.map((name) => `${VARIABLES[name].label}=~"$${name}"`),
      ...Object.entries(where).map(([label, value]) => `${label}="${value}"`),
    ];
    return `${nameOf(metric)}{${matchers.join(", ")}}`;
  };
  /** Whose a port is stands in a family of its own: where a tenant is chosen, or asked for, it is joined. */
  const owned = (metric: MetricKey, by: readonly string[], inner: string): string => {
    const needs = variables.includes("tenant") || by.includes("tenant") || by.includes("vm");
    if (kindOf(metric) !== "port" || !needs) return inner;
    return `${inner} * on (instance, bridge, port) group_left (tenant, vm) ${selector("portInfo")}`;
  };
  const summed = (metric: MetricKey, by: readonly string[], inner: string, how = "sum"): string =>
    `${how}${by.length ? ` by (${by.join(", ")})` : ""} (${owned(metric, by, inner)})`;
  const target = (expr: string, unit: string, legend: string, isTable: boolean): Target => ({
    source: "prometheus",
    unit,
    build(refId) {
      const query = new DataqueryBuilder().refId(refId).datasource(sourceOf("prometheus")).expr(expr);
      if (isTable) return query.instant().format(PromQueryFormat.Table).build();
      return query.range().format(PromQueryFormat.TimeSeries).legendFormat(legend).build();
    },
  });
  const called = ({ by = [], legend }: Options, otherwise: string): string =>
    legend ?? (by.length ? by.map((label) => `{{${label}}}`).join(" ") : otherwise);

  return {
    /** Of counters, per second; of bytes as bits. */
    rate(metric: Counter, options: Options = {}): Target {
      const { by = [], where } = options;
      const scale = isBytes(metric) ? " * 8" : "";
      const expr = `${summed(metric, by, `rate(${selector(metric, where)}[$__rate_interval])`)}${scale}`;
      return target(expr, unitOf(RATE_UNITS, kindOfUnit(metric)), called(options, METRICS[metric].help), false);
    },
    /** What a counter grew by in the range of the board: one row for each value of `by`. Prometheus extrapolates: not a whole number. */
    total(metric: Counter, options: Options = {}): Target {
      const { by = [], where } = options;
      const expr = summed(metric, by, `increase(${selector(metric, where)}[$__range])`);
      return target(expr, unitOf(TOTAL_UNITS, kindOfUnit(metric)), "", true);
    },
    level(metric: Gauge, options: Options & { readonly join?: "sum" | "min" | "max" } = {}): Target {
      const { by = [], where, join } = options;
      const expr = summed(metric, by, selector(metric, where), join);
      return target(expr, unitOf(LEVEL_UNITS, kindOfUnit(metric)), called(options, METRICS[metric].help), false);
    },
    share(part: Counter, whole: Counter, options: Options = {}): Target {
      const { by = [] } = options;
      const rate = (metric: Counter): string => summed(metric, by, `rate(${selector(metric)}[$__rate_interval])`);
      return target(`${rate(part)} / ${rate(whole)}`, "percentunit", called(options, "share"), false);
    },
    /** Seconds since a time that a family says. */
    age(metric: Gauge, options: Options = {}): Target {
      const { by = [] } = options;
      return target(`time() - ${summed(metric, by, selector(metric), "min")}`, "s", called(options, "age"), false);
    },
    /** Each depends on those before it. */
    variables: (): dashboard.VariableModel[] =>
      variables.map((name, n) => {
        const { label, of, title } = VARIABLES[name];
        const query = `label_values(${selector(of, {}, n)}, ${label})`;
        return choice("prometheus", name, title, { query, refId: "names", qryType: 5 }, query);
      }),
  };
}

type Counter = { [K in MetricKey]: (typeof METRICS)[K]["type"] extends "counter" ? K : never }[MetricKey];
type Gauge = Exclude<MetricKey, Counter>;
