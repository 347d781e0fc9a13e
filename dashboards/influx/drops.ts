/** Why frames are refused, and where. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import { toBoard, type Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { bars, lines, rowsOf } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge", "tenant", "port"]);
const EMPTY = "nothing was dropped";

export const drops: Board = {
  uid: UIDS.influxDrops,
  title: "Drops by reason",
  description: "Every refused frame has a reason. What is lost around the switch has none: Overview and Ports show it.",
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
            title: "By reason",
            description: "Packets per second that were refused.",
            targets: [q.rate("weir_drop", { packets: "packets" }, { by: ["reason"] })],
            isStacked: true,
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "By class",
            description: "Policy was asked for, a fault was not: what the classes mean is in the list of reasons.",
            targets: [q.rate("weir_drop", { packets: "packets" }, { by: ["class"] })],
            isStacked: true,
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "By port",
            description: "Packets per second, at the port that they came in by.",
            targets: [q.rate("weir_drop", { packets: "packets" }, { by: ["port"] })],
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Share of received packets",
            description: "Dropped packets among all that came in, by port.",
            targets: [q.share("weir_port", "dropped", "dropped", "rx_packets", ["host", "port"])],
            warn: 0.01,
            alarm: 0.1,
          }),
        ],
      ],
    },
    {
      title: "In this range",
      height: 10,
      panels: [
        [
          8,
          bars({
            title: "By reason",
            description: "Packets refused in the range.",
            targets: [q.total("weir_drop", { packets: "packets" }, { by: ["reason"] })],
            empty: EMPTY,
          }),
        ],
        [
          16,
          rowsOf({
            title: "By port and reason",
            description: "Packets refused in the range, restarts taken into account.",
            targets: [q.total("weir_drop", { packets: "packets" }, { isEach: true })],
            unit: units.Short,
            empty: EMPTY,
            columns: [
              { of: "host", as: "Host" },
              { of: "bridge", as: "Bridge" },
              {
                of: "port",
                as: "Port",
                links: {
                  "the port": toBoard(UIDS.influxPorts, ["host", "bridge", "tenant"], "var-port=${__value.raw}"),
                },
              },
              { of: "vm", as: "VM" },
              { of: "tenant", as: "Tenant" },
              { of: "reason", as: "Reason" },
              { of: "class", as: "Class" },
              { of: "packets", as: "Packets", isBar: true },
            ],
            sortBy: "Packets",
          }),
        ],
      ],
    },
    {
      title: "What is said about drops",
      height: 7,
      panels: [
        [
          24,
          lines({
            title: "Drop notices of the bridge",
            description: "Frames that were kept as examples of a drop, and those withheld because there were too many.",
            targets: [q.rate("weir_datapath", { written: "notices", withheld: "notices_lost" }, { by: ["bridge"] })],
          }),
        ],
      ],
    },
  ],
};
