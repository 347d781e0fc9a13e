/** What an InfluxDB that is away costs the frames: refusing, or taking the connection and never answering. */
import { Bed } from "./bed.ts";
import { weirServer } from "./peers.ts";
import { flowsLabel, put, ratio, type Result } from "./table.ts";
import { type Turns, turnsOf } from "./turns.ts";

const FLOWS = 1000;
/** Whatever the number of rounds. A turn holds a write of the exporter's, or its try again. */
const ALTERNATIONS = 24;
const TURN_MS = 1000;
const NONE = "no exporter";
const URL = "http://127.0.0.1:8086";
const SILENT = "require('net').createServer(() => {}).listen(8086, '127.0.0.1')";

export async function outage(): Promise<Result> {
  const result: Result = {
    part: "outage",
    title: `Frames of 60 bytes, ${flowsLabel(FLOWS)}, while InfluxDB is away (userspace datapath)`,
    unit: "thousand frames/s",
    cells: [],
    ratios: [],
    notes: [
      `An exporter that writes every second; ${ALTERNATIONS} turns of ${TURN_MS / 1000} s each, in alternating order.`,
    ],
  };
  const bed = new Bed();
  try {
    const without = await weirServer(bed, "none");
    const refused = await weirServer(bed, "refused", { influx: URL });
    const silent = await weirServer(bed, "silent", { influx: URL });
    bed.start("silent server", silent.lane.middle, process.execPath, ["-e", SILENT]);
    const lanes: [string, Turns][] = [];
    for (const [name, { lane }] of [
      [NONE, without],
      ["refuses", refused],
      ["never answers", silent],
    ] as const)
      lanes.push([name, await turnsOf(bed, lane, FLOWS)]);
    for (let turn = 0; turn < ALTERNATIONS; turn++)
      for (const [name, lane] of turn % 2 === 0 ? lanes : lanes.toReversed())
        put(result, name, flowsLabel(FLOWS), (await lane.rate(TURN_MS)) / 1000);
    for (const [name] of lanes.slice(1))
      result.ratios.push({
        target: "outage",
        what: `InfluxDB ${name}: frames, to without an exporter`,
        value: Number(ratio(result, name, NONE, flowsLabel(FLOWS)).toFixed(3)),
        unit: "×",
        floor: 0.97,
        goal: 0.99,
      });
  } finally {
    await bed.close();
  }
  return result;
}
