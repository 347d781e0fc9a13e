/** Tenants: what each sends and receives, what of it is refused. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { bars, lines, rowsOf } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge", "tenant"]);
const KEEP = ["host", "bridge"];
const LINKS = {
  "the tenant's ports": toBoard(UIDS.influxPorts, KEEP, "var-tenant=${__field.labels.tenant}"),
  "the tenant's drops": toBoard(UIDS.influxDrops, KEEP, "var-tenant=${__field.labels.tenant}"),
};
const BY = { by: ["tenant"] } as const;

export const tenants: Board = {
  uid: UIDS.influxTenants,
  title: "Tenants",
  description: "Sums of each tenant's ports; received is what its guests send.",
  source: "influxdb",
  variables: q.variables(),
  sections: [
    {
      title: "Rates",
      height: 8,
      panels: [
        [
          12,
          lines({
            title: "From the tenant",
            description: "Bits per second that came in by the tenant's ports, frames without FCS.",
            targets: [q.rate("weir_tenant", { received: "rx_bytes" }, BY)],
            isStacked: true,
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "To the tenant",
            description: "Bits per second that left by the tenant's ports, frames without FCS.",
            targets: [q.rate("weir_tenant", { sent: "tx_bytes" }, BY)],
            isStacked: true,
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Packets",
            description: "Per second as on the wire, from and to the tenant.",
            targets: [q.rate("weir_tenant", { from: "rx_packets", to: "tx_packets" }, BY)],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Dropped",
            description: "Packets per second of the tenant that were refused.",
            targets: [q.rate("weir_tenant", { dropped: "dropped" }, BY)],
            isStacked: true,
            links: LINKS,
          }),
        ],
        [
          8,
          lines({
            title: "Share dropped",
            description: "Of the packets that came in by the tenant's ports.",
            targets: [q.share("weir_tenant", "dropped", "dropped", "rx_packets", ["host", "tenant"])],
            warn: 0.01,
            alarm: 0.1,
            links: LINKS,
          }),
        ],
        [
          8,
          lines({
            title: "Live flows",
            description: "Flows that came in by the tenant's ports.",
            targets: [q.level("weir_tenant", { flows: "flows" }, BY)],
            links: LINKS,
          }),
        ],
        [
          8,
          lines({
            title: "Lost around the switch",
            description:
              "Packets per second lost before the switch (ring, NIC) or behind it (guest's queue, queueing discipline, failed).",
            targets: [
              q.rate("weir_tenant", { lost: ["lost_ring", "lost_nic", "lost_tap", "lost_qdisc", "tx_failed"] }, BY),
            ],
            links: LINKS,
          }),
        ],
      ],
    },
    {
      title: "In this range",
      height: 9,
      panels: [
        [
          16,
          rowsOf({
            title: "Totals",
            description: "What the counters grew by in the range, restarts taken into account.",
            targets: [
              q.total(
                "weir_tenant",
                {
                  "received packets": "rx_packets",
                  "received bytes": "rx_bytes",
                  "sent packets": "tx_packets",
                  "sent bytes": "tx_bytes",
                  dropped: "dropped",
                  "new flows": "flows_created",
                },
                BY,
              ),
            ],
            unit: units.Short,
            columns: [
              {
                of: "tenant",
                as: "Tenant",
                links: { "the tenant's ports": toBoard(UIDS.influxPorts, KEEP, "var-tenant=${__value.raw}") },
              },
              { of: "received bytes", as: "Received", unit: units.BytesSI, isBar: true },
              { of: "sent bytes", as: "Sent", unit: units.BytesSI, isBar: true },
              { of: "received packets", as: "Received packets" },
              { of: "sent packets", as: "Sent packets" },
              { of: "dropped", as: "Dropped packets" },
              { of: "new flows", as: "New flows" },
            ],
            sortBy: "Received",
          }),
        ],
        [
          8,
          bars({
            title: "Most received",
            description: "Bytes that came in by each tenant's ports in the range.",
            targets: [q.total("weir_tenant", { "received bytes": "rx_bytes" }, BY)],
          }),
        ],
      ],
    },
  ],
};
