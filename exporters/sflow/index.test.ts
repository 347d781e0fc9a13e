/** The policy: sequences, sources, outputs, limits, polling, flush; and what each profile's collector survives. */
import assert from "node:assert/strict";
import test from "node:test";
import { CONSUMED, DROP_REASONS, DROPPED, dropReason, FORWARDED, OBSERVED } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import type { Sample } from "../../src/shm/samples.ts";
import type { PortInfo } from "../../src/telemetry/exporter.ts";
import { exporterConformance } from "../../test/conformance/exporter.ts";
import { FRAME, moment, PORTS, sampleBench, sampleOf } from "../../test/helpers/samples.ts";
import type { SampleBench } from "../../test/helpers/samples.ts";
import { lintSflow } from "../../test/helpers/sflow-lint.ts";
import { decode } from "../sflow-decoder/decode.ts";
import type { CounterSample, Datagram, DiscardSample, FlowSample } from "../sflow-decoder/decode.ts";
import sflow from "./index.ts";
import { PROFILE_NAMES } from "./profiles.ts";

for (const profile of PROFILE_NAMES) exporterConformance(`sflow ${profile}`, sflow, { profile });

function datagrams({ sender }: SampleBench): Datagram[] {
  return sender.sent.map((bytes) => {
    const { datagram, error } = decode(bytes);
    assert.equal(error, undefined);
    return datagram!;
  });
}

const all = (bench: SampleBench): Datagram["samples"][number][] => datagrams(bench).flatMap(({ samples }) => samples);
const flows = (bench: SampleBench): FlowSample[] => all(bench).filter((sample) => sample.type === "flow");
const discards = (bench: SampleBench): DiscardSample[] => all(bench).filter((sample) => sample.type === "discard");
const counters = (bench: SampleBench): CounterSample[] => all(bench).filter((sample) => sample.type === "counters");

/** Give samples and flush. */
function give(bench: SampleBench, samples: readonly Sample[], at = 1000): void {
  bench.exporter.samples!(samples, "b", moment(at));
  bench.exporter.flush(moment(at));
}

test("a sample says what the datapath said: rate, pool, drops, length with FCS, the first bytes", () => {
  const bench = sampleBench(sflow);
  give(
    bench,
    [sampleOf({ rate: 100, pool: 12345, drops: 7, wireLength: 1514, inTci: 0x7064, outTci: 0xb065 })],
    2500.7,
  );
  const [datagram] = datagrams(bench);
  assert.deepEqual(
    { ...datagram, samples: 1 },
    {
      version: 5,
      agent: "192.0.2.1",
      subAgent: 0,
      sequence: 0,
      uptimeMs: 2500,
      samples: 1,
    },
  );
  const [flow] = flows(bench);
  assert.deepEqual(flow, {
    type: "flow",
    expanded: false,
    sequence: 1,
    source: { class: 0, index: 20001 },
    rate: 100,
    pool: 12345,
    drops: 7,
    input: { kind: "port", ifIndex: 20001 },
    output: { kind: "port", ifIndex: 20002 },
    records: [
      { type: "rawHeader", protocol: 1, frameLength: 1518, stripped: 4, header: FRAME },
      { type: "switch", sourceVlan: 100, sourcePriority: 3, destinationVlan: 101, destinationPriority: 5 },
    ],
  });
});

test("output is what became of the frame", () => {
  const bench = sampleBench(sflow);
  const cases: [Partial<Sample>, FlowSample["output"]][] = [
    [
      { disposition: FORWARDED, outputs: 1, outputPort: 3 },
      { kind: "port", ifIndex: 3 },
    ],
    [{ disposition: FORWARDED, outputs: 1, outputPort: 7 }, { kind: "unknown" }],
    [
      { disposition: FORWARDED, outputs: 5 },
      { kind: "several", count: 5 },
    ],
    [{ disposition: CONSUMED, outputs: 0 }, { kind: "internal" }],
    [{ disposition: OBSERVED, outputs: 0 }, { kind: "unknown" }],
    [
      { disposition: DROPPED, outputs: 0, reason: dropReason("acl") },
      { kind: "discarded", reason: 258 },
    ],
    [
      { disposition: DROPPED, outputs: 0, reason: dropReason("tx_failed") },
      { kind: "discarded", reason: 256 },
    ],
    [
      { disposition: DROPPED, outputs: 0, reason: 9999 },
      { kind: "discarded", reason: 256 },
    ],
    ...DROP_REASONS.slice(1).map(({ sflow: reason }, n): [Partial<Sample>, FlowSample["output"]] => [
      { disposition: DROPPED, outputs: 0, reason: n + 1 },
      { kind: "discarded", reason },
    ]),
  ];
  give(
    bench,
    cases.map(([facts]) => sampleOf(facts)),
  );
  assert.deepEqual(
    flows(bench).map(({ output }) => output),
    cases.map(([, output]) => output),
  );
});

