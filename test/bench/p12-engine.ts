/** P12: the userspace engine alone, on one core: frames a second, and bytes allocated for a frame. */
import { PerformanceObserver } from "node:perf_hooks";
import { LocalDatapath } from "../../src/datapath/userspace/local.ts";
import type { RuleChange } from "../../src/datapath/datapath.ts";
import { KEY_WORDS } from "../../src/flow/key.ts";
import { forward } from "../../src/pipeline/actions.ts";
import type { Port } from "../../src/ports/port.ts";
import { createFrameWheel, quietPort } from "./frame-wheel.ts";
import { put, value, type Result } from "./table.ts";

const FLOWS = 10_000;
const FRAMES = 10_000_000;
const SAMPLING = 400;

/** Rule 0: everything from port 1 to port 2. */
const RULES: RuleChange = {
  add: [{ index: 0, gen: 1, mask: portOnly(0xffff0000), key: portOnly(1 << 16), actions: forward([{ port: 2 }]) }],
  sampling: [{ port: 1, rate: SAMPLING, header: 128 }],
};

function portOnly(word: number): Uint32Array {
  const words = new Uint32Array(KEY_WORDS);
  words[0] = word;
  return words;
}

export async function engine(rounds: number): Promise<Result> {
  const result: Result = {
    part: "engine",
    title: `The userspace engine alone, one core, ${FLOWS.toLocaleString("en")} flows, sampling 1:${SAMPLING}`,
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
  datapath.program({ ...RULES, enabled: [1, 2].map((port) => ({ port, up: true })) });
  let collections = 0;
  const observer = new PerformanceObserver((list) => (collections += list.getEntries().length));
  observer.observe({ entryTypes: ["gc"] });
  let now = 1;
  const drive = (frames: number): void => {
    for (let done = 0; done < frames; now += 1000) {
      done += datapath.step(now);
      for (let at = datapath.samples.peek(); at >= 0; at = datapath.samples.peek()) datapath.samples.release();
    }
  };
  drive(2_000_000);
  for (let round = 0; round < rounds; round++) {
    const heap = process.memoryUsage().heapUsed;
    // Time of the processor, not of the wall: the engine alone is asked about, not what else the machine does.
    const from = process.cpuUsage();
    drive(FRAMES);
    const used = process.cpuUsage(from);
    const seconds = (used.user + used.system) / 1e6;
    put(result, "engine", "million frames/s", FRAMES / seconds / 1e6);
    put(result, "engine", "bytes allocated per frame", Math.max(0, process.memoryUsage().heapUsed - heap) / FRAMES);
  }
  await new Promise((resolve) => setTimeout(resolve, 10));
  observer.disconnect();
  put(result, "engine", "garbage collections", collections);
  await datapath.close();
  result.ratios.push(
    {
      target: "P12",
      what: "frames",
      value: value(result, "engine", "million frames/s"),
      unit: "M frames/s",
      floor: 5,
      goal: 8,
    },
    {
      target: "P12",
      what: "allocation per frame",
      value: Math.round(value(result, "engine", "bytes allocated per frame")),
      unit: "bytes",
      floor: 0,
      goal: 0,
      atMost: true,
    },
  );
  return result;
}
