/** P9: every frame a new flow, for ten seconds, in a table that is smaller: what the kernel datapath makes of it. */
import { Bed } from "./bed.ts";
import { weirServer } from "./peers.ts";
import { storm } from "./storm.ts";
import { put, value, type Result } from "./table.ts";

const SECONDS = 10;
const FLOWS = "{ max: 1048576, maxPerPort: 90% }";
const ROW = "Weir kernel, NetFlow";

export async function newFlows(rounds: number): Promise<Result> {
  const result: Result = {
    part: "storm",
    title: `Every frame a new flow, ${SECONDS} s, kernel datapath`,
    unit: "",
    cells: [],
    ratios: [],
    notes: [
      "The table holds 1,048,576 flows, a port nine tenths of them: those beyond are counted without a flow (unattributed), by port and VLAN. lost: frames that the sender's device took and the receiver did not get. amiss: frames that stand in no flow and not among the unattributed.",
    ],
  };
  const bed = new Bed();
  try {
    const server = await weirServer(bed, "weir", { datapath: "kernel", netflow: true, flows: FLOWS });
    for (let round = 0; round < rounds; round++) {
      const { sent, received, stormy, other, otherSent, audit } = await storm(bed, server, SECONDS);
      const found = stormy.flowsCreated + (stormy.unattributed["tableFull"] ?? 0);
      put(result, ROW, "thousand new flows/s", sent / SECONDS / 1000);
      put(result, ROW, "in the table, thousand/s", stormy.flowsCreated / SECONDS / 1000);
      put(result, ROW, "lost", sent - received);
      put(result, ROW, "amiss", Math.abs(sent - found) + Math.abs(other.rxPackets - otherSent) + (audit.ok ? 0 : 1));
    }
  } finally {
    await bed.close();
  }
  const at = (column: string): number => value(result, ROW, column);
  result.ratios.push({
    target: "P9",
    what: "new flows a second, nothing lost, every frame in its books",
    value: at("lost") === 0 && at("amiss") === 0 ? at("thousand new flows/s") : 0,
    unit: "thousand/s",
    floor: 300,
    goal: 500,
  });
  return result;
}
