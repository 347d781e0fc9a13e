/** Rates that follow the traffic, against a sampler that is simulated: the ceiling holds, quiet ports are seen better. */
import assert from "node:assert/strict";
import test from "node:test";
import { Random } from "../datapath/userspace/sampler.ts";
import { C_SAMPLES, COUNTERS_PER_PORT, CounterSnapshot } from "../shm/counters.ts";
import { AdaptiveSampling } from "./adaptive.ts";

function planOne(adaptive: AdaptiveSampling, rate: number, ceiling: number): number {
  const [planned] = adaptive.plan({ rate: 999, header: 128 }, [{ no: 1, config: { sampling: { rate, ceiling } } }]);
  assert.deepEqual(planned, { port: 1, rate: planned!.rate, header: 128 });
  return planned!.rate;
}

/** A port under `pps(second)` for so long; its rate, samples and estimate by second. */
function simulate(rate: number, ceiling: number, seconds: number, pps: (second: number) => number) {
  const adaptive = new AdaptiveSampling();
  const snapshot = new CounterSnapshot(2);
  const draws = new Random(7);
  let current = planOne(adaptive, rate, ceiling);
  let skip = draws.skip(current);
  const found: { rate: number; samples: number; estimate: number }[] = [];
  for (let second = 0; second < seconds; second++) {
    let [samples, estimate] = [0, 0];
    for (let tenth = 0; tenth < 10; tenth++) {
      for (let packet = 0; packet < pps(second) / 10; packet++)
        if (--skip <= 0) {
          skip = draws.skip(current);
          samples++;
          estimate += current;
          snapshot.values[COUNTERS_PER_PORT + C_SAMPLES]!++;
        }
      for (const change of adaptive.look(() => snapshot, second * 1e9 + tenth * 100e6)) {
        assert.equal(change.port, 1);
        current = change.rate;
        skip = draws.skip(current);
      }
    }
    found.push({ rate: current, samples, estimate });
  }
  return found;
}

test("a quiet port is sampled finer, down to every packet", () => {
  const found = simulate(400, 100, 30, () => 20);
  assert.deepEqual([...new Set(found.map(({ rate }) => rate))], [400, 200, 100, 50, 25, 12, 6, 3, 1]);
  assert.ok(found.slice(-10).every(({ samples }) => samples === 20));
});

test("a busy port keeps to its ceiling, and a burst is met within a fraction of a second", () => {
  const found = simulate(1, 100, 60, (second) => (second < 20 ? 50 : 200_000));
  assert.ok(found[20]!.samples < 25_000, `${found[20]!.samples} samples in the second of the burst`);
  for (const { samples, rate } of found.slice(23)) assert.ok(samples <= 200, `${samples} at 1:${rate}`);
  const late = found.slice(-20);
  assert.ok(late.every(({ rate }) => rate >= 1024 && rate <= 16_384));
});

test("estimates hold across changes of the rate: each sample counts as what it was taken at", () => {
  const pps = (second: number): number => [100, 50_000, 1000, 200_000, 10][Math.floor(second / 12) % 5]!;
  const found = simulate(400, 200, 120, pps);
  const estimate = found.reduce((sum, each) => sum + each.estimate, 0);
  const truth = found.reduce((sum, _, second) => sum + pps(second), 0);
  assert.ok(Math.abs(estimate / truth - 1) < 0.05, `${estimate} of ${truth}`);
});

test("without a ceiling nothing is looked at; a change of the configuration begins anew", () => {
  const adaptive = new AdaptiveSampling();
  const never = (): CounterSnapshot => assert.fail("not looked at");
  assert.equal(planOne(adaptive, 400, 0), 400);
  assert.equal(planOne(adaptive, 0, 100), 0);
  assert.deepEqual(adaptive.look(never, 0), []);
  const snapshot = new CounterSnapshot(3);
  assert.equal(planOne(adaptive, 400, 10), 400);
  for (let at = 0; at < 5e9; at += 1e9) adaptive.look(() => snapshot, at);
  const found = planOne(adaptive, 400, 10);
  assert.ok(found < 400, "unchanged: what was found");
  assert.equal(planOne(adaptive, 300, 10), 300);
  assert.deepEqual(adaptive.plan({ rate: 1, header: 64, ceiling: 5 }, []), []);
  assert.deepEqual(adaptive.look(never, 9e9), []);
});
