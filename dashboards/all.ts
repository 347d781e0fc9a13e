/** Every board, and the file that it is committed as. */
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { drops as influxDrops } from "./influx/drops.ts";
import { mirrors as influxMirrors } from "./influx/mirrors.ts";
import { overview as influxOverview } from "./influx/overview.ts";
import { ports as influxPorts } from "./influx/ports.ts";
import { talkers as influxTalkers } from "./influx/talkers.ts";
import { telemetry as influxTelemetry } from "./influx/telemetry.ts";
import { tenants as influxTenants } from "./influx/tenants.ts";
import { buildBoard, type Board } from "./kit/board.ts";

export const BOARDS: Readonly<Record<string, Board>> = {
  "influx/overview": influxOverview,
  "influx/ports": influxPorts,
  "influx/tenants": influxTenants,
  "influx/talkers": influxTalkers,
  "influx/drops": influxDrops,
  "influx/telemetry": influxTelemetry,
  "influx/mirrors": influxMirrors,
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
