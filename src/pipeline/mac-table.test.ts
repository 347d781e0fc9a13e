import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { MAC_KNOWN, MAC_LEARNED, MAC_MOVED, MAC_REFUSED, MacTable } from "./mac-table.ts";

const SECOND = 1e9;
const make = (capacity: number, maxPerPort?: number): MacTable =>
  new MacTable({ capacity, ageingNs: 300 * SECOND, maxPorts: 16, ...(maxPerPort && { maxPerPort }) });

test("learned, known, moved; the VLAN is part of the key", () => {
  const table = make(8);
  assert.equal(table.learn(1, 0x5254, 0xaa1002, 3, 0), MAC_LEARNED);
  assert.equal(table.learn(1, 0x5254, 0xaa1002, 3, 1), MAC_KNOWN);
  assert.equal(table.portOf(1, 0x5254, 0xaa1002), 3);
  assert.equal(table.portOf(2, 0x5254, 0xaa1002), 0);
  assert.equal(table.learn(1, 0x5254, 0xaa1002, 4, 2), MAC_MOVED);
  assert.equal(table.portOf(1, 0x5254, 0xaa1002), 4);
  assert.deepEqual([...table.entries(5)], [{ vlan: 1, mac: "52:54:00:aa:10:02", port: 4, ageNs: 3 }]);
  assert.deepEqual([table.sizeOf(3), table.sizeOf(4)], [0, 1]);
});

test("an address is forgotten after the ageing time, unless frames still follow its rules", () => {
  const table = make(8);
  const gone: number[] = [];
  table.onGone = (_vlan, _high, low) => gone.push(low);
  table.learn(0, 0, 1, 1, 0);
  table.learn(0, 0, 2, 1, 0);
  table.lastUseNs = (_vlan, _high, low) => (low === 2 ? 200 * SECOND : 0);
  assert.equal(table.age(299 * SECOND, 100), 0);
  assert.equal(table.age(300 * SECOND, 100), 1);
  assert.deepEqual(gone, [1]);
  assert.equal(table.age(499 * SECOND, 100), 0);
  assert.equal(table.age(500 * SECOND, 100), 1);
  assert.equal(table.size, 0);
  assert.equal(table.stats().expired, 2);
});

test("a flood of addresses from one port pushes out its own, and a quiet port keeps what it has", () => {
  const table = make(64);
  for (let n = 0; n < 10; n++) table.learn(0, 1, n, 1, n);
  for (let n = 0; n < 5000; n++) assert.equal(table.learn(0, 2, n, 2, 100 + n), MAC_LEARNED);
  assert.equal(table.sizeOf(1), 10);
  assert.equal(table.sizeOf(2), 54);
  assert.equal(table.portOf(0, 2, 4999), 2, "the newest is there");
  assert.equal(table.portOf(0, 2, 4900), 0);
  assert.equal(table.learn(0, 3, 1, 3, 6000), MAC_LEARNED, "and another port still learns");
  assert.equal(table.stats().evicted, 4947);
});

test("an address that rules are in use for is not the one to go", () => {
  const table = make(3);
  table.learn(0, 0, 1, 1, 0);
  table.learn(0, 0, 2, 1, 1);
  table.learn(0, 0, 3, 1, 2);
  table.lastUseNs = (_vlan, _high, low) => (low === 1 ? 50 : 0);
  table.learn(0, 0, 4, 1, 60);
  assert.deepEqual(
    [1, 2, 3, 4].map((low) => table.portOf(0, 0, low)),
    [1, 0, 1, 1],
  );
});

test("a port's limit refuses new addresses and moves to it, and is counted", () => {
  const table = make(8, 2);
  table.learn(0, 0, 9, 2, 0);
  assert.deepEqual(
    [1, 2, 3, 9].map((low) => table.learn(0, 0, low, 1, 0)),
    [MAC_LEARNED, MAC_LEARNED, MAC_REFUSED, MAC_REFUSED],
  );
  assert.equal(table.wouldLearn(0, 0, 3, 1), false);
  assert.equal(table.portOf(0, 0, 9), 2);
  assert.equal(table.stats().refused, 2);
});

test("flushing a port, whole or by VLAN", () => {
  const table = make(8);
  table.learn(100, 0, 1, 1, 0);
  table.learn(200, 0, 1, 1, 0);
  table.learn(100, 0, 2, 2, 0);
  table.flush(1, (vlan) => vlan === 200);
  assert.deepEqual([table.portOf(100, 0, 1), table.portOf(200, 0, 1), table.portOf(100, 0, 2)], [0, 1, 2]);
  table.flush(1);
  assert.equal(table.size, 1);
});

test("property: agrees with a map through any sequence, and never leaks an entry", () => {
  const step = fc.record({
    op: fc.constantFrom("learn", "learn", "learn", "learn", "flush", "age"),
    low: fc.nat(40),
    vlan: fc.nat(1),
    port: fc.integer({ min: 1, max: 4 }),
    wait: fc.nat(60),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 400, size: "max" }), (steps) => {
      const table = make(32);
      const model = new Map<string, { port: number; last: number }>();
      let now = 0;
      table.onGone = (vlan, _high, low) => assert.ok(model.delete(`${vlan} ${low}`));
      for (const { op, low, vlan, port, wait } of steps) {
        now += wait * SECOND;
        if (op === "flush") table.flush(port);
        else if (op === "age") {
          table.age(now, 1000);
          for (const entry of model.values()) assert.ok(now - entry.last < 300 * SECOND);
        } else {
          // onGone inside learn takes what was evicted out of the model first.
          assert.notEqual(table.learn(vlan, 7, low, port, now), MAC_REFUSED);
          model.set(`${vlan} ${low}`, { port, last: now });
        }
        assert.equal(table.size, model.size);
        for (const [key, entry] of model) {
          const [v, l] = key.split(" ").map(Number);
          assert.equal(table.portOf(v!, 7, l!), entry.port);
        }
      }
    }),
    { numRuns: 50 },
  );
});
