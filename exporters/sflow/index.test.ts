/** The policy: sequences, sources, outputs, limits, polling, flush; and what each profile's collector survives. */
import assert from "node:assert/strict";
import test from "node:test";
import { CONSUMED, DROP_REASONS, DROPPED, dropReason, FORWARDED, OBSERVED } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import type { Sample } from "../../src/shm/samples.ts";
import type { PortInfo } from "../../src/telemetry/exporter.ts";
import { exporterConformance } from "../../test/conformance/exporter.ts";
import { FRAME, moment, PORTS, sampleBench, sampleOf } from "../../test/helpers/samples.ts";
import { datagrams, flows, discards, give, poll } from "../../test/helpers/sflow-bench.ts";
import { lintSflow } from "../../test/helpers/sflow-lint.ts";
import type { FlowSample } from "../sflow-decoder/decode.ts";
import sflow from "./index.ts";
import { PROFILE_NAMES } from "./profiles.ts";

for (const profile of PROFILE_NAMES) exporterConformance(`sflow ${profile}`, sflow, { profile });

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
