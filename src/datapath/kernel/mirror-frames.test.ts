/** Mirrors of the kernel datapath where frames are not finished, sessions are limited, and all else must not notice. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { setImmediate as turn, setTimeout as sleep } from "node:timers/promises";
import test, { after, type TestContext } from "node:test";
import { access, frame, hex, MAC, trunk } from "../../../test/conformance/mirror.ts";
import { flows, samplesOf } from "../../../test/helpers/datapath-tools.ts";
import { gsoFrame } from "../../../test/helpers/gso-frame.ts";
import { KernelBed } from "../../../test/helpers/kernel-bed.ts";
import { kernelAvailable } from "../../../test/helpers/kernel-harness.ts";
import { MirrorBed } from "../../../test/helpers/mirror-bed.ts";
import { needs } from "../../../test/helpers/needs.ts";
import { sh } from "../../../test/helpers/netns.ts";
import { tsharkFrames } from "../../../test/helpers/tshark.ts";
import * as C from "../../shm/counters.ts";
import type { RecordRing } from "../../shm/ring.ts";
import type { Sample } from "../../shm/samples.ts";
import { VNET_GSO_TCPV4, VNET_GSO_TCPV6, VNET_GSO_UDP_L4, VNET_HEADER_BYTES } from "../../wire/vnet.ts";

const WIRES = 5;
/** One switch for all checks: the programs are loaded once. */
let bed: KernelBed | undefined;
after(() => bed?.close());

function check(what: string, body: (beds: MirrorBed<KernelBed>, t: TestContext) => Promise<void>): void {
  test(`kernel: ${what}`, async (t) => {
    if (!kernelAvailable(t) || !needs(t, "tshark")) return;
    bed ??= new KernelBed(WIRES, { sampling: { rate: 1, header: 128 } });
    const beds = new MirrorBed(bed);
    try {
      await body(beds, t);
    } finally {
      await beds.keeper.close();
      await bed.clear();
    }
  });
}

const LEFT_OVER = [C.C_FLOWS, C.C_MISSES];

/** What a port has counted since now: its number may have been another's, whose flows end meanwhile and whose rules serve. */
function counting({ bridge }: KernelBed): (port: string) => number[] {
  const read = (name: string): number[] => {
    const { no } = bridge.port(name)!;
    const snapshot = bridge.counters();
    const get = (_: unknown, counter: number): number => (LEFT_OVER.includes(counter) ? 0 : snapshot.get(no, counter));
    return Array.from({ length: C.COUNTERS_PER_PORT }, get);
  };
  const before = new Map(bridge.ports().map(({ name }) => [name, read(name)]));
  return (name) => read(name).map((value, counter) => value - before.get(name)![counter]!);
}

/** So many records: the kernel's ring is looked at many times a second, not at each. */
async function arrived(ring: RecordRing, count: number): Promise<Sample[]> {
  const records = samplesOf(ring);
  for (let looks = 0; records.length < count && looks < 500; looks++) {
    await sleep(10);
    records.push(...samplesOf(ring));
  }
  assert.equal(records.length, count);
  return records;
}

const CHECKED = ["ip", "tcp", "udp"].map((name) => `${name}.check_checksum:TRUE`);

/** tshark finds every checksum right. */
function soundChecksums(frames: readonly Uint8Array[]): void {
  const fields = ["ip.checksum.status", "tcp.checksum.status", "udp.checksum.status"];
  for (const row of tsharkFrames(frames, fields, CHECKED))
    for (const status of row) assert.ok(status === "" || status === "1", row.join());
}

