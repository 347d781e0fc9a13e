/** Mirror sessions: what they select, send and leave out. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import type { Board } from "../kit/board.ts";
import { influx } from "../kit/influx.ts";
import { lines, rowsOf, states } from "../kit/panels.ts";
import { UIDS } from "../uids.ts";

const q = influx(["host", "bridge", "session"]);
const BY = { by: ["session"] } as const;
const EMPTY = "no mirror session in this range";

export const mirrors: Board = {
  uid: UIDS.influxMirrors,
  title: "Mirror sessions",
  description: "Copies of frames for people. They touch no counter of a port or a flow.",
  source: "influxdb",
  variables: q.variables(),
  sections: [
    {
      title: "Rates",
      height: 8,
      panels: [
        [
          12,
          states({
            title: "Sessions",
            description: "Whether each session copies.",
            targets: [q.level("weir_mirror", { active: "active" }, { by: ["host", "session"], isEach: true })],
            words: { "1": { text: "copies", color: "green" }, "0": { text: "stopped", color: "text" } },
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Bytes sent",
            description: "Bits per second of copies, after they were cut.",
            targets: [q.rate("weir_mirror", { sent: "sent_bytes" }, BY)],
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Selected and sent",
            description: "Frames per second that a session selected, and copies that it sent.",
            targets: [q.rate("weir_mirror", { selected: "selected", sent: "sent" }, BY)],
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Left out",
            description: "Selected and not sent: ceilings of rate and bandwidth, queues, outputs that failed.",
            targets: [q.rate("weir_mirror", { "left out": "dropped" }, BY)],
            empty: EMPTY,
            warn: 1,
          }),
        ],
      ],
    },
    {
      title: "In this range",
      height: 8,
      panels: [
        [
          24,
          rowsOf({
            title: "Totals",
            description: "What the sessions' counters grew by in the range.",
            targets: [
              q.total(
                "weir_mirror",
                { selected: "selected", sent: "sent", "sent bytes": "sent_bytes", "left out": "dropped" },
                { isEach: true },
              ),
            ],
            unit: units.Short,
            empty: EMPTY,
            columns: [
              { of: "host", as: "Host" },
              { of: "bridge", as: "Bridge" },
              { of: "session", as: "Session" },
              { of: "selected", as: "Selected" },
              { of: "sent", as: "Sent" },
              { of: "sent bytes", as: "Sent bytes", unit: units.BytesSI, isBar: true },
              { of: "left out", as: "Left out" },
            ],
            sortBy: "Selected",
          }),
        ],
      ],
    },
  ],
};
