/** P11: everything mirrored to a SPAN port: how fast the originals go, against without. */
import { Bed, type Lane, receivedBy } from "./bed.ts";
import { weir } from "./peers.ts";
import { flowsLabel as label, put, ratio, type Result } from "./table.ts";

const FLOWS = [1, 1000];
const DATAPATHS = ["userspace", "kernel"] as const;
/** Short runs side by side: what else the machine does is in both. */
const PAIRS = 2;
const SECONDS = 0.6;

/** What the far end of the SPAN port has received. */
const copies = ({ middle }: Lane): number => receivedBy(middle, "mon0-end");

export async function mirror(rounds: number): Promise<Result> {
  const result: Result = {
    part: "mirror",
    title: "Frames of 60 bytes, everything mirrored to a SPAN port",
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [
      "A forwarding thread in userspace that has no time left gives copies 0.3 of it; the rest is counted as queue-dropped.",
    ],
  };
  const bed = new Bed();
  try {
    const lanes = [];
    for (const datapath of DATAPATHS) {
      const plain = await weir(bed, `Weir ${datapath}`, { datapath });
      lanes.push({ plain, mirrored: await weir(bed, `Weir ${datapath}, all mirrored`, { datapath, span: true }) });
    }
    const runs = Array.from({ length: rounds * PAIRS }, () => FLOWS).flat();
    for (const flows of runs)
      for (const { plain, mirrored } of lanes) {
        const { name, lane } = mirrored;
        put(result, plain.name, label(flows), (await bed.frameRate(plain.lane, flows, SECONDS)) / 1000);
        const before = [copies(lane), bed.received(lane)] as const;
        const rate = (await bed.frameRate(lane, flows, SECONDS)) / 1000;
        const made = (copies(lane) - before[0]) / (bed.received(lane) - before[1]);
        put(result, name, label(flows), rate);
        put(result, `${name}: copies`, label(flows), rate * made);
        if (!(made > 0.3)) throw new Error(`${name}: ${made} copies of each frame: no mirror`);
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