check("super-packets: whole to a SPAN port, in sound segments to a reader, cut to the snap length", async (beds) => {
  const { harness } = beds;
  await harness.configure({ a: trunk(10), b: trunk(10), mon: trunk(10) });
  await harness.send("b", frame(2, MAC(9), [{ vid: 10 }]));
  beds.start("span", { outputs: [{ type: "span", port: "mon" }], select: { ports: ["a"] } });
  const whole = beds.start("whole", { select: { ports: ["a"] } });
  const cut = beds.start("cut", { snaplen: 64, select: { ports: ["a"] } });
  const payload = Uint8Array.from({ length: 20_001 }, (_, n) => n * 7);
  const to = { ethSrc: MAC(1), ethDst: MAC(2), vlans: [{ vid: 10, pcp: 3 }], payload };
  const v4 = { src: "10.1.0.5", dst: "10.1.0.9" };
  const v6 = { src: "2001:db8::5", dst: "2001:db8::9" };
  const tcp = { src: 40000, dst: 443, seq: 1 };
  const cases = [
    [gsoFrame({ ...to, ip: v4, tcp }, VNET_GSO_TCPV4, 1448), 1448, 58],
    [gsoFrame({ ...to, ip: v6, tcp }, VNET_GSO_TCPV6, 1428), 1428, 78],
    [gsoFrame({ ...to, ip: v4, udp: { src: 5, dst: 4433 } }, VNET_GSO_UDP_L4, 1200), 1200, 46],
    // No segments, an open checksum.
    [gsoFrame({ ...to, ip: v4, tcp, payload: payload.slice(0, 1000) }, 0, 0), 1000, 58],
  ] as const;
  for (const [bytes, size, headers] of cases) {
    harness.wire("a").sendOpen(bytes);
    await harness.settle();
    beds.tick();
    const out = harness.taken();
    const sent = bytes.slice(VNET_HEADER_BYTES);
    assert.deepEqual(out.get("b")!.map(hex), [hex(sent)], "the original");
    assert.deepEqual(out.get("mon")!.map(hex), [hex(sent)], "SPAN");
    const frames = whole.take().map(({ data }) => data);
    assert.equal(frames.length, Math.ceil((sent.length - headers) / size));
    soundChecksums(frames);
    const carried = Buffer.concat(frames.map((one) => one.subarray(headers)));
    assert.equal(hex(carried), hex(sent.slice(headers)));
    assert.deepEqual(
      cut.take().map(({ data, length }) => [hex(data), length]),
      frames.map((one) => [hex(one.slice(0, 64)), one.length]),
    );
  }
  const { sent, bytesBefore, bytesAfter } = beds.json("cut");
  assert.deepEqual([sent, bytesBefore > 60_000, bytesAfter], [14 + 15 + 17 + 1, true, 64 * sent]);
  assert.equal(beds.json("span").outputs[0]!.sent, sent);
});

check("packets and 1 in N are exact; a ceiling holds", async (beds) => {
  const { harness } = beds;
  await harness.configure({ a: undefined, b: undefined });
  await harness.send("b", frame(2, MAC(9)));
  await harness.send("a", frame(1, MAC(2)));
  const select = { ports: ["a"] };
  beds.start("tenth", { sample: 10, select });
  beds.start("five", { limit: { pps: 0, bps: 0, durationMs: 0, packets: 5 }, select });
  const beforeNs = harness.nowNs();
  beds.start("slow", { limit: { pps: 1000, bps: 0, durationMs: 0, packets: 0 }, select });
  beds.start("thin", { limit: { pps: 0, bps: 1_000_000, durationMs: 0, packets: 0 }, select });
  const startNs = harness.nowNs();
  const one = frame(1, MAC(2));
  let count = 0;
  // A pause of more than the burst, where this process was not running, is worth the burst.
  let pausedNs = 0;
  for (let before = startNs; before - startNs < 1.5e9;) {
    for (let n = 0; n < 20; n++, count++) harness.wire("a").send(one);
    harness.taken();
    beds.tick();
    await turn();
    const now = harness.nowNs();
    pausedNs += Math.max(0, now - before - 90e6);
    before = now;
  }
  const endNs = harness.nowNs();
  const seconds = (endNs - startNs) / 1e9;
  assert.ok(count > 4000, `${count} frames in ${seconds} s`);
  const holds = (sent: number, rate: number, what: string): void => {
    const least = (rate * (endNs - startNs - pausedNs)) / 1e9;
    const most = (rate * (endNs - beforeNs)) / 1e9;
    assert.ok(sent <= most * 1.05 && sent >= least * 0.95, `${what}: ${sent}, not ${least} to ${most}`);
  };
  const slow = beds.json("slow");
  holds(slow.sent, 1000, "packets");
  assert.deepEqual([slow.matched, slow.sent + slow.rateDropped], [count, count]);
  holds(beds.json("thin").bytesAfter * 8, 1e6, "bits");
  const tenth = beds.json("tenth");
  assert.deepEqual([tenth.matched, tenth.sent], [count, Math.ceil(count / 10)]);
  const five = beds.json("five");
  assert.deepEqual([five.sent, five.state, five.message], [5, "ended", "5 packets were copied"]);
});

check("a storm that nobody reads is bounded and counted, and samples and answers to misses go on", async (beds) => {
  const { harness } = beds;
  await harness.configure({ a: undefined, b: undefined });
  await harness.send("b", frame(2, MAC(9)));
  await harness.send("a", frame(1, MAC(2)));
  const all = beds.start("all", { select: { ports: ["a"] } });
  samplesOf(harness.datapath.samples);
  const since = counting(harness);
  const large = frame(1, MAC(2), [], 1400);
  const most = 6000;
  for (let n = 0; n < most; n++) {
    harness.wire("a").send(large);
    if (n % 256 === 0) harness.taken();
    // The process's heart must beat; its ring is not read.
    if (n % 1024 === 0) await turn();
  }
  // Another station: a rule has to be made.
  const out = await harness.send("b", frame(3, MAC(1)));
  assert.equal(out.get("a")?.length, 1);
  const { sent, queueDropped, matched } = beds.json("all");
  assert.ok(queueDropped > 0);
  assert.deepEqual([matched, sent + queueDropped], [most + 1, most + 1]);
  beds.tick();
  assert.equal(all.frames.length, sent);
  const counter = (which: number): number => since("a")[which]!;
  assert.equal(counter(C.C_SAMPLES) + counter(C.C_SAMPLE_DROPS), counter(C.C_RX_PACKETS));
  assert.ok(counter(C.C_SAMPLES) > 0);
});

