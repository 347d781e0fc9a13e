/** P1, P2, P3, P5: frames a second of 60 bytes through each switch, by number of flows. */
import { Bed } from "./bed.ts";
import { bare, BESIDE, linuxBridge, openVswitch, weir, type Peer } from "./peers.ts";
import { flowsLabel as label, put, ratio, type Result } from "./table.ts";

const FLOWS = [1, 1000, 50_000];
const KERNEL = "Weir kernel, NetFlow, sFlow";

export async function frames(rounds: number): Promise<Result> {
  const result: Result = {
    part: "frames",
    title: "Frames of 60 bytes through each switch, by number of flows",
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [
      "Weir samples 1 frame in 400, as OVS with sFlow does. plain redirect: the receiver stands in the switch's namespace, so that frames are sent by a device's queue instead of handed to a guest.",
    ],
  };
  const bed = new Bed();
  try {
    const peers: Peer[] = [
      await bare(bed),
      await linuxBridge(bed),
      await openVswitch(bed, "OVS userspace"),
      await openVswitch(bed, "OVS userspace, NetFlow", { netflow: true }),
      await openVswitch(bed, "OVS userspace, NetFlow, sFlow", { netflow: true, sflow: true }),
      await weir(bed, "Weir userspace"),
      await weir(bed, "Weir userspace, NetFlow", { netflow: true }),
      await weir(bed, KERNEL, { datapath: "kernel", netflow: true, sflow: true }),
      await linuxBridge(bed, true),
      await weir(bed, `${KERNEL}${BESIDE}`, { datapath: "kernel", netflow: true, sflow: true, beside: true }),
    ];
    for (let round = 0; round < rounds; round++) {
      for (const flows of FLOWS) {
        for (const peer of peers) {
          put(result, peer.name, label(flows), (await bed.frameRate(peer.lane, flows)) / 1000);
        }
      }
    }
  } finally {
    await bed.close();
  }
  for (const flows of FLOWS) {
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
    what: "Weir to OVS userspace, both with NetFlow, 50,000 flows",
    value: ratio(result, "Weir userspace, NetFlow", "OVS userspace, NetFlow", "50,000 flows"),
    unit: "×",
    floor: 4,
    goal: 6,
  });
  result.ratios.push({
    target: "P3",
    what: "Weir kernel to OVS userspace with NetFlow and sFlow, 50,000 flows",
    value: ratio(result, KERNEL, "OVS userspace, NetFlow, sFlow", "50,000 flows"),
    unit: "×",
    floor: 4,
    goal: 6,
  });
  return result;
}
