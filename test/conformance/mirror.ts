/**
 * What mirrors do, said once and run on each datapath: port modes × direction × SPAN, RSPAN, ERSPAN, streams, files × admitted or
 * refused × unicast, unknown unicast, multicast, broadcast; and Open vSwitch's reference action strings
 * (src/mirror/README.md names where we differ).
 */
import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import { MirrorRefused } from "../../src/mirror/refuse.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { ERSPAN_PLATFORM_BYTES, erspanBytes } from "../../src/wire/erspan.ts";
import { erspan, MirrorBed, type MirrorHarness } from "../helpers/mirror-bed.ts";
import { fileContent } from "../helpers/capture-content.ts";

export interface MirrorSuite {
  readonly name: string;
  /** Asked before each check: false = this host cannot run it, and the check has been skipped by name. */
  readonly available?: (t: TestContext) => boolean;
  /** Does it cut SPAN copies to the snaplen? */
  readonly cutsSpan?: boolean;
  /** A switch without ports; at most six are asked of it. */
  create(): Promise<MirrorHarness>;
}

export const MAC = (n: number): string => `02:00:00:00:00:${n.toString(16).padStart(2, "0")}`;
export const access = (tag: number): VlanConfig => ({ mode: "access", tag });
export const trunk = (...trunks: number[]): VlanConfig => ({ mode: "trunk", trunks });
export const hex = (bytes: Uint8Array | undefined): string =>
  bytes === undefined ? "" : Buffer.from(bytes).toString("hex");

export interface Tag {
  readonly vid: number;
  readonly pcp?: number;
}

export function frame(src: number, dst: string, vlans: readonly Tag[] = [], payload = 40): Uint8Array {
  const ip = { src: "10.0.0.1", dst: "10.0.0.2" };
  const udp = { src: 1000, dst: 53 };
  return buildFrame({ ethSrc: MAC(src), ethDst: dst, vlans, ip, udp, payload: new Uint8Array(payload) });
}

