import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeKey, type KeyFields } from "../../test/helpers/keys.ts";
import { ScriptedDatapath } from "../../test/helpers/scripted-datapath.ts";
import type { VlanConfig } from "../flow/attachment.ts";
import { DISPOSITIONS, DROP_REASONS } from "../flow/disposition.ts";
import * as act from "../pipeline/actions.ts";
import { FieldReader } from "../pipeline/fields.ts";
import { MacTable } from "../pipeline/mac-table.ts";
import { normal } from "../pipeline/normal.ts";
import { Snapshot } from "../pipeline/snapshot.ts";
import { RuleKeeper } from "./rules.ts";

const SECOND = 1e9;

class Book {
  readonly lastNs: Float64Array;
  readonly outcomes = new Map<string, { disposition: number; outputs: number; outputPort: number }>();
  constructor(rules: number) {
    this.lastNs = new Float64Array(rules);
  }
  set(
    index: number,
    gen: number,
    outcome: { disposition: number; outputs: number; outputPort: number },
    nowNs: number,
  ) {
    this.outcomes.set(`${index}/${gen}`, outcome);
    this.lastNs[index] = nowNs;
  }
}

/** A keeper and a datapath, and time. */
class Bed {
  now = 0;
  readonly macs: MacTable;
  readonly book: Book;
  readonly datapath: ScriptedDatapath;
  readonly keeper: RuleKeeper;
  readonly moves: string[] = [];
  vlans: (VlanConfig | undefined)[];

  constructor(vlans: (VlanConfig | undefined)[], options: { rules?: number; macs?: number } = {}) {
    const maxRules = options.rules ?? 256;
    this.vlans = vlans;
    this.macs = new MacTable({ capacity: options.macs ?? 64, ageingNs: 300 * SECOND, maxPorts: 64 });
    this.book = new Book(maxRules);
    this.datapath = new ScriptedDatapath(maxRules, 32);
    this.keeper = new RuleKeeper({
      maxRules,
      maxMasks: 32,
      maxPorts: 64,
      macs: this.macs,
      outcomes: this.book,
      snapshot: this.snapshot(),
      restNs: 25 * SECOND,
      onMove: (at, from, to) => this.moves.push(`${at.low} ${from}>${to}`),
    });
  }

  snapshot(): Snapshot {
    const ports = this.vlans.map((vlan, n) => ({
      no: n + 1,
      name: `p${n + 1}`,
      enabled: true,
      up: true,
      ...(vlan && { vlan }),
    }));
    return new Snapshot({ mode: "switch", dropMalformed: false, ports, macs: this.macs });
  }

  configure(vlans: (VlanConfig | undefined)[]): void {
    this.vlans = vlans;
    this.keeper.setSnapshot(this.snapshot());
  }

  /** Send a frame and answer its miss; what became of it. */
  send(fields: KeyFields): string {
    const key = makeKey(fields);
    const before = this.datapath.fates.length;
    if (this.datapath.receive(key) === undefined) this.answer();
    assert.equal(this.datapath.fates.length, before + 1, "each frame has one fate");
    const used = this.datapath.rules.lookup(key);
    if (used >= 0) this.book.lastNs[used] = this.now;
    return fate(this.datapath.fates.at(-1)!.actions);
  }

  answer(): void {
    for (let misses = this.datapath.misses.take(8); misses.length > 0; misses = this.datapath.misses.take(8))
      this.datapath.program(this.keeper.resolve(misses, this.now));
  }

  settle(): void {
    let turns = 0;
    do {
      const change = this.keeper.turn(this.now, 16);
      if (change) this.datapath.program(change);
      assert.ok(++turns < 1000, "turns end");
    } while (this.keeper.busy);
  }

  /** Every rule says what the pipeline says now, in the datapath as in the keeper's own copy. */
  check(): void {
    const snapshot = this.snapshot();
    const reader = new FieldReader();
    assert.equal(this.datapath.rules.size, this.keeper.cache.size);
    assert.equal(this.datapath.rules.rejected + this.keeper.cache.rejected, 0);
    for (const index of this.keeper.cache.indexes()) {
      const actions = this.datapath.rules.actionsOf(index);
      const now = normal(reader.over(this.datapath.rules.keyOf(index)), snapshot);
      assert.deepEqual(fate(actions), fate(now.actions), `rule ${index}`);
      assert.deepEqual(now.effects, [], "a rule leaves nothing to learn");
      assert.deepEqual(this.keeper.cache.actionsOf(index), actions);
      assert.equal(this.keeper.cache.genOf(index), this.datapath.rules.genOf(index));
      const outcome = this.book.outcomes.get(`${index}/${this.keeper.cache.genOf(index)}`)!;
      assert.equal(outcome.disposition, act.disposition(actions), "records hear of it");
      assert.equal(outcome.outputs, act.outputCount(actions));
    }
  }
}

