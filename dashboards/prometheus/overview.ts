/** A host, from /metrics: what comes and goes, what becomes of it, and whether anything is lost. */
import { toBoard, type Board } from "../kit/board.ts";
import { lines, number, states, TROUBLE } from "../kit/panels.ts";
import { prometheus } from "../kit/prometheus.ts";
import { UIDS } from "../uids.ts";

const q = prometheus(["host", "bridge"]);
const DROPS = { "drops by reason": toBoard(UIDS.prometheusDrops, ["host", "bridge"], "") };
const PORTS = { ports: toBoard(UIDS.prometheusPorts, ["host"], "var-bridge=${__field.labels.bridge}") };

export const overview: Board = {
  uid: UIDS.prometheusOverview,
  title: "Overview",
  description: "Hosts and their bridges: traffic, what became of it, the flow table, and losses.",
  source: "prometheus",
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
            targets: [q.rate("portReceiveBytes")],
          }),
        ],
        [
          4,
          number({
            title: "Received packets",
            description: "Packets per second as on the wire.",
            targets: [q.rate("portReceivePackets")],
          }),
        ],
        [
          4,
          number({
            title: "Dropped",
            description: "Packets per second that were refused, each for a reason.",
            targets: [q.rate("dropped")],
            empty: "nothing was dropped",
            links: DROPS,
          }),
        ],
        [
          4,
          number({
            title: "Lost around the switch",
            description: "Packets per second that the switch never saw, or that were lost behind it.",
            targets: [q.rate("lost")],
            warn: 1,
            alarm: 100,
          }),
        ],
        [
          4,
          number({
            title: "Every packet accounted for",
            description: "Whether received packets are the sum of what became of them, on every bridge.",
            targets: [q.level("bridgeConserved", { join: "min" })],
            words: { "1": { text: "yes", color: "green" }, "0": { text: "no", color: "red" } },
          }),
        ],
        [
          4,
          number({
            title: "Ports up",
            description: "Ports that can send.",
            targets: [q.level("portUp")],
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
            targets: [
              q.rate("portReceiveBytes", { by: ["bridge"], legend: "{{bridge}} received" }),
              q.rate("portTransmitBytes", { by: ["bridge"], legend: "{{bridge}} sent" }),
            ],
            links: PORTS,
          }),
        ],
        [
          12,
          lines({
            title: "What became of received packets",
            description: "With those that wait for a rule their sum is what was received.",
            targets: [q.rate("portDispositions", { by: ["disposition"] })],
            isStacked: true,
            links: DROPS,
          }),
        ],
        [
          12,
          lines({
            title: "Dropped by reason",
            description: "Packets per second that were refused.",
            targets: [q.rate("dropped", { by: ["reason"] })],
            isStacked: true,
            empty: "nothing was dropped",
            links: DROPS,
          }),
        ],
        [
          12,
          lines({
            title: "Lost around the switch",
            description: "By where: before the switch (ring, NIC) or behind it (guest's queue, queueing discipline).",
            targets: [q.rate("lost", { by: ["where"] }), q.rate("portTransmitFailed", { legend: "could not be sent" })],
            isStacked: true,
          }),
        ],
      ],
    },
    {
      title: "Tables",
      height: 8,
      panels: [
        [
          8,
          lines({
            title: "Flow table",
            description: "Flows, and what the table holds, by bridge.",
            targets: [
              q.level("bridgeFlows", { by: ["bridge"], legend: "{{bridge}} flows" }),
              q.level("bridgeFlowCapacity", { by: ["bridge"], legend: "{{bridge}} room" }),
            ],
          }),
        ],
        [
          8,
          lines({
            title: "New flows",
            description: "Flows made per second, by bridge.",
            targets: [q.rate("portFlowsCreated", { by: ["bridge"] })],
          }),
        ],
        [
          8,
          lines({
            title: "Rules and addresses",
            description: "Rules in the cache and addresses in the MAC table, by bridge.",
            targets: [
              q.level("bridgeRules", { by: ["bridge"], legend: "{{bridge}} rules" }),
              q.level("bridgeMacs", { by: ["bridge"], legend: "{{bridge}} addresses" }),
            ],
          }),
        ],
      ],
    },
    {
      title: "The process",
      height: 6,
      panels: [
        [
          8,
          lines({
            title: "Memory",
            description: "Resident, JavaScript's heap, and the flow slots, by host.",
            targets: [
              q.level("processMemory", { by: ["instance"], legend: "{{instance}} resident" }),
              q.level("heapUsed", { by: ["instance"], legend: "{{instance}} heap" }),
              q.level("sharedMemory", { by: ["instance"], legend: "{{instance}} flow slots" }),
            ],
            unit: "bytes",
          }),
        ],
        [
          8,
          lines({
            title: "Running since",
            description: "Age of the process: a fall to 0 is a restart.",
            targets: [q.age("processStart", { by: ["instance"] })],
            calculations: ["lastNotNull"],
          }),
        ],
        [
          8,
          states({
            title: "Health",
            description: "Whether weir status has nothing to complain of.",
            targets: [q.level("healthy", { by: ["instance"], join: "min" })],
            words: TROUBLE,
            links: { "telemetry health": toBoard(UIDS.prometheusTelemetry, ["host"], "") },
          }),
        ],
      ],
    },
  ],
};