test("expanded where an ifIndex needs it, and nowhere else", () => {
  const port = (no: number, ifIndex: number): PortInfo => ({ ...PORTS[0]!, no, ifIndex });
  const ports = [port(1, 2 ** 24), port(2, 2 ** 24 - 1), port(3, 2 ** 32 - 2)];
  const bench = sampleBench(sflow, { profile: "full" }, { ports: () => ports });
  give(bench, [
    sampleOf({ port: 1, outputPort: 2 }),
    sampleOf({ port: 2, outputPort: 2 }),
    sampleOf({ port: 2, outputPort: 3 }),
    sampleOf({ port: 2, disposition: CONSUMED, outputs: 0 }),
    sampleOf({ port: 2, outputs: 9 }),
  ]);
  assert.deepEqual(
    flows(bench).map(({ expanded, source, output }) => [expanded, source.index, output]),
    [
      [true, 2 ** 24, { kind: "port", ifIndex: 2 ** 24 - 1 }],
      [false, 2 ** 24 - 1, { kind: "port", ifIndex: 2 ** 24 - 1 }],
      [true, 2 ** 24 - 1, { kind: "port", ifIndex: 2 ** 32 - 2 }],
      [false, 2 ** 24 - 1, { kind: "internal" }],
      [false, 2 ** 24 - 1, { kind: "several", count: 9 }],
    ],
  );
});

test("sequence numbers: of each source, of each kind, of the datagrams; they go on after a restart", () => {
  const bench = sampleBench(sflow, { profile: "full" }, { resume: { sequence: 2 ** 32 - 2 } });
  for (let n = 1; n <= 4; n++)
    give(bench, [
      sampleOf({ port: 1, pool: n * 100 }),
      sampleOf({ port: 2, pool: n * 100 }),
      sampleOf({ port: 1, pool: n * 100 + 50 }),
      sampleOf({ port: 1, kind: "drop", reason: 1, disposition: DROPPED }),
    ]);
  const of = (index: number): number[] =>
    flows(bench)
      .filter(({ source }) => source.index === index)
      .map(({ sequence }) => sequence);
  assert.deepEqual(of(20001), [1, 2, 3, 4, 5, 6, 7, 8]);
  assert.deepEqual(of(20002), [1, 2, 3, 4]);
  assert.deepEqual(
    discards(bench).map(({ sequence }) => sequence),
    [1, 2, 3, 4],
  );
  const sent = datagrams(bench).map(({ sequence }) => sequence);
  assert.deepEqual(sent.slice(0, 4), [2 ** 32 - 2, 2 ** 32 - 1, 0, 1]);
  assert.equal(bench.sequences.at(-1), sent.at(-1)! + 1);
});

test("a pool that begins again takes the sequence back with it", () => {
  const bench = sampleBench(sflow);
  give(bench, [sampleOf({ pool: 1000 }), sampleOf({ pool: 1400 }), sampleOf({ pool: 10 })]);
  assert.deepEqual(
    flows(bench).map(({ sequence }) => sequence),
    [1, 2, 1],
  );
});

test("pool and drops wrap at 2^32, header lengths stay below the frame's", () => {
  const bench = sampleBench(sflow);
  give(bench, [sampleOf({ pool: 2 ** 32 + 5, drops: 2 ** 33 + 6, wireLength: 50 })]);
  const [flow] = flows(bench);
  assert.deepEqual([flow!.pool, flow!.drops], [5, 6]);
  assert.ok(flow!.records[0]!.type === "rawHeader" && flow!.records[0]!.header.length === 50);
});

test("samples of a port without an ifIndex are counted, not sent", () => {
  const bench = sampleBench(sflow);
  give(bench, [sampleOf({ port: 77 })]);
  assert.equal(bench.sender.sent.length, 0);
  assert.deepEqual(bench.exporter.status().notExportable, { noIfIndex: 1 });
});