function fate(actions: act.ActionBlock): string {
  const kind = DISPOSITIONS[act.disposition(actions)]!;
  if (kind === "dropped") return DROP_REASONS[act.detail(actions)]!.name;
  return Array.from({ length: act.outputCount(actions) }, (_, n) => act.outputPort(actions, n)).join() || kind;
}

test("a flood becomes a unicast when the answer teaches where, and the flow's rule stays the same one", () => {
  const bed = new Bed([undefined, undefined, undefined]);
  assert.equal(bed.send({ port: 1, src: 1, dst: 2 }), "2,3");
  const flood = bed.keeper.cache.lookup(makeKey({ port: 1, src: 1, dst: 2 }));
  const gen = bed.keeper.cache.genOf(flood);
  assert.equal(bed.send({ port: 2, src: 2, dst: 1 }), "1");
  assert.equal(bed.datapath.rules.genByIndex[flood], gen, "replaced in the same change");
  assert.equal(bed.send({ port: 1, src: 1, dst: 2 }), "2");
  assert.deepEqual(bed.keeper.stats(), { rules: 2, masks: 1, made: 2, replaced: 1, removed: 0, refused: 0 });
  bed.check();
});

test("only misses cost a decision: other frames of the pair follow the rule", () => {
  const bed = new Bed([undefined, undefined]);
  for (let n = 0; n < 50; n++) bed.send({ port: 1, src: 1, dst: 2, etherType: 0x800 + n });
  assert.equal(bed.keeper.stats().made, 1);
});

test("two misses that one rule covers make one rule", () => {
  const bed = new Bed([undefined, undefined]);
  bed.datapath.receive(makeKey({ port: 1, src: 1, dst: 2 }));
  bed.datapath.receive(makeKey({ port: 1, src: 1, dst: 2, etherType: 0x86dd }));
  bed.answer();
  assert.equal(bed.keeper.stats().made, 1);
  assert.equal(bed.datapath.fates.length, 2);
});

test("a station that moves takes its rules along, there and back", () => {
  const bed = new Bed([undefined, undefined, undefined]);
  bed.send({ port: 1, src: 1, dst: 2 });
  bed.send({ port: 2, src: 2, dst: 1 });
  assert.equal(bed.send({ port: 3, src: 1, dst: 2 }), "2");
  assert.deepEqual(bed.moves, ["1 1>3"]);
  assert.equal(bed.send({ port: 2, src: 2, dst: 1 }), "3");
  assert.equal(bed.send({ port: 1, src: 1, dst: 2 }), "2", "its old rule is gone: the frame teaches the way back");
  assert.deepEqual(bed.moves, ["1 1>3", "1 3>1"]);
  assert.equal(bed.send({ port: 2, src: 2, dst: 1 }), "1");
  bed.check();
});

test("an address that is forgotten turns its rules into floods again", () => {
  const bed = new Bed([undefined, undefined, undefined]);
  bed.send({ port: 2, src: 2, dst: 9 });
  for (bed.now = 0; bed.now < 400 * SECOND; bed.now += 10 * SECOND) {
    assert.equal(bed.send({ port: 1, src: 1, dst: 2 }), bed.now < 300 * SECOND ? "2" : "2,3", `${bed.now / SECOND} s`);
    bed.macs.age(bed.now + 10 * SECOND, 100);
    bed.settle();
  }
  assert.equal(
    bed.macs.portOf(0, 0x0200, 1),
    1,
    "the one whose rule is in use is fresh, though it made no miss for long",
  );
  bed.check();
});

test("a rule that nobody uses goes; its index rests before it serves another", () => {
  const bed = new Bed([undefined, undefined], { rules: 5 });
  bed.send({ port: 1, src: 1, dst: 2 });
  const index = bed.keeper.cache.lookup(makeKey({ port: 1, src: 1, dst: 2 }));
  bed.now = 24 * SECOND;
  bed.settle();
  assert.equal(bed.keeper.cache.size, 1);
  bed.now = 25 * SECOND;
  bed.settle();
  assert.equal(bed.keeper.cache.size, 0);
  assert.equal(bed.datapath.rules.size, 0);
  const taken = new Set<number>();
  for (let n = 0; n < 4; n++) {
    bed.send({ port: (n % 2) + 1, src: 10 + n, dst: 20 + n });
    taken.add(bed.keeper.cache.lookup(makeKey({ port: (n % 2) + 1, src: 10 + n, dst: 20 + n })));
  }
  assert.ok(!taken.has(index), "the index rests");
});

test("a port that makes rules without end is refused, and another port still gets its own", () => {
  const bed = new Bed([undefined, undefined, undefined], { rules: 100, macs: 32 });
  const fates = new Map<string, number>();
  for (let n = 0; n < 300; n++) {
    const got = bed.send({ port: 1, src: 1000 + n, dst: 2 });
    fates.set(got, (fates.get(got) ?? 0) + 1);
  }
  assert.equal(fates.get("no_buffer_space"), 300 - fates.get("2,3")!);
  assert.ok(fates.get("2,3")! >= 79 && fates.get("2,3")! < 90, `${fates.get("2,3")} rules`);
  for (let n = 0; n < 8; n++) assert.notEqual(bed.send({ port: 2, src: 50 + n, dst: 3 }), "no_buffer_space");
  assert.ok(bed.keeper.stats().refused > 200);
  bed.now += 60 * SECOND;
  bed.settle();
  bed.now += 60 * SECOND;
  assert.equal(bed.send({ port: 1, src: 5000, dst: 2 }), "2,3", "and later it is served again");
});

