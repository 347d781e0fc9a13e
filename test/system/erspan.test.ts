/** ERSPAN from a running switch over real wires: what a host elsewhere receives, read by tshark and byte by byte. */
import assert from "node:assert/strict";
import { join } from "node:path";
import test, { type TestContext } from "node:test";
import { buildFrame } from "../../src/wire/builder.ts";
import { ERSPAN_PLATFORM_BYTES, erspanBytes, type ErspanType } from "../../src/wire/erspan.ts";
import { fileContent } from "../helpers/capture-content.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { type Guest, guests, inside, type Running, sh, start, until } from "../helpers/netns.ts";
import { tsharkFields } from "../helpers/tshark.ts";
import { eventually, startWeir, weirHome, type WeirHome, type WeirProcess } from "../helpers/weir-process.ts";
import { type VethEnd, type WireEnd, wireEnds } from "../helpers/wire-ends.ts";

const TOOLS = ["ip", "tcpdump", "tshark"] as const;
const NET = 84;
/** This host on the collector's wire. */
const HOST = `10.${NET}.0.100`;
const HOST_V6 = "2001:db8:84::100";
const COLLECTOR = `10.${NET}.0.1`;
const COLLECTOR_V6 = "2001:db8:84::1";
const MTU = 1500;

interface Bench {
  readonly weir: WeirProcess;
  readonly a: WireEnd;
  readonly b: WireEnd;
  readonly collector: Guest;
  readonly path: string;
  readonly witness: Running;
}

const mac = (n: number): string => `02:00:00:00:0a:0${n}`;

/** A frame of `length` bytes from a station behind `from`. */
function frame(from: 1 | 2, length: number, tag?: { vid: number; pcp: number }): Uint8Array {
  const vlans = tag === undefined ? [] : [tag];
  const payload = Uint8Array.from({ length: length - 42 - 4 * vlans.length }, (_, n) => (n * 7 + length) & 0xff);
  const ip = { src: `10.1.0.${from}`, dst: `10.1.0.${3 - from}` };
  return buildFrame({ ethSrc: mac(from), ethDst: mac(3 - from), vlans, ip, udp: { src: length, dst: 9 }, payload });
}

/** A switch with access port a and trunk b in VLAN 100, and a collector on a wire of its own that tcpdump listens on. */
async function bench(t: TestContext, mirrors: readonly object[]): Promise<Bench> {
  const wires = wireEnds(2);
  t.after(() => wires.close());
  const [collector] = guests(t, 1, { net: NET, mtu: MTU }) as [Guest];
  sh("ip", "addr", "add", `${HOST}/24`, "dev", collector.device);
  sh("ip", "addr", "add", `${HOST_V6}/64`, "dev", collector.device, "nodad");
  inside(collector, "ip", "addr", "add", `${COLLECTOR_V6}/64`, "dev", "eth0", "nodad");
  const [a, b] = wires.ends as readonly [VethEnd, VethEnd];
  const home: WeirHome = weirHome(t);
  const netdev = (name: string, end: WireEnd, vlan: object): object => ({
    name,
    type: "netdev",
    device: end.device,
    vlan,
  });
  home.write({
    bridges: [
      {
        name: "weir0",
        datapath: process.env.WEIR_TEST_DATAPATH ?? "userspace",
        ports: [
          { ...netdev("a", a, { mode: "access", tag: 100 }), ifIndex: 30001 },
          { ...netdev("b", b, { mode: "trunk", trunks: [100] }), ifIndex: 30002 },
        ],
        mirrors,
      },
    ],
  });
  const path = join(home.folder, "gre.pcap");
  const filter = "proto 47 or ip6 proto 47 or ip6[6] = 44";
  const witness = start(t, collector, "tcpdump", "-i", "eth0", "-p", "-U", "-s", "0", "-w", path, filter);
  await until(() => witness.output().includes("listening"), "tcpdump listens");
  return { weir: await startWeir(t, home), a, b, collector, path, witness };
}

const erspan = (erspanType: ErspanType, remote: string, session: number, more: object = {}): object => ({
  type: "erspan",
  erspanType,
  remote,
  session,
  ...more,
});

const FIELDS = [
  "erspan.version",
  "gre.sequence_number",
  "erspan.spanid",
  "erspan.vlan",
  "erspan.cos",
  "erspan.truncated",
  "erspan.encap",
  "erspan.index",
  "erspan.direction",
  "erspan.hw",
  "erspan.gra",
  "erspan.timestamp",
  "erspan.pid5.port_index",
  "erspan.pid5.timestamp",
  "gre.proto",
  "frame.time_epoch",
  "eth.type",
] as const;
type Row = Record<(typeof FIELDS)[number], number> & { readonly isV6: boolean; readonly packet: Uint8Array };

