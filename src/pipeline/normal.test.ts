import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import { makeKey, type KeyFields } from "../../test/helpers/keys.ts";
import type { VlanConfig } from "../flow/attachment.ts";
import { DISPOSITIONS, DROP_REASONS } from "../flow/disposition.ts";
import { FAULT_IPV4, FAULT_LLC, FAULT_VLAN, FAULTS, KEY_PORT, KEY_WORDS } from "../flow/key.ts";
import * as act from "./actions.ts";
import { FieldReader } from "./fields.ts";
import { MacTable } from "./mac-table.ts";
import { normal, type Decision } from "./normal.ts";
import { Snapshot, type SnapshotOptions, type SnapshotPort } from "./snapshot.ts";

const CONFIGS: Record<string, VlanConfig | undefined> = {
  none: undefined,
  access100: { mode: "access", tag: 100 },
  trunk: { mode: "trunk", trunks: [100, 200] },
  trunkAll: { mode: "trunk", trunks: "all" },
  nativeTagged: { mode: "nativeTagged", tag: 100, trunks: [200] },
  nativeUntagged: { mode: "nativeUntagged", tag: 100, trunks: [200] },
};

const port = (no: number, vlan?: VlanConfig, more: Partial<SnapshotPort> = {}): SnapshotPort => ({
  no,
  name: `p${no}`,
  enabled: true,
  up: true,
  ...(vlan && { vlan }),
  ...more,
});

const table = (): MacTable => new MacTable({ capacity: 64, ageingNs: 300e9, maxPorts: 64 });

const bridge = (ports: readonly SnapshotPort[], more: Partial<SnapshotOptions> = {}): Snapshot =>
  new Snapshot({ mode: "switch", dropMalformed: false, ports, macs: table(), ...more });

const decide = (snapshot: Snapshot, fields: KeyFields): Decision =>
  normal(new FieldReader().over(makeKey(fields)), snapshot);

/** "ingress_vlan_filter", or what leaves: "2:untagged 3:100". */
function outcome(decision: Decision, frame: KeyFields): string {
  const { actions } = decision;
  const kind = DISPOSITIONS[act.disposition(actions)];
  if (kind === "dropped") return DROP_REASONS[act.detail(actions)]!.name;
  if (kind !== "forwarded") return kind!;
  const leaves = (n: number): string => {
    const tag = act.outputTag(actions, n);
    const tci = act.outputTci(actions, n);
    const tags = [frame.vid, frame.innerVid].filter((vid) => vid !== undefined);
    if (tag === act.TAG_PUSH) tags.unshift(tci);
    if (tag === act.TAG_POP) assert.notEqual(tags.shift(), undefined, "nothing to take away");
    if (tag === act.TAG_SET_VID) {
      assert.equal(tags[0], 0, "only a priority tag is rewritten");
      tags[0] = tci;
    }
    return `${act.outputPort(actions, n)}:${tags.length ? tags.join("/") : "untagged"}`;
  };
  return Array.from({ length: act.outputCount(actions) }, (_, n) => leaves(n)).join(" ");
}

test("every VLAN mode on the way in and on the way out", () => {
  // One port of each mode: 1 none, 2 access 100, 3 trunk 100,200, 4 trunk all, 5 native tagged 100, 6 native untagged 100.
  const snapshot = bridge(Object.values(CONFIGS).map((vlan, n) => port(n + 1, vlan)));
  const tag100 = (skip: number, last = 6): string =>
    ["2:untagged", "3:100", "4:100", "5:100", "6:untagged"]
      .filter((o) => Number(o[0]) !== skip && Number(o[0]) <= last)
      .join(" ");
  const tag200 = (skip: number): string =>
    ["3:200", "4:200", "5:200", "6:200"].filter((o) => Number(o[0]) !== skip).join(" ");
  const no = "ingress_vlan_filter";
  const want: Record<string, readonly string[]> = {
    //             untagged                priority tag            tag 100      tag 200      tag 300      tag 4095
    none: ["port_list_is_empty", "port_list_is_empty", no, no, no, no],
    access100: [tag100(2), tag100(2), no, no, no, no],
    trunk: ["vlan_tag_mismatch", "vlan_tag_mismatch", tag100(3), tag200(3), no, no],
    trunkAll: ["vlan_tag_mismatch", "vlan_tag_mismatch", tag100(4), tag200(4), "port_list_is_empty", no],
    nativeTagged: [tag100(5), tag100(5), tag100(5), tag200(5), no, no],
    nativeUntagged: [tag100(6), tag100(6), tag100(6), tag200(6), no, no],
  };
  Object.keys(CONFIGS).forEach((mode, n) => {
    const frames = [undefined, 0, 100, 200, 300, 4095];
    const got = frames.map((vid) => {
      const frame: KeyFields = { port: n + 1, dst: "ff:ff:ff:ff:ff:ff", ...(vid !== undefined && { vid }), pcp: 5 };
      return outcome(decide(snapshot, frame), frame);
    });
    assert.deepEqual(got, want[mode], mode);
  });
});

