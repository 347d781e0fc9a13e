/** The policy: templates, sequence, streams. What fields say is in test/property/templates.test.ts. */
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
import ipfix, { REPEAT_MESSAGES } from "./index.ts";

exporterConformance("ipfix", ipfix, {});
exporterConformance("ipfix over TCP", ipfix, { transport: "tcp" });

const moment = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

class FakeStream extends FakeSender {
  session = 0;
}

interface Bench {
  readonly exporter: Exporter;
  readonly senders: readonly FakeStream[];
  readonly ports: PortInfo[];
  give(flows: readonly TestFlow[], now: Moment): void;
  messages(collector?: number, from?: number): DecodedMessage[];
}

function open(options: object = {}, sequence = 0, collectors = 1): Bench {
  const senders = Array.from({ length: collectors }, () => new FakeStream());
  const ports: PortInfo[] = [];
  const log = RecordLog.create(65536);
  const env: ExporterEnv = {
    name: "ipfix",
    collectors: senders,
    port: () => undefined,
    ports: () => ports,
    resume: { sequence },
    sent: () => {},
    agentAddress: "192.0.2.1",
    log: () => {},
  };
  const exporter = ipfix.open(ipfix.schema.parse(options), env);
  return {
    exporter,
    senders,
    ports,
    give(flows, now) {
      const from = log.head;
      for (const flow of flows) appendRecord(log, flow);
      exporter.records!(new RecordBatch(log, from, flows.length), "b", now);
    },
    messages(collector = 0, from = 0) {
      const decoder = new TemplateDecoder();
      return senders[collector]!.sent.slice(from).map((bytes) => decoder.decode(bytes));
    },
  };
}

const flows = (count: number): TestFlow[] => Array.from({ length: count }, (_, n) => ({ src: n }));
const flowRecords = (message: DecodedMessage) => message.records.filter(({ template }) => template.scopes === 0);

/** The sequence of each message is the number of data records before it. */
function checkSequence(messages: readonly DecodedMessage[], first = 0): void {
  let expected = first;
  for (const { sequence, records } of messages) {
    assert.equal(sequence, expected);
    expected = (expected + records.length) % 2 ** 32;
  }
}

test("templates and sampling come before the first flow", () => {
  const { exporter, give, messages } = open();
  give(flows(3), moment(2000));
  exporter.flush(moment(2000));
  const [templates, options, data] = messages();
  assert.equal(templates!.templates.length, 7);
  assert.equal(options!.records.length, 3);
  assert.equal(data!.records.length, 3);
});

test("the sequence counts data records, those of options too, and goes round at 2^32", () => {
  const { exporter, give, messages } = open({}, 2 ** 32 - 7);
  give(flows(300), moment(2000));
  exporter.flush(moment(2000));
  checkSequence(messages(), 2 ** 32 - 7);
  const records = messages().reduce((sum, message) => sum + message.records.length, 0);
  assert.equal(exporter.nextSequence, records - 7);
});

test("profile nfdump: the sequence counts flow records only", () => {
  const { exporter, give, messages } = open({ profile: "nfdump" });
  give(flows(300), moment(2000));
  exporter.flush(moment(2000));
  let expected = 0;
  for (const message of messages()) {
    assert.equal(message.sequence, expected);
    expected += flowRecords(message).length;
  }
});

test("over UDP templates again after 20 messages of flows, and after 30 s", () => {
  const { exporter, give, messages, senders } = open();
  give(flows(2000), moment(2000));
  let since = Infinity;
  for (const message of messages()) {
    if (message.templates.length > 0) since = 0;
    else if (flowRecords(message).length > 0) assert.ok(++since <= REPEAT_MESSAGES);
  }
  exporter.flush(moment(2000));
  const sent = senders[0]!.sent.length;
  exporter.tick(moment(31_999));
  assert.equal(senders[0]!.sent.length, sent);
  exporter.tick(moment(32_000));
  assert.equal(messages()[sent]!.templates.length, 7);
});

test("over TCP templates are said once a connection, and each connection begins at 0", () => {
  const { exporter, give, messages, senders } = open({ transport: "tcp" }, 77, 2);
  give(flows(1000), moment(2000));
  exporter.tick(moment(100_000));
  assert.equal(messages(0).filter(({ templates }) => templates.length > 0).length, 1);
  const before = senders[1]!.sent.length;
  senders[1]!.session++;
  give(flows(10), moment(100_100));
  exporter.flush(moment(100_100));
  checkSequence(messages(0));
  checkSequence(messages(1, before));
  assert.equal(messages(1, before)[0]!.templates.length, 7);
  assert.equal(messages(1, before).flatMap(flowRecords).length, messages(0).slice(before).flatMap(flowRecords).length);
});