/** Every packet that arrived. Fields that it does not say are NaN. */
function packets(path: string): Row[] {
  const { packets: found } = fileContent(path);
  return tsharkFields(path, FIELDS).map((row, n): Row => {
    const say = (text: string): number =>
      text === "True" ? 1 : text === "False" ? 0 : text === "" ? NaN : Number(text);
    const values = Object.fromEntries(FIELDS.map((field, at) => [field, say(row[at]!)])) as Record<string, number>;
    const packet = Uint8Array.from(Buffer.from(found[n]!.bytes, "hex"));
    return { ...values, isV6: values["eth.type"] === 0x86dd, packet } as Row;
  });
}

function inner({ isV6, packet }: Row, type: ErspanType, platform = 0): Uint8Array {
  return packet.slice(14 + (isV6 ? 40 : 20) + erspanBytes(type) + platform);
}

const hex = (bytes: Uint8Array): string => Buffer.from(bytes).toString("hex");

test("types I, II and III over IPv4 and IPv6: headers say each frame, and the frame is there byte for byte", async (t) => {
  if (!needsRoot(t) || !needs(t, ...TOOLS)) return;
  const remotes = [COLLECTOR, COLLECTOR_V6];
  const { weir, a, b, path, witness } = await bench(t, [
    {
      name: "in",
      select: { ports: ["a", "b"], direction: "ingress" },
      outputs: remotes.flatMap((remote) => [
        erspan("I", remote, 1),
        erspan("II", remote, 7),
        erspan("III", remote, 8, { hardware: 5 }),
      ]),
    },
    {
      name: "out",
      select: { ports: ["a"], direction: "egress" },
      outputs: [erspan("III", COLLECTOR, 9, { granularity: "ieee1588" })],
    },
    {
      name: "cut",
      select: { ports: ["a"], direction: "ingress" },
      snaplen: 64,
      outputs: [erspan("II", COLLECTOR, 10)],
    },
  ]);
  const fromA = [60, 300, 1000].map((length) => frame(1, length));
  const fromB = [64, 500, 1200].map((length) => frame(2, length, { vid: 100, pcp: 5 }));
  for (const one of fromA) a.send(one);
  await until(() => b.received().length > 0, "frames pass");
  for (const one of fromB) b.send(one);
  const count = 6 * 6 + 3 + 3;
  await until(() => fileContent(path).packets.length >= count, "all packets arrive");
  await witness.stop();
  const rows = packets(path);
  assert.equal(rows.length, count);

  for (const isV6 of [false, true]) {
    const of = (version: number, session: number): Row[] =>
      rows.filter((row) => row.isV6 === isV6 && row["erspan.version"] === version && row["erspan.spanid"] === session);
    const sent = [...fromA, ...fromB];
    const isOfB = (n: number): boolean => n >= fromA.length;
    const one = rows.filter(
      (row) => row.isV6 === isV6 && row["gre.proto"] === 0x88be && Number.isNaN(row["gre.sequence_number"]),
    );
    assert.deepEqual(
      one.map((row) => hex(inner(row, "I"))),
      sent.map(hex),
      "type I",
    );
    const two = of(1, 7);
    assert.deepEqual(
      two.map((row) => hex(inner(row, "II"))),
      sent.map(hex),
      "type II",
    );
    for (const [n, row] of two.entries()) {
      assert.equal(row["gre.sequence_number"], n);
      assert.equal(row["erspan.vlan"], 100);
      assert.equal(row["erspan.cos"], isOfB(n) ? 5 : 0);
      assert.equal(row["erspan.encap"], isOfB(n) ? 3 : 0);
      assert.equal(row["erspan.truncated"], 0);
      assert.equal(row["erspan.index"], isOfB(n) ? 30002 : 30001);
    }
    const three = of(2, 8);
    assert.deepEqual(
      three.map((row) => hex(inner(row, "III"))),
      sent.map(hex),
      "type III",
    );
    for (const [n, row] of three.entries()) {
      assert.equal(row["gre.sequence_number"], n);
      assert.deepEqual([row["erspan.vlan"], row["erspan.cos"]], [100, isOfB(n) ? 5 : 0]);
      assert.deepEqual([row["erspan.direction"], row["erspan.hw"], row["erspan.gra"]], [0, 5, 0]);
      const behind = (Math.floor(row["frame.time_epoch"] * 1e4) - row["erspan.timestamp"]) | 0;
      assert.ok(Math.abs(behind) < 20_000, `the time stamp is ${behind} × 100 µs before its arrival`);
    }
  }
  const out = rows.filter((row) => row["erspan.spanid"] === 9);
  const asLeft = fromB
    .map((_, n) => frame(2, fromB[n]!.length, { vid: 100, pcp: 5 }))
    .map((bytes) => {
      const untagged = new Uint8Array(bytes.length - 4);
      untagged.set(bytes.subarray(0, 12));
      untagged.set(bytes.subarray(16), 12);
      return hex(untagged);
    });
  assert.deepEqual(
    out.map((row) => hex(inner(row, "III", ERSPAN_PLATFORM_BYTES))),
    asLeft,
  );
  for (const [n, row] of out.entries()) {
    assert.equal(row["gre.sequence_number"], n);
    assert.deepEqual([row["erspan.direction"], row["erspan.gra"], row["erspan.pid5.port_index"]], [1, 2, 30001]);
    const at = row["erspan.pid5.timestamp"] + row["erspan.timestamp"] / 1e9;
    assert.ok(Math.abs(row["frame.time_epoch"] - at) < 2, `stamped ${at}, arrived ${row["frame.time_epoch"]}`);
  }
  const cut = rows.filter((row) => row["erspan.spanid"] === 10);
  assert.deepEqual(
    cut.map((row) => hex(inner(row, "II"))),
    fromA.map((bytes) => hex(bytes.slice(0, 64))),
  );
  assert.deepEqual(
    cut.map((row) => row["erspan.truncated"]),
    [0, 1, 1],
  );

  const { items } = weir.json("show", "mirrors");
  for (const mirror of items)
    for (const output of mirror.outputs) {
      assert.deepEqual([output.state, output.failed, output.queueDropped], ["running", 0, 0], output.target);
      assert.equal(output.sent, mirror.name === "in" ? 6 : 3, output.target);
    }
});

