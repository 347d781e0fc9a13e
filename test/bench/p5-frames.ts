/** P1, P2, P3, P5: frames a second of 60 bytes through each switch, by number of flows. */
import { Bed } from "./bed.ts";
import { bare, BESIDE, linuxBridge, openVswitch, weir, type Peer } from "./peers.ts";
import { flowsLabel as label, put, ratio, type Result } from "./table.ts";
import { type Turns, turnsOf } from "./turns.ts";

/** Turns of a round, and their length: with many flows a turn must see each of them several times. */
const COLUMNS = [
  { flows: 1, turns: 8, ms: 110 },
  { flows: 1000, turns: 8, ms: 110 },
  { flows: 50_000, turns: 6, ms: 300 },
];
/** What a switch does beside forwarding shows when frames do not stop: peers with telemetry once more, in longer turns. */
const SUSTAINED = { flows: 50_000, turns: 2, ms: 1500 };
const SUSTAINED_COLUMN = `${label(SUSTAINED.flows)}, sustained`;
const KERNEL = "Weir kernel, NetFlow, sFlow";

export async function frames(rounds: number): Promise<Result> {
  const result: Result = {
    part: "frames",
    title: "Frames of 60 bytes through each switch, by number of flows",
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [
      "Turns of 110 ms (300 with 50,000 flows, sustained: 1.5 s), round and round: a cell is the median of all, a ratio of the turns' ratios. Weir samples 1 frame in 400, as OVS with sFlow does. plain redirect: the receiver stands in the switch's namespace, so that frames are sent by a device's queue instead of handed to a guest.",
    ],
  };
  const bed = new Bed();
  try {
    // What is compared most closely stands side by side.
    const peers: Peer[] = [
      await bare(bed),
      await weir(bed, KERNEL, { datapath: "kernel", netflow: true, sflow: true }),
      await linuxBridge(bed),
      await weir(bed, `${KERNEL}${BESIDE}`, { datapath: "kernel", netflow: true, sflow: true, beside: true }),
      await linuxBridge(bed, true),
      await openVswitch(bed, "OVS userspace"),
      await openVswitch(bed, "OVS userspace, NetFlow", { netflow: true }),
      await openVswitch(bed, "OVS userspace, NetFlow, sFlow", { netflow: true, sflow: true }),
      await weir(bed, "Weir userspace"),
      await weir(bed, "Weir userspace, NetFlow", { netflow: true }),
    ];
    const measure = async (among: readonly Peer[], column: string, flows: number, turns: number, ms: number) => {
      const lanes: Turns[] = [];
      for (const { lane } of among) lanes.push(await turnsOf(bed, lane, flows));
      for (let turn = 0; turn < rounds * turns; turn++)
        for (const [n, { name }] of among.entries()) put(result, name, column, (await lanes[n]!.rate(ms)) / 1000);
      for (const lane of lanes) lane.end();
    };
    for (const { flows, turns, ms } of COLUMNS) await measure(peers, label(flows), flows, turns, ms);
    const telling = peers.filter(({ name }) => name.includes("NetFlow") && !name.endsWith(BESIDE));
    await measure(telling, SUSTAINED_COLUMN, SUSTAINED.flows, SUSTAINED.turns, SUSTAINED.ms);
  } finally {
    await bed.close();
  }
  for (const { flows } of COLUMNS) {
    const column = label(flows);
    result.ratios.push({
      target: "P1",
      what: `Weir kernel to the Linux bridge, ${column}`,
      value: ratio(result, KERNEL, "Linux bridge", column),
      unit: "×",
      floor: 1.4,
      goal: 1.6,
    });
    result.ratios.push({
      target: "P1",
      what: `the same by a plain redirect, ${column}`,
      value: ratio(result, `${KERNEL}${BESIDE}`, `Linux bridge${BESIDE}`, column),
      unit: "×",
      floor: 1.15,
      goal: 1.35,
    });
    result.ratios.push({
      target: "P2",
      what: `Weir kernel to a bare veth, ${column}`,
      value: ratio(result, KERNEL, "bare veth", column),
      unit: "×",
      floor: 0.7,
      goal: 0.85,
    });
    result.ratios.push({
      target: "P5",
      what: `Weir to OVS userspace, both plain, ${column}`,
      value: ratio(result, "Weir userspace", "OVS userspace", column),
      unit: "×",
      floor: 1.1,
      goal: 1.5,
    });
  }
  result.ratios.push({
    target: "P5",
    what: `Weir to OVS userspace, both with NetFlow, ${SUSTAINED_COLUMN}`,
    value: ratio(result, "Weir userspace, NetFlow", "OVS userspace, NetFlow", SUSTAINED_COLUMN),
    unit: "×",
    floor: 4,
    goal: 6,
  });
  result.ratios.push({
    target: "P3",
    what: `Weir kernel to OVS userspace with NetFlow and sFlow, ${SUSTAINED_COLUMN}`,
    value: ratio(result, KERNEL, "OVS userspace, NetFlow, sFlow", SUSTAINED_COLUMN),
    unit: "×",
    floor: 4,
    goal: 6,
  });
  return result;
}
