import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { KEY_WORDS } from "../flow/key.ts";
import { drop } from "./actions.ts";
import { RuleCache, type CachedRule } from "./classify.ts";

const words = (values: Record<number, number>): Uint32Array => {
  const out = new Uint32Array(KEY_WORDS);
  for (const [word, value] of Object.entries(values)) out[Number(word)] = value;
  return out;
};

const rule = (index: number, gen: number, mask: Uint32Array, key: Uint32Array): CachedRule => ({
  index,
  gen,
  mask,
  key,
  actions: drop(gen % 30),
});

test("a rule covers every key that agrees on its mask, whatever the other bits", () => {
  const cache = new RuleCache(16, 4);
  cache.apply({ add: [rule(3, 7, words({ 0: 0xffff0000, 4: 0x1fff0000 }), words({ 0: 0x00050000, 4: 0x10640000 }))] });
  assert.equal(cache.lookup(words({ 0: 0x00050abc, 4: 0xf0649999, 6: 12 })), 3);
  assert.equal(cache.lookup(words({ 0: 0x00060000, 4: 0x10640000 })), -1);
  assert.equal(cache.genOf(3), 7);
  assert.equal(cache.genByIndex[3], 7);
  assert.deepEqual(cache.actionsOf(3), drop(7));
});

test("replace keeps index and generation; remove ends both; an index can be used again", () => {
  const cache = new RuleCache(16, 4);
  const mask = words({ 1: 0xffffffff });
  cache.apply({ add: [rule(0, 1, mask, words({ 1: 9 }))] });
  cache.apply({ replace: [{ index: 0, actions: drop(20) }] });
  assert.equal(cache.genByIndex[0], 1);
  assert.deepEqual(cache.actionsByIndex[0], drop(20));
  cache.apply({ remove: [0] });
  assert.equal(cache.genByIndex[0], 0);
  assert.equal(cache.lookup(words({ 1: 9 })), -1);
  assert.equal(cache.masks, 0);
  cache.apply({ add: [rule(0, 2, mask, words({ 1: 9 }))], remove: [0] });
  assert.equal(cache.genByIndex[0], 2, "remove comes before add");
});

test("the same mask and key under another index takes the place of the first", () => {
  const cache = new RuleCache(16, 4);
  const mask = words({ 1: 0xff });
  cache.apply({ add: [rule(0, 1, mask, words({ 1: 9 })), rule(1, 1, mask, words({ 1: 9 }))] });
  assert.equal(cache.size, 1);
  assert.equal(cache.lookup(words({ 1: 9 })), 1);
  assert.equal(cache.genByIndex[0], 0);
});

test("more masks or rules than there is room for are turned away and counted", () => {
  const cache = new RuleCache(4, 2);
  cache.apply({ add: [1, 2, 4].map((bit, n) => rule(n, 1, words({ 1: bit }), words({ 1: bit }))) });
  assert.equal(cache.size, 2);
  assert.equal(cache.rejected, 1);
  assert.equal(cache.hasRoomFor(words({ 1: 8 })), false);
  assert.equal(cache.hasRoomFor(words({ 1: 2 })), true);
  cache.apply({ add: [rule(4, 1, words({ 1: 1 }), words({ 1: 0 }))] });
  assert.equal(cache.rejected, 2);
});

test("masks that hit more are tried first", () => {
  const cache = new RuleCache(4, 4);
  cache.apply({ add: [rule(0, 1, words({ 1: 1 }), words({ 1: 1 })), rule(1, 1, words({ 1: 2 }), words({ 1: 2 }))] });
  const both = words({ 1: 3 });
  assert.equal(cache.lookup(both), 0);
  for (let n = 0; n < 5; n++) cache.lookup(words({ 1: 2 }));
  assert.equal(cache.lookup(both), 1);
});

test("a lookup allocates nothing", (t) => {
  if (global.gc === undefined) return t.skip("needs --expose-gc");
  const cache = new RuleCache(1024, 8);
  const mask = words({ 0: 0xffff0000, 1: 0xffffffff, 3: 0xffffffff });
  const keys = Array.from({ length: 1000 }, (_, n) => words({ 0: (n << 16) >>> 0, 1: 0xfe540000 + n, 3: 0xdeadbeef }));
  cache.apply({ add: [rule(1023, 1, words({ 4: 1 }), words({ 4: 1 }))] });
  cache.apply({ add: keys.slice(0, 900).map((key, n) => rule(n, 1, mask, key)) });
  let hits = 0;
  const look = (rounds: number): void => {
    for (let n = 0; n < rounds; n++) for (const key of keys) if (cache.lookup(key) >= 0) hits++;
  };
  // The compiler works beside us and its results come when they come: the best of a few rounds is what the code does.
  let least = Infinity;
  for (let round = 0; round < 20 && least > 1000; round++) {
    look(100);
    global.gc();
    const before = process.memoryUsage().heapUsed;
    look(100);
    least = Math.min(least, process.memoryUsage().heapUsed - before);
  }
  assert.ok(least <= 1000, `${least} bytes for 100,000 lookups`);
  assert.ok(hits > 0 && hits % 900 === 0);
});

test("property: the same answer as a list of rules, through any order of changes", () => {
  // Few masks and values, so that keys collide, tables grow and gaps close.
  const masks = [words({ 0: 0xffff0000 }), words({ 1: 0xff, 4: 0xf }), words({ 14: 0xffffffff }), words({})];
  const step = fc.record({
    index: fc.nat(199),
    mask: fc.nat(masks.length - 1),
    a: fc.nat(15),
    b: fc.nat(15),
    kind: fc.constantFrom("add", "add", "add", "remove", "replace", "look"),
  });
  fc.assert(
    fc.property(fc.array(step, { maxLength: 600 }), (steps) => {
      const cache = new RuleCache(200, 4);
      const model = new Map<number, CachedRule>();
      let gen = 0;
      const at = (a: number, b: number): Uint32Array => words({ 0: a << 16, 1: a, 4: b, 14: a * 16 + b });
      const covers = (r: CachedRule, key: Uint32Array): boolean =>
        r.mask.every((bits, word) => ((r.key[word]! ^ key[word]!) & bits) === 0);
      for (const { index, mask, a, b, kind } of steps) {
        if (kind === "add") {
          const made = rule(index, ++gen, masks[mask]!, at(a, b));
          for (const [other, r] of model) if (r.mask === made.mask && covers(r, made.key)) model.delete(other);
          model.set(index, made);
          cache.apply({ add: [made] });
        } else if (kind === "remove") {
          model.delete(index);
          cache.apply({ remove: [index] });
        } else if (kind === "replace") {
          cache.apply({ replace: [{ index, actions: drop(5) }] });
        }
        const key = at(a, b);
        const found = cache.lookup(key);
        const want = [...model].filter(([, r]) => covers(r, key)).map(([n]) => n);
        assert.ok(want.length === 0 ? found === -1 : want.includes(found), `found ${found}, wanted ${want}`);
        assert.equal(cache.size, model.size);
        for (const [n, r] of model) assert.equal(cache.genByIndex[n], r.gen);
      }
      assert.equal(cache.rejected, 0);
    }),
    { numRuns: 60 },
  );
});
