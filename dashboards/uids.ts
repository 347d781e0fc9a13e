/** The boards' names in URLs: they stay. */
export const UIDS = {
  influxOverview: "weir-influx-overview",
  influxPorts: "weir-influx-ports",
  influxTenants: "weir-influx-tenants",
  influxTalkers: "weir-influx-talkers",
  influxDrops: "weir-influx-drops",
  influxTelemetry: "weir-influx-telemetry",
  influxMirrors: "weir-influx-mirrors",
  prometheusOverview: "weir-prometheus-overview",
  prometheusPorts: "weir-prometheus-ports",
  prometheusTenants: "weir-prometheus-tenants",
  prometheusDrops: "weir-prometheus-drops",
  prometheusTelemetry: "weir-prometheus-telemetry",
  prometheusMirrors: "weir-prometheus-mirrors",
} as const;
