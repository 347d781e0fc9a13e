import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { test } from "node:test";
import { FACT_WORDS } from "../../flow/facts.ts";
import { KEY_FAULT_MASK, KEY_WORDS } from "../../flow/key.ts";
import { parseKey } from "../../flow/parse.ts";
import { portConformance, virtualClock } from "../../../test/conformance/port.ts";
import { needs } from "../../../test/helpers/needs.ts";
import { TCP_FIN, TCP_RST, TCP_SYN } from "../../wire/tcp.ts";
import { createBatch, type Port } from "../port.ts";
import traffic from "./index.ts";
import { VMS } from "./profile.ts";

interface Seen {
  readonly port: number;
  readonly timeNs: number;
  readonly bytes: Uint8Array;
}

const OPTIONS = { profile: "tenants", seed: 1, rate: 5000 };

function openAll(options: object, bridge: string): Port[] {
  const plans = traffic.plan!("gen", { ...OPTIONS, ...options });
  return plans.map((one) => traffic.open(one.options, { name: one.name, bridge, baseDir: ".", nowNs: 0 }));
}

/** Poll all ports every `stepNs` until `frames` came; in the order of their arrival. */
function run(options: object, frames: number, stepNs: number): Seen[] {
  const ports = openAll(options, "run");
  const batch = createBatch(64);
  const seen: Seen[] = [];
  for (let timeNs = 0; seen.length < frames; timeNs += stepNs) {
    for (const [port, one] of ports.entries()) {
      const count = one.receive(batch, timeNs);
      for (let n = 0; n < count; n++) {
        const at = batch.offset[n]!;
        seen.push({ port, timeNs, bytes: batch.bytes.slice(at, at + batch.captured[n]!) });
      }
    }
  }
  for (const port of ports) port.close();
  return seen.slice(0, frames);
}

function pcap(frames: readonly Seen[]): Buffer {
  const header = Buffer.alloc(24);
  for (const [at, value] of [0xa1b23c4d, 0x00040002, 0, 0, 65535, 1].entries()) header.writeUInt32LE(value, at * 4);
  const records = frames.flatMap(({ timeNs, bytes }) => {
    const head = Buffer.alloc(16);
    const words = [1_700_000_000 + Math.floor(timeNs / 1e9), timeNs % 1e9, bytes.length, bytes.length];
    for (const [n, value] of words.entries()) head.writeUInt32LE(value, n * 4);
    return [head, bytes];
  });
  return Buffer.concat([header, ...records]);
}

/** Lines that tshark prints for these frames. */
function tshark(frames: readonly Seen[], ...args: string[]): string[] {
  const folder = mkdtempSync(join(tmpdir(), "weir-traffic-"));
  try {
    writeFileSync(join(folder, "t.pcap"), pcap(frames));
    const checks = ["ip.check_checksum", "tcp.check_checksum", "udp.check_checksum"].flatMap((o) => [
      "-o",
      `${o}:TRUE`,
    ]);
    const done = spawnSync("tshark", ["-n", "-r", join(folder, "t.pcap"), ...checks, ...args], {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    });
    assert.equal(done.status, 0, done.stderr);
    return done.stdout.split("\n").filter((line) => line !== "");
  } finally {
    rmSync(folder, { recursive: true });
  }
}

test("one entry makes fourteen ports of five tenants, with names that fit", () => {
  const plans = traffic.plan!("gen", OPTIONS);
  assert.equal(plans.length, 14);
  assert.ok(plans.every((one) => one.name.length <= 15 && one.name.startsWith("gen.")));
  assert.equal(new Set(plans.map((one) => one.owner?.tenant).filter(Boolean)).size, 5);
  assert.deepEqual(plans.find((one) => one.name === "gen.acme-web1")!.vlan, { mode: "access", tag: 100 });
  assert.throws(() => traffic.plan!("tenants", OPTIONS), /at most 3, as "gen"/);
});

test("the schema reads a rate with its unit and refuses one without", () => {
  assert.deepEqual(traffic.schema.parse({ rate: "2.5kpps", seed: 9 }), { profile: "tenants", seed: 9, rate: 2500 });
  assert.deepEqual(traffic.schema.parse({}), OPTIONS);
  assert.equal(traffic.schema.safeParse({ rate: 5000 }).success, false);
  assert.equal(traffic.schema.safeParse({ profile: "nobody" }).success, false);
});