test("what the path does not take in one piece is cut, sent in fragments or left out", async (t) => {
  if (!needsRoot(t) || !needs(t, ...TOOLS)) return;
  const select = { ports: ["a"], direction: "ingress" };
  const { weir, a, collector, path, witness } = await bench(t, [
    {
      name: "m",
      select,
      outputs: (["cut", "fragment", "drop"] as const).map((oversize, n) =>
        erspan("II", COLLECTOR, 21 + n, { oversize }),
      ),
    },
  ]);
  const outputs = (): any[] => weir.json("show", "mirrors", "m").items[0].outputs;
  const long = frame(1, 1514);
  a.send(long);
  await eventually(outputs, ([cut, fragment, drop]) => cut.sent + fragment.sent + drop.failed === 3, "one frame each");
  // The path gets narrower: what was asked for before is not what fits.
  sh("ip", "link", "set", collector.device, "mtu", "1300");
  inside(collector, "ip", "link", "set", "eth0", "mtu", "1300");
  a.send(long);
  await eventually(outputs, ([cut, fragment, drop]) => cut.sent + fragment.sent + drop.failed === 6, "one frame more");
  await until(() => fileContent(path).packets.length >= 6, "all packets arrive");
  await witness.stop();
  const [cut, fragment, drop] = outputs();
  assert.deepEqual([cut.sent, cut.truncated, fragment.sent, fragment.truncated], [2, 2, 2, 0]);
  assert.deepEqual([drop.sent, drop.failed, drop.state], [0, 2, "running"]);
  assert.match(drop.lastError, /1514 bytes do not fit the path's 1264 \(oversize: drop\)/);
  const found = packets(path);
  const of = (session: number): Row[] => found.filter((row) => row["erspan.spanid"] === session);
  assert.deepEqual(
    of(21).map((row) => [hex(inner(row, "II")), row["erspan.truncated"]]),
    [1464, 1264].map((bytes) => [hex(long.slice(0, bytes)), 1]),
  );
  assert.equal(of(23).length, 0);
  // The first fragment says the header, the second is payload alone.
  const pieces = found.filter((row) => (((row.packet[20]! << 8) | row.packet[21]!) & 0x3fff) !== 0);
  const payloads = pieces.map(({ packet }) => packet.slice(34, 14 + ((packet[16]! << 8) | packet[17]!)));
  assert.equal(pieces.length, 4);
  for (const n of [0, 2]) assert.equal(hex(payloads[n]!.slice(16)) + hex(payloads[n + 1]!), hex(long));
});
