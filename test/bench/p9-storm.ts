/** P9: every frame a new flow, for ten seconds, in a table that is smaller: what the kernel datapath makes of it. */
import { Bed } from "./bed.ts";
import { bare, weirServer } from "./peers.ts";
import { ENDLESS, storm } from "./storm.ts";
import { put, value, type Result } from "./table.ts";

const SECONDS = 10;
const FLOWS = "{ max: 1048576, maxPerPort: 90% }";
const ROW = "Weir kernel, NetFlow";
const RATE = "thousand new flows/s";
/** The same frames through nothing, before and after each storm. */
const BARE = "bare veth, thousand frames/s";
const BARE_SECONDS = 2;
/** Of the machine that the floor and the goal were set on, thousand frames/s with one flow. */
const BARE_THEN = 834;

export async function newFlows(rounds: number): Promise<Result> {
  const result: Result = {
    part: "storm",
    title: `Every frame a new flow, ${SECONDS} s, kernel datapath`,
    unit: "",
    cells: [],
    ratios: [],
    notes: [
      `The floor and the goal in flows a second belong to the machine they were set on, whose bare veth carried ${BARE_THEN},000 frames a second; against the bare veth of the same run, measured before and after each storm, they are the second row.`,
      "The table holds 1,048,576 flows, a port nine tenths of them: those beyond are counted without a flow (unattributed), by port and VLAN. lost: frames that the sender's device took and the receiver did not get. amiss: frames that stand in no flow and not among the unattributed.",
    ],
  };
  const bed = new Bed();
  try {
    const { lane: through } = await bare(bed);
    const bareRate = async (): Promise<number> =>
      (await bed.flood(through, ENDLESS, BARE_SECONDS)) / BARE_SECONDS / 1000;
    const server = await weirServer(bed, "weir", { datapath: "kernel", netflow: true, flows: FLOWS });
    for (let round = 0; round < rounds; round++) {
      const before = await bareRate();
      const { sent, received, stormy, other, otherSent, audit } = await storm(bed, server, SECONDS);
      const found = stormy.flowsCreated + (stormy.unattributed["tableFull"] ?? 0);
      put(result, ROW, RATE, sent / SECONDS / 1000);
      put(result, ROW, BARE, (before + (await bareRate())) / 2);
      put(result, ROW, "in the table, thousand/s", stormy.flowsCreated / SECONDS / 1000);
      put(result, ROW, "lost", sent - received);
      put(result, ROW, "amiss", Math.abs(sent - found) + Math.abs(other.rxPackets - otherSent) + (audit.ok ? 0 : 1));
    }
  } finally {
    await bed.close();
  }
  const at = (column: string): number => value(result, ROW, column);
  const isSound = at("lost") === 0 && at("amiss") === 0;
  const [floor, goal] = [300, 500];
  result.ratios.push({
    target: "P9",
    what: "new flows a second, nothing lost, every frame in its books",
    value: isSound ? at(RATE) : 0,
    unit: "thousand/s",
    floor,
    goal,
  });
  result.ratios.push({
    target: "P9",
    what: "the same, to frames of a bare veth",
    value: isSound ? at(RATE) / at(BARE) : 0,
    unit: "×",
    floor: Math.round((floor / BARE_THEN) * 100) / 100,
    goal: Math.round((goal / BARE_THEN) * 100) / 100,
  });
  return result;
}