test("equal seeds make equal bytes, however often the ports are polled; another seed other bytes", () => {
  const byPort = (frames: readonly Seen[], port: number): Buffer =>
    Buffer.concat(frames.filter((one) => one.port === port).map((one) => one.bytes));
  const coarse = run({}, 6000, 10e6);
  const fine = run({}, 6000, 0.1e6);
  for (let port = 0; port < VMS.length; port++) {
    const [a, b] = [byPort(coarse, port), byPort(fine, port)];
    const common = Math.min(a.length, b.length);
    assert.ok(common > 500 || port >= 8, `port ${port} said ${common} bytes`);
    assert.ok(a.subarray(0, common).equals(b.subarray(0, common)), `port ${port} differs`);
  }
  assert.ok(!byPort(run({ seed: 2 }, 500, 1e6), 0).equals(byPort(run({}, 500, 1e6), 0)));
});

test("the story begins when all ports are open, or a second after the first", () => {
  const plans = traffic.plan!("gen", OPTIONS);
  const openOne = (n: number, bridge: string): Port =>
    traffic.open(plans[n]!.options, { name: plans[n]!.name, bridge, baseDir: ".", nowNs: 0 });
  const batch = createBatch(64);
  const first = openOne(0, "late");
  assert.equal(first.receive(batch, 0.9e9), 0);
  assert.equal(first.nextReceiveNs!(0.9e9), 1e9);
  assert.ok(first.receive(batch, 1e9) + first.receive(batch, 1.02e9) > 0);
  const all = plans.map((_, n) => openOne(n, "whole"));
  assert.ok(all[0]!.receive(batch, 0) + all[0]!.receive(batch, 0.02e9) > 0);
  for (const port of [first, ...all]) port.close();
});

test("two generators of one name on two bridges do not share a world", () => {
  const [left, right] = [openAll({}, "left"), openAll({}, "right")];
  const batch = createBatch(64);
  const frames = (port: Port): number => port.receive(batch, 0) + port.receive(batch, 20e6);
  const first = frames(left[1]!);
  assert.ok(first > 0);
  assert.equal(frames(right[1]!), first);
  for (const port of [...left, ...right]) port.close();
});

test("the rate is the sum over the ports, and time that nobody asked for is skipped", () => {
  const ports = openAll({ rate: 100_000 }, "rate");
  const batch = createBatch(64);
  let frames = 0;
  const poll = (nowNs: number): void => {
    for (const port of ports) for (let count = 64; count === 64;) frames += count = port.receive(batch, nowNs);
  };
  for (let now = 0; now <= 1e9; now += 0.25e6) poll(now);
  assert.ok(frames > 97_000 && frames < 103_000, `${frames} frames in a second`);
  assert.ok(ports[0]!.nextReceiveNs!(1e9) > 1e9 && ports[0]!.nextReceiveNs!(1e9) < 1.001e9);
  frames = 0;
  poll(60e9);
  for (let n = 0; n < 100; n++) poll(60e9);
  assert.ok(frames < 5200, `${frames} frames after a minute's silence`);
  for (const port of ports) port.close();
});

test("no frame is lost at a million a second while every port is polled", () => {
  const ports = openAll({ rate: 1e6 }, "fast");
  const batch = createBatch(256);
  let frames = 0;
  for (let now = 0; now < 0.5e9; now += 0.1e6) for (const port of ports) frames += port.receive(batch, now);
  assert.ok(frames > 480_000, `${frames} frames in half a second`);
  assert.ok(ports.every((port) => port.status().lost.ring === 0));
  for (const port of ports) port.close();
});

test("frames parse without a fault, but for those cut on purpose", () => {
  const key = new Uint32Array(KEY_WORDS);
  const facts = new Int32Array(FACT_WORDS);
  let cut = 0;
  for (const { bytes } of run({}, 20_000, 1e6)) {
    if (!parseKey(bytes, 0, bytes.length, bytes.length, 1, key, facts)) cut++;
    else assert.equal(key[0]! & KEY_FAULT_MASK, 0);
  }
  assert.ok(cut > 10 && cut < 80, `${cut} cut`);
});

test("tshark finds every checksum right and nothing malformed", (t) => {
  if (!needs(t, "tshark")) return;
  const frames = run({}, 60_000, 1e6);
  const bad = ["ip", "tcp", "udp", "icmp", "icmpv6", "igmp"].map((proto) => `${proto}.checksum.status == "Bad"`);
  assert.deepEqual(tshark(frames, "-Y", bad.join(" or ")), []);
  const whole = frames.filter((one) => one.bytes.length > 14);
  assert.deepEqual(tshark(whole, "-Y", "_ws.malformed or _ws.short"), []);
  assert.ok(tshark(frames, "-Y", 'tcp.checksum.status == "Good" and ipv6').length > 1000, "IPv6 was checked");
});

