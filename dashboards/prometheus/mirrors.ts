/** Mirror sessions, from /metrics. */
import * as units from "@grafana/grafana-foundation-sdk/units";
import type { Board } from "../kit/board.ts";
import { lines, rowsOf, states } from "../kit/panels.ts";
import { prometheus } from "../kit/prometheus.ts";
import { UIDS } from "../uids.ts";

const q = prometheus(["host", "bridge", "session"]);
const BY = { by: ["instance", "session"] } as const;
const ROW = { by: ["instance", "bridge", "session"] } as const;
const EMPTY = "no mirror session in this range";

export const mirrors: Board = {
  uid: UIDS.prometheusMirrors,
  title: "Mirror sessions",
  description: "Copies of frames for people. They touch no counter of a port or a flow.",
  source: "prometheus",
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
            targets: [q.level("mirrorActive", { ...BY, join: "max" })],
            words: { "1": { text: "copies", color: "green" }, "0": { text: "stopped", color: "text" } },
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Bytes sent",
            description: "Bits per second of copies, after they were cut.",
            targets: [q.rate("mirrorSentBytes", BY)],
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Selected and sent",
            description: "Frames per second that a session selected, and those of them that it sent.",
            targets: [
              q.rate("mirrorMatched", { ...BY, legend: "{{instance}} {{session}} selected" }),
              q.rate("mirrorSent", { ...BY, legend: "{{instance}} {{session}} sent" }),
            ],
            empty: EMPTY,
          }),
        ],
        [
          12,
          lines({
            title: "Left out",
            description: "Selected and not sent, by why: sampled out, ceilings, queues, outputs that failed.",
            targets: [q.rate("mirrorLeftOut", { by: ["session", "why"] })],
            empty: EMPTY,
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
            description: "What the sessions' counters grew by in the range, as Prometheus extrapolates it.",
            targets: [
              q.total("mirrorMatched", ROW),
              q.total("mirrorSent", ROW),
              q.total("mirrorSentBytes", ROW),
              q.total("mirrorLeftOut", ROW),
            ],
            unit: units.Short,
            empty: EMPTY,
            columns: [
              { of: "instance", as: "Host" },
              { of: "bridge", as: "Bridge" },
              { of: "session", as: "Session" },
              { of: "Value #A", as: "Selected" },
              { of: "Value #B", as: "Sent" },
              { of: "Value #C", as: "Sent bytes", unit: units.BytesSI, isBar: true },
              { of: "Value #D", as: "Left out" },
            ],
            sortBy: "Selected",
          }),
        ],
      ],
    },
  ],
};