test("after a change of configuration refusals come first, everything follows in bounded turns", () => {
  const bed = new Bed([undefined, undefined, undefined, undefined], { rules: 512, macs: 256 });
  for (let n = 0; n < 40; n++) bed.send({ port: 1, src: 100 + n, dst: "ff:ff:ff:ff:ff:ff" });
  for (let n = 0; n < 40; n++) bed.send({ port: 2, src: 200 + n, dst: 100 + n });
  bed.configure([undefined, { mode: "trunk", trunks: [5] }, undefined, undefined]);
  const order: string[] = [];
  while (bed.keeper.busy) {
    const change = bed.keeper.turn(bed.now, 16);
    for (const { actions } of change?.replace ?? []) order.push(fate(actions));
    if (change) bed.datapath.program(change);
  }
  assert.deepEqual(new Set(order.slice(0, 40)), new Set(["vlan_tag_mismatch"]));
  assert.deepEqual(new Set(order.slice(40)), new Set(["3,4"]));
  bed.check();
});

test("a decision that has to look at more than the rule knows ends the rule", () => {
  const bed = new Bed([undefined, { mode: "access", tag: 100 }]);
  assert.equal(bed.send({ port: 2, vid: 200, src: 1, dst: 2 }), "ingress_vlan_filter");
  bed.configure([undefined, { mode: "trunk", trunks: [200] }]);
  bed.settle();
  assert.equal(bed.keeper.cache.size, 0, "the refusal knew no addresses");
  assert.equal(bed.send({ port: 2, vid: 200, src: 1, dst: 2 }), "port_list_is_empty");
});

test("a rule whose VLAN became another one, with the same outputs, hears of that VLAN's stations", () => {
  const tagged: VlanConfig = { mode: "nativeUntagged", tag: 1, trunks: [2] };
  const bed = new Bed([tagged, undefined]);
  bed.send({ port: 1, src: 1, dst: 9 });
  bed.configure([undefined, undefined]);
  bed.settle();
  assert.equal(bed.send({ port: 1, src: 1, dst: "ff:ff:ff:ff:ff:ff" }), "2");
  bed.configure([tagged, tagged]);
  bed.settle();
  bed.check();
  bed.send({ port: 2, src: 1, dst: "ff:ff:ff:ff:ff:ff" });
  assert.deepEqual(bed.moves, ["1 1>2"]);
  bed.check();
});

test("rules of a port that is gone are gone", () => {
  const bed = new Bed([undefined, undefined, undefined]);
  bed.send({ port: 3, src: 1, dst: 2 });
  bed.configure([undefined, undefined]);
  bed.settle();
  assert.equal(bed.keeper.cache.size, 0);
});

test("property: through any traffic, moves, ageing and configurations every rule says what the pipeline says", () => {
  const vlan = fc.constantFrom<VlanConfig | undefined>(
    undefined,
    undefined,
    { mode: "access", tag: 1 },
    { mode: "trunk", trunks: "all" },
    { mode: "nativeUntagged", tag: 1, trunks: [2] },
  );
  const frame = fc.record({
    port: fc.integer({ min: 1, max: 4 }),
    src: fc.nat(12),
    dst: fc.oneof(fc.nat(12), fc.constant("ff:ff:ff:ff:ff:ff")),
    vid: fc.constantFrom(undefined, undefined, 0, 1, 2),
    innerVid: fc.constantFrom(undefined, undefined, 7),
  });
  const step = fc.oneof(
    { weight: 12, arbitrary: frame.map((f) => ({ frame: f })) },
    { weight: 1, arbitrary: fc.array(vlan, { minLength: 2, maxLength: 4 }).map((vlans) => ({ vlans })) },
    { weight: 2, arbitrary: fc.nat(200).map((wait) => ({ wait })) },
  );
  fc.assert(
    fc.property(fc.array(step, { size: "max", maxLength: 150 }), (steps) => {
      const bed = new Bed([undefined, undefined, undefined, undefined], { rules: 128, macs: 8 });
      for (const one of steps) {
        if ("vlans" in one) bed.configure(one.vlans);
        else if ("wait" in one) {
          bed.now += one.wait * SECOND;
          bed.macs.age(bed.now, 1000);
        } else {
          const { vid, innerVid, ...rest } = one.frame;
          bed.send({ ...rest, ...(vid !== undefined && { vid, ...(innerVid !== undefined && { innerVid }) }) });
        }
        bed.settle();
        bed.check();
      }
      assert.equal(bed.datapath.misses.take(1).length, 0);
    }),
    { numRuns: 60 },
  );
});