test("a datagram is at most 1400 bytes, and leaves within a second of its first sample", () => {
  const bench = sampleBench(sflow);
  bench.exporter.samples!(
    Array.from({ length: 100 }, (_, n) => sampleOf({ pool: n, data: new Uint8Array(1 + n) })),
    "b",
    moment(0),
  );
  assert.ok(bench.sender.sent.length > 5);
  for (let at = 250; at <= 1000; at += 250) bench.exporter.tick(moment(at));
  assert.equal(flows(bench).length, 100);
  for (const { length } of bench.sender.sent) assert.ok(length <= 1400);
  for (const { length } of bench.sender.sent.slice(0, -1)) assert.ok(length > 1100, `${length}: not filled`);
});

test("status: what collectors will add up", () => {
  const bench = sampleBench(sflow);
  bench.snapshot.values[C.COUNTERS_PER_PORT + C.C_SAMPLE_POOL] = 5000;
  bench.snapshot.values[C.COUNTERS_PER_PORT + C.C_SAMPLE_DROPS] = 3;
  bench.exporter.counters!(bench.snapshot, "b", moment(500));
  give(bench, [sampleOf({ rate: 400, wireLength: 60 }), sampleOf({ port: 2, rate: 100, wireLength: 1514 })]);
  const { records, packets, octets, basis, sampling, detail } = bench.exporter.status();
  assert.deepEqual(
    { records, packets, octets, basis },
    { records: 2, packets: 500, octets: 400 * 64 + 100 * 1518, basis: "l2+fcs" },
  );
  assert.deepEqual(sampling, { samples: 2, pool: 5000, lost: 3 });
  assert.deepEqual(detail.slice(0, 3), ["agent 192.0.2.1/0", "1:100 to 1:400", "profile standard"]);
});

test("discards: the reason's code, and everything held back is in drops", () => {
  const bench = sampleBench(sflow, { profile: "full", discardLimit: 10 });
  const drop = (n: number): Sample =>
    sampleOf({ kind: "drop", disposition: DROPPED, reason: dropReason("acl"), outputs: 0, drops: n >= 20 ? 5 : 0 });
  for (let n = 0; n < 25; n++) bench.exporter.samples!([drop(n)], "b", moment(1000 + n));
  bench.exporter.samples!(
    [sampleOf({ kind: "drop", disposition: DROPPED, reason: dropReason("policer") })],
    "b",
    moment(1030),
  );
  give(bench, [drop(30)], 2000);
  const told = discards(bench);
  assert.equal(told.length, 12, "10 of the first second, another reason, one of the next second");
  assert.deepEqual(
    told.map(({ reason }) => reason),
    [...Array<number>(10).fill(258), 261, 258],
  );
  assert.deepEqual([told[9]!.drops, told.at(-1)!.drops], [0, 15 + 5], "15 held back here, 5 in the datapath");
  assert.deepEqual([told[0]!.source, told[0]!.input, told[0]!.output], [{ class: 0, index: 20001 }, 20001, 0]);
  assert.ok(bench.exporter.status().detail.includes("drops 12 sent, 15 held back"));
});

test("discards are nobody's who does not know them; sampled refusals say so everywhere", () => {
  for (const profile of PROFILE_NAMES) {
    const bench = sampleBench(sflow, { profile });
    give(bench, [
      sampleOf({ kind: "drop", disposition: DROPPED, reason: 1 }),
      sampleOf({ disposition: DROPPED, reason: 1, outputs: 0 }),
    ]);
    assert.equal(discards(bench).length, ["full", "sflow-rt"].includes(profile) ? 1 : 0, profile);
    assert.deepEqual(
      flows(bench).map(({ output }) => output),
      [{ kind: "discarded", reason: 265 }],
    );
  }
  const bench = sampleBench(sflow, { discards: true });
  give(bench, [sampleOf(), sampleOf({ kind: "drop", disposition: DROPPED, reason: 1 }), sampleOf()]);
  assert.deepEqual(
    datagrams(bench).map(({ samples }) => samples.map(({ type }) => type)),
    [["flow"], ["discard"], ["flow"]],
  );
});

/** Ten minutes of counters, once a second. */
function poll(bench: SampleBench, seconds: number): void {
  for (let second = 0; second < seconds; second++) {
    bench.exporter.counters!(bench.snapshot, "b", moment(second * 1000));
    bench.exporter.tick(moment(second * 1000 + 250));
    bench.exporter.tick(moment(second * 1000 + 750));
  }
  bench.exporter.flush(moment(seconds * 1000));
}

