/**
 * InfluxQL, typed by the exporter's schema: a measurement, tag or field that is not there does not compile, nor does a
 * rate of a gauge.
 *
 * Counters begin again at 0 where Weir does. Differences are taken of each series by itself, between its own rows, and
 * only then summed: sums first would hide a reset or draw it as a spike. Rates are means of the rows' own rates, so that
 * neither a gap nor an interval longer than `$__interval` draws one.
 *
 * One field a query: InfluxDB 1.x runs a subquery again for each field that is asked of it, so that seven fields took a
 * hundred times as long as one.
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
  /** One line or row for each value of these tags; of none: one of everything. */
  readonly by?: readonly TagName<M>[];
  /** One for each series instead, called after the tags of `by`: much cheaper than a sum by some of many tags. */
  readonly isEach?: boolean;
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

/** A query, what its values are called, and the tags that its lines are called after. */
interface Asked {
  readonly query: string;
  readonly label: string;
  readonly unit: string;
  readonly isTable?: boolean;
  readonly by?: readonly string[];
  /** One of several: its lines are called after it too. */
  readonly isOneOf?: boolean;
}

function target({ query, label, unit, isTable = false, by = [], isOneOf = false }: Asked): Target {
  const alias = [...by.map((tag) => `$tag_${tag}`), ...(isOneOf || by.length === 0 ? [label] : [])].join(" ");
  return {
    source: "influxdb",
    unit,
    build: (refId): InfluxQuery => ({
      refId,
      datasource: sourceOf("influxdb"),
      rawQuery: true,
      query,
      resultFormat: isTable ? "table" : "time_series",
      ...(!isTable && { alias }),
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

  /** A query for each column; `ask` has the field, and the source that it is of: a measurement or a sum of its fields. */
  function each<M extends MeasurementName>(
    of: M,
    columns: Readonly<Record<string, string | readonly string[]>>,
    { where, by = [], isEach = false }: Options<M>,
    isTable: boolean,
    units: Readonly<Record<string, string>>,
    ask: (source: string, field: string, label: string, group: string, unit: string) => string,
  ): Target[] {
    const known: Readonly<Record<string, { readonly unit: string }>> = SCHEMA[of].fields;
    const tags: readonly string[] = isEach ? SCHEMA[of].tags : by;
    const pairs = Object.entries(columns);
    return pairs.map(([label, some]) => {
      const fields = [some].flat();
      const unit = known[fields[0]!]!.unit;
      const sum = fields.map(quoted).join(" + ");
      const [source, field] =
        fields.length === 1
          ? [from(of, where), sum]
          : [`FROM (SELECT ${sum} AS "sum" ${from(of, where)} GROUP BY *) WHERE ${TIME}`, `"sum"`];
      const query = ask(source, field, quoted(label), grouped(tags, isTable), unit);
      return target({ query, label, unit: unitOf(units, unit), isTable, by, isOneOf: pairs.length > 1 });
    });
  }

  return {
    /** Of counters, per second; of bytes as bits. */
    rate: <M extends MeasurementName>(of: M, columns: Columns<M, "counter">, options: Options<M> = {}): Target[] =>
      each(of, columns, options, false, RATE_UNITS, (source, field, label, group, unit) => {
        const rates = `(SELECT non_negative_derivative(${field}, 1s) AS "rate" ${source} GROUP BY *)`;
        const scale = unit === "bytes" ? " * 8" : "";
        if (options.isEach) return `SELECT mean("rate")${scale} AS ${label} FROM ${rates} ${group}`;
        const means = `(SELECT mean("rate") AS "rate" FROM ${rates} WHERE ${TIME} GROUP BY ${EVERY}, * fill(none))`;
        return `SELECT sum("rate")${scale} AS ${label} FROM ${means} ${group}`;
      }),

    /** A counter's growth as a share of another's, of each series; called after the tags of `by`. */
    share<M extends MeasurementName>(
      of: M,
      label: string,
      part: FieldOf<M, "counter">,
      whole: FieldOf<M, "counter">,
      by: readonly TagName<M>[],
    ): Target {
      const grew = (field: string): string => `non_negative_derivative(${quoted(field)}, 1s)`;
      const shares = `(SELECT ${grew(part)} / ${grew(whole)} AS "share" ${from(of)} GROUP BY *)`;
      const query = `SELECT mean("share") AS ${quoted(label)} FROM ${shares} ${grouped(SCHEMA[of].tags, false)}`;
      return target({ query, label, unit: units.PercentUnit, by });
    },

    /** What counters grew by in the range of the board: tables, one row for each value of `by`. */
    total: <M extends MeasurementName>(of: M, columns: Columns<M, "counter">, options: Options<M> = {}): Target[] =>
      each(of, columns, options, true, TOTAL_UNITS, (source, field, label, group) => {
        const differences = `(SELECT non_negative_difference(${field}) AS "grew" ${source} GROUP BY *)`;
        return `SELECT sum("grew") AS ${label} FROM ${differences} ${group}`;
      }),

    /** Gauges over time: the last of each series in an interval, joined. */
    level: <M extends MeasurementName>(of: M, columns: Columns<M, "gauge">, options: Levels<M> = {}): Target[] =>
      each(of, columns, options, false, LEVEL_UNITS, (source, field, label, group) => {
        if (options.isEach)
          return `SELECT last(${field}) AS ${label} ${source} ${group.slice(`WHERE ${TIME} `.length)}`;
        const lasts = `(SELECT last(${field}) AS "last" ${source} GROUP BY ${EVERY}, * fill(none))`;
        return `SELECT ${options.join ?? "sum"}("last") AS ${label} FROM ${lasts} ${group}`;
      }),

    /** The highest of the rows of an interval. */
    highest: <M extends MeasurementName>(of: M, columns: Columns<M, "delta">, options: Options<M> = {}): Target[] =>
      each(of, columns, options, false, TOTAL_UNITS, (source, field, label) => {
        return `SELECT max(${field}) AS ${label} ${source} GROUP BY ${EVERY} fill(none)`;
      }),

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
      return target({ query, label, unit: units.PercentUnit });
    },

    /** Rows as they were written, for what InfluxQL cannot group by: a field. */
    rows<M extends MeasurementName>(
      of: M,
      columns: Readonly<Record<string, FieldName<M>>>,
      where: Options<M>["where"],
    ): Target {
      const fields = list(Object.entries(columns).map(([label, field]) => `${quoted(field)} AS ${quoted(label)}`));
      return target({ query: `SELECT ${fields} ${from(of, where)}`, label: "", unit: units.Short, isTable: true });
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
