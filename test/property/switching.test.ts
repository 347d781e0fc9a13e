/**
 * The whole switch against one that is written down in a page: real frames through bridge, pipeline, datapath and memory
 * ports; every frame must leave by the same ports, byte for byte, and after each step every frame must stand in the
 * books once, with the flow table full too.
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import fc from "fast-check";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import { RecordCursor } from "../../src/shm/log.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { LocalBed } from "../helpers/local-bed.ts";

type Vlans = Record<string, VlanConfig | undefined>;

/** A learning VLAN switch without a cache. */
class Reference {
  ports: Vlans = {};
  private readonly table = new Map<string, string>();

  configure(ports: Vlans): void {
    for (const [key, port] of this.table)
      if (!(port in ports) || !this.carries(ports[port], Number(key.split(" ")[0]))) this.table.delete(key);
    this.ports = ports;
  }

  private carries(vlan: VlanConfig | undefined, vid: number): boolean {
    if (vlan === undefined) return vid === 0;
    if (vid === 0) return false;
    if (vlan.mode === "access") return vlan.tag === vid;
    if (vlan.mode !== "trunk" && vlan.tag === vid) return true;
    return vlan.trunks === "all" || vlan.trunks.includes(vid);
  }

  receive(name: string, frame: Uint8Array): Map<string, Uint8Array[]> {
    const out = new Map<string, Uint8Array[]>();
    const hex = Buffer.from(frame).toString("hex");
    const [dst, src] = [hex.slice(0, 12), hex.slice(12, 24)];
    const isTag = (at: number): boolean => ["8100", "88a8", "9100"].includes(hex.slice(at, at + 4));
    const tag = isTag(24) ? Number.parseInt(hex.slice(29, 32), 16) : -1;
    const isQinQ = tag >= 0 && isTag(32);
    const isGroup = (mac: string): boolean => (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
    const port = this.ports[name];
    if (isGroup(src) || src === dst || /^0180c200000[0-9a-f]$/.test(dst)) return out;

    let vid: number;
    if (tag > 0) {
      if (port === undefined || port.mode === "access" || tag === 4095 || !this.carries(port, tag)) return out;
      vid = tag;
    } else {
      if (port?.mode === "trunk") return out;
      vid = port === undefined ? 0 : port.tag;
    }
    this.table.set(`${vid} ${src}`, name);

    const known = isGroup(dst) ? undefined : this.table.get(`${vid} ${dst}`);
    for (const [target, vlan] of Object.entries(this.ports)) {
      if (target === name || (known !== undefined && known !== target) || !this.carries(vlan, vid)) continue;
      const isUntagged =
        vlan === undefined || vlan.mode === "access" || (vlan.mode === "nativeUntagged" && vlan.tag === vid);
      if (isUntagged && isQinQ && vlan?.mode === "nativeUntagged") continue;
      const vidHex = vid.toString(16).padStart(3, "0");
      const rest =
        tag < 0
          ? isUntagged
            ? hex.slice(24)
            : `81000${vidHex}${hex.slice(24)}`
          : isUntagged
            ? hex.slice(32)
            : hex.slice(24, 29) + vidHex + hex.slice(32);
      out.set(target, [new Uint8Array(Buffer.from(hex.slice(0, 24) + rest, "hex"))]);
    }
    return out;
  }
}

const names = ["p1", "p2", "p3", "p4"];
const vlan = fc.constantFrom<VlanConfig | undefined>(
  undefined,
  undefined,
  { mode: "access", tag: 1 },
  { mode: "trunk", trunks: "all" },
  { mode: "trunk", trunks: [1, 2] },
  { mode: "nativeTagged", tag: 1, trunks: [2] },
  { mode: "nativeUntagged", tag: 1, trunks: [2, 3] },
);
const vlans = fc
  .tuple(vlan, vlan, fc.option(vlan, { nil: "gone" as const }), fc.option(vlan, { nil: "gone" as const }))
  .map((all): Vlans => {
    const ports: Vlans = {};
    all.forEach((one, n) => one !== "gone" && (ports[names[n]!] = one));
    return ports;
  });
const station = fc.nat(5).map((n) => `02:00:00:00:00:0${n}`);
const tag = fc.record({
  vid: fc.constantFrom(0, 1, 1, 1, 2, 2, 3, 4095),
  pcp: fc.nat(7),
  dei: fc.boolean(),
  tpid: fc.constantFrom(0x8100, 0x8100, 0x88a8),
});
const frame = fc.record({
  ethSrc: fc.oneof({ weight: 20, arbitrary: station }, fc.constant("01:00:5e:00:00:01")),
  ethDst: fc.oneof(
    { weight: 8, arbitrary: station },
    fc.constantFrom("ff:ff:ff:ff:ff:ff", "33:33:00:00:00:01", "01:80:c2:00:00:0e", "01:80:c2:00:00:21"),
  ),
  vlans: fc.oneof(fc.constant([]), fc.array(tag, { maxLength: 2 })),
  port: fc.integer({ min: 1, max: 60 }),
});
const step = fc.oneof(
  { weight: 20, arbitrary: fc.record({ from: fc.nat(3), frame, waitMs: fc.nat(900) }) },
  { weight: 1, arbitrary: vlans.map((configure) => ({ configure })) },
);

type Step = typeof step extends fc.Arbitrary<infer T> ? T : never;

/** Run both switches side by side; returns how many frames found no flow. */
async function run(steps: readonly Step[], max: number): Promise<number> {
  const bed = new LocalBed({ flows: { max } });
  const reference = new Reference();
  const first: Vlans = { p1: undefined, p2: undefined, p3: undefined, p4: undefined };
  reference.configure(first);
  await bed.bridge.start();
  await bed.configure(first);
  let sent = 0;
  for (const one of steps) {
    if ("configure" in one) {
      reference.configure(one.configure);
      await bed.configure(one.configure);
    } else {
      const present = Object.keys(reference.ports);
      const from = present[one.from % present.length]!;
      const { port, ...options } = one.frame;
      const bytes = buildFrame({
        ...options,
        ip: { src: "10.0.0.1", dst: "10.0.0.2" },
        udp: { src: port, dst: 53 },
        payload: "x",
      });
      bed.nowNs += one.waitMs * 1e6;
      const want = reference.receive(from, bytes);
      const got = bed.send(from, bytes);
      const text = (out: Map<string, Uint8Array[]>): string[] =>
        [...out].map(([p, frames]) => `${p} ${frames.map((f) => Buffer.from(f).toString("hex")).join()}`).toSorted();
      assert.deepEqual(text(got), text(want));
      sent++;
    }
    const proof = bed.bridge.audit();
    assert.deepEqual([proof.failing, proof.ok, proof.exact, proof.pending], [[], true, true, 0]);
    assert.equal(proof.rx, sent);
    assert.equal(proof.inRecords + proof.inTable + proof.unattributed, sent);
  }
  await bed.bridge.stop();
  const end = bed.bridge.audit();
  assert.equal(end.ok, true);
  assert.equal(end.inTable, 0, "every flow has its record");
  const cursor = new RecordCursor();
  let recorded = 0;
  for (let n = 0; n < bed.log.head; n++) recorded += bed.log.at(n, cursor).packets;
  assert.equal(recorded + end.unattributed, sent);
  return end.unattributed;
}

test("property: the switch does what a page of reference says, and loses count of nothing", async () => {
  await fc.assert(
    fc.asyncProperty(fc.array(step, { size: "max", maxLength: 200 }), async (steps) => {
      assert.equal(await run(steps, 4096), 0);
    }),
    { numRuns: 25 },
  );
});

test("property: the same with a flow table of 16, where most frames find no slot", async () => {
  let unattributed = 0;
  await fc.assert(
    fc.asyncProperty(fc.array(step, { size: "max", maxLength: 200 }), async (steps) => {
      unattributed += await run(steps, 16);
    }),
    { numRuns: 25 },
  );
  assert.ok(unattributed > 0, "the table was never full");
});
