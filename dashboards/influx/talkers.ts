/** The keys with most bytes among the flow records. Ranks are tags and keys are fields, so keys are summed here, in Grafana. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import type { TopDimension } from "../../exporters/influx/schema.ts";
import { toBoard, type Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { lines, rowsOf, type Panel } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge"]);
/** Most of a top's rows that a panel asks for: ranks 01 to 10. */
const RANKS = "/^(0[1-9]|10)$/";
const ROWS = 25;

const sum = (of: string) => [of, { aggregations: ["sum"], operation: "aggregate" }] as const;

/** All rows of the range, summed by key. */
function top(dim: TopDimension, title: string, heading: string, what: string): Panel {
  return rowsOf({
    title,
    description:
      `${what} Bytes of the flow records that ended in the range, of the largest ten of each interval: ` +
      "a key that is seldom among them is told too low. Up to “uncertain” of them may belong to others.",
    targets: [
      q.rows(
        "weir_top",
        { key: "key", bytes: "bytes", packets: "packets", uncertain: "error_bytes" },
        { dim, rank: RANKS },
      ),
    ],
    unit: units.Short,
    empty: "no flow record ended in this range",
    transformations: [
      {
        id: "groupBy",
        options: {
          fields: {
            key: { aggregations: [], operation: "groupby" },
            ...Object.fromEntries([sum("bytes"), sum("packets"), sum("uncertain")]),
          },
        },
      },
      { id: "sortBy", options: { fields: {}, sort: [{ field: "bytes (sum)", desc: true }] } },
      { id: "limit", options: { limitField: String(ROWS) } },
    ],
    columns: [
      { of: "key", as: heading },
      { of: "bytes (sum)", as: "Bytes", unit: units.BytesSI, isBar: true },
      { of: "packets (sum)", as: "Packets" },
      { of: "uncertain (sum)", as: "Uncertain", unit: units.BytesSI },
    ],
    sortBy: "Bytes",
  });
}

/** What the ten largest of each interval have of all bytes. */
const coverage = (dim: TopDimension, label: string) => q.topShare(dim, label, RANKS);

export const talkers: Board = {
  uid: UIDS.influxTalkers,
  title: "Top talkers",
  description: "Addresses, pairs and services with most bytes in the flow records.",
  source: "influxdb",
  variables: q.variables(),
  sections: [
    {
      title: "In this range",
      height: 11,
      panels: [
        [12, top("src", "Sources", "Source", "Who sent.")],
        [12, top("dst", "Destinations", "Destination", "Who was sent to.")],
        [12, top("pair", "Pairs", "Pair", "Both directions together.")],
        [12, top("service", "Services", "Service", "Protocol and the lower port.")],
      ],
    },
    {
      title: "How much of it is told",
      height: 8,
      panels: [
        [
          12,
          lines({
            title: "Share of the ten largest",
            description:
              "Of the bytes of all flow records of an interval. Little: the traffic is spread, the lists say less.",
            targets: [
              coverage("src", "sources"),
              coverage("dst", "destinations"),
              coverage("pair", "pairs"),
              coverage("service", "services"),
            ],
            unit: units.PercentUnit,
            links: { overview: toBoard(UIDS.influxOverview, ["host", "bridge"], "") },
          }),
        ],
        [
          12,
          lines({
            title: "The largest of an interval",
            description: "Bytes of the first of each list, and by how much it may be too high (0: exact).",
            targets: [
              q.highest(
                "weir_top",
                { "largest source": "bytes", uncertain: "error_bytes" },
                { where: { dim: "src", rank: "01" } },
              ),
              q.highest("weir_top", { "largest service": "bytes" }, { where: { dim: "service", rank: "01" } }),
            ],
          }),
        ],
      ],
    },
  ],
};
