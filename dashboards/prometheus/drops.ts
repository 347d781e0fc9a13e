/** Why frames are refused, and where, from /metrics. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { lines, rowsOf } from "../kit/panels.ts";
import { prometheus } from "../kit/prometheus.ts";
import { UIDS } from "../uids.ts";

const q = prometheus(["host", "bridge", "tenant", "port"]);
const EMPTY = "nothing was dropped";

export const drops: Board = {
  uid: UIDS.prometheusDrops,
  title: "Drops by reason",
  description: "Every refused frame has a reason. What is lost around the switch has none: Overview and Ports show it.",
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
            title: "By reason",
            description: "Packets per second that were refused.",
            targets: [q.rate("dropped", { by: ["reason"] })],
            isStacked: true,
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "By class",
            description: "Policy was asked for, a fault was not: what the classes mean is in the list of reasons.",
            targets: [q.rate("dropped", { by: ["class"] })],
            isStacked: true,
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "By port",
            description: "Packets per second, at the port that they came in by.",
            targets: [q.rate("dropped", { by: ["instance", "port"] })],
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Share of received packets",
            description: "Dropped packets among all that came in, by port.",
            targets: [q.share("dropped", "portReceivePackets", { by: ["instance", "port"] })],
            warn: 0.01,
            alarm: 0.1,
            empty: EMPTY,
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
            title: "By port and reason",
            description: "Packets refused in the range, as Prometheus extrapolates it.",
            targets: [q.total("dropped", { by: ["instance", "bridge", "port", "vm", "tenant", "reason", "class"] })],
            unit: units.Short,
            empty: EMPTY,
            columns: [
              { of: "instance", as: "Host" },
              { of: "bridge", as: "Bridge" },
              {
                of: "port",
                as: "Port",
                links: {
                  "the port": toBoard(UIDS.prometheusPorts, ["host", "bridge", "tenant"], "var-port=${__value.raw}"),
                },
              },
              { of: "vm", as: "VM" },
              { of: "tenant", as: "Tenant" },
              { of: "reason", as: "Reason" },
              { of: "class", as: "Class" },
              { of: "Value", as: "Packets", isBar: true },
            ],
            sortBy: "Packets",
          }),
        ],
      ],
    },
  ],
};