test("over TCP templates that were refused are said before anything else is", () => {
  const { exporter, give, messages, senders } = open({ transport: "tcp" });
  senders[0]!.ready = false;
  give(flows(30), moment(2000));
  exporter.flush(moment(2000));
  assert.match(exporter.status().detail.join("; "), /; 30 records not sent: no connection/);
  senders[0]!.ready = true;
  give(flows(3), moment(3000));
  exporter.flush(moment(3000));
  const [first, options] = messages();
  assert.equal(first!.templates.length, 7);
  const statistics = options!.records.find(({ values }) => values[166] !== undefined)!.values;
  assert.deepEqual([statistics[166], statistics[167]], [30n, 30n], "what was not sent is told");
  assert.equal(messages().flatMap(flowRecords).length, 3);
});

test("interfaces with their owner: at the start, on a change, every 30 s over UDP", () => {
  const bench = open({ enterpriseNumber: 32473 });
  const { exporter, ports, messages, senders } = bench;
  const owner = { tenant: "acme", vm: "web1", vmId: "4c4c4544-0042-3510-8035-b4c04f4d3232" };
  ports.push({ no: 1, name: "web1", bridge: "b", ifIndex: 20001, speed: 0, up: true, owner });
  exporter.tick(moment(1000));
  const said = messages().flatMap(({ records }) => records.filter(({ values }) => values[82] !== undefined));
  assert.equal(said.length, 1);
  const { values } = said[0]!;
  assert.equal(values[10], 20001n);
  assert.deepEqual(
    ["82", "83", "350", "349", "32473/1"].map((name) => text(values[name])),
    ["web1", `acme/web1 ${owner.vmId}`, "web1", owner.vmId, "acme"],
  );
  const sent = senders[0]!.sent.length;
  exporter.tick(moment(5000));
  assert.equal(senders[0]!.sent.length, sent);
  ports[0] = { ...ports[0]!, name: "web9" };
  exporter.tick(moment(6000));
  assert.equal(senders[0]!.sent.length, sent + 1);
});

test("300 interfaces with long names: messages stay below 1400 bytes", () => {
  const { exporter, ports, messages, senders } = open({ enterpriseNumber: 32473 });
  const long = "ä".repeat(500);
  for (let n = 0; n < 300; n++) {
    const owner = { tenant: long, vm: long, vmId: long };
    ports.push({ no: n, name: long, bridge: "b", ifIndex: 20001 + n, speed: 0, up: true, owner });
  }
  exporter.tick(moment(1000));
  for (const message of senders[0]!.sent) assert.ok(message.length <= 1400);
  assert.equal(messages().flatMap(({ records }) => records).length, 303);
});

test("other fields, other template ids", () => {
  const ids = (options: object): number[] => {
    const { exporter, messages } = open(options);
    exporter.tick(moment(0));
    return messages()[0]!.templates.map(({ id }) => id);
  };
  assert.deepEqual(ids({}), ids({ observationDomainId: 9 }));
  const interfaces = (options: object): number => ids(options)[6]!;
  assert.notEqual(interfaces({}), interfaces({ enterpriseNumber: 1 }));
  assert.notEqual(ids({})[0], ids({ sampling: { rate: 100 } })[0]);
});

test("options: bounds and unknown words are refused", () => {
  for (const wrong of [
    { observationDomainId: -1 },
    { transport: "sctp" },
    { tls: {} },
    { transport: "tls", tls: { cert: "a.pem" } },
    { profile: "cisco" },
    { enterpriseNumber: 29305 },
    { source: "hv1" },
  ])
    assert.ok(!ipfix.schema.safeParse(wrong).success, JSON.stringify(wrong));
  const tls = { ca: "ca.pem", serverName: "collector" };
  assert.deepEqual(ipfix.transport!(ipfix.schema.parse({ transport: "tls", tls })), { kind: "tls", ...tls });
});

function text(value: bigint | string | undefined): string {
  const hex = typeof value === "bigint" ? value.toString(16) : value!;
  return Buffer.from(hex, "hex").toString().replace(/\0+$/, "");
}
