/** Tenants, from /metrics. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { lines, rowsOf } from "../kit/panels.ts";
import { prometheus } from "../kit/prometheus.ts";
import { UIDS } from "../uids.ts";

const q = prometheus(["host", "tenant"]);
const BY = { by: ["tenant"] } as const;
const LINKS = {
  "the tenant's ports": toBoard(UIDS.prometheusPorts, ["host"], "var-tenant=${__field.labels.tenant}"),
  "the tenant's drops": toBoard(UIDS.prometheusDrops, ["host"], "var-tenant=${__field.labels.tenant}"),
};

export const tenants: Board = {
  uid: UIDS.prometheusTenants,
  title: "Tenants",
  description: "Sums of each tenant's ports; received is what its guests send. Ports of nobody have no name here.",
  source: "prometheus",
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
            targets: [q.rate("tenantReceiveBytes", BY)],
            isStacked: true,
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "To the tenant",
            description: "Bits per second that left by the tenant's ports, frames without FCS.",
            targets: [q.rate("tenantTransmitBytes", BY)],
            isStacked: true,
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Packets",
            description: "Per second as on the wire, from and to the tenant.",
            targets: [
              q.rate("tenantReceivePackets", { ...BY, legend: "{{tenant}} from" }),
              q.rate("tenantTransmitPackets", { ...BY, legend: "{{tenant}} to" }),
            ],
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Dropped",
            description: "Packets per second of the tenant that were refused.",
            targets: [q.rate("tenantDropped", BY)],
            isStacked: true,
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Share dropped",
            description: "Of the packets that came in by the tenant's ports.",
            targets: [q.share("tenantDropped", "tenantReceivePackets", BY)],
            warn: 0.01,
            alarm: 0.1,
            links: LINKS,
          }),
        ],
        [
          12,
          lines({
            title: "Live flows",
            description: "Flows that came in by the tenant's ports.",
            targets: [q.level("tenantFlows", BY)],
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
          24,
          rowsOf({
            title: "Totals",
            description: "What the counters grew by in the range, as Prometheus extrapolates it.",
            targets: [
              q.total("tenantReceiveBytes", BY),
              q.total("tenantTransmitBytes", BY),
              q.total("tenantReceivePackets", BY),
              q.total("tenantTransmitPackets", BY),
              q.total("tenantDropped", BY),
            ],
            unit: units.Short,
            columns: [
              {
                of: "tenant",
                as: "Tenant",
                links: { "the tenant's ports": toBoard(UIDS.prometheusPorts, ["host"], "var-tenant=${__value.raw}") },
              },
              { of: "Value #A", as: "Received", unit: units.BytesSI, isBar: true },
              { of: "Value #B", as: "Sent", unit: units.BytesSI, isBar: true },
              { of: "Value #C", as: "Received packets" },
              { of: "Value #D", as: "Sent packets" },
              { of: "Value #E", as: "Dropped packets" },
            ],
            sortBy: "Received",
          }),
        ],
      ],
    },
  ],
};
