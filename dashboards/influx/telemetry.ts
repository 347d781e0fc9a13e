/** Whether what Weir says reaches those it says it to, and what was lost on the way. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import type { Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { lines, number, rowsOf, states, TROUBLE } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge", "exporter"]);
const BY = { by: ["exporter"] } as const;

export const telemetry: Board = {
  uid: UIDS.influxTelemetry,
  title: "Telemetry health",
  description: "Exporters, sampling, and the way into this very database.",
  source: "influxdb",
  variables: q.variables(),
  sections: [
    {
      title: "Exporters",
      height: 8,
      panels: [
        [
          12,
          states({
            title: "State",
            description: "Refused, failing or failed is trouble, as weir show exporters has it.",
            targets: [q.level("weir_exporter", { ok: "ok" }, { by: ["host", "exporter"], isEach: true })],
            words: TROUBLE,
          }),
        ],
        [
          12,
          rowsOf({
            title: "In this range",
            description: "What each exporter told of, could not send, or lost.",
            targets: [
              q.total(
                "weir_exporter",
                {
                  datagrams: "datagrams",
                  "not sent": "send_errors",
                  records: "records",
                  packets: "packets",
                  octets: "octets",
                  "lost records": "lost_records",
                  "lost packets": "lost_packets",
                  "not exportable": "not_exportable",
                },
                { isEach: true },
              ),
            ],
            unit: units.Short,
            columns: [
              { of: "host", as: "Host" },
              { of: "exporter", as: "Exporter" },
              { of: "type", as: "Type" },
              { of: "datagrams", as: "Datagrams" },
              { of: "not sent", as: "Not sent" },
              { of: "records", as: "Records" },
              { of: "packets", as: "Packets" },
              { of: "octets", as: "Octets", unit: units.BytesSI },
              { of: "lost records", as: "Lost records" },
              { of: "lost packets", as: "Lost packets" },
              { of: "not exportable", as: "Not exportable" },
            ],
            sortBy: "Records",
          }),
        ],
        [
          12,
          lines({
            title: "Datagrams and requests",
            description: "Per second, by exporter.",
            targets: [q.rate("weir_exporter", { sent: "datagrams" }, BY)],
          }),
        ],
        [
          12,
          lines({
            title: "Not sent",
            description: "Datagrams and requests per second that the kernel or the collector refused.",
            targets: [q.rate("weir_exporter", { "not sent": "send_errors" }, BY)],
            alarm: 1,
          }),
        ],
        [
          12,
          lines({
            title: "Records",
            description: "Flow records told per second, by exporter.",
            targets: [q.rate("weir_exporter", { records: "records" }, BY)],
          }),
        ],
        [
          12,
          lines({
            title: "Records lost",
            description: "Overwritten before the exporter told them: it is too slow for this traffic.",
            targets: [q.rate("weir_exporter", { lost: "lost_records" }, BY)],
            alarm: 1,
          }),
        ],
        [
          12,
          lines({
            title: "Packets not told",
            description: "Packets per second in records that were lost, or that the exporter's protocol cannot say.",
            targets: [q.rate("weir_exporter", { lost: "lost_packets", "not exportable": "not_exportable" }, BY)],
          }),
        ],
        [
          12,
          lines({
            title: "Waiting",
            description: "Records that are not yet told.",
            targets: [q.level("weir_exporter", { waiting: "pending_records" }, BY)],
          }),
        ],
      ],
    },
    {
      title: "Sampling",
      height: 8,
      panels: [
        [
          12,
          lines({
            title: "Samples of the bridges",
            description: "Taken, and lost for want of room, by bridge.",
            targets: [q.rate("weir_datapath", { taken: "samples", lost: "sample_drops" }, { by: ["bridge"] })],
          }),
        ],
        [
          12,
          lines({
            title: "Packets examined for sampling",
            description: "The pool: with the samples it gives the true rate of sampling.",
            targets: [q.rate("weir_datapath", { examined: "sample_pool" }, { by: ["bridge"] })],
          }),
        ],
      ],
    },
    {
      title: "The way into InfluxDB",
      height: 7,
      panels: [
        [
          6,
          number({
            title: "Lost points",
            description: "Dropped because the spool was full, in the range. The series it belongs to have a gap there.",
            targets: [q.total("weir_influx", { lost: "points_lost" })],
            calculation: "lastNotNull",
            alarm: 1,
          }),
        ],
        [
          6,
          number({
            title: "Refused points",
            description: "Refused by the server for good (partial write), in the range.",
            targets: [q.total("weir_influx", { refused: "points_rejected" })],
            alarm: 1,
          }),
        ],
        [
          12,
          lines({
            title: "Points",
            description: "Accepted, refused and lost per second, by host.",
            targets: [
              q.rate(
                "weir_influx",
                { accepted: "points", refused: "points_rejected", lost: "points_lost" },
                { by: ["host"] },
              ),
            ],
          }),
        ],
        [
          12,
          lines({
            title: "Waiting bytes",
            description: "In memory and in the spool, by host: it grows while the server does not answer.",
            targets: [q.level("weir_influx", { waiting: "waiting_bytes" }, { by: ["host"] })],
          }),
        ],
        [
          12,
          lines({
            title: "Age of the oldest that waits",
            description: "By host.",
            targets: [q.level("weir_influx", { age: "oldest_ms" }, { by: ["host"], join: "max" })],
            warn: 60_000,
            alarm: 600_000,
          }),
        ],
      ],
    },
  ],
};