test("a tag is pushed, replaced, kept or taken away as the table of README says", () => {
  const tagOps = (inn: string, out: string, vid?: number): number => {
    const snapshot = bridge([port(1, CONFIGS[inn]), port(2, CONFIGS[out])]);
    return act.outputTag(decide(snapshot, { port: 1, ...(vid !== undefined && { vid }) }).actions, 0);
  };
  assert.equal(tagOps("access100", "access100"), act.TAG_KEEP);
  assert.equal(tagOps("access100", "trunk"), act.TAG_PUSH);
  assert.equal(tagOps("access100", "trunk", 0), act.TAG_SET_VID, "the priority stays");
  assert.equal(tagOps("access100", "access100", 0), act.TAG_POP);
  assert.equal(tagOps("none", "none", 0), act.TAG_POP);
  assert.equal(tagOps("trunk", "trunkAll", 100), act.TAG_KEEP);
  assert.equal(tagOps("trunk", "access100", 100), act.TAG_POP);
  assert.equal(tagOps("nativeUntagged", "nativeTagged"), act.TAG_PUSH);
  const pushed = decide(bridge([port(1, CONFIGS.access100), port(2, CONFIGS.trunk)]), { port: 1 }).actions;
  assert.equal(act.outputTci(pushed, 0), 100, "priority 0");
});

test("two tags go by the outer one; taking it off never puts a frame into another VLAN", () => {
  const snapshot = bridge([port(1, CONFIGS.trunk), port(2, CONFIGS.access100), port(3, CONFIGS.nativeUntagged)]);
  const qinq: KeyFields = { port: 1, vid: 100, innerVid: 200, dst: 9 };
  assert.equal(
    outcome(decide(snapshot, qinq), qinq),
    "2:200",
    "the guest gets what is inside, the switch behind 3 does not",
  );
  (snapshot.macs as MacTable).learn(100, 0x0200, 9, 3, 0);
  assert.equal(outcome(decide(snapshot, qinq), qinq), "egress_vlan_filter");
  const hidden: KeyFields = { port: 2, vid: 0, innerVid: 200, dst: 9 };
  assert.equal(outcome(decide(snapshot, hidden), hidden), "egress_vlan_filter", "nor behind a priority tag");
});

test("learned, known, moved, and back where it came from", () => {
  const snapshot = bridge([port(1), port(2), port(3)]);
  const macs = snapshot.macs as MacTable;
  const first = decide(snapshot, { port: 1, src: 0x11, dst: 0x22 });
  assert.equal(outcome(first, { port: 1 }), "2:untagged 3:untagged");
  assert.deepEqual(first.effects, [{ kind: "learn", at: { vlan: 0, high: 0x0200, low: 0x11 }, port: 1, from: 0 }]);
  macs.learn(0, 0x0200, 0x11, 1, 0);
  const answer = decide(snapshot, { port: 2, src: 0x22, dst: 0x11 });
  assert.equal(outcome(answer, { port: 2 }), "1:untagged");
  macs.learn(0, 0x0200, 0x22, 2, 0);
  const known = decide(snapshot, { port: 1, src: 0x11, dst: 0x22 });
  assert.equal(outcome(known, { port: 1 }), "2:untagged");
  assert.deepEqual(known.effects, []);
  assert.deepEqual(known.destination, { vlan: 0, high: 0x0200, low: 0x22 });
  assert.equal(decide(snapshot, { port: 3, src: 0x11, dst: 0x22 }).effects[0]!.from, 1, "a move");
  assert.equal(outcome(decide(snapshot, { port: 2, src: 0x33, dst: 0x22 }), { port: 2 }), "port_loopback_filter");
});