check("with every kind of mirror on, counters, flows and samples are what they are without", async (beds) => {
  const { harness } = beds;
  const { bridge, datapath } = harness;
  const run = async (mirrors: boolean): Promise<unknown> => {
    await harness.configure({ a: access(10), b: access(10), t: trunk(10, 500), mon: access(77), far: trunk(500) });
    if (mirrors) {
      beds.start("s", { outputs: [{ type: "span", port: "mon" }], select: { all: true } });
      beds.start("r", { outputs: [{ type: "rspan", vlan: 500, stacked: true }], select: { all: true } });
      beds.start("c", { select: { all: true } });
    }
    samplesOf(datapath.samples);
    samplesOf(datapath.notices);
    const since = counting(harness);
    const first = bridge.ports().map(({ no }) => no);
    for (let n = 0; n < 60; n++) {
      const tags = n % 3 === 2 ? [{ vid: 10, pcp: 3 }] : [];
      await beds.send(["a", "b", "t"][n % 3]!, frame(1 + (n % 3), MAC(1 + ((n >> 2) % 5)), tags));
      await beds.send("a", frame(1, MAC(2), [{ vid: 9 }]));
    }
    const plain = (no: number): number => (no === 0 ? 0 : first.indexOf(no) + 1);
    const strip = (samples: readonly Sample[]): unknown[] =>
      samples.map(({ timeNs: _t, pool: _p, slot: _s, gen: _g, ...rest }) => ({
        ...rest,
        port: plain(rest.port),
        outputPort: plain(rest.outputPort),
        data: hex(rest.data),
      }));
    const counters = bridge.ports().map(({ name }) => since(name));
    const count = (which: number): number => counters.reduce((sum, row) => sum + row[which]!, 0);
    const result = {
      samples: strip(await arrived(datapath.samples, count(C.C_SAMPLES))),
      // So many a second are told: how often each is there depends on how long the frames took.
      notices: [
        ...new Set(strip(await arrived(datapath.notices, count(C.C_NOTICES))).map((notice) => JSON.stringify(notice))),
      ],
      flows: bridge.ports().map(({ no }) => flows(datapath, no)),
      counters,
    };
    if (mirrors) assert.deepEqual([beds.json("s").sent > 100, beds.json("r").sent > 100], [true, true]);
    await beds.keeper.close();
    await harness.clear();
    return result;
  };
  const without = await run(false);
  assert.deepEqual(await run(true), without);
});

test("kernel: observe mode: what came in and what left is captured, and goes on", async (t) => {
  if (!kernelAvailable(t)) return;
  const observing = new KernelBed(2, { mode: "observe", sampling: { rate: 0, header: 128 } }, "both");
  const beds = new MirrorBed(observing);
  try {
    const [one, two] = observing.wires.ends;
    joinDevices(t, one!.device, two!.device);
    await observing.configure({ a: undefined });
    const all = beds.start("all", { select: { all: true } });
    const left = beds.start("left", { select: { all: true, direction: "egress" } });
    const there = frame(1, MAC(2), [{ vid: 5, pcp: 2 }]);
    const back = frame(2, MAC(1));
    one!.send(there);
    two!.send(back);
    await observing.settle();
    beds.tick();
    const got = (kept: typeof all): string[] => kept.take().map(({ data, direction }) => `${direction} ${hex(data)}`);
    assert.deepEqual(got(all), [`in ${hex(there)}`, `out ${hex(back)}`]);
    assert.deepEqual(got(left), [`out ${hex(back)}`]);
    assert.deepEqual(two!.received().map(hex), [hex(there)]);
    assert.deepEqual(one!.received().map(hex), [hex(back)]);
    assert.equal(flows(observing.datapath).length, 2);
    const span = { outputs: [{ type: "span", port: "a" }] as const, select: { all: true } };
    assert.throws(() => beds.start("span", span), /observe mode/);
    assert.throws(() => beds.start("vlan", { select: { all: true, vlans: [5] } }), /write filter: vlan 5/);
  } finally {
    await beds.close();
  }
});

/** A Linux bridge with these two; it goes after the test. */
function joinDevices(t: TestContext, ...devices: readonly string[]): void {
  const name = `wj${process.pid}`;
  t.after(() => spawnSync("ip", ["link", "del", name]));
  sh("ip", "link", "add", name, "type", "bridge", "mcast_snooping", "0");
  sh("sysctl", "-qw", `net.ipv6.conf.${name}.disable_ipv6=1`);
  for (const device of devices) sh("ip", "link", "set", device, "master", name);
  sh("ip", "link", "set", name, "up");
}
