/** A host: what comes and goes, what becomes of it, and whether anything is lost. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { lines, number, states, TROUBLE } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge"]);
const DROPS = { "drops by reason": toBoard(UIDS.influxDrops, ["host", "bridge"], "") };
const PORTS = { ports: toBoard(UIDS.influxPorts, ["host"], "var-bridge=${__field.labels.bridge}") };

export const overview: Board = {
  uid: UIDS.influxOverview,
  title: "Overview",
  description: "Hosts and their bridges: traffic, what became of it, the flow table, and losses.",
  source: "influxdb",
  variables: q.variables(),
  sections: [
    {
      title: "Now",
      height: 4,
      panels: [
        [
          4,
          number({
            title: "Received",
            description: "Bits per second that came into the switch, frames without FCS.",
            targets: [q.rate("weir_datapath", { received: "rx_bytes" })],
          }),
        ],
        [
          4,
          number({
            title: "Received packets",
            description: "Packets per second as on the wire.",
            targets: [q.rate("weir_datapath", { received: "rx_packets" })],
          }),
        ],
        [
          4,
          number({
            title: "Dropped",
            description: "Packets per second that were refused, each for a reason.",
            targets: [q.rate("weir_datapath", { dropped: "dropped" })],
            links: DROPS,
          }),
        ],
        [
          4,
          number({
            title: "Lost around the switch",
            description:
              "Packets per second that the switch never saw (ring, NIC) or that were lost behind it (guest's queue, queueing discipline).",
            targets: [
              q.rate("weir_datapath", { lost: ["lost_ring", "lost_nic", "lost_tap", "lost_qdisc", "tx_failed"] }),
            ],
            warn: 1,
            alarm: 100,
          }),
        ],
        [
          4,
          number({
            title: "Live flows",
            description: "Flows in the tables.",
            targets: [q.level("weir_datapath", { flows: "flows" })],
          }),
        ],
        [
          4,
          number({
            title: "Ports up",
            description: "Ports that can send, and all ports.",
            targets: [q.level("weir_datapath", { up: "ports_up", all: "ports" })],
          }),
        ],
      ],
    },
    {
      title: "Traffic",
      height: 8,
      panels: [
        [
          12,
          lines({
            title: "Bits per second",
            description: "Into and out of the switch, by bridge; frames without FCS.",
            targets: [q.rate("weir_datapath", { received: "rx_bytes", sent: "tx_bytes" }, { by: ["bridge"] })],
            links: PORTS,
          }),
        ],
        [
          12,
          lines({
            title: "What became of received packets",
            description:
              "Every received packet is forwarded, dropped, consumed or observed: the sum is what was received.",
            targets: [
              q.rate("weir_datapath", {
                forwarded: "forwarded",
                dropped: "dropped",
                consumed: "consumed",
                observed: "observed",
              }),
            ],
            isStacked: true,
            links: DROPS,
          }),
        ],
        [
          12,
          lines({
            title: "Dropped by reason",
            description: "Packets per second that were refused.",
            targets: [q.rate("weir_drop", { packets: "packets" }, { by: ["reason"] })],
            isStacked: true,
            empty: "nothing was dropped",
            links: DROPS,
          }),
        ],
        [
          12,
          lines({
            title: "Lost around the switch",
            description:
              "Ring and NIC: lost before the switch. Guest's queue, queueing discipline, failed: lost on the way out.",
            targets: [
              q.rate("weir_datapath", {
                "receive ring": "lost_ring",
                NIC: "lost_nic",
                "guest's queue": "lost_tap",
                "queueing discipline": "lost_qdisc",
                "could not be sent": "tx_failed",
              }),
            ],
            isStacked: true,
          }),
        ],
      ],
    },
    {
      title: "Flow table and rule cache",
      height: 8,
      panels: [
        [
          8,
          lines({
            title: "Live flows",
            description: "By bridge. Where the table is full, packets are counted without a flow.",
            targets: [q.level("weir_datapath", { flows: "flows" }, { by: ["bridge"] })],
          }),
        ],
        [
          8,
          lines({
            title: "New flows",
            description: "Flows made per second, by bridge.",
            targets: [q.rate("weir_datapath", { "new flows": "flows_created" }, { by: ["bridge"] })],
          }),
        ],
        [
          8,
          lines({
            title: "Answers of the cache",
            description:
              "Hits needed no answer of the control thread; of the others a rule of the cache or the pipeline had one.",
            targets: [
              q.rate("weir_datapath", { hits: "hits" }),
              q.rate("weir_datapath", { "answered by a rule": "rule_hits", "to the pipeline": "misses" }),
            ],
            unit: units.PacketsPerSecond,
          }),
        ],
        [
          12,
          lines({
            title: "Packets without a flow",
            description: "Counted at their port, but in no flow record: the table was full, or another cause.",
            targets: [
              q.rate("weir_datapath", {
                "table full": "unattributed_table_full",
                "other causes": "unattributed_other",
              }),
            ],
            isStacked: true,
          }),
        ],
        [
          12,
          lines({
            title: "Rules' masks",
            description: "Different masks in the rule cache, by bridge: more of them make a miss dearer.",
            targets: [q.level("weir_datapath", { masks: "masks" }, { by: ["bridge"] })],
          }),
        ],
      ],
    },
    {
      title: "Host",
      height: 6,
      panels: [
        [
          8,
          lines({
            title: "Memory",
            description: "Of the host: all, and free.",
            targets: [
              q.level("weir_host", { all: "memory_total", free: "memory_free" }, { by: ["host"], isEach: true }),
            ],
          }),
        ],
        [
          8,
          lines({
            title: "Counting since",
            description: "How long the process has counted: a fall to 0 is a restart.",
            targets: [q.level("weir_host", { uptime: "uptime_ms" }, { by: ["host"], isEach: true })],
            unit: units.Milliseconds,
            calculations: ["lastNotNull"],
          }),
        ],
        [
          8,
          states({
            title: "Exporters",
            description: "Whether each sends: refused, failing or failed is trouble, as weir show exporters has it.",
            targets: [q.level("weir_exporter", { ok: "ok" }, { by: ["host", "exporter"], isEach: true })],
            words: TROUBLE,
            links: { "telemetry health": toBoard(UIDS.influxTelemetry, ["host"], "") },
          }),
        ],
      ],
    },
  ],
};
