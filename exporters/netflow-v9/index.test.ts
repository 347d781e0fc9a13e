/** The policy: templates, sequence, dates. What fields say is in test/property/templates.test.ts. */
import assert from "node:assert/strict";
import test from "node:test";
import { RecordBatch, RecordLog } from "../../src/shm/log.ts";
import type { Exporter, ExporterEnv, Moment, PortInfo } from "../../src/telemetry/exporter.ts";
import { exporterConformance } from "../../test/conformance/exporter.ts";
import { FakeSender } from "../../test/helpers/fake-sender.ts";
import { appendRecord, TEST_BOOT_MS } from "../../test/helpers/records.ts";
import type { TestFlow } from "../../test/helpers/records.ts";
import { TemplateDecoder } from "../../test/helpers/template-decoder.ts";
import type { DecodedMessage } from "../../test/helpers/template-decoder.ts";
import netflowV9, { REPEAT_DATAGRAMS } from "./index.ts";

exporterConformance("netflow-v9", netflowV9, {});

const moment = (uptimeMs: number, bootMs = TEST_BOOT_MS): Moment => ({ uptimeMs, unixMs: bootMs + uptimeMs });

interface Bench {
  readonly exporter: Exporter;
  readonly sender: FakeSender;
  readonly ports: PortInfo[];
  give(flows: readonly TestFlow[], now: Moment): void;
  messages(): DecodedMessage[];
}

function open(options: object = {}, sequence = 0): Bench {
  const sender = new FakeSender();
  const ports: PortInfo[] = [];
  const log = RecordLog.create(65536);
  const env: ExporterEnv = {
    name: "nf",
    collectors: [sender],
    port: () => undefined,
    ports: () => ports,
    resume: { sequence },
    sent: () => {},
    agentAddress: "192.0.2.1",
    log: () => {},
  };
  const exporter = netflowV9.open(netflowV9.schema.parse(options), env);
  return {
    exporter,
    sender,
    ports,
    give(flows, now) {
      const from = log.head;
      for (const flow of flows) appendRecord(log, flow);
      exporter.records!(new RecordBatch(log, from, flows.length), "b", now);
    },
    messages() {
      const decoder = new TemplateDecoder();
      return sender.sent.map((bytes) => decoder.decode(bytes));
    },
  };
}

const flows = (count: number): TestFlow[] => Array.from({ length: count }, (_, n) => ({ src: n }));
const flowRecords = (message: DecodedMessage) => message.records.filter(({ template }) => template.scopes === 0);

test("templates and sampling come before the first flow", () => {
  const { exporter, give, messages } = open();
  give(flows(3), moment(2000));
  exporter.flush(moment(2000));
  const [templates, options, data] = messages();
  assert.equal(templates!.templates.length, 7);
  assert.equal(options!.records.length, 3);
  assert.equal(data!.records.length, 3);
});

test("the sequence counts datagrams, of templates too, and goes round at 2^32", () => {
  const { exporter, give, messages } = open({}, 2 ** 32 - 2);
  give(flows(100), moment(2000));
  exporter.flush(moment(2000));
  assert.deepEqual(
    messages().map(({ sequence }) => sequence),
    messages().map((_, n) => (2 ** 32 - 2 + n) % 2 ** 32),
  );
  assert.equal(exporter.nextSequence, (2 ** 32 - 2 + messages().length) % 2 ** 32);
});

test("templates again after 20 datagrams of flows, and after 30 s", () => {
  const { exporter, give, messages, sender } = open();
  give(flows(2000), moment(2000));
  let since = Infinity;
  for (const message of messages()) {
    if (message.templates.length > 0) since = 0;
    else if (flowRecords(message).length > 0) assert.ok(++since <= REPEAT_DATAGRAMS);
  }
  exporter.flush(moment(2000));
  const sent = sender.sent.length;
  exporter.tick(moment(31_999));
  assert.equal(sender.sent.length, sent);
  exporter.tick(moment(32_000));
  assert.equal(messages()[sent]!.templates.length, 7);
});

