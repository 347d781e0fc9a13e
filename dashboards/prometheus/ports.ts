/** Ports and the VMs behind them, from /metrics. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { lines, rowsOf, states } from "../kit/panels.ts";
import { prometheus } from "../kit/prometheus.ts";
import { UIDS } from "../uids.ts";

const q = prometheus(["host", "bridge", "tenant", "port"]);
const BY = { by: ["instance", "port", "vm"] } as const;
const ROW = { by: ["instance", "bridge", "port", "vm", "tenant"] } as const;
const KEEP = ["host", "bridge", "tenant"];
const LINKS = { "the port's drops": toBoard(UIDS.prometheusDrops, KEEP, "var-port=${__field.labels.port}") };

export const ports: Board = {
  uid: UIDS.prometheusPorts,
  title: "Ports and VMs",
  description: "Each port with the VM and tenant that it belongs to; received is what the guest sends.",
  source: "prometheus",
  variables: q.variables(),
  sections: [
    {
      title: "Rates",
      height: 9,
      panels: [
        [
          12,
          lines({
            title: "Received",
            description: "Bits per second that came in by the port, frames without FCS.",
            targets: [q.rate("portReceiveBytes", BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Sent",
            description: "Bits per second that left by the port, frames without FCS.",
            targets: [q.rate("portTransmitBytes", BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Received packets",
            description: "Per second as on the wire.",
            targets: [q.rate("portReceivePackets", BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Sent packets",
            description: "Per second as on the wire.",
            targets: [q.rate("portTransmitPackets", BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Dropped",
            description: "Packets per second that came in by the port and were refused.",
            targets: [q.rate("portDispositions", { ...BY, where: { disposition: "dropped" } })],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Lost around the switch",
            description: "Packets per second lost before the switch or behind it, or that could not be sent.",
            targets: [
              q.rate("lost", { ...BY, legend: "{{instance}} {{port}} {{vm}} lost" }),
              q.rate("portTransmitFailed", { ...BY, legend: "{{instance}} {{port}} {{vm}} could not be sent" }),
            ],
          }),
        ],
        [
          12,
          lines({
            title: "Live flows",
            description: "Flows that came in by the port.",
            targets: [q.level("portFlows", BY)],
          }),
        ],
        [
          12,
          states({
            title: "Ports up",
            description: "Enabled and able to send.",
            targets: [q.level("portUp", { by: ["instance", "port"], join: "min" })],
            words: { "1": { text: "up", color: "green" }, "0": { text: "down", color: "red" } },
          }),
        ],
      ],
    },
    {
      title: "In this range",
      height: 10,
      panels: [
        [
          24,
          rowsOf({
            title: "Totals",
            description: "What the counters of each port grew by in the range, as Prometheus extrapolates it.",
            targets: [
              q.total("portReceiveBytes", ROW),
              q.total("portTransmitBytes", ROW),
              q.total("portReceivePackets", ROW),
              q.total("portTransmitPackets", ROW),
              q.total("portDispositions", { ...ROW, where: { disposition: "dropped" } }),
            ],
            unit: units.Short,
            columns: [
              { of: "instance", as: "Host" },
              { of: "bridge", as: "Bridge" },
              {
                of: "port",
                as: "Port",
                links: { "the port's drops": toBoard(UIDS.prometheusDrops, KEEP, "var-port=${__value.raw}") },
              },
              { of: "vm", as: "VM" },
              { of: "tenant", as: "Tenant" },
              { of: "Value #A", as: "Received", unit: units.BytesSI, isBar: true },
              { of: "Value #B", as: "Sent", unit: units.BytesSI, isBar: true },
              { of: "Value #C", as: "Received packets" },
              { of: "Value #D", as: "Sent packets" },
              { of: "Value #E", as: "Dropped" },
            ],
            sortBy: "Received",
          }),
        ],
      ],
    },
  ],
};
