/**
 * The mirror matrix: port modes × direction × SPAN, RSPAN, file or stream × refused or not × unicast, unknown unicast,
 * multicast, broadcast; and Open vSwitch's reference action strings (README.md names where we differ).
 */
import assert from "node:assert/strict";
import { test } from "node:test";
import { LocalBed } from "../../test/helpers/local-bed.ts";
import type { MirrorConfig } from "../config/config.ts";
import type { VlanConfig } from "../flow/attachment.ts";
import { buildFrame } from "../wire/builder.ts";
import { type CopyFrame } from "./frames.ts";
import { MirrorKeeper, MirrorRefused } from "./keeper.ts";
import type { CopyOutput } from "./output.ts";

const MAC = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, "0")}`;
const access = (tag: number): VlanConfig => ({ mode: "access", tag });
const trunk = (...trunks: number[]): VlanConfig => ({ mode: "trunk", trunks });

/** Keeps what it is given. */
class Kept implements CopyOutput {
  readonly kind = "stream";
  readonly target = "test";
  state: CopyOutput["state"] = "running";
  sent = 0;
  bytes = 0;
  failed = 0;
  queueDropped = 0;
  readonly frames: (Omit<CopyFrame, "bytes" | "off"> & { data: Uint8Array })[] = [];
  write(frame: CopyFrame, captured: number): void {
    const { bytes, off, ...rest } = frame;
    this.frames.push({ ...rest, data: bytes.slice(off, off + captured) });
  }
  flush(): void {}
  async close(): Promise<void> {}
}

class MirrorBed {
  readonly bed: LocalBed;
  readonly keeper: MirrorKeeper;
  readonly told: string[] = [];

  constructor(bed = new LocalBed()) {
    this.bed = bed;
    this.keeper = new MirrorKeeper({
      bridge: "weir0",
      datapath: bed.datapath,
      capturesDir: "/nonexistent",
      ports: () => bed.bridge.ports(),
      port: (no) => bed.bridge.portAt(no) && { name: bed.bridge.portAt(no)!.name, speed: 0 },
      setPlan: (plan) => bed.bridge.setMirrors(plan),
      isTemplated: () => false,
      nowNs: () => bed.nowNs,
      unix: (ns) => ({ seconds: Math.floor(ns / 1e9), nanoseconds: ns % 1e9 }),
      tell: (message) => this.told.push(message),
    });
  }

  start(
    name: string,
    more: Partial<Omit<MirrorConfig, "select">> & { select?: Partial<MirrorConfig["select"]> },
  ): Kept {
    const { select, ...rest } = more;
    const config: MirrorConfig = {
      name,
      outputs: [{ type: "stream" }],
      snaplen: 0,
      sample: 1,
      ...rest,
      limit: { pps: 0, bps: 0, durationMs: 0, packets: 0, ...rest.limit },
      select: { all: false, ports: [], owners: [], direction: "both", dropped: "include", ...select },
    };
    this.keeper.start(config, { origin: "api", startedBy: "test" }, 0);
    const kept = new Kept();
    if (config.outputs.some(({ type }) => type === "stream")) this.keeper.find(name)!.outputs.push(kept);
    this.keeper.follow();
    this.bed.work();
    return kept;
  }

  send(port: string, frame: Uint8Array): Map<string, Uint8Array[]> {
    const out = this.bed.send(port, frame);
    this.keeper.tick(0);
    return out;
  }

  json(name: string) {
    return this.keeper.list().find((one) => one.name === name)!;
  }
}

const hex = (bytes: Uint8Array | undefined): string => (bytes === undefined ? "" : Buffer.from(bytes).toString("hex"));

function frame(src: number, dst: string, vlans: { vid: number; pcp?: number }[] = [], payload = 40): Uint8Array {
  const ip = { src: "10.0.0.1", dst: "10.0.0.2" };
  const udp = { src: 1000, dst: 53 };
  return buildFrame({ ethSrc: MAC(src), ethDst: dst, vlans, ip, udp, payload: new Uint8Array(payload) } as never);
}

/** How port `a` sends in the bridge's VLAN 10, by its mode. */
const MODES: Readonly<Record<string, { vlan: VlanConfig | undefined; tags: { vid: number; pcp?: number }[] }>> = {
  "no VLAN": { vlan: undefined, tags: [] },
  access: { vlan: access(10), tags: [] },
  trunk: { vlan: trunk(10, 20), tags: [{ vid: 10, pcp: 5 }] },
  "native tagged": { vlan: { mode: "nativeTagged", tag: 10, trunks: [10, 20] }, tags: [] },
  "native untagged": { vlan: { mode: "nativeUntagged", tag: 10, trunks: [10, 20] }, tags: [] },
};
const DESTINATIONS: Readonly<Record<string, string>> = {
  unicast: MAC(2),
  "unknown unicast": MAC(9),
  multicast: "01:00:5e:00:00:05",
  broadcast: "ff:ff:ff:ff:ff:ff",
};
const RSPAN_VLAN = 500;

for (const [mode, { vlan, tags }] of Object.entries(MODES))
  for (const direction of ["ingress", "egress", "both"] as const)
    for (const output of ["span", "rspan", "copy"] as const)
      test(`${mode}, ${direction}, ${output}: every kind of destination once, refused or not`, async () => {
        const beds = new MirrorBed();
        const peer = vlan === undefined ? undefined : access(10);
        await beds.bed.configure({ a: vlan, b: peer, c: peer, mon: trunk(10, RSPAN_VLAN), far: trunk(RSPAN_VLAN) });
        for (const [port, n] of [["b", 2]] as const) beds.bed.send(port, frame(n, MAC(7)));
        beds.bed.send("a", frame(1, MAC(7), tags));
        const outputs: MirrorConfig["outputs"] =
          output === "span"
            ? [{ type: "span", port: "mon" }]
            : output === "rspan"
              ? [{ type: "rspan", vlan: RSPAN_VLAN, stacked: false }]
              : [{ type: "stream" }];
        const kept = beds.start("m", { outputs, select: { ports: ["a"], direction } });
        const collect = (out: Map<string, Uint8Array[]>): Uint8Array[] =>
          output === "span"
            ? (out.get("mon") ?? [])
            : output === "rspan"
              ? (out.get("far") ?? [])
              : kept.frames.splice(0).map(({ data }) => data);
        const untouched = (sent: Uint8Array, got: Uint8Array): void => {
          if (output !== "rspan") return assert.equal(hex(got), hex(sent));
          assert.equal(((got[14]! & 0x0f) << 8) | got[15]!, RSPAN_VLAN);
          const isTagged = sent[12] === 0x81;
          assert.equal(got[14]! >> 5, isTagged ? sent[14]! >> 5 : 0, "PCP is kept");
          assert.equal(hex(got.slice(16)), hex(sent.slice(isTagged ? 16 : 12)), "all else as it was");
        };
        for (const [what, dst] of Object.entries(DESTINATIONS)) {
          const sent = frame(1, dst, tags);
          const copies = collect(beds.send("a", sent));
          assert.equal(copies.length, direction === "egress" ? 0 : 1, `${what} from the guest`);
          if (copies.length > 0) untouched(sent, copies[0]!);
          // To the guest: unicast to its address, or floods.
          const back = frame(2, what === "unicast" ? MAC(1) : dst);
          const out = beds.send("b", back);
          const left = out.get("a")?.[0];
          const copied = collect(out);
          assert.equal(copied.length, direction === "ingress" ? 0 : 1, `${what} to the guest`);
          if (copied.length > 0) untouched(output === "rspan" ? back : left!, copied[0]!);
        }
        // A frame that the port does not admit: Open vSwitch shows nothing of it.
        const wrong = frame(1, MAC(2), [{ vid: 33 }]);
        const refused = collect(beds.send("a", wrong));
        assert.equal(refused.length, direction === "egress" ? 0 : 1, "a refused frame");
        if (refused.length > 0) untouched(wrong, refused[0]!);
        const { matched, sent: copied } = beds.json("m");
        assert.equal(matched, copied);
      });

test("refused frames left out, alone, and with their reason", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ a: access(10), b: access(10) });
  const all = beds.start("all", { select: { all: true } });
  const without = beds.start("without", { select: { all: true, dropped: "exclude" } });
  const only = beds.start("only", { select: { all: true, dropped: "only" } });
  beds.send("a", frame(1, MAC(2)));
  beds.send("a", frame(1, MAC(2), [{ vid: 10 }]));
  assert.deepEqual(
    [all, without, only].map(({ frames }) => frames.length),
    [2, 1, 1],
  );
  assert.equal(only.frames[0]!.reason > 0, true);
  assert.equal(only.frames[0]!.direction, "in");
});

test("Open vSwitch's vectors: what is the same and what is not on purpose", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ p1: access(10), p2: trunk(10, 500), p3: access(500), p4: access(10) });
  beds.start("r", { outputs: [{ type: "rspan", vlan: 500, stacked: false }], select: { all: true } });
  const text = (out: Map<string, Uint8Array[]>): string =>
    [...out]
      .flatMap(([port, frames]) =>
        frames.map(
          (bytes) =>
            `${port}${bytes[12] === 0x81 ? `:${((bytes[14]! & 15) << 8) | bytes[15]!}.${bytes[14]! >> 5}` : ""}`,
        ),
      )
      .toSorted()
      .join(" ");
  // push_vlan(500),2,pop_vlan,3 and push_vlan(10),2,pop_vlan,4
  assert.equal(text(beds.send("p1", frame(1, MAC(9)))), "p2:10.0 p2:500.0 p3 p4");
  // pop_vlan,push_vlan(500,pcp=5),2 not: never back to its ingress port. pop_vlan,3 and 1,4
  assert.equal(text(beds.send("p2", frame(2, MAC(9), [{ vid: 10, pcp: 5 }]))), "p1 p3 p4");
  // Already in the RSPAN VLAN: pop_vlan,3, not mirrored, not learned.
  assert.equal(text(beds.send("p2", frame(3, MAC(9), [{ vid: 500 }]))), "p3");
  assert.equal(text(beds.send("p3", frame(4, MAC(3)))), "p2:500.0");
});

test("a SPAN port sends copies alone: what comes in there is refused, floods leave it out", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ a: undefined, b: undefined, mon: undefined });
  beds.bed.send("mon", frame(7, MAC(9)));
  beds.start("s", { outputs: [{ type: "span", port: "mon" }], select: { ports: ["a"] } });
  const out = beds.send("b", frame(2, MAC(7)));
  assert.deepEqual([...out.keys()].toSorted(), ["a", "mon"], "once by the flood to a, which is selected");
  assert.equal(out.get("mon")!.length, 1);
  assert.equal(beds.send("mon", frame(7, MAC(2))).size, 0);
  assert.equal(beds.bed.bridge.trace(new Uint32Array(20).fill(3 << 16, 0, 1)).dropReason?.name, "mirror_port_rx");
});

test("one destination gets a frame once, however many sessions want it there", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ a: undefined, b: undefined, mon: undefined });
  const outputs = [{ type: "span", port: "mon" }] as const;
  beds.start("one", { outputs, select: { ports: ["a"] } });
  beds.start("two", { outputs, select: { ports: ["b"] } });
  beds.bed.send("b", frame(2, MAC(9)));
  const out = beds.send("a", frame(1, MAC(2)));
  assert.equal(out.get("mon")!.length, 1);
  // The flood of b's frame left by a, which the first session selects.
  assert.deepEqual([beds.json("one").sent, beds.json("two").sent], [2, 2]);
});

test("limits: snaplen, 1 in N, a ceiling, packets", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ a: undefined, b: undefined });
  const cut = beds.start("cut", { snaplen: 20, select: { ports: ["a"] } });
  beds.start("tenth", { sample: 10, select: { ports: ["a"] } });
  beds.start("slow", { limit: { pps: 1000, bps: 0, durationMs: 0, packets: 0 }, select: { ports: ["a"] } });
  beds.start("five", { limit: { pps: 0, bps: 0, durationMs: 0, packets: 5 }, select: { ports: ["a"] } });
  // 20,000 frames a second for 3 s.
  for (let n = 0; n < 60_000; n++) {
    beds.bed.nowNs += 50_000;
    beds.bed.channels.get("a")!.inject(frame(1, MAC(2)));
    while (beds.bed.datapath.step(beds.bed.nowNs) > 0);
    if (n % 100 === 0) {
      for (const channel of beds.bed.channels.values()) channel.take();
      beds.keeper.tick(0);
    }
  }
  beds.keeper.tick(0);
  assert.equal(
    cut.frames.every(({ data, length }) => data.length === 20 && length === 82),
    true,
  );
  const tenth = beds.json("tenth");
  assert.deepEqual([tenth.sent, tenth.sampledOut], [6000, 54_000]);
  const slow = beds.json("slow");
  assert.ok(Math.abs(slow.sent - 3000) <= 150, `${slow.sent} in 3 s`);
  assert.equal(slow.sent + slow.rateDropped, 60_000);
  const five = beds.json("five");
  assert.deepEqual([five.sent, five.state, five.message], [5, "ended", "5 packets were copied"]);
});

test("a filter in tcpdump's language sees through a tag", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ a: trunk(10), b: trunk(10) });
  const dns = beds.start("dns", { select: { all: true, filter: "udp port 53" } });
  const other = beds.start("other", { select: { all: true, filter: "not udp port 53" } });
  beds.send("a", frame(1, MAC(2), [{ vid: 10 }]));
  assert.deepEqual([dns.frames.length, other.frames.length], [1, 0]);
  assert.throws(() => beds.start("bad", { select: { all: true, filter: "tcp prot 80" } }), /filter: /);
});

test("sessions say what they miss, and refuse what would loop", async () => {
  const beds = new MirrorBed();
  await beds.bed.configure({ a: undefined, b: undefined });
  beds.start("none", { select: { owners: [{ vm: "db1" }] } });
  assert.equal(beds.json("none").message, "matches no port: no port has owner vm db1");
  const loop = { outputs: [{ type: "span", port: "a" }] as const, select: { ports: ["a"] } };
  assert.throws(() => beds.start("loop", loop), MirrorRefused);
  const file = { outputs: [{ type: "file", path: "../etc/passwd" }] as const, select: { all: true } };
  assert.throws(() => beds.start("out", file), /below/);
  assert.equal(beds.json("none").ports.length, 0);
  await beds.keeper.stop("none");
  assert.equal(beds.json("none").state, "ended");
});

test("with every kind of mirror on, counters, flows and samples are what they are without", async () => {
  const run = async (mirrors: boolean): Promise<unknown> => {
    const beds = new MirrorBed(new LocalBed({ bridge: { sampling: { rate: 4, header: 64 } } }));
    await beds.bed.configure({ a: access(10), b: access(10), t: trunk(10, 500), mon: access(77), far: trunk(500) });
    if (mirrors) {
      beds.start("s", { outputs: [{ type: "span", port: "mon" }], select: { all: true } });
      beds.start("r", { outputs: [{ type: "rspan", vlan: 500, stacked: true }], select: { all: true } });
      beds.start("c", { select: { all: true } });
    }
    const samples: string[] = [];
    for (let n = 0; n < 400; n++) {
      beds.bed.nowNs += 1e6;
      const tagged = n % 3 === 2;
      beds.send(
        ["a", "b", "t"][n % 3]!,
        frame(1 + (n % 3), MAC(1 + ((n >> 2) % 5)), tagged ? [{ vid: 10, pcp: 3 }] : []),
      );
      beds.send("a", frame(1, MAC(2), [{ vid: 9 }]));
      const { samples: ring } = beds.bed.datapath;
      for (let at = ring.peek(); at >= 0; at = ring.peek()) {
        samples.push(hex(ring.u8.slice(at, at + ring.peekLength)));
        ring.release();
      }
    }
    const counters = [...beds.bed.bridge.ports()].map(({ no }) =>
      Array.from({ length: 64 }, (_, counter) => beds.bed.bridge.counters().get(no, counter)),
    );
    await beds.bed.bridge.stop();
    const { log } = beds.bed;
    assert.ok(new Uint8Array(log.buffer as ArrayBuffer).some((byte) => byte !== 0));
    return { samples, counters, records: hex(new Uint8Array(log.buffer as ArrayBuffer)) };
  };
  const without = (await run(false)) as { samples: string[] };
  assert.ok(without.samples.length > 100);
  assert.deepEqual(await run(true), without);
});
