/** Ports and the VMs behind them. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { lines, rowsOf, states } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge", "tenant", "port"]);
const BY = { by: ["host", "port", "vm"], isEach: true } as const;
const LINKS = {
  "the port's drops": toBoard(UIDS.influxDrops, ["host", "bridge", "tenant"], "var-port=${__field.labels.port}"),
};

export const ports: Board = {
  uid: UIDS.influxPorts,
  title: "Ports and VMs",
  description: "Each port with the VM and tenant that it belongs to; received is what the guest sends.",
  source: "influxdb",
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
            targets: [q.rate("weir_port", { received: "rx_bytes" }, BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Sent",
            description: "Bits per second that left by the port, frames without FCS.",
            targets: [q.rate("weir_port", { sent: "tx_bytes" }, BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Received packets",
            description: "Per second as on the wire.",
            targets: [q.rate("weir_port", { received: "rx_packets" }, BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Sent packets",
            description: "Per second as on the wire.",
            targets: [q.rate("weir_port", { sent: "tx_packets" }, BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Dropped",
            description: "Packets per second that came in by the port and were refused.",
            targets: [q.rate("weir_port", { dropped: "dropped" }, BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Lost around the switch",
            description:
              "Packets per second lost before the switch (ring, NIC) or behind it (guest's queue, queueing discipline, failed).",
            targets: [
              q.rate("weir_port", { lost: ["lost_ring", "lost_nic", "lost_tap", "lost_qdisc", "tx_failed"] }, BY),
            ],
          }),
        ],
        [
          12,
          lines({
            title: "Broadcast and multicast received",
            description: "Packets per second to everybody and to group addresses: a storm shows here.",
            targets: [q.rate("weir_port", { broadcast: "rx_broadcast", multicast: "rx_multicast" }, BY)],
            alarm: 10_000,
          }),
        ],
        [
          12,
          lines({
            title: "Live flows",
            description: "Flows that came in by the port.",
            targets: [q.level("weir_port", { flows: "flows" }, BY)],
          }),
        ],
      ],
    },
    {
      title: "State",
      height: 10,
      panels: [
        [
          8,
          states({
            title: "Ports up",
            description: "Enabled and able to send.",
            targets: [q.level("weir_port", { up: "up" }, { by: ["host", "port"], isEach: true })],
            words: { "1": { text: "up", color: "green" }, "0": { text: "down", color: "red" } },
          }),
        ],
        [
          16,
          rowsOf({
            title: "In this range",
            description: "What the counters of each port grew by in the range, restarts taken into account.",
            targets: [
              q.total(
                "weir_port",
                {
                  "received bytes": "rx_bytes",
                  "sent bytes": "tx_bytes",
                  "received packets": "rx_packets",
                  "sent packets": "tx_packets",
                  dropped: "dropped",
                  lost: ["lost_ring", "lost_nic", "lost_tap", "lost_qdisc", "tx_failed"],
                  "without a flow": "unattributed",
                },
                BY,
              ),
            ],
            unit: units.Short,
            columns: [
              { of: "host", as: "Host" },
              { of: "bridge", as: "Bridge" },
              {
                of: "port",
                as: "Port",
                links: {
                  "the port's drops": toBoard(
                    UIDS.influxDrops,
                    ["host", "bridge", "tenant"],
                    "var-port=${__value.raw}",
                  ),
                },
              },
              { of: "vm", as: "VM" },
              { of: "tenant", as: "Tenant" },
              { of: "received bytes", as: "Received", unit: units.BytesSI, isBar: true },
              { of: "sent bytes", as: "Sent", unit: units.BytesSI, isBar: true },
              { of: "received packets", as: "Received packets" },
              { of: "sent packets", as: "Sent packets" },
              { of: "dropped", as: "Dropped" },
              { of: "lost", as: "Lost" },
              { of: "without a flow", as: "Without a flow" },
            ],
            sortBy: "Received",
          }),
        ],
      ],
    },
  ],
};
