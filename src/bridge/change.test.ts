import assert from "node:assert/strict";
import { test } from "node:test";
import { KEY_WORDS } from "../flow/key.ts";
import { drop } from "../pipeline/actions.ts";
import { ChangeBuilder } from "./change.ts";
import { MacDependencies } from "./deps.ts";
import { RuleIndexes } from "./indexes.ts";

const rule = (index: number) => ({
  index,
  gen: 1,
  mask: new Uint32Array(KEY_WORDS),
  key: new Uint32Array(KEY_WORDS),
  actions: drop(1),
});

test("a rule that is made and changed in one change leaves as it is at the end", () => {
  const change = new ChangeBuilder();
  change.add(rule(1));
  change.replace(1, drop(2));
  change.replace(7, drop(3));
  const said = change.take();
  assert.deepEqual(said.add, [{ ...rule(1), actions: drop(2) }]);
  assert.deepEqual(said.replace, [{ index: 7, actions: drop(3) }]);
  assert.equal(change.isEmpty, true);
});

test("a rule that is made and removed in one change was never there; a replaced one that goes only goes", () => {
  const change = new ChangeBuilder();
  change.add(rule(1));
  change.remove(1);
  change.replace(7, drop(3));
  change.remove(7);
  assert.deepEqual(change.take(), { add: [], replace: [], remove: [7], resume: [] });
});

test("an index rests before it is given again, with another generation", () => {
  const indexes = new RuleIndexes(2, 4, () => 25);
  const [a, b] = [indexes.take(1, 0), indexes.take(2, 0)];
  assert.equal(indexes.genOf(a), 1);
  indexes.give(a, 100);
  assert.equal(indexes.take(3, 124), -1);
  assert.equal(indexes.take(3, 125), a);
  assert.equal(indexes.genOf(a), 2);
  assert.equal(indexes.portOfRule(a), 3);
  assert.notEqual(a, b);
});

test("what a port holds, resting indexes included, is bounded by what is free", () => {
  const indexes = new RuleIndexes(100, 4, () => 25);
  let held = 0;
  for (let index = indexes.take(1, 0); index >= 0; index = indexes.take(1, 0)) {
    held++;
    indexes.give(index, 0);
  }
  assert.equal(held, 80);
  assert.ok(indexes.take(2, 0) >= 0);
  assert.ok(indexes.take(1, 30) >= 0, "rested");
});

test("rules are found by the entries they rest on, and only as long as they do", () => {
  const deps = new MacDependencies(8);
  const found = (low: number): string[] => {
    const rules: string[] = [];
    deps.each(1, 0x0200, low, (index, role) => rules.push(`${index}/${role}`));
    return rules.toSorted();
  };
  const at = (low: number, vlan = 1) => ({ vlan, high: 0x0200, low });
  deps.set(1, at(10), at(20));
  deps.set(2, at(20), at(10));
  deps.set(3, at(10), undefined);
  deps.set(4, at(10, 2), at(20, 2));
  assert.deepEqual(found(10), ["1/0", "2/1", "3/0"]);
  assert.deepEqual(deps.sourceOf(2), at(20));
  deps.set(1, at(20), at(30));
  deps.set(3, undefined, undefined);
  assert.deepEqual(found(10), ["2/1"]);
  assert.deepEqual(found(20), ["1/0", "2/0"]);
  assert.equal(deps.sourceOf(3), undefined);
});
