/** Whether what Weir says reaches those it says it to, from /metrics. */
import type { Board } from "../kit/board.ts";
import { lines, states, TROUBLE } from "../kit/panels.ts";
import { prometheus } from "../kit/prometheus.ts";
import { UIDS } from "../uids.ts";

const q = prometheus(["host", "bridge", "exporter"]);
const BY = { by: ["instance", "exporter"] } as const;
const AT = { by: ["instance", "exporter", "collector"] } as const;

export const telemetry: Board = {
  uid: UIDS.prometheusTelemetry,
  title: "Telemetry health",
  description: "Exporters, their collectors, and sampling.",
  source: "prometheus",
  variables: q.variables(),
  sections: [
    {
      title: "Exporters",
      height: 8,
      panels: [
        [
          12,
          states({
            title: "State",
            description: "Refused, failing or failed is trouble, as weir show exporters has it.",
            targets: [q.level("exporterUp", { ...BY, join: "min" })],
            words: TROUBLE,
          }),
        ],
        [
          12,
          lines({
            title: "Records and samples",
            description: "Told per second, by exporter.",
            targets: [q.rate("exporterRecords", BY)],
          }),
        ],
        [
          12,
          lines({
            title: "Records lost",
            description: "Overwritten before the exporter told them: it is too slow for this traffic.",
            targets: [q.rate("exporterLostRecords", BY)],
            alarm: 1,
          }),
        ],
        [
          12,
          lines({
            title: "Packets not told",
            description: "Packets per second in records that were lost.",
            targets: [q.rate("exporterLostPackets", BY)],
            alarm: 1,
          }),
        ],
        [
          12,
          lines({
            title: "Packets told",
            description: "Packets per second that the records tell of.",
            targets: [q.rate("exporterPackets", BY)],
          }),
        ],
        [
          12,
          lines({
            title: "Waiting",
            description: "Packets in records that have not left yet.",
            targets: [q.level("exporterPending", BY)],
          }),
        ],
      ],
    },
    {
      title: "Collectors",
      height: 8,
      panels: [
        [
          8,
          lines({
            title: "Datagrams and requests",
            description: "Handed to the kernel per second, by collector.",
            targets: [q.rate("collectorDatagrams", AT)],
          }),
        ],
        [
          8,
          lines({
            title: "Not sent",
            description: "Refused or not sent per second, by collector.",
            targets: [q.rate("collectorErrors", AT)],
            alarm: 1,
          }),
        ],
        [
          8,
          lines({
            title: "Queued",
            description: "Datagrams that wait, by collector.",
            targets: [q.level("collectorQueued", AT)],
          }),
        ],
      ],
    },
    {
      title: "Sampling",
      height: 8,
      panels: [
        [
          12,
          lines({
            title: "Samples",
            description: "Taken, and lost for want of room, by bridge.",
            targets: [
              q.rate("samples", { by: ["bridge"], legend: "{{bridge}} taken" }),
              q.rate("sampleDrops", { by: ["bridge"], legend: "{{bridge}} lost" }),
            ],
          }),
        ],
        [
          12,
          lines({
            title: "Packets examined for sampling",
            description: "The pool: with the samples it gives the true rate of sampling.",
            targets: [q.rate("samplePool", { by: ["bridge"] })],
          }),
        ],
      ],
    },
  ],
};
