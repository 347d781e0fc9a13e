import assert from "node:assert/strict";
import test from "node:test";
import { RequestRate } from "./bounds.ts";
import { Problem } from "./problem.ts";

/** How many of `count` requests at `nowMs` are taken. */
function taken(rate: RequestRate, address: string, count: number, nowMs: number): number {
  let done = 0;
  for (let n = 0; n < count; n++)
    try {
      rate.take(address, nowMs);
      done++;
    } catch (error) {
      assert.ok(error instanceof Problem && error.status === 429 && error.headers["Retry-After"] === "1");
    }
  return done;
}

test("an address asks 500 times at once, then 100 times a second; others are not its affair", () => {
  const rate = new RequestRate();
  assert.equal(taken(rate, "192.0.2.1", 600, 0), 500);
  assert.equal(taken(rate, "192.0.2.2", 10, 0), 10);
  assert.equal(taken(rate, "192.0.2.1", 200, 1000), 100);
  assert.equal(taken(rate, "192.0.2.1", 600, 60_000), 500);
  // A clock that is set back gives and takes nothing.
  assert.equal(taken(rate, "192.0.2.1", 10, 0), 0);
});

test("IPv6: the hosts of one /64 are one; mapped IPv4 is IPv4", () => {
  const rate = new RequestRate();
  assert.equal(taken(rate, "2001:db8:0:1::1", 500, 0), 500);
  assert.equal(taken(rate, "2001:db8:0:1:ffff::2", 1, 0), 0);
  assert.equal(taken(rate, "2001:db8:0:2::1", 1, 0), 1);
  assert.equal(taken(rate, "::1", 1, 0), 1);
  assert.equal(taken(rate, "::ffff:192.0.2.7", 500, 0), 500);
  assert.equal(taken(rate, "::ffff:192.0.2.8", 1, 0), 1);
});

test("many addresses: the table is bounded, and who asks stays in it", () => {
  const rate = new RequestRate();
  assert.equal(taken(rate, "192.0.2.1", 500, 0), 500);
  for (let n = 0; n < 20_000; n++) {
    taken(rate, `10.${n >> 16}.${(n >> 8) & 255}.${n & 255}`, 1, 0);
    if (n % 1000 === 0) assert.equal(taken(rate, "192.0.2.1", 1, 0), 0);
  }
  assert.equal(rate.size, 4096);
});
