/** P11: everything mirrored to a SPAN port: how fast the originals go, against without. */
import { execFileSync } from "node:child_process";
import { Bed } from "./bed.ts";
import { weir } from "./peers.ts";
import { flowsLabel as label, put, ratio, type Result } from "./table.ts";

const FLOWS = [1, 1000];

export async function mirror(rounds: number): Promise<Result> {
  const result: Result = {
    part: "mirror",
    title: "Frames of 60 bytes, everything mirrored to a SPAN port (userspace datapath)",
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
  };
  const bed = new Bed();
  try {
    const peers = [await weir(bed, "Weir userspace"), await weir(bed, "Weir userspace, all mirrored", { span: true })];
    for (let round = 0; round < rounds; round++)
      for (const flows of FLOWS)
        for (const peer of peers) put(result, peer.name, label(flows), (await bed.frameRate(peer.lane, flows)) / 1000);
    const { middle } = peers[1]!.lane;
    const [mon] = JSON.parse(
      execFileSync("ip", ["-n", middle, "-s", "-j", "link", "show", "dev", "mon0"], { encoding: "utf8" }),
    ) as [{ stats64: { tx: { packets: number } } }];
    if (mon.stats64.tx.packets < 1000)
      throw new Error(`the SPAN port sent ${mon.stats64.tx.packets} frames: no mirror`);
  } finally {
    await bed.close();
  }
  for (const flows of FLOWS)
    result.ratios.push({
      target: "P11",
      what: `originals with everything mirrored, to without, ${label(flows)}`,
      value: ratio(result, "Weir userspace, all mirrored", "Weir userspace", label(flows)),
      unit: "×",
      floor: 0.6,
      goal: 0.75,
    });
  return result;
}
