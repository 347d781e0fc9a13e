/** Sampling 1:400 on against off, the userspace engine alone, in turns in one run: what a sample costs the frames. */
import type { RuleChange } from "../../src/datapath/datapath.ts";
import { LocalDatapath } from "../../src/datapath/userspace/local.ts";
import { KEY_WORDS } from "../../src/flow/key.ts";
import { forward } from "../../src/pipeline/actions.ts";
import type { Port } from "../../src/ports/port.ts";
import { createFrameWheel, quietPort } from "./frame-wheel.ts";
import { put, value, type Result } from "./table.ts";

const FLOWS = 10_000;
/** Frames of one turn: short, so that what else the machine does meets both alike. */
const FRAMES = 500_000;
const TURNS = 20;
const SAMPLING = 400;

const words = (first: number): Uint32Array => new Uint32Array(KEY_WORDS).fill(first, 0, 1);

const RULES: RuleChange = {
  add: [{ index: 0, gen: 1, mask: words(0xffff0000), key: words(1 << 16), actions: forward([{ port: 2 }]) }],
  enabled: [1, 2].map((port) => ({ port, up: true })),
};

export async function sampling(rounds: number): Promise<Result> {
  const result: Result = {
    part: "sampling",
    title: `The userspace engine alone, sampling 1:${SAMPLING} on against off, ${FLOWS.toLocaleString("en")} flows`,
    unit: "",
    cells: [],
    ratios: [],
  };
  const wheel = createFrameWheel(FLOWS);
  const datapath = new LocalDatapath({
    capacity: 65_536,
    ports: 16,
    seed: 1,
    open: (spec): Port => (spec.no === 1 ? wheel : quietPort()),
  });
  for (const no of [1, 2]) await datapath.addPort({ no, name: `p${no}`, type: "bench", options: {} });
  datapath.program(RULES);
  let now = 1;
  /** Processor seconds for so many frames at this rate. */
  const drive = (rate: number, frames: number): number => {
    datapath.program({ sampling: [{ port: 1, rate, header: 128 }] });
    const from = process.cpuUsage();
    for (let done = 0; done < frames; now += 1000) {
      done += datapath.step(now);
      for (let at = datapath.samples.peek(); at >= 0; at = datapath.samples.peek()) datapath.samples.release();
    }
    const used = process.cpuUsage(from);
    return (used.user + used.system) / 1e6;
  };
  for (let n = 0; n < 4; n++) drive(n % 2 === 0 ? 0 : SAMPLING, 1_000_000);
  for (let round = 0; round < rounds; round++) {
    let [off, on] = [0, 0];
    for (let turn = 0; turn < TURNS; turn++) {
      // Who comes second alternates.
      if (turn % 2 === 0) off += drive(0, FRAMES);
      on += drive(SAMPLING, FRAMES);
      if (turn % 2 === 1) off += drive(0, FRAMES);
    }
    put(result, "sampling off", "million frames/s", (FRAMES * TURNS) / off / 1e6);
    put(result, `sampling 1:${SAMPLING}`, "million frames/s", (FRAMES * TURNS) / on / 1e6);
    put(result, "cost", "percent", (1 - off / on) * 100);
  }
  await datapath.close();
  result.ratios.push({
    target: "sampling",
    what: `cost of sampling 1:${SAMPLING}`,
    value: Number(value(result, "cost", "percent").toFixed(2)),
    unit: "%",
    floor: 3,
    goal: 1,
    atMost: true,
  });
  return result;
}