test("tshark finds no gap, no repeat, no lost segment, and no answer without a question", (t) => {
  if (!needs(t, "tshark")) return;
  // Polled so often that frames arrive in the order in which they were made.
  const frames = run({}, 30_000, 50e3);
  const wrong = ["retransmission", "out_of_order", "lost_segment", "ack_lost_segment", "duplicate_ack"];
  assert.deepEqual(tshark(frames, "-Y", wrong.map((name) => `tcp.analysis.${name}`).join(" or ")), []);
  assert.deepEqual(tshark(frames, "-2", "-Y", "dns.flags.response == 1 and not dns.response_to"), []);
  assert.deepEqual(tshark(frames, "-2", "-Y", "icmp.type == 0 and not icmp.resp_to"), []);
});

const FIELDS = [
  "frame.protocols",
  "eth.src.ig",
  "vlan.id",
  "ip.src",
  "ip.dst",
  "ipv6.src",
  "arp.opcode",
  "tcp.srcport",
  "tcp.dstport",
  "tcp.flags",
  "udp.dstport",
  "icmp.type",
  "icmpv6.type",
  "igmp.type",
  "http.request.method",
  "http.response.code",
  "dns.flags.response",
  "dns.a",
] as const;

test("both directions of a conversation are there, and every kind of traffic of the profile", (t) => {
  if (!needs(t, "tshark")) return;
  const lines = tshark(run({}, 60_000, 0.2e6), "-T", "fields", ...FIELDS.flatMap((field) => ["-e", field]));
  const frames = lines.map((line) => {
    const values = line.split("\t");
    return Object.fromEntries(FIELDS.map((field, n) => [field, values[n]!])) as Record<(typeof FIELDS)[number], string>;
  });
  const kinds: Record<string, (f: (typeof frames)[number]) => boolean> = {
    "web in": (f) => f["tcp.dstport"] === "443" && f["vlan.id"] === "100",
    "web out": (f) => f["tcp.srcport"] === "443" && f["vlan.id"] === "" && f["ip.src"] === "10.1.0.5",
    http: (f) => f["http.request.method"] === "GET",
    "http answer": (f) => f["http.response.code"] === "200",
    "an end of a connection": (f) => (Number(f["tcp.flags"]) & TCP_FIN) !== 0,
    "a reset": (f) => (Number(f["tcp.flags"]) & TCP_RST) !== 0 && f["ip.dst"] !== "10.3.0.66",
    "dns question": (f) => f["dns.flags.response"] === "0" && f["udp.dstport"] === "53",
    "dns answer": (f) => f["dns.a"].startsWith("203.0.113."),
    "ipv6 tcp": (f) => f["ipv6.src"] !== "" && f["tcp.srcport"] !== "",
    ping: (f) => f["icmp.type"] === "8",
    "ping answer": (f) => f["icmp.type"] === "0",
    "arp request": (f) => f["arp.opcode"] === "1",
    "arp reply": (f) => f["arp.opcode"] === "2",
    "neighbour solicitation": (f) => f["icmpv6.type"] === "135",
    "neighbour advertisement": (f) => f["icmpv6.type"] === "136",
    "router advertisement": (f) => f["icmpv6.type"] === "134",
    "multicast video": (f) => f["ip.dst"].startsWith("239.4.0.") && f["udp.dstport"] === "5004",
    igmp: (f) => f["igmp.type"] === "0x16",
    mdns: (f) => f["udp.dstport"] === "5353",
    lldp: (f) => f["frame.protocols"].includes("lldp"),
    "port scan": (f) => Number(f["tcp.flags"]) === TCP_SYN && f["ip.src"] === "10.3.0.66",
    "wrong VLAN": (f) => f["vlan.id"] === "200",
    "multicast source": (f) => f["eth.src.ig"] === "1",
  };
  for (const [name, is] of Object.entries(kinds)) assert.ok(frames.some(is), `no ${name}`);
});

test("the tenants' shares of the frames are those of the profile", () => {
  const tenant = new Map<string, number>();
  // Before the noisy neighbour begins.
  for (const { port, bytes } of run({}, 60_000, 1e6)) {
    const vid = port === 0 ? ((bytes[14]! << 8) | bytes[15]!) & 0xfff : VMS[port]!.vid;
    const name = ["acme", "globex", "initech", "hooli", "wonka"][(vid - 100) / 10]!;
    tenant.set(name, (tenant.get(name) ?? 0) + 1);
  }
  const share = (name: string): number => tenant.get(name)! / 60_000;
  assert.ok(share("acme") > 0.55 && share("acme") < 0.66, `acme ${share("acme")}`);
  assert.ok(share("globex") > 0.24 && share("globex") < 0.34, `globex ${share("globex")}`);
  assert.ok(share("initech") > 0.03 && share("initech") < 0.09, `initech ${share("initech")}`);
});

let bridges = 0;
portConformance("traffic", () => ({
  port: openAll({ rate: 100_000 }, `conformance${++bridges}`)[0]!,
  clock: virtualClock(0),
}));