test("counters: each source once an interval, spread over it", () => {
  const ports = Array.from({ length: 60 }, (_, n) => ({ ...PORTS[1]!, no: n + 1, ifIndex: 20001 + n }));
  const bench = sampleBench(sflow, { polling: "30s" }, { ports: () => ports });
  const snapshot = new CounterSnapshot(61);
  const perSecond: number[] = [];
  for (let second = 0; second < 300; second++) {
    const before = counters(bench).length;
    bench.exporter.counters!(snapshot, "b", moment(second * 1000));
    bench.exporter.flush(moment(second * 1000));
    perSecond.push(counters(bench).length - before);
  }
  for (const { ifIndex } of ports) {
    const sequences = counters(bench)
      .filter(({ source }) => source.index === ifIndex)
      .map(({ sequence }) => sequence);
    assert.ok(sequences.length === 10 || sequences.length === 9, "an interval may end behind the last look");
    assert.ok(sequences.every((sequence, n) => sequence === n + 1));
  }
  assert.ok(Math.max(...perSecond) <= 4, `${Math.max(...perSecond)} in one second`);
});

test("counters: polling 0 is never; a pause of the clock is made up for once", () => {
  const never = sampleBench(sflow, { polling: "0s" });
  poll(never, 100);
  assert.equal(never.sender.sent.length, 0);
  const bench = sampleBench(sflow, { polling: "10s" });
  bench.exporter.counters!(bench.snapshot, "b", moment(0));
  bench.exporter.counters!(bench.snapshot, "b", moment(1_000_000));
  bench.exporter.counters!(bench.snapshot, "b", moment(1_000_001));
  bench.exporter.counters!(bench.snapshot, "b", moment(5));
  bench.exporter.flush(moment(5));
  assert.equal(counters(bench).filter(({ source }) => source.index === 20001).length, 3);
});

test("counters of a port, of its bridge, its VM and the host, so that a collector joins them", () => {
  const bench = sampleBench(sflow, { profile: "full", polling: "10s" });
  const values: [number, number][] = [
    [C.C_RX_PACKETS, 1000],
    [C.C_RX_BYTES, 100_000],
    [C.C_RX_MULTICAST, 10],
    [C.C_RX_BROADCAST, 5],
    [C.C_TX_PACKETS, 2 ** 32 + 100],
    [C.C_TX_BYTES, 2 ** 40],
    [C.C_TX_MULTICAST, 20],
    [C.C_TX_BROADCAST, 30],
    [C.C_DROPPED, 50],
    [C.C_DROP_REASON + dropReason("pkt_too_small"), 8],
    [C.C_LOST_RING, 3],
    [C.C_LOST_NIC, 4],
    [C.C_TX_FAILED, 1],
    [C.C_LOST_TAP, 2],
    [C.C_MISSES, 40],
    [C.C_FLOWS, 6],
  ];
  for (const [counter, value] of values) bench.snapshot.values[2 * C.COUNTERS_PER_PORT + counter] = value;
  poll(bench, 11);
  const find = (sourceClass: number, index?: number): CounterSample =>
    counters(bench).find(({ source }) => source.class === sourceClass && (index ?? source.index) === source.index)!;
  const port = find(0, 20002);
  assert.deepEqual(port.records, [
    {
      type: "interface",
      ifIndex: 20002,
      ifType: 6,
      ifSpeed: 10_000_000_000n,
      ifDirection: 1,
      ifStatus: 3,
      ifInOctets: 104_000n,
      ifInUcastPkts: 985,
      ifInMulticastPkts: 10,
      ifInBroadcastPkts: 5,
      ifInDiscards: 45,
      ifInErrors: 8,
      ifInUnknownProtos: 0xffffffff,
      ifOutOctets: 2n ** 40n + 4n * (2n ** 32n + 100n),
      ifOutUcastPkts: 50,
      ifOutMulticastPkts: 20,
      ifOutBroadcastPkts: 30,
      ifOutDiscards: 3,
      ifOutErrors: 0xffffffff,
      ifPromiscuousMode: 1,
    },
    {
      type: "ethernet",
      alignmentErrors: 0xffffffff,
      fcsErrors: 0xffffffff,
      singleCollisionFrames: 0xffffffff,
      multipleCollisionFrames: 0xffffffff,
      sqeTestErrors: 0xffffffff,
      deferredTransmissions: 0xffffffff,
      lateCollisions: 0xffffffff,
      excessiveCollisions: 0xffffffff,
      internalMacTransmitErrors: 0xffffffff,
      carrierSenseErrors: 0xffffffff,
      frameTooLongs: 0xffffffff,
      internalMacReceiveErrors: 4,
      symbolErrors: 0xffffffff,
    },
    { type: "portName", name: "web2" },
    { type: "openFlowPort", datapathId: 0x0000525400000001n, port: 2 },
  ]);
  const down = find(0, 3).records[0]!;
  assert.ok(down.type === "interface" && down.ifStatus === 0 && down.ifSpeed === 400_000_000_000n);
  assert.deepEqual(find(3).source, { class: 3, index: 20001 });
  assert.deepEqual(find(3).records, [
    { type: "host", hostname: "web", uuid: "00112233-4455-6677-8899-aabbccddeeff", machine: 0, os: 0, osRelease: "" },
    { type: "parent", containerType: 2, containerIndex: 1 },
    {
      type: "virtualNetwork",
      bytesIn: 2n ** 40n,
      packetsIn: 100,
      errorsIn: 0xffffffff,
      dropsIn: 3,
      bytesOut: 100_000n,
      packetsOut: 1000,
      errorsOut: 0xffffffff,
      dropsOut: 53,
    },
    {
      type: "adapters",
      adapters: [
        { ifIndex: 20001, macs: ["52:54:00:00:00:01"] },
        { ifIndex: 20002, macs: ["52:54:00:00:00:02"] },
      ],
    },
  ]);
  assert.deepEqual(find(2, 1).records, [
    {
      type: "host",
      hostname: "hv1",
      uuid: "01234567-89ab-cdef-0123-456789abcdef",
      machine: 3,
      os: 2,
      osRelease: "6.1.0",
    },
    { type: "virtualNode", mhz: 2400, cpus: 8, memory: 2n ** 36n, memoryFree: 2n ** 35n, domains: 1 },
    { type: "adapters", adapters: [{ ifIndex: 3, macs: ["02:00:00:00:00:03"] }] },
  ]);
  const bridge = counters(bench).find(({ records }) => records[0]?.type === "ovsDatapath")!;
  assert.ok(bridge.source.class === 2 && bridge.source.index >= 1000);
  assert.deepEqual(bridge.records, [
    { type: "ovsDatapath", hits: 960, misses: 40, lost: 0, maskHits: 0xffffffff, flows: 6, masks: 5 },
  ]);
});

