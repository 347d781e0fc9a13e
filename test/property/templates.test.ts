/** Properties of NetFlow v9 and IPFIX: what goes in comes out through a decoder written apart; collectors that restart. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import ipfix from "../../exporters/ipfix/index.ts";
import netflowV9 from "../../exporters/netflow-v9/index.ts";
import { CONSUMED, DROP_REASONS, DROPPED, FORWARDED, OBSERVED } from "../../src/flow/disposition.ts";
import { RecordBatch, RecordLog } from "../../src/shm/log.ts";
import type { Exporter, ExporterEnv, ExporterType, Moment } from "../../src/telemetry/exporter.ts";
import { FakeSender } from "../helpers/fake-sender.ts";
import { appendRecord, TEST_BOOT_MS } from "../helpers/records.ts";
import type { TestFlow } from "../helpers/records.ts";
import { TemplateDecoder } from "../helpers/template-decoder.ts";
import type { DecodedMessage } from "../helpers/template-decoder.ts";

const TYPES: readonly [string, ExporterType][] = [
  ["netflow-v9", netflowV9],
  ["ipfix", ipfix],
];

const moment = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

interface Bench {
  readonly exporter: Exporter;
  readonly sender: FakeSender;
  give(flows: readonly TestFlow[], now: Moment): void;
}

function open(type: ExporterType): Bench {
  const sender = new FakeSender();
  const log = RecordLog.create(4096);
  const env: ExporterEnv = {
    name: "x",
    collectors: [sender],
    port: () => undefined,
    ports: () => [],
    resume: { sequence: 0 },
    sent: () => {},
    agentAddress: "192.0.2.1",
    log: () => {},
  };
  const exporter = type.open(type.schema.parse({}), env);
  return {
    exporter,
    sender,
    give(flows, now) {
      const from = log.head;
      for (const flow of flows) appendRecord(log, flow);
      exporter.records!(new RecordBatch(log, from, flows.length), "b", now);
    },
  };
}

const word = fc.nat(0xffffffff);
const words = fc.tuple(word, word, word, word);
const mac = fc.tuple(fc.nat(0xffff), word);
const count = fc.oneof(fc.nat(1e6), fc.integer({ min: 0, max: Number.MAX_SAFE_INTEGER }));

const flowArbitrary = fc.record({
  version: fc.constantFrom(0 as const, 4 as const, 6 as const),
  ethSrc: mac,
  ethDst: mac,
  vlan: word,
  etherType: fc.nat(0xffff),
  src: word,
  dst: word,
  src6: words,
  dst6: words,
  proto: fc.constantFrom(1, 2, 6, 17, 58, 132, 255),
  tos: fc.nat(255),
  l4: fc.tuple(fc.nat(0xff), fc.nat(0xff)),
  tcpFlags: fc.nat(0x1ff),
  packets: count,
  bytes: count,
  l3Bytes: count,
  firstMs: fc.double({ min: 0, max: 5000, noNaN: true }),
  lastMs: fc.double({ min: 5000, max: 9000, noNaN: true }),
  input: word,
  output: word,
  outputs: fc.nat(3),
  disposition: fc.constantFrom(FORWARDED, DROPPED, CONSUMED, OBSERVED),
  dropReason: fc.nat(DROP_REASONS.length - 1),
  endReason: fc.integer({ min: 1, max: 5 }),
});
type Flow = typeof flowArbitrary extends fc.Arbitrary<infer T> ? T : never;

/** What the README's table says of a flow, written down a second time. Dates are compared apart. */
function expected(flow: Flow, version: number): Record<string, bigint | string> {
  const hex = (values: readonly number[]): string =>
    values.map((value) => value.toString(16).padStart(8, "0")).join("");
  const tag = (tci: number): number => (tci & 0x1000 ? tci & 0xfff : 0);
  const outer = tag(flow.vlan >>> 16);
  const status = [64, DROP_REASONS[flow.dropReason]!.forwardingStatus, 192, 0][flow.disposition]!;
  const none = flow.disposition === DROPPED || flow.disposition === CONSUMED || flow.outputs > 1;
  const etherType = flow.version === 4 ? 0x0800 : flow.version === 6 ? 0x86dd : flow.etherType;
  const typeAndCode = flow.l4[0] * 256 + flow.l4[1];
  const isMessage = [1, 2, 58].includes(flow.proto);
  const numbers: Record<number, number> = {
    2: flow.packets,
    352: flow.bytes,
    133: 0,
    10: flow.input,
    14: none ? 0 : flow.output,
    61: 0,
    56: flow.ethSrc[0] * 2 ** 32 + flow.ethSrc[1],
    80: flow.ethDst[0] * 2 ** 32 + flow.ethDst[1],
    58: outer,
    243: outer,
    244: flow.vlan >>> 29,
    245: tag(flow.vlan & 0xffff),
    256: etherType,
    136: flow.endReason,
    89: flow.disposition === DROPPED && flow.dropReason === 0 ? 128 : status,
    34: 1,
  };
  const strings: Record<number, string> = {};
  if (flow.version !== 0) {
    const tcpFlags = flow.proto === 6 ? flow.tcpFlags : 0;
    Object.assign(numbers, {
      1: flow.l3Bytes,
      132: 0,
      60: flow.version,
      4: flow.proto,
      5: flow.tos,
      7: isMessage ? 0 : flow.l4[0],
      11: isMessage ? typeAndCode : flow.l4[1],
      6: version === 9 ? tcpFlags & 0xff : tcpFlags,
    });
  }
  if (flow.version === 4) Object.assign(numbers, { 8: flow.src, 12: flow.dst, 32: flow.proto === 1 ? typeAndCode : 0 });
  if (flow.version === 6) {
    numbers[139] = flow.proto === 58 ? typeAndCode : 0;
    strings[27] = hex(flow.src6);
    strings[28] = hex(flow.dst6);
  }
  const values = Object.entries(numbers).map(([key, value]) => [key, BigInt(value)] as const);
  return { ...Object.fromEntries(values), ...strings };
}