test("a VLAN is a table of its own: an address known in one is unknown in another", () => {
  const snapshot = bridge([1, 2, 3].map((no) => port(no, CONFIGS.trunk)));
  (snapshot.macs as MacTable).learn(100, 0x0200, 0x22, 2, 0);
  const frame: KeyFields = { port: 1, dst: 0x22, vid: 100 };
  assert.equal(outcome(decide(snapshot, frame), frame), "2:100");
  assert.equal(outcome(decide(snapshot, { ...frame, vid: 200 }), { ...frame, vid: 200 }), "2:200 3:200");
});

test("frames that no bridge forwards", () => {
  const snapshot = bridge([port(1), port(2)]);
  const fate = (fields: Omit<KeyFields, "port">): string =>
    outcome(decide(snapshot, { port: 1, ...fields }), { port: 1 });
  assert.equal(fate({ src: "01:00:5e:00:00:01" }), "src_mac_is_multicast");
  assert.equal(fate({ src: "ff:ff:ff:ff:ff:ff", dst: "ff:ff:ff:ff:ff:ff" }), "src_mac_is_multicast");
  assert.equal(fate({ src: 7, dst: 7 }), "src_mac_is_dmac");
  for (let last = 0; last < 16; last++)
    assert.equal(fate({ dst: `01:80:c2:00:00:0${last.toString(16)}` }), "dmac_is_reserved");
  assert.equal(fate({ dst: "01:80:c2:00:00:10" }), "2:untagged");
  assert.equal(fate({ dst: "01:80:c2:00:01:00" }), "2:untagged");
  assert.equal(decide(snapshot, { port: 1, src: "01:00:5e:00:00:01" }).effects.length, 0, "never learned");
  assert.equal(decide(snapshot, { port: 1, src: "00:00:00:00:00:00" }).effects.length, 0);
  assert.equal(fate({ fault: FAULT_VLAN }), "vlan_parsing");
  assert.equal(fate({ fault: FAULT_LLC }), "llc_snap_parsing");
  assert.equal(fate({ fault: FAULT_IPV4 }), "2:untagged", "malformed is not refused");
});

test("LLDP on a trunk without a native VLAN is expected, not a mismatch", () => {
  const lldp: KeyFields = { port: 1, dst: "01:80:c2:00:00:0e" };
  assert.equal(outcome(decide(bridge([port(1, CONFIGS.trunk)]), lldp), lldp), "dmac_is_reserved");
});

test("dropMalformed refuses every bad header with its own reason", () => {
  const snapshot = bridge([port(1), port(2)], { dropMalformed: true });
  const got = FAULTS.map((_, fault) => outcome(decide(snapshot, { port: 1, fault }), { port: 1 }));
  assert.deepEqual(got, [
    "2:untagged",
    "arp_parsing",
    "ip_1_parsing",
    "ip_1_parsing",
    "ipv6_bad_exthdr",
    "tcp_parsing",
    "udp_parsing",
    "sctp_parsing",
    "icmp_parsing",
    "icmp_parsing",
    "unknown_parsing",
    "vlan_parsing",
    "llc_snap_parsing",
  ]);
});

test("a flood leaves out ports that cannot send; a known port that is down is the datapath's to refuse", () => {
  const ports = [port(1), port(2, undefined, { up: false }), port(3, undefined, { enabled: false }), port(4)];
  const snapshot = bridge(ports);
  assert.equal(outcome(decide(snapshot, { port: 1 }), { port: 1 }), "4:untagged");
  (snapshot.macs as MacTable).learn(0, 0x0200, 2, 2, 0);
  assert.equal(outcome(decide(snapshot, { port: 1, dst: 2 }), { port: 1 }), "2:untagged");
});

test("observe mode decides by the port alone", () => {
  const snapshot = bridge([port(1, CONFIGS.trunk)], { mode: "observe" });
  const fields = new FieldReader().over(makeKey({ port: 1, src: 7, dst: 7, fault: FAULT_VLAN }));
  const decision = normal(fields, snapshot);
  assert.equal(outcome(decision, { port: 1 }), "observed");
  const want = new Uint32Array(KEY_WORDS);
  want[KEY_PORT] = 0xffff0000;
  assert.deepEqual(fields.mask, want);
});

