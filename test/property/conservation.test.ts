/**
 * Whatever comes in, however the bridge is changed meanwhile: every frame stands once in every book, no frame leaves by a
 * port that may not send it, and at the end nothing is left over. Long runs: WEIR_RUNS=5000; a failure names the
 * WEIR_SEED and WEIR_PATH that repeat it.
 */
import test from "node:test";
import fc from "fast-check";
import { change, operation, setup, type Operation } from "./arbitraries.ts";
import { SwitchUnderTest } from "./switch-under-test.ts";

const { WEIR_RUNS, WEIR_SEED, WEIR_PATH } = process.env;
const NORMAL_RUN_MS = 25_000;
const LONG_RUN_MS = 3600_000;

test("a bridge through random frames and changes conserves every frame", async (t) => {
  const operations = fc.array(operation, { minLength: 10, maxLength: 80, size: "max" });
  const details = await fc.check(
    fc.asyncProperty(setup, change, operations, async (how, first, list) => {
      const under = new SwitchUnderTest(how, first);
      await under.start();
      for (const one of list as readonly Operation[]) await under.run(one);
      await under.stop();
    }),
    {
      numRuns: Number(WEIR_RUNS ?? 100),
      seed: Number(WEIR_SEED ?? Date.now() & 0x7fffffff),
      interruptAfterTimeLimit: WEIR_RUNS === undefined ? NORMAL_RUN_MS : LONG_RUN_MS,
      ...(WEIR_PATH !== undefined && { path: WEIR_PATH }),
      // A long run says what it found at once; run again with the path it names to have it made small.
      endOnFailure: WEIR_RUNS !== undefined,
    },
  );
  t.diagnostic(`${details.numRuns} runs, seed ${details.seed}`);
  if (!details.failed || details.counterexample === null) return;
  const { seed, counterexamplePath, counterexample, errorInstance } = details;
  const message = errorInstance instanceof Error ? errorInstance.message : String(errorInstance);
  const what = [counterexample[0], counterexample[1], ...counterexample[2]].map((part) => JSON.stringify(part, inHex));
  throw new Error(`${message}\nWEIR_SEED=${seed} WEIR_PATH=${counterexamplePath}\n${what.join("\n")}`, {
    cause: errorInstance,
  });
});

/** Frames as the first 64 bytes in hex, in the report of a failure. */
function inHex(_key: string, value: unknown): unknown {
  return value instanceof Uint8Array ? Buffer.from(value.subarray(0, 64)).toString("hex") : value;
}
