/** P11: everything mirrored to a SPAN port: how fast the originals go, against without. */
import { execFileSync } from "node:child_process";
import { Bed } from "./bed.ts";
import { type Peer, weir } from "./peers.ts";
import { flowsLabel as label, put, ratio, type Result } from "./table.ts";

const FLOWS = [1, 1000];
const DATAPATHS = ["userspace", "kernel"] as const;

export async function mirror(rounds: number): Promise<Result> {
  const result: Result = {
    part: "mirror",
    title: "Frames of 60 bytes, everything mirrored to a SPAN port",
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
  };
  const bed = new Bed();
  try {
    const peers: Peer[] = [];
    const mirrored: Peer[] = [];
    for (const datapath of DATAPATHS) {
      peers.push(await weir(bed, `Weir ${datapath}`, { datapath }));
      mirrored.push(await weir(bed, `Weir ${datapath}, all mirrored`, { datapath, span: true }));
      peers.push(mirrored.at(-1)!);
    }
    for (let round = 0; round < rounds; round++)
      for (const flows of FLOWS)
        for (const peer of peers) put(result, peer.name, label(flows), (await bed.frameRate(peer.lane, flows)) / 1000);
    for (const { name, lane } of mirrored) {
      const [mon] = JSON.parse(
        execFileSync("ip", ["-n", lane.middle, "-s", "-j", "link", "show", "dev", "mon0"], { encoding: "utf8" }),
      ) as [{ stats64: { tx: { packets: number } } }];
      if (mon.stats64.tx.packets < 1000)
        throw new Error(`${name}: the SPAN port sent ${mon.stats64.tx.packets} frames: no mirror`);
    }
  } finally {
    await bed.close();
  }
  for (const datapath of DATAPATHS)
    for (const flows of FLOWS)
      result.ratios.push({
        target: "P11",
        what: `${datapath}: originals with everything mirrored, to without, ${label(flows)}`,
        value: ratio(result, `Weir ${datapath}, all mirrored`, `Weir ${datapath}`, label(flows)),
        unit: "×",
        floor: 0.6,
        goal: 0.75,
      });
  return result;
}