for (const [name, type] of TYPES)
  test(`${name}: every field comes out as it went in, and dates to the ms`, () => {
    fc.assert(
      fc.property(fc.array(flowArbitrary, { maxLength: 40 }), (given) => {
        const { exporter, sender, give } = open(type);
        const flows = given.map((flow) => (flow.version === 6 ? flow : { ...flow, src6: undefined, dst6: undefined }));
        give(flows as TestFlow[], moment(9000));
        exporter.flush(moment(9000));
        const decoder = new TemplateDecoder();
        const messages: DecodedMessage[] = sender.sent.map((bytes) => decoder.decode(bytes));
        let at = 0;
        for (const message of messages) {
          const boot = message.unixSeconds * 1000 - message.uptimeMs;
          for (const { template, values } of message.records) {
            if (template.scopes > 0) continue;
            const flow = given[at++]!;
            const { 152: first, 153: last, 22: since, 21: until, ...rest } = values;
            assert.deepEqual(rest, expected(flow, message.version));
            const dates =
              message.version === 9 ? [boot + Number(since), boot + Number(until)] : [Number(first), Number(last)];
            assert.deepEqual(
              dates,
              [flow.firstMs, flow.lastMs].map((ms) => TEST_BOOT_MS + Math.floor(ms)),
            );
          }
        }
        assert.equal(at, given.length);
      }),
      { numRuns: 200 },
    );
  });

for (const [name, type] of TYPES)
  test(`${name}: dropped octets: exact where all were dropped, else frame bytes less Ethernet header and tags`, () => {
    const flows: TestFlow[] = [
      { packets: 5, l3Bytes: 500, bytes: 570, droppedPackets: 5, droppedBytes: 570 },
      { packets: 5, l3Bytes: 500, bytes: 570, droppedPackets: 2, droppedBytes: 228 },
      { packets: 5, l3Bytes: 500, bytes: 590, droppedPackets: 2, droppedBytes: 236, vlan: 0x1064_0000 },
      { packets: 5, l3Bytes: 500, bytes: 570 },
    ];
    const { exporter, sender, give } = open(type);
    give(flows, moment(9000));
    exporter.flush(moment(9000));
    const decoder = new TemplateDecoder();
    const records = sender.sent.flatMap((bytes) => decoder.decode(bytes).records);
    const said = records.filter(({ template }) => template.scopes === 0);
    assert.deepEqual(
      said.map(({ values }) => [values[133], values[132]].map(Number)),
      [
        [5, 500],
        [2, 200],
        [2, 200],
        [0, 0],
      ],
    );
  });

for (const [name, type] of TYPES)
  test(`${name}: a collector that restarts at any moment knows every template within 30 s, at any rate of flows`, () => {
    for (const everyMs of [50, 250, 7000, 40_000]) {
      const { exporter, sender, give } = open(type);
      const sentAt: number[] = [];
      for (let at = 1000; at < 150_000; at += 250) {
        for (let n = at - 250; n < at; n += 10) if (n % everyMs === 0) give([{ src: n, firstMs: n }], moment(n));
        exporter.tick(moment(at));
        while (sentAt.length < sender.sent.length) sentAt.push(at);
      }
      for (let restart = 0; restart < sentAt.length; restart += Math.ceil(sentAt.length / 10)) {
        const decoder = new TemplateDecoder();
        for (let n = restart; n < sentAt.length && sentAt[n]! <= sentAt[restart]! + 60_000; n++) {
          try {
            decoder.decode(sender.sent[n]!);
          } catch (error) {
            assert.match((error as Error).message, /unknown template/);
            assert.ok(sentAt[n]! - sentAt[restart]! <= 30_000, `${everyMs}: ${sentAt[n]! - sentAt[restart]!} ms later`);
          }
        }
      }
    }
  });
