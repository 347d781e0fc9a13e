import assert from "node:assert/strict";
import test from "node:test";
import { MomentClock } from "./clock.ts";

test("both clocks of a moment are one instant; the boot time stays while the wall clock is slewed", () => {
  let ns = 5_000_000_000;
  let drift = 0;
  const clock = new MomentClock({ monotonicNs: () => ns, wallMs: () => 1e12 + ns / 1e6 + drift });
  for (let step = 0; step < 900; step++) {
    ns += 250_000_000;
    drift += 1;
    const now = clock.now();
    assert.equal(now.uptimeMs, ns / 1e6);
    assert.equal(now.unixMs - now.uptimeMs, 1e12);
  }
  assert.equal(clock.steps, 0);
});

test("a step of more than a second sets the boot time anew, once", () => {
  let ns = 0;
  let step = 0;
  const clock = new MomentClock({ monotonicNs: () => ns, wallMs: () => 1e12 + ns / 1e6 + step });
  ns = 1e9;
  step = -3_600_000;
  assert.equal(clock.now().unixMs, 1e12 + 1000 - 3_600_000);
  assert.equal(clock.now().uptimeMs, 1000, "uptime does not step");
  assert.equal(clock.steps, 1);
  assert.equal(clock.boot.unixMs, 1e12 - 3_600_000);
});
