import assert from "node:assert/strict";
import { test } from "node:test";
import { COUNT_PACKETS, PortTotals } from "../flow/totals.ts";
import * as C from "../shm/counters.ts";
import { audit, type Audit } from "./audit.ts";

const PORT = 1;

/** An audit of a port whose counters, one reading after the other, are these: received, forwarded. The last one stays. */
function audited(readings: readonly (readonly [received: number, forwarded: number])[], inTable: number): Audit {
  let at = 0;
  const recorded = new PortTotals(2);
  const counts = new Float64Array(recorded.values.length / 2);
  return audit({
    ports: 2,
    counters(out) {
      const [received, forwarded] = readings[Math.min(at++, readings.length - 1)]!;
      out.values[PORT * C.COUNTERS_PER_PORT + C.C_RX_PACKETS] = received;
      out.values[PORT * C.COUNTERS_PER_PORT + C.C_FORWARDED] = forwarded;
      return out;
    },
    sweeper: {
      recorded,
      table(out) {
        counts[COUNT_PACKETS] = inTable;
        out.add(PORT, counts);
        return out;
      },
      unrecorded: () => Promise.reject(new Error("not asked")),
    },
  });
}

test("nothing arrives: every sum is exact, or it does not hold", () => {
  const { ok, exact, inFlight } = audited([[100, 100]], 100);
  assert.deepEqual([ok, exact, inFlight], [true, true, 0]);
  for (const wrong of [audited([[100, 99]], 100), audited([[100, 101]], 100)])
    assert.deepEqual([wrong.ok, wrong.dispositionsOk, wrong.flowsOk], [false, false, true]);
});

test("a frame between its two counts is looked at again a moment later", () => {
  const found = audited(
    [
      [100, 99],
      [104, 103],
      [106, 106],
    ],
    102,
  );
  assert.deepEqual([found.ok, found.exact, found.rx, found.forwarded, found.inFlight], [true, false, 106, 106, 6]);
});

test("programs that are never seen idle: what is undecided has arrived since the beginning, or is missing", () => {
  const busy = Array.from({ length: 20 }, (_, n) => [100 + 10 * n, 98 + 10 * n] as const);
  const found = audited(busy, 105);
  assert.deepEqual([found.ok, found.exact, found.rx - found.forwarded], [true, false, 2]);
  // One that was there before anything of this arrived was never decided.
  const missing = audited([[100, 95], ...Array.from({ length: 400 }, () => [110, 99] as const)], 105);
  assert.deepEqual(missing.failing, [{ port: PORT, term: "dispositions", off: 11 }]);
  const twice = audited([[100, 100], ...Array.from({ length: 400 }, () => [110, 111] as const)], 105);
  assert.deepEqual(twice.failing, [{ port: PORT, term: "dispositions", off: -1 }]);
});