test("a VM without a UUID gets one that is its own and stays", () => {
  const ports = ["a", "b"].map((vm, n) => ({ ...PORTS[0]!, no: n + 1, ifIndex: 20001 + n, owner: { vm } }));
  const ids = [1, 2].map(() => {
    const bench = sampleBench(sflow, { profile: "full", polling: "5s" }, { ports: () => ports });
    poll(bench, 6);
    const hosts = counters(bench).filter(({ source }) => source.class === 3);
    return hosts.map(
      ({ source, records }) => [source.index, records[0]!.type === "host" ? records[0]!.uuid : ""] as const,
    );
  });
  const [first, again] = ids.map((each) => new Map(each));
  assert.deepEqual(first, again);
  assert.equal(new Set(first!.values()).size, 2);
  for (const uuid of first!.values())
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});

for (const profile of PROFILE_NAMES)
  test(`profile ${profile}: every datagram keeps the rules of its collector`, () => {
    const names = ["a", "abcd", "äöü", "x".repeat(300), ""];
    const ports = names.map((name, n) => ({
      ...PORTS[0]!,
      name,
      no: n + 1,
      ifIndex: 20001 + n,
      owner: { vm: name, vmId: name, tenant: "t" },
    }));
    const bench = sampleBench(sflow, { profile, polling: "5s" }, { ports: () => ports });
    const samples = Array.from({ length: 400 }, (_, n): Sample => {
      const data = new Uint8Array(n % 140).fill(n);
      return sampleOf({
        data,
        wireLength: Math.max(data.length, n),
        port: 1 + (n % 6),
        kind: n % 5 === 0 ? "drop" : "flow",
        disposition: n % 4,
        reason: n % 40,
        outputs: n % 4,
        outputPort: n % 8,
        inTci: n * 37,
        outTci: n * 91,
      });
    });
    for (let n = 0; n < 8; n++) {
      poll(bench, 20);
      give(bench, samples.slice(n * 50, n * 50 + 50), 20_000);
    }
    const complaints = bench.sender.sent.flatMap((bytes) => lintSflow(bytes, profile));
    assert.deepEqual(complaints, []);
    assert.ok(flows(bench).length > 200);
    if (profile !== "full" && profile !== "sflow-rt") return;
    // The linter finds what it is for: what sFlow-RT takes is too much for others.
    for (const other of ["standard", "telegraf", "akvorado", "fastnetmon"])
      assert.ok(
        bench.sender.sent.some((bytes) => lintSflow(bytes, other).length > 0),
        other,
      );
  });