/** How port `a` sends in the bridge's VLAN 10, by its mode. */
const MODES: Readonly<Record<string, { vlan: VlanConfig | undefined; tags: readonly Tag[] }>> = {
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
const DIRECTIONS = ["ingress", "egress", "both"] as const;
const RSPAN_VLAN = 500;
const ERSPAN_BYTES = erspanBytes("III") + ERSPAN_PLATFORM_BYTES;

function vidOf(bytes: Uint8Array): number {
  return bytes[12] === 0x81 ? ((bytes[14]! & 0x0f) << 8) | bytes[15]! : 0;
}

/** An RSPAN copy: the tag's VLAN is another, all else is as it was. */
function isRspanOf(got: Uint8Array, sent: Uint8Array, what: string): void {
  assert.equal(vidOf(got), RSPAN_VLAN, what);
  const isTagged = vidOf(sent) !== 0;
  assert.equal(got[14]! >> 5, isTagged ? sent[14]! >> 5 : 0, `${what}: PCP is kept`);
  assert.equal(hex(got.slice(16)), hex(sent.slice(isTagged ? 16 : 12)), `${what}: all else as it was`);
}

export function runMirrorSuite({ name, create, available, cutsSpan = true }: MirrorSuite): void {
  const check = (what: string, body: (beds: MirrorBed) => Promise<void>): void => {
    test(`${name}: ${what}`, async (t) => {
      if (available?.(t) === false) return;
      const beds = new MirrorBed(await create());
      try {
        await body(beds);
      } finally {
        await beds.close();
      }
    });
  };

  for (const [mode, { vlan, tags }] of Object.entries(MODES))
    check(`${mode}: every output gets every kind of destination once, refused or not, either way`, async (beds) => {
      const peer = vlan === undefined ? undefined : access(10);
      await beds.harness.configure({ a: vlan, b: peer, c: peer, mon: trunk(10, RSPAN_VLAN), far: trunk(RSPAN_VLAN) });
      await beds.harness.send("b", frame(2, MAC(7)));
      await beds.harness.send("a", frame(1, MAC(7), tags));
      for (const direction of DIRECTIONS) {
        const select = { ports: ["a"], direction };
        const path = `${direction}.pcapng`;
        beds.start("span", { outputs: [{ type: "span", port: "mon" }], select });
        beds.start("rspan", { outputs: [{ type: "rspan", vlan: RSPAN_VLAN, stacked: false }], select });
        const stream = beds.start("stream", { select });
        beds.start("erspan", { outputs: [erspan({ erspanType: "III", granularity: "ieee1588" })], select });
        beds.start("file", { outputs: [{ type: "file", path }], select });
        const inFile: string[] = [];
        /** Copies of one frame in all outputs: `count`, `as` it is in a copy and `before` the egress tag for RSPAN. */
        const judge = (
          out: Map<string, Uint8Array[]>,
          count: number,
          as: Uint8Array,
          before: Uint8Array,
          what: string,
        ) => {
          const where = `${mode}, ${direction}, ${what}`;
          const copies = stream.take();
          const spans = out.get("mon") ?? [];
          const rspans = out.get("far") ?? [];
          const packets = beds.tunnels.take();
          const counts = [spans, rspans, copies, packets].map(({ length }) => length);
          assert.deepEqual(counts, [count, count, count, count], where);
          if (count === 0) return;
          assert.equal(hex(spans[0]), hex(as), `${where}: SPAN`);
          assert.equal(hex(copies[0]!.data), hex(as), `${where}: stream`);
          assert.equal(hex(packets[0]!.slice(ERSPAN_BYTES)), hex(as), `${where}: ERSPAN`);
          isRspanOf(rspans[0]!, before, where);
          inFile.push(hex(as));
        };
        /** Originals of a port: RSPAN copies go to ports that carry every VLAN too. */
        const originals = (out: Map<string, Uint8Array[]>, port: string): Uint8Array[] =>
          (out.get(port) ?? []).filter((bytes) => vidOf(bytes) !== RSPAN_VLAN);
        for (const [what, dst] of Object.entries(DESTINATIONS)) {
          const sent = frame(1, dst, tags);
          const out = await beds.send("a", sent);
          judge(out, direction === "egress" ? 0 : 1, sent, sent, `${what} from the guest`);
          assert.deepEqual(originals(out, "b").map(hex), [hex(frame(1, dst))], "the original");
          assert.equal(originals(out, "c").length, what === "unicast" ? 0 : 1, "the original");
          // To the guest: unicast to its address, or floods.
          const back = frame(2, what === "unicast" ? MAC(1) : dst);
          const returned = await beds.send("b", back);
          const left = originals(returned, "a");
          assert.equal(left.length, 1, "the original");
          judge(returned, direction === "ingress" ? 0 : 1, left[0]!, back, `${what} to the guest`);
        }
        // A frame that the port does not admit: Open vSwitch shows nothing of it.
        if (vlan !== undefined) {
          const wrong = frame(1, MAC(2), [{ vid: 33 }]);
          judge(await beds.send("a", wrong), direction === "egress" ? 0 : 1, wrong, wrong, "a refused frame");
        }
        for (const session of ["span", "rspan", "stream", "erspan", "file"]) {
          const { matched, sent, queueDropped, failed } = beds.json(session);
          assert.deepEqual([matched, sent, queueDropped, failed], [inFile.length, inFile.length, 0, 0], session);
        }
        await beds.stop("span", "rspan", "stream", "erspan", "file");
        assert.deepEqual(
          fileContent(join(beds.folder, path)).packets.map(({ bytes }) => bytes),
          inFile,
          `${mode}, ${direction}: file`,
        );
      }
    });

  check("refused frames left out, alone, and with their reason", async (beds) => {
    await beds.harness.configure({ a: access(10), b: access(10) });
    const all = beds.start("all", { select: { all: true } });
    const without = beds.start("without", { select: { all: true, dropped: "exclude" } });
    const only = beds.start("only", { select: { all: true, dropped: "only" } });
    await beds.send("a", frame(1, MAC(2)));
    await beds.send("a", frame(1, MAC(2), [{ vid: 10 }]));
    assert.deepEqual(
      [all, without, only].map(({ frames }) => frames.length),
      [2, 1, 1],
    );
    assert.equal(only.frames[0]!.reason > 0, true);
    assert.equal(only.frames[0]!.direction, "in");
  });

  check("Open vSwitch's vectors: what is the same and what is not on purpose", async (beds) => {
    await beds.harness.configure({ p1: access(10), p2: trunk(10, 500), p3: access(500), p4: access(10) });
    beds.start("r", { outputs: [{ type: "rspan", vlan: 500, stacked: false }], select: { all: true } });
    const text = (out: Map<string, Uint8Array[]>): string =>
      [...out]
        .flatMap(([port, frames]) =>
          frames.map((bytes) => `${port}${vidOf(bytes) === 0 ? "" : `:${vidOf(bytes)}.${bytes[14]! >> 5}`}`),
        )
        .toSorted()
        .join(" ");
    // push_vlan(500),2,pop_vlan,3 and push_vlan(10),2,pop_vlan,4
    assert.equal(text(await beds.send("p1", frame(1, MAC(9)))), "p2:10.0 p2:500.0 p3 p4");
    // pop_vlan,push_vlan(500,pcp=5),2 not: never back to its ingress port. pop_vlan,3 and 1,4
    assert.equal(text(await beds.send("p2", frame(2, MAC(9), [{ vid: 10, pcp: 5 }]))), "p1 p3 p4");
    // Already in the RSPAN VLAN: pop_vlan,3, not mirrored, not learned.
    assert.equal(text(await beds.send("p2", frame(3, MAC(9), [{ vid: 500 }]))), "p3");
    assert.equal(text(await beds.send("p3", frame(4, MAC(3)))), "p2:500.0");
  });

  check("a SPAN port sends copies alone: what comes in there is refused, floods leave it out", async (beds) => {
    await beds.harness.configure({ a: undefined, b: undefined, mon: undefined });
    await beds.harness.send("mon", frame(7, MAC(9)));
    beds.start("s", { outputs: [{ type: "span", port: "mon" }], select: { ports: ["a"] } });
    const out = await beds.send("b", frame(2, MAC(7)));
    assert.deepEqual([...out.keys()].toSorted(), ["a", "mon"], "once by the flood to a, which is selected");
    assert.equal(out.get("mon")!.length, 1);
    assert.equal((await beds.send("mon", frame(7, MAC(2)))).size, 0);
    const mon = beds.harness.bridge.ports().find((port) => port.name === "mon")!.no;
    const { dropReason } = beds.harness.bridge.trace(new Uint32Array(20).fill(mon << 16, 0, 1));
    assert.equal(dropReason?.name, "mirror_port_rx");
  });

  check("one destination gets a frame once, however many sessions want it there", async (beds) => {
    await beds.harness.configure({ a: undefined, b: undefined, mon: undefined });
    const outputs = [{ type: "span", port: "mon" }] as const;
    beds.start("one", { outputs, select: { ports: ["a"] } });
    beds.start("two", { outputs, select: { ports: ["b"] } });
    await beds.send("b", frame(2, MAC(9)));
    const out = await beds.send("a", frame(1, MAC(2)));
    assert.equal(out.get("mon")!.length, 1);
    // The flood of b's frame left by a, which the first session selects.
    assert.deepEqual([beds.json("one").sent, beds.json("two").sent], [2, 2]);
  });

  check("every SPAN and RSPAN output of a session has a count of its own", async (beds) => {
    await beds.harness.configure({ a: access(10), b: access(10), m1: undefined, far: trunk(500), m2: undefined });
    const outputs = [
      { type: "span", port: "m1" },
      { type: "rspan", vlan: 500, stacked: false },
      { type: "span", port: "m2" },
      { type: "rspan", vlan: 501, stacked: false },
    ] as const;
    beds.start("s", { outputs, select: { ports: ["a"] } });
    const out = await beds.send("a", frame(1, MAC(2)));
    assert.deepEqual([...out.keys()].toSorted(), ["b", "far", "m1", "m2"]);
    const bytes = frame(1, MAC(2)).length;
    assert.deepEqual(
      beds.json("s").outputs.map(({ target, sent, bytes }) => [target, sent, bytes]),
      [
        ["m1", 1, bytes],
        ["VLAN 500", 1, bytes],
        ["m2", 1, bytes],
        ["VLAN 501", 0, 0],
      ],
    );
    assert.equal(beds.json("s").sent, 1);
  });

  check("a copy is as long as the sessions want it that send it there", async (beds) => {
    await beds.harness.configure({ a: undefined, b: undefined, m1: undefined, m2: undefined });
    const span = (port: string) => ({ outputs: [{ type: "span", port }] as const, select: { ports: ["a"] } });
    beds.start("whole", span("m1"));
    beds.start("short", { ...span("m2"), snaplen: 30 });
    const stream = beds.start("shorter", { select: { ports: ["a"] }, snaplen: 20 });
    const sent = frame(1, MAC(2));
    const out = await beds.send("a", sent);
    assert.equal(hex(out.get("m1")![0]), hex(sent));
    assert.equal(hex(out.get("m2")![0]), hex(cutsSpan ? sent.slice(0, 30) : sent));
    assert.equal(hex(stream.frames[0]!.data), hex(sent.slice(0, 20)));
    assert.equal(stream.frames[0]!.length, sent.length);
    const bytes = cutsSpan ? 30 : sent.length;
    const { bytesBefore, bytesAfter, outputs, message } = beds.json("short");
    assert.deepEqual([bytesBefore, bytesAfter, outputs[0]!.bytes], [sent.length, bytes, bytes]);
    const said = "sends whole frames to port m2: the kernel datapath cuts for files, streams and tunnels only";
    assert.equal(message, cutsSpan ? undefined : said);
    assert.equal(beds.json("shorter").message, undefined);
  });

  check("a filter in tcpdump's language sees through a tag", async (beds) => {
    await beds.harness.configure({ a: trunk(10), b: trunk(10) });
    const dns = beds.start("dns", { select: { all: true, filter: "udp port 53" } });
    const other = beds.start("other", { select: { all: true, filter: "not udp port 53" } });
    await beds.send("a", frame(1, MAC(2), [{ vid: 10 }]));
    assert.deepEqual([dns.frames.length, other.frames.length], [1, 0]);
    assert.throws(() => beds.start("bad", { select: { all: true, filter: "tcp prot 80" } }), /filter: /);
  });

  check(
    "a filter that leaves little room: ERSPAN is not copied all the same; one that leaves none is refused",
    async (beds) => {
      await beds.harness.configure({ a: undefined, b: undefined });
      const sum = (terms: number): string =>
        `${Array.from({ length: terms }, (_, n) => `ether[${n % 60}]`).join("+")} > 0`;
      const all = beds.start("long", { select: { all: true, filter: sum(395) } });
      const remotes = Array.from({ length: 8 }, (_, n) => [`192.0.2.${n + 1}`, `2001:db8:${n}::9`]).flat();
      const copied = async (bytes: Uint8Array): Promise<number> => {
        await beds.send("a", bytes);
        return all.take().length;
      };
      const gre = (dst: string): Uint8Array => {
        const ip = dst.includes(":") ? { src: "2001:db8::1", dst, proto: 47 } : { src: "192.0.2.99", dst, proto: 47 };
        return buildFrame({
          ethSrc: MAC(1),
          ethDst: MAC(2),
          ip,
          payload: Uint8Array.of(0x10, 0, 0x88, 0xbe, ...new Uint8Array(60)),
        });
      };
      const plain = frame(1, MAC(2));
      assert.deepEqual([await copied(plain), await copied(gre(remotes[0]!))], [1, 1]);
      beds.start("e", { outputs: remotes.map((remote) => erspan({ remote })), select: { ports: ["b"] } });
      assert.deepEqual(
        [await copied(plain), await copied(gre(remotes[0]!)), await copied(gre(remotes[15]!))],
        [1, 0, 0],
      );
      assert.equal(beds.json("long").state, "running");
      await beds.stop("e");
      beds.tick();
      assert.equal(await copied(gre(remotes[0]!)), 1);
      assert.throws(
        () => beds.start("longer", { select: { all: true, filter: sum(404) } }),
        /filter: 20\d\d instructions, and \d+ more leave the switch's own ERSPAN out; a session has room for 2048\. Write it shorter/,
      );
      assert.equal(beds.keeper.find("longer"), undefined);
    },
  );

  check("sessions say what they miss, and refuse what would loop", async (beds) => {
    await beds.harness.configure({ a: undefined, b: undefined });
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
}
