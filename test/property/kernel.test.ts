/**
 * What conservation.test.ts says of the userspace datapath, of the kernel's: real frames through veth pairs, every frame
 * once in every book, none by a port that may not send it, nothing left at the end. Longer: WEIR_RUNS=200.
 */
import test from "node:test";
import fc from "fast-check";
import { kernelAvailable } from "../helpers/kernel-harness.ts";
import { wireEnds } from "../helpers/wire-ends.ts";
import { change, operation, setup } from "./arbitraries.ts";
import { KernelUnderTest } from "./kernel-under-test.ts";

const PORTS = 4;
const { WEIR_RUNS, WEIR_SEED, WEIR_PATH } = process.env;
const NORMAL_RUN_MS = 8000;
const LONG_RUN_MS = 3600_000;

test("the kernel datapath through random frames and changes conserves every frame", async (t) => {
  if (!kernelAvailable(t)) return;
  const wires = wireEnds(PORTS);
  t.after(() => wires.close());
  const operations = fc.array(operation, { minLength: 10, maxLength: 40, size: "max" });
  const details = await fc.check(
    fc.asyncProperty(setup, change, operations, async (how, first, list) => {
      const under = new KernelUnderTest(wires, how, first);
      try {
        await under.start();
        for (const one of list) await under.run(one);
        await under.stop();
      } finally {
        await under.close();
      }
    }),
    {
      numRuns: Number(WEIR_RUNS ?? 12),
      seed: Number(WEIR_SEED ?? Date.now() & 0x7fffffff),
      interruptAfterTimeLimit: WEIR_RUNS === undefined ? NORMAL_RUN_MS : LONG_RUN_MS,
      ...(WEIR_PATH !== undefined && { path: WEIR_PATH }),
      endOnFailure: true,
    },
  );
  t.diagnostic(`${details.numRuns} runs, seed ${details.seed}`);
  if (!details.failed || details.counterexample === null) return;
  const { seed, counterexamplePath, errorInstance } = details;
  const message = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  throw new Error(`${message}\nWEIR_SEED=${seed} WEIR_PATH=${counterexamplePath}`, { cause: errorInstance });
});