test("a datagram does not exceed 1400 bytes", () => {
  const { give, sender } = open();
  give([...flows(200), ...flows(200).map((flow) => ({ ...flow, version: 6 as const }))], moment(2000));
  assert.ok(sender.sent.length > 20);
  for (const datagram of sender.sent) assert.ok(datagram.length <= 1400);
});

test("seconds and SysUptime of every header give one boot time, and no Last is in the future", () => {
  const { exporter, give, messages } = open();
  const wrap = 2 ** 32;
  for (let at = wrap - 5000.3; at < wrap + 5000; at += 377.7) {
    give([{ firstMs: at - 1000, lastMs: at - 0.1 }], moment(at));
    exporter.tick(moment(at + 500));
  }
  exporter.flush(moment(wrap + 6000));
  const seen = messages();
  for (const message of seen) {
    const elapsed = (message.uptimeMs - ((1000 + message.unixSeconds * 1000 - TEST_BOOT_MS) % wrap) + wrap) % wrap;
    assert.equal(elapsed, 0);
    for (const { values } of flowRecords(message)) assert.ok((message.uptimeMs - Number(values[21])) >>> 0 < 2000);
  }
  assert.ok(seen.some(({ uptimeMs }) => uptimeMs < 10_000) && seen.some(({ uptimeMs }) => uptimeMs > 2 ** 31));
});

test("records of another boot time go in a datagram of their own", () => {
  const { exporter, give, messages } = open();
  const before = TEST_BOOT_MS - 86_400_000;
  give(
    [
      { bootMs: before, firstMs: 50_000, lastMs: 60_000 },
      { firstMs: 1000, lastMs: 1500 },
    ],
    moment(2000),
  );
  exporter.flush(moment(2000));
  const dates = messages()
    .filter((message) => flowRecords(message).length > 0)
    .map((message) => {
      const boot = message.unixSeconds * 1000 - message.uptimeMs;
      return flowRecords(message).map(({ values }) => boot + Number(values[21]));
    });
  assert.deepEqual(dates, [[before + 60_000], [TEST_BOOT_MS + 1500]]);
});

test("interfaces: said at the start, when one changes, and every 30 s", () => {
  const { exporter, ports, messages, sender } = open();
  const port = { no: 1, name: "web1", bridge: "b", ifIndex: 20001, speed: 0, up: true };
  ports.push({ ...port, owner: { tenant: "acme", vm: "web1", vmId: "4c4c4544" } });
  exporter.tick(moment(1000));
  const names = (message: DecodedMessage): string[] =>
    message.records
      .filter(({ values }) => values[83] !== undefined)
      .map(({ values }) => `${values[10]} ${text(values[82])}: ${text(values[83])}`);
  assert.deepEqual(messages().flatMap(names), ["20001 web1: acme/web1 4c4c4544"]);
  const sent = sender.sent.length;
  exporter.tick(moment(5000));
  assert.equal(sender.sent.length, sent);
  ports.push({ ...port, ifIndex: 20002, name: "web2", device: "vnet7" });
  exporter.tick(moment(6000));
  assert.deepEqual(messages().slice(sent).flatMap(names), ["20001 web1: acme/web1 4c4c4544", "20002 web2: vnet7"]);
  const again = sender.sent.length;
  exporter.tick(moment(36_000));
  assert.equal(messages().slice(again).flatMap(names).length, 2);
});

test("flush at shutdown leaves nothing, and the next run goes on with the sequence", () => {
  const first = open({}, 10);
  first.give(flows(5), moment(2000));
  first.exporter.flush(moment(2001));
  const next = open({}, first.exporter.nextSequence);
  next.give(flows(1), moment(100));
  next.exporter.flush(moment(100));
  const sequences = [...first.messages(), ...next.messages()].map(({ sequence }) => sequence);
  assert.deepEqual(
    sequences,
    sequences.map((_, n) => 10 + n),
  );
});

function text(value: bigint | string | undefined): string {
  const hex = typeof value === "bigint" ? value.toString(16) : value!;
  return Buffer.from(hex, "hex").toString().replace(/\0+$/, "");
}
