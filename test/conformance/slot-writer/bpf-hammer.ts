/** A thread that runs the BPF writer's `hammer` until it is told to stop. */
import { isMainThread, workerData } from "node:worker_threads";
import { testRunner } from "../../../src/sys/bpf.ts";

export interface BpfHammerData {
  /** Descriptor of the program. */
  readonly program: number;
  readonly stop: Int32Array;
}

/** Runs between two looks at `stop`: a grace period lasts as long as one call at most. */
const RUNS = 5000;

if (!isMainThread) {
  const { program, stop } = workerData as BpfHammerData;
  const run = testRunner(program);
  while (Atomics.load(stop, 0) === 0) run(RUNS);
}
