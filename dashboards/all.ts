/** Every board, and the file that it is committed as. */
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { drops as influxDrops } from "./influx/drops.ts";
import { mirrors as influxMirrors } from "./influx/mirrors.ts";
import { overview as influxOverview } from "./influx/overview.ts";
import { ports as influxPorts } from "./influx/ports.ts";
import { talkers as influxTalkers } from "./influx/talkers.ts";
import { telemetry as influxTelemetry } from "./influx/telemetry.ts";
import { tenants as influxTenants } from "./influx/tenants.ts";
import { drops as prometheusDrops } from "./prometheus/drops.ts";
import { mirrors as prometheusMirrors } from "./prometheus/mirrors.ts";
import { overview as prometheusOverview } from "./prometheus/overview.ts";
import { ports as prometheusPorts } from "./prometheus/ports.ts";
import { telemetry as prometheusTelemetry } from "./prometheus/telemetry.ts";
import { tenants as prometheusTenants } from "./prometheus/tenants.ts";
import { buildBoard, type Board } from "./kit/board.ts";

export const BOARDS: Readonly<Record<string, Board>> = {
  "influx/overview": influxOverview,
  "influx/ports": influxPorts,
  "influx/tenants": influxTenants,
  "influx/talkers": influxTalkers,
  "influx/drops": influxDrops,
  "influx/telemetry": influxTelemetry,
  "influx/mirrors": influxMirrors,
  "prometheus/overview": prometheusOverview,
  "prometheus/ports": prometheusPorts,
  "prometheus/tenants": prometheusTenants,
  "prometheus/drops": prometheusDrops,
  "prometheus/telemetry": prometheusTelemetry,
  "prometheus/mirrors": prometheusMirrors,
};

export interface File {
  /** Below `dashboards/json`. */
  readonly path: string;
  readonly dashboard: dashboard.Dashboard;
  readonly text: string;
}

export function files(): File[] {
  return Object.entries(BOARDS).map(([name, board]) => {
    const built = buildBoard(board);
    return { path: `${name}.json`, dashboard: built, text: `${JSON.stringify(built, undefined, 2)}\n` };
  });
}
