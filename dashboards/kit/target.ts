/** What a panel asks its data source. */
import type { Dataquery } from "@grafana/grafana-foundation-sdk/cog";
import * as units from "@grafana/grafana-foundation-sdk/units";

export type SourceType = "influxdb" | "prometheus";

export interface Target {
  readonly source: SourceType;
  /** Grafana's unit of the values. */
  readonly unit: string;
  build(refId: string): Dataquery;
}

/** The board's data source: chosen by its first variable, never a fixed one. */
export const SOURCE_VARIABLE = "DS";
export const sourceOf = (type: SourceType) => ({ type, uid: `\${${SOURCE_VARIABLE}}` });

/** Of `kind` and `unit` of a field: rates are per second, bytes are drawn as bits then. */
export const RATE_UNITS: Readonly<Record<string, string>> = {
  bytes: units.BitsPerSecondSI,
  packets: units.PacketsPerSecond,
  count: units.CountsPerSecond,
  flows: "suffix: flows/s",
  records: "suffix: records/s",
  points: "suffix: points/s",
};
export const TOTAL_UNITS: Readonly<Record<string, string>> = { bytes: units.BytesSI };
export const LEVEL_UNITS: Readonly<Record<string, string>> = {
  bytes: units.BytesIEC,
  ms: units.Milliseconds,
  "bit/s": units.BitsPerSecondSI,
};
export const unitOf = (table: Readonly<Record<string, string>>, unit: string): string => table[unit] ?? units.Short;
