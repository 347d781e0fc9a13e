/**
 * InfluxQL, typed by the exporter's schema: a measurement, tag or field that is not there does not compile, nor does a
 * rate of a gauge.
 *
 * Counters begin again at 0 where Weir does. Differences are taken of each series by itself, between its own rows, and
 * only then summed: sums first would hide a reset or draw it as a spike. Rates are means of the rows' own rates, so that
 * neither a gap nor an interval longer than `$__interval` draws one.
 */
import type { Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import type { DataSourceRef } from "@grafana/grafana-foundation-sdk/common";
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as units from "@grafana/grafana-foundation-sdk/units";
import {
  SCHEMA,
  type FieldKind,
  type FieldName,
  type FieldOf,
  type MeasurementName,
  type TagName,
  type TopDimension,
} from "../../exporters/influx/schema.ts";
import { LEVEL_UNITS, RATE_UNITS, sourceOf, TOTAL_UNITS, unitOf, type Target } from "./target.ts";
import { choice } from "./variables.ts";

/** Grafana's InfluxDB data source, of InfluxQL written out; the SDK has no type of it. */
interface InfluxQuery extends Dataquery {
  readonly refId: string;
  readonly datasource: DataSourceRef;
  readonly rawQuery: true;
  readonly query: string;
  readonly resultFormat: "time_series" | "table";
  readonly alias?: string;
}

/** Where the values of a variable come from. */
const VARIABLES = {
  host: { of: "weir_host", label: "Host" },
  bridge: { of: "weir_datapath", label: "Bridge" },
  tenant: { of: "weir_tenant", label: "Tenant" },
  port: { of: "weir_port", label: "Port" },
  session: { of: "weir_mirror", label: "Session" },
  exporter: { of: "weir_exporter", label: "Exporter" },
} as const satisfies Record<string, { of: MeasurementName; label: string }>;
export type Variable = keyof typeof VARIABLES;

/** What a column is called, and its field; of several: their sum. */
type Columns<M extends MeasurementName, K extends FieldKind> = Readonly<
  Record<string, FieldOf<M, K> | readonly FieldOf<M, K>[]>
>;

interface Options<M extends MeasurementName> {
  /** One series or row for each value of these tags; of none: one of everything. */
  readonly by?: readonly TagName<M>[];
  /** Tags that must have a value; a regular expression in slashes is one. */
  readonly where?: Readonly<Partial<Record<TagName<M>, string>>>;
}

interface Levels<M extends MeasurementName> extends Options<M> {
  /** How series become one. */
  readonly join?: "sum" | "min" | "max";
}

const quoted = (name: string): string => `"${name}"`;
const list = (parts: readonly string[]): string => parts.join(", ");
const TIME = "$timeFilter";
const EVERY = "time($__interval)";

/** Where and for which of a query's parts one is grouped. */
const grouped = (by: readonly string[], isTable: boolean): string => {
  const parts = [...(isTable ? [] : [EVERY]), ...by.map(quoted)];
  return `WHERE ${TIME}${parts.length ? ` GROUP BY ${list(parts)}` : ""}${isTable ? "" : " fill(null)"}`;
};

function target(
  query: string,
  unit: string,
  labels: readonly string[],
  by: readonly string[],
  isTable: boolean,
): Target {
  const alias = [...by.map((tag) => `$tag_${tag}`), ...(labels.length > 1 || by.length === 0 ? ["$col"] : [])];
  return {
    source: "influxdb",
    unit,
    columns: labels,
    build: (refId): InfluxQuery => ({
      refId,
      datasource: sourceOf("influxdb"),
      rawQuery: true,
      query,
      resultFormat: isTable ? "table" : "time_series",
      ...(!isTable && { alias: alias.join(" ") }),
      _implementsDataqueryVariant() {},
    }),
  };
}

/** What can be asked on a board with these variables: all that they say is asked for only. */
export function influx(variables: readonly Variable[]) {
  const conditions = (of: MeasurementName, where: object = {}, upTo = variables.length): string[] => {
    const tags: readonly string[] = SCHEMA[of].tags;
    return [
      ...variables
        .slice(0, upTo)
        .filter((name) => tags.includes(name))
        .map((name) => `${quoted(name)} =~ /^\${${name}:regex}$/`),
      ...Object.entries(where as Record<string, string>).map(([tag, value]) =>
        value.startsWith("/") ? `${quoted(tag)} =~ ${value}` : `${quoted(tag)} = '${value}'`,
      ),
    ];
  };
  const from = (of: MeasurementName, where: object = {}): string =>
    `FROM ${quoted(of)} WHERE ${[...conditions(of, where), TIME].join(" AND ")}`;

  /** The parts that all queries are made of: what is done to each field of each series, and to each column of their sum. */
  function parts(of: MeasurementName, columns: Readonly<Record<string, string | readonly string[]>>) {
    const known: Readonly<Record<string, { readonly unit: string }>> = SCHEMA[of].fields;
    const pairs = Object.entries(columns).map(([label, fields]) => [label, [fields].flat() as string[]] as const);
    const fields = [...new Set(pairs.flatMap(([, those]) => those))];
    return {
      labels: pairs.map(([label]) => label),
      unit: known[fields[0]!]!.unit,
      each: (what: (field: string) => string) =>
        list(fields.map((field) => `${what(quoted(field))} AS ${quoted(field)}`)),
      joined: (how: string, scale = "") =>
        list(
          pairs.map(([label, those]) => {
            const sum = those.map((field) => `${how}(${quoted(field)})`).join(" + ");
            return `${those.length > 1 && scale ? `(${sum})` : sum}${scale} AS ${quoted(label)}`;
          }),
        ),
    };
  }
  const rates = (of: MeasurementName, where: object | undefined, each: ReturnType<typeof parts>["each"]): string =>
    `SELECT ${each((field) => `mean(${field})`)} FROM ` +
    `(SELECT ${each((field) => `non_negative_derivative(${field}, 1s)`)} ${from(of, where)} GROUP BY *) ` +
    `WHERE ${TIME} GROUP BY ${EVERY}, * fill(none)`;

  return {
    /** Of counters, per second; of bytes as bits. */
    rate<M extends MeasurementName>(of: M, columns: Columns<M, "counter">, options: Options<M> = {}): Target {
      const { by = [], where } = options;
      const { labels, unit, each, joined } = parts(of, columns);
      const sums = joined("sum", unit === "bytes" ? " * 8" : "");
      const query = `SELECT ${sums} FROM (${rates(of, where, each)}) ${grouped(by, false)}`;
      return target(query, unitOf(RATE_UNITS, unit), labels, by, false);
    },

    /** A rate as a share of another. */
    share<M extends MeasurementName>(
      of: M,
      label: string,
      part: FieldOf<M, "counter">,
      whole: FieldOf<M, "counter">,
      options: Options<M> = {},
    ): Target {
      const { by = [], where } = options;
      const { each } = parts(of, { part, whole });
      const share = `sum(${quoted(part)}) / sum(${quoted(whole)}) AS ${quoted(label)}`;
      const query = `SELECT ${share} FROM (${rates(of, where, each)}) ${grouped(by, false)}`;
      return target(query, units.PercentUnit, [label], by, false);
    },

    /** What counters grew by in the range of the board: a table, one row for each value of `by`. */
    total<M extends MeasurementName>(of: M, columns: Columns<M, "counter">, options: Options<M> = {}): Target {
      const { by = [], where } = options;
      const { labels, unit, each, joined } = parts(of, columns);
      const differences = each((field) => `non_negative_difference(${field})`);
      const query = `SELECT ${joined("sum")} FROM (SELECT ${differences} ${from(of, where)} GROUP BY *) ${grouped(by, true)}`;
      return target(query, unitOf(TOTAL_UNITS, unit), labels, by, true);
    },

    /** Gauges over time: the last of each series in an interval, joined. */
    level<M extends MeasurementName>(of: M, columns: Columns<M, "gauge">, options: Levels<M> = {}): Target {
      const { by = [], where, join = "sum" } = options;
      const { labels, unit, each, joined } = parts(of, columns);
      const lasts = `SELECT ${each((field) => `last(${field})`)} ${from(of, where)} GROUP BY ${EVERY}, * fill(none)`;
      const query = `SELECT ${joined(join)} FROM (${lasts}) ${grouped(by, false)}`;
      return target(query, unitOf(LEVEL_UNITS, unit), labels, by, false);
    },

    /** The highest of the rows of an interval. */
    highest<M extends MeasurementName>(of: M, columns: Columns<M, "delta">, options: Options<M> = {}): Target {
      const { by = [], where } = options;
      const { labels, unit, joined } = parts(of, columns);
      const query = `SELECT ${joined("max")} ${from(of, where)} GROUP BY ${list([EVERY, ...by.map(quoted)])} fill(none)`;
      return target(query, unitOf(TOTAL_UNITS, unit), labels, by, false);
    },

    /** What some ranks of a top have of all bytes. Each row says the whole; rank 01 is in every interval, so the largest sum has all. */
    topShare(dim: TopDimension, label: string, ranks: string): Target {
      const [bytes, total] = (["bytes", "total_bytes"] satisfies FieldName<"weir_top">[]).map(quoted) as [
        string,
        string,
      ];
      const [host, bridge, rank] = (["host", "bridge", "rank"] satisfies TagName<"weir_top">[]).map(quoted);
      const step = (how: string, source: string, by: readonly (string | undefined)[]): string =>
        `SELECT sum(${bytes}) AS ${bytes}, ${how}(${total}) AS ${total} ${source} GROUP BY ${[EVERY, ...by].join(", ")} fill(none)`;
      const ranked = step("sum", from("weir_top", { dim, rank: ranks }), [host, bridge, rank]);
      const bridges = step("max", `FROM (${ranked}) WHERE ${TIME}`, [host, bridge]);
      const query = `SELECT sum(${bytes}) / sum(${total}) AS ${quoted(label)} FROM (${bridges}) WHERE ${TIME} GROUP BY ${EVERY} fill(none)`;
      return target(query, units.PercentUnit, [label], [], false);
    },

    /** The newest value of each series in the range: a table, one row for each value of `by`. */
    latest<M extends MeasurementName>(of: M, columns: Columns<M, FieldKind>, options: Options<M> = {}): Target {
      const { by = [], where } = options;
      const { labels, unit, joined } = parts(of, columns);
      const query = `SELECT ${joined("last")} ${from(of, where)}${by.length ? ` GROUP BY ${list(by.map(quoted))}` : ""}`;
      return target(query, unitOf(LEVEL_UNITS, unit), labels, by, true);
    },

    /** Rows as they were written, for what InfluxQL cannot group by: a field. */
    rows<M extends MeasurementName>(of: M, columns: Columns<M, FieldKind>, options: Options<M> = {}): Target {
      const { by = [], where } = options;
      const { labels, unit } = parts(of, columns);
      const fields = list(
        Object.entries(columns).map(([label, field]) => `${quoted(field as string)} AS ${quoted(label)}`),
      );
      const query = `SELECT ${fields} ${from(of, where)}${by.length ? ` GROUP BY ${list(by.map(quoted))}` : ""}`;
      return target(query, unitOf(TOTAL_UNITS, unit), labels, by, true);
    },

    /** Each depends on those before it. */
    variables: (): dashboard.VariableModel[] =>
      variables.map((name, n) => {
        const { of, label } = VARIABLES[name];
        const where = conditions(of, {}, n).join(" AND ");
        const query = `SHOW TAG VALUES FROM ${quoted(of)} WITH KEY = ${quoted(name)}${where ? ` WHERE ${where}` : ""}`;
        return choice("influxdb", name, label, query, query);
      }),
  };
}