test("rules are as wide as the decision: refusals by a few bits, floods by the group's first bytes", () => {
  const snapshot = bridge([port(1, CONFIGS.access100), port(2, CONFIGS.access100)]);
  const bits = (fields: KeyFields): number => {
    const reader = new FieldReader().over(makeKey(fields));
    normal(reader, snapshot);
    return reader.mask.reduce((sum, word) => sum + word.toString(2).replaceAll("0", "").length, 0);
  };
  assert.equal(bits({ port: 1, fault: FAULT_VLAN }), 16 + 4);
  assert.equal(bits({ port: 1, vid: 200 }), 16 + 4 + 1 + 1 + 13);
  assert.equal(bits({ port: 1, dst: "33:33:00:00:00:01" }), 16 + 4 + 16 + 13 + 48);
  assert.equal(bits({ port: 1 }), 16 + 4 + 13 + 96);
});

// The property that makes a cached rule right: whatever the bits are that a decision did not look at, it is the same.
const vlanConfig: fc.Arbitrary<VlanConfig | undefined> = fc.oneof(
  ...Object.values(CONFIGS).map((config) => fc.constant(config)),
  fc.record({ mode: fc.constant("trunk" as const), trunks: fc.constantFrom([], [1], [100], [1, 100, 200]) }),
);
const likely = fc.constantFrom(true, true, true, false);
const world = fc.record({
  ports: fc.array(fc.record({ vlan: vlanConfig, up: likely, enabled: likely }), {
    minLength: 2,
    maxLength: 5,
  }),
  macs: fc.array(
    fc.record({ vlan: fc.constantFrom(0, 1, 100, 200), mac: fc.nat(4), port: fc.integer({ min: 1, max: 6 }) }),
  ),
  mode: fc.constantFrom("switch" as const, "switch" as const, "switch" as const, "observe" as const),
  dropMalformed: fc.boolean(),
});
const mac = fc.oneof(
  { weight: 6, arbitrary: fc.nat(4) },
  fc.constantFrom(
    "ff:ff:ff:ff:ff:ff",
    "01:80:c2:00:00:03",
    "01:80:c2:00:00:30",
    "01:80:c2:01:00:00",
    "01:80:00:00:00:00",
  ),
  fc.constantFrom("33:33:00:00:00:01", "00:00:00:00:00:00"),
);
const frame = fc.record(
  {
    port: fc.constantFrom(1, 1, 1, 2, 2, 2, 3, 4, 6),
    src: mac,
    dst: mac,
    vid: fc.constantFrom(0, 1, 100, 100, 100, 200, 200, 300, 4095),
    pcp: fc.nat(7),
    innerVid: fc.constantFrom(0, 200),
    fault: fc.oneof({ weight: 5, arbitrary: fc.constant(0) }, fc.nat(12)),
  },
  { requiredKeys: ["port", "src", "dst"] },
);

test("property: a rule's decision holds for every key that agrees on its mask", () => {
  let forwarded = 0;
  const masks = new Set<string>();
  fc.assert(
    fc.property(
      world,
      fc.array(
        fc.tuple(frame, fc.array(frame, { minLength: 2, maxLength: 4 }), fc.infiniteStream(fc.nat(0xffffffff))),
        { minLength: 12 },
      ),
      ({ ports, macs, mode, dropMalformed }, frames) => {
        const learned = table();
        for (const entry of macs) learned.learn(entry.vlan, 0x0200, entry.mac, entry.port, 0);
        const snapshot = bridge(
          ports.map(({ vlan, up, enabled }, n) => port(n + 1, vlan, { up, enabled })),
          { mode, dropMalformed, macs: learned },
        );
        const reader = new FieldReader();
        for (const [fields, others, noise] of frames) {
          const key = makeKey(fields);
          const decision = normal(reader.over(key), snapshot);
          const mask = reader.mask.slice();
          masks.add(mask.join());
          if (act.disposition(decision.actions) === 0) forwarded++;
          // Unread bits from plausible frames, and from noise.
          const strangers = [...others.map(makeKey), key.map(() => noise.next().value as number)];
          for (const other of strangers) {
            const twin = key.map((word, n) => (word & mask[n]!) | (other[n]! & ~mask[n]!));
            const again = normal(reader.over(twin), snapshot);
            assert.deepEqual(again, decision);
            assert.deepEqual(reader.mask, mask, "the same bits are looked at");
          }
        }
      },
    ),
    { numRuns: 400 },
  );
  assert.ok(forwarded > 500, `only ${forwarded} frames were forwarded: the property says little`);
  assert.ok(masks.size <= 32, `${masks.size} masks are more than a datapath takes`);
});
