import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { WordRing } from "../shm/ring.ts";
import { FlowSlots, KEY_WORDS } from "../shm/slots.ts";
import { keyOf } from "../../test/helpers/flowbed.ts";
import { createFlow } from "./count.ts";
import { createTable, find, hashKey, hashSlot, insert, remove, type FlowTable } from "./table.ts";

function tableOf(capacity: number): { table: FlowTable; add: (key: Uint32Array) => number; free: WordRing } {
  const slots = FlowSlots.create(capacity);
  const free = WordRing.create(2 ** Math.ceil(Math.log2(Math.max(16, capacity))));
  for (let slot = 0; slot < capacity; slot++) free.push(slot);
  let seed = 7;
  const table = createTable(slots, () => (seed = Math.imul(seed, 0x41c64e6d) + 12345));
  const add = (key: Uint32Array): number => {
    const slot = createFlow(slots, free, key, 0, 1, 1, 0);
    insert(table, slot, hashKey(table, key));
    return slot;
  };
  return { table, add, free };
}

test("insert, find and remove agree with a Map, whatever the order", () => {
  const command = fc.record({ add: fc.boolean(), n: fc.integer({ min: 0, max: 40 }) });
  fc.assert(
    fc.property(fc.array(command, { maxLength: 200 }), (commands) => {
      const { table, add, free } = tableOf(41);
      const model = new Map<number, number>();
      for (const { add: adding, n } of commands) {
        const known = model.get(n);
        if (adding && known === undefined) model.set(n, add(keyOf(1, n)));
        if (!adding && known !== undefined) {
          assert.equal(remove(table, known), true);
          assert.equal(remove(table, known), false);
          free.push(known);
          model.delete(n);
        }
        for (let k = 0; k <= 40; k++) {
          const key = keyOf(1, k);
          assert.equal(find(table, key, hashKey(table, key)), model.get(k) ?? -1);
        }
      }
      assert.equal(table.size, model.size);
    }),
    { numRuns: 60 },
  );
});

test("keys with one hash stand beside each other and are told apart", () => {
  const { table } = tableOf(64);
  const { slots } = table;
  const free = WordRing.create(64);
  for (let slot = 0; slot < 64; slot++) free.push(slot);
  // The hash is the caller's argument: the worst table is one where all are equal. (remove works with the key's own.)
  const made = Array.from({ length: 30 }, (_, n) => {
    const slot = createFlow(slots, free, keyOf(1, n), 0, 1, 1, 0);
    insert(table, slot, 12345);
    return slot;
  });
  made.forEach((slot, n) => assert.equal(find(table, keyOf(1, n), 12345), slot));
  assert.equal(find(table, keyOf(1, 30), 12345), -1);
});

test("every bit of every word of the key changes the hash, and the slot's hash is the key's", () => {
  const { table, add } = tableOf(16);
  const key = keyOf(5, 99);
  const hash = hashKey(table, key);
  assert.equal(hashSlot(table, add(key)), hash);
  const hashes = new Set([hash]);
  for (let bit = 0; bit < KEY_WORDS * 32; bit++) {
    const other = key.slice();
    other[bit >> 5]! ^= 1 << (bit & 31);
    hashes.add(hashKey(table, other));
  }
  assert.ok(hashes.size >= KEY_WORDS * 32 - 2, `${hashes.size} hashes of ${KEY_WORDS * 32 + 1} keys`);
});

test("neighbouring keys spread: no long runs at half load", () => {
  const { table, add } = tableOf(65536);
  for (let n = 0; n < 65536; n++) add(keyOf(1 + (n & 7), n));
  let longest = 0;
  for (let entry = 0, run = 0; entry <= table.mask; entry++) {
    run = table.entries[entry * 2 + 1] === 0 ? 0 : run + 1;
    longest = Math.max(longest, run);
  }
  assert.ok(longest < 120, `a run of ${longest}`);
});

test("find allocates nothing", (t) => {
  if (!globalThis.gc) return t.skip("needs --expose-gc");
  const { table, add } = tableOf(1024);
  const keys = Array.from({ length: 1024 }, (_, n) => keyOf(1, n));
  for (const key of keys) add(key);
  const round = (): number => {
    let sum = 0;
    for (let n = 0; n < 2_000_000; n++) sum += find(table, keys[n & 1023]!, hashKey(table, keys[n & 1023]!));
    return sum;
  };
  round();
  round();
  globalThis.gc();
  const before = process.memoryUsage().heapUsed;
  round();
  const grown = process.memoryUsage().heapUsed - before;
  assert.ok(grown < 1_000_000, `${grown} bytes for 2,000,000 lookups`);
});
