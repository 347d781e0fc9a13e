/** The policy: when a datagram leaves, what its header says, what is counted. The bytes are in golden.test.ts. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { RecordBatch, RecordLog } from "../../src/shm/log.ts";
import type { Exporter, ExporterEnv, Moment } from "../../src/telemetry/exporter.ts";
import { exporterConformance } from "../../test/conformance/exporter.ts";
import { FakeSender } from "../../test/helpers/fake-sender.ts";
import { decodeV5 } from "../../test/helpers/netflow-v5-decoder.ts";
import type { V5Datagram, V5Record } from "../../test/helpers/netflow-v5-decoder.ts";
import { appendRecord, TEST_BOOT_MS } from "../../test/helpers/records.ts";
import type { TestFlow } from "../../test/helpers/records.ts";
import netflowV5 from "./index.ts";

exporterConformance("netflow-v5", netflowV5, {});

const moment = (uptimeMs: number, bootMs = TEST_BOOT_MS): Moment => ({ uptimeMs, unixMs: bootMs + uptimeMs });

interface Bench {
  readonly exporter: Exporter;
  readonly senders: readonly FakeSender[];
  readonly commits: { bridge: string; next: number; sequence: number }[];
  give(flows: readonly TestFlow[], now: Moment): void;
  datagrams(): V5Datagram[];
  records(): V5Record[];
}

function open(options: object = {}, sequence = 0, collectors = 1): Bench {
  const senders = Array.from({ length: collectors }, () => new FakeSender());
  const commits: Bench["commits"] = [];
  const log = RecordLog.create(65536);
  const env: ExporterEnv = {
    name: "nf",
    collectors: senders,
    port: () => undefined,
    ports: () => [],
    resume: { sequence },
    sent: (bridge, next, at) => commits.push({ bridge, next, sequence: at }),
    agentAddress: "192.0.2.1",
    log: () => {},
  };
  const exporter = netflowV5.open(netflowV5.schema.parse(options), env);
  const datagrams = (): V5Datagram[] => senders[0]!.sent.map(decodeV5);
  return {
    exporter,
    senders,
    commits,
    give(flows, now) {
      const from = log.head;
      for (const flow of flows) appendRecord(log, flow);
      exporter.records!(new RecordBatch(log, from, flows.length), "b", now);
    },
    datagrams,
    records: () => datagrams().flatMap((datagram) => datagram.records),
  };
}

const flows = (count: number): TestFlow[] => Array.from({ length: count }, (_, n) => ({ src: n }));

test("flow sequence: flows sent before, whatever the datagrams' sizes", () => {
  const { exporter, give, datagrams } = open({}, 5);
  [1, 30, 64, 3, 0, 29].forEach((count, n) => {
    give(flows(count), moment(2000 + n));
    exporter.flush(moment(2000 + n));
  });
  assert.deepEqual(
    datagrams().map((datagram) => datagram.count),
    [1, 30, 30, 30, 4, 3, 29],
  );
  assert.deepEqual(
    datagrams().map((datagram) => datagram.sequence),
    [5, 6, 36, 66, 96, 100, 103],
  );
});

test("flow sequence goes round at 2^32", () => {
  const { exporter, give, datagrams, commits } = open({}, 2 ** 32 - 10);
  give(flows(31), moment(2000));
  exporter.flush(moment(2000));
  assert.deepEqual(
    datagrams().map((datagram) => datagram.sequence),
    [2 ** 32 - 10, 20],
  );
  assert.equal(commits.at(-1)!.sequence, 21);
});

test("the header is of the moment of sending, and gives one boot time", () => {
  const { exporter, give, datagrams } = open();
  for (let at = 2000.37; at < 9000; at += 333.33) {
    give(flows(1), moment(at));
    exporter.tick(moment(at + 200));
  }
  exporter.flush(moment(9000));
  const boots = datagrams().map((datagram) => datagram.unixMs - datagram.sysUptime);
  assert.deepEqual([...new Set(boots)], [TEST_BOOT_MS]);
  assert.equal(datagrams().at(-1)!.sysUptime, 9000);
});

test("a datagram leaves when it is full, else half a second after its first record", () => {
  const { exporter, give, senders } = open();
  give(flows(29), moment(2000));
  exporter.tick(moment(2499));
  assert.equal(senders[0]!.sent.length, 0);
  exporter.tick(moment(2500));
  assert.equal(senders[0]!.sent.length, 1);
  give(flows(29), moment(3000));
  give(flows(1), moment(3001));
  assert.equal(senders[0]!.sent.length, 2);
  give(flows(1), moment(4000));
  give(flows(1), moment(4600));
  assert.equal(senders[0]!.sent.length, 3, "an old one does not wait for a tick");
  give(flows(1), moment(5000));
  exporter.tick(moment(100));
  assert.equal(senders[0]!.sent.length, 4, "nor for a clock that was set back");
});

test("every collector gets every datagram, the same", () => {
  const { exporter, give, senders } = open({}, 0, 3);
  give(flows(45), moment(2000));
  exporter.flush(moment(2000));
  for (const sender of senders) assert.deepEqual(sender.sent, senders[0]!.sent);
  assert.equal(senders[0]!.sent.length, 2);
});

test("records of another boot time go in a datagram of their own, dated by their own clock", () => {
  const { exporter, give, datagrams } = open();
  const before = TEST_BOOT_MS - 86_400_000;
  give(
    [
      { bootMs: before, firstMs: 50_000, lastMs: 60_000 },
      { firstMs: 1000, lastMs: 1500 },
    ],
    moment(2000),
  );
  exporter.flush(moment(2000));
  const [old, now] = datagrams();
  assert.deepEqual([old!.count, now!.count], [1, 1]);
  assert.equal(old!.records[0]!.lastMs, before + 60_000);
  assert.equal(old!.records[0]!.firstMs, before + 50_000);
  assert.equal(now!.records[0]!.lastMs, TEST_BOOT_MS + 1500);
});

test("across the wrap of SysUptime dates are right and Last is never in the future", () => {
  const { exporter, give, datagrams } = open();
  const wrap = 2 ** 32;
  const truth: number[] = [];
  for (let at = wrap - 5000; at < wrap + 5000; at += 97.3) {
    give([{ firstMs: at - 3000.4, lastMs: at - 0.1 }], moment(at));
    truth.push(at);
    exporter.tick(moment(at));
  }
  exporter.flush(moment(wrap + 5000));
  const seen = datagrams().flatMap((datagram) => datagram.records);
  assert.equal(seen.length, truth.length);
  seen.forEach((record, n) => {
    assert.ok(Math.abs(record.lastMs - (TEST_BOOT_MS + truth[n]!)) < 2, `last of ${n}`);
    assert.ok(Math.abs(record.firstMs - (TEST_BOOT_MS + truth[n]! - 3000)) < 2, `first of ${n}`);
  });
  for (const datagram of datagrams())
    for (const record of datagram.records) assert.ok((datagram.sysUptime - record.last) >>> 0 < 2 ** 31);
});

test("intervals of one flow that adjoin in the log adjoin on the wire", () => {
  const { exporter, give, records } = open();
  const cuts = [1000.2, 4000.7, 7000.1, 10_000.9, 11_111.1];
  give(
    cuts.slice(1).map((end, n) => ({ firstMs: cuts[n]!, lastMs: end - 0.01 })),
    moment(12_000),
  );
  exporter.flush(moment(12_000));
  const seen = records();
  assert.ok(seen.every((record, n) => n === 0 || record.first >= seen[n - 1]!.last));
  assert.equal(seen[0]!.first, 1000);
  assert.equal(seen.at(-1)!.last, 11_111);
});

test("not exportable: counted in records and packets, by why", () => {
  const { exporter, give, commits } = open();
  give(
    [
      { version: 6, packets: 10 },
      { version: 0, packets: 3 },
      { version: 6, packets: 1 },
    ],
    moment(2000),
  );
  const status = exporter.status();
  assert.deepEqual(status.notExportable, { ipv6: 11, nonIp: 3 });
  assert.deepEqual(status.notExportableRecords, { ipv6: 2, nonIp: 1 });
  assert.equal(status.records, 0);
  assert.deepEqual(commits, [{ bridge: "b", next: 3, sequence: 0 }], "there was nothing to send: done with them");
});

test("status: sums of what was sent, the engine, the next sequence", () => {
  const { exporter, give } = open({ engineType: 2, engineId: 9 });
  give(
    Array.from({ length: 31 }, () => ({ packets: 2, l3Bytes: 100 })),
    moment(2000),
  );
  assert.equal(exporter.status().records, 30);
  exporter.flush(moment(2000));
  const { records, packets, octets, basis, detail } = exporter.status();
  assert.deepEqual({ records, packets, octets, basis }, { records: 31, packets: 62, octets: 3100, basis: "l3" });
  assert.deepEqual(detail, ["engine 2/9", "next sequence 31"]);
});

test("an ifIndex that 16 bits cannot say is 0, and told", () => {
  const { exporter, give, records } = open();
  give([{ input: 70_000, output: 65_535 }], moment(2000));
  exporter.flush(moment(2000));
  assert.deepEqual([records()[0]!.input, records()[0]!.output], [0, 0]);
  assert.match(exporter.status().detail.join(), /2 interfaces with an ifIndex above 65534/);
});

test("a flow that is written as several records is committed when the last of them has left", () => {
  const { exporter, give, commits, senders } = open({}, 100);
  give([{ src: 1 }, { packets: 1000, l3Bytes: 40 * 2 ** 32 }], moment(2000));
  assert.equal(senders[0]!.sent.length, 1);
  assert.deepEqual(commits, [], "its first 29 records have left, the others not");
  exporter.flush(moment(2000));
  assert.deepEqual(commits, [{ bridge: "b", next: 2, sequence: 142 }]);
});

test("a count that no interface can have made is not exported, and told", () => {
  const { exporter, give } = open();
  give([{ packets: 7, l3Bytes: 2 ** 50 }], moment(2000));
  assert.deepEqual(exporter.status().notExportable, { ipv6: 0, nonIp: 0, tooBig: 7 });
});

test("identity: two exporters with one engine are told by it", () => {
  const identity = (options: object): string => netflowV5.identity!(netflowV5.schema.parse(options));
  assert.equal(identity({}), identity({ engineId: 0 }));
  assert.notEqual(identity({}), identity({ engineId: 1 }));
});

test("options: bounds and unknown words are refused", () => {
  for (const wrong of [
    { engineId: 256 },
    { engineType: -1 },
    { engineId: 1.5 },
    { profile: "cisco" },
    { source: "hv1" },
    { sampling: { rate: 20_000 } },
    { sampling: { rate: 0 } },
  ])
    assert.ok(!netflowV5.schema.safeParse(wrong).success, JSON.stringify(wrong));
  assert.equal(netflowV5.source!(netflowV5.schema.parse({ source: "2001:db8::1" })), "2001:db8::1");
});

const counter = fc.oneof(
  fc.integer({ min: 0, max: 100_000 }),
  fc.integer({ min: 2 ** 32 - 3, max: 2 ** 32 + 3 }),
  fc.integer({ min: 0, max: 2 ** 37 }),
);

const flowArbitrary = fc.record({
  src: fc.nat(0xffffffff),
  dst: fc.nat(0xffffffff),
  proto: fc.constantFrom(6, 17, 132),
  tos: fc.nat(255),
  tcpFlags: fc.nat(0x1ff),
  l4: fc.tuple(fc.nat(65535), fc.nat(65535)),
  packets: counter,
  l3Bytes: counter,
  firstMs: fc.double({ min: 0, max: 5000, noNaN: true }),
  lastMs: fc.double({ min: 5000, max: 9000, noNaN: true }),
  input: fc.nat(65534),
  output: fc.nat(65534),
});

test("property: what goes in comes out, field by field, and sums are exact", () => {
  const word = (address: string): number => address.split(".").reduce((sum, byte) => sum * 256 + Number(byte), 0);
  fc.assert(
    fc.property(fc.array(flowArbitrary, { maxLength: 70 }), (given) => {
      const { exporter, give, records, datagrams } = open();
      give(given, moment(9000));
      exporter.flush(moment(9000));
      const out = records();
      let at = 0;
      for (const flow of given) {
        let packets = 0;
        let octets = 0;
        const pieces = Math.max(1, Math.ceil(Math.max(flow.packets, flow.l3Bytes) / 0xffffffff));
        for (let n = 0; n < pieces; n++) {
          const record = out[at++]!;
          packets += record.packets;
          octets += record.octets;
          assert.deepEqual(
            [word(record.src), word(record.dst), record.protocol, record.tos, record.srcPort, record.dstPort],
            [flow.src, flow.dst, flow.proto, flow.tos, ...flow.l4],
          );
          assert.equal(record.tcpFlags, flow.proto === 6 ? flow.tcpFlags & 0xff : 0);
          assert.deepEqual([record.input, record.output], [flow.input, flow.output]);
          assert.deepEqual([record.first, record.last], [Math.floor(flow.firstMs), Math.floor(flow.lastMs)]);
          if (flow.packets >= pieces) assert.ok(record.packets >= 1, "each piece has a packet");
        }
        assert.deepEqual([packets, octets], [flow.packets, flow.l3Bytes]);
      }
      assert.equal(at, out.length);
      let sequence = 0;
      for (const datagram of datagrams()) {
        assert.equal(datagram.sequence, sequence);
        sequence += datagram.count;
      }
    }),
    { numRuns: 60 },
  );
});
