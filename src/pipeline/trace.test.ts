import assert from "node:assert/strict";
import { test } from "node:test";
import { makeKey } from "../../test/helpers/keys.ts";
import type { VlanConfig } from "../flow/attachment.ts";
import { MacTable } from "./mac-table.ts";
import { Snapshot, vlanSetText } from "./snapshot.ts";
import { trace } from "./trace.ts";

const macs = new MacTable({ capacity: 16, ageingNs: 300e9, maxPorts: 16 });
const snapshot = (vlans: Record<string, VlanConfig | undefined>, dropMalformed = false): Snapshot =>
  new Snapshot({
    mode: "switch",
    dropMalformed,
    macs,
    ports: Object.entries(vlans).map(([name, vlan], n) => ({
      no: n + 1,
      name,
      enabled: true,
      up: true,
      ...(vlan && { vlan }),
    })),
  });

test("a refused tag: what was decided, by what, and what would allow it", () => {
  const told = trace(makeKey({ port: 1, vid: 200 }), snapshot({ db1: { mode: "access", tag: 100 } }));
  assert.deepEqual(told.steps.at(-1), {
    step: "ingress",
    text: "port db1, access VLAN 100: the frame carries tag 200",
    verdict: "not admitted",
    allow: { port: "db1", change: "vlan: { mode: trunk, trunks: [100, 200] }" },
  });
  assert.equal(told.disposition, "dropped");
  assert.equal(told.dropReason?.name, "ingress_vlan_filter");
  assert.equal(told.dropReason?.sflow, 265);
  assert.deepEqual(told.lookedAt, ["port", "malformed", "vlan", "ethSrc (group bit)", "ethDst (group bit)"]);
  assert.equal(told.covers, "port=db1 vlan=200 [ethSrc: one station] [ethDst: one station]");
});

test("the advice is right: with it the frame passes", () => {
  const cases: [VlanConfig | undefined, number | undefined, VlanConfig][] = [
    [undefined, 200, { mode: "trunk", trunks: [200] }],
    [{ mode: "access", tag: 100 }, 100, { mode: "trunk", trunks: [100] }],
    [{ mode: "trunk", trunks: [300, 301] }, 200, { mode: "trunk", trunks: [200, 300, 301] }],
    [{ mode: "nativeTagged", tag: 5, trunks: [] }, 200, { mode: "nativeTagged", tag: 5, trunks: [200] }],
  ];
  for (const [vlan, vid, better] of cases) {
    const key = makeKey({ port: 1, ...(vid !== undefined && { vid }) });
    const told = trace(key, snapshot({ p: vlan }));
    const trunks = better.mode === "access" ? "" : `trunks: [${vlanSetText(better.trunks).replaceAll(",", ", ")}]`;
    const tag = better.mode === "trunk" ? "" : `tag: ${"tag" in better ? better.tag : ""}, `;
    assert.equal(told.allow?.change, `vlan: { mode: ${better.mode}, ${tag}${trunks} }`);
    const with_ = trace(key, snapshot({ p: better, q: { mode: "trunk", trunks: "all" } }));
    assert.equal(with_.disposition, "forwarded");
  }
  const reserved = trace(makeKey({ port: 1, vid: 4095 }), snapshot({ p: { mode: "trunk", trunks: "all" } }));
  assert.match(reserved.allow!.change, /^nothing: /);
  const untagged = trace(makeKey({ port: 1 }), snapshot({ p: { mode: "trunk", trunks: [7] } }));
  assert.match(untagged.allow!.change, /mode: nativeUntagged.*trunks: \[7\]/);
  const malformed = trace(makeKey({ port: 1, fault: 5 }), snapshot({ p: undefined }, true));
  assert.deepEqual(malformed.allow, { change: "dropMalformed: false" });
});

test("a forwarded frame tells every output, and what it would teach without teaching it", () => {
  const ports = { web1: { mode: "access", tag: 100 }, uplink: { mode: "trunk", trunks: "all" } } as const;
  const told = trace(makeKey({ port: 1, src: "52:54:00:00:00:01", dst: "52:54:00:00:00:02" }), snapshot(ports));
  assert.deepEqual(
    told.steps.map((step) => `${step.step}: ${step.text}`),
    [
      "parse: ok",
      "ingress: port web1, access VLAN 100: no tag, VLAN 100",
      "learning: 52:54:00:00:00:01 is learned on port web1",
      "lookup: 52:54:00:00:00:02 is not known in VLAN 100: every other port of the VLAN",
      "egress: port uplink, trunk all: with tag 100",
    ],
  );
  assert.deepEqual(told.outputs, [{ port: "uplink", tag: "push", vid: 100 }]);
  assert.equal(told.effects.length, 1);
  assert.equal(macs.size, 0);
  assert.equal(told.allow, undefined);
  const flood = trace(makeKey({ port: 1, dst: "33:33:00:00:00:01" }), snapshot(ports));
  assert.equal(flood.covers, "port=web1 [untagged] ethSrc=02:00:00:00:00:01 ethDst=33:33:*");
});

test("VLAN sets in words", () => {
  assert.equal(vlanSetText([100, 101, 102, 105, 200, 201]), "100-102,105,200-201");
  assert.equal(vlanSetText("all"), "all");
  assert.equal(vlanSetText([]), "none");
});
