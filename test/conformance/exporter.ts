/**
 * What every exporter must hold, whatever protocol it speaks. A type's own tests call `exporterConformance` once:
 *
 * ```ts
 * exporterConformance("netflow-v5", netflowV5, {});
 * ```
 */
import assert from "node:assert/strict";
import test from "node:test";
import { CONSUMED, DROPPED, OBSERVED } from "../../src/flow/disposition.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import { RecordBatch, RecordLog } from "../../src/shm/log.ts";
import type { Sample } from "../../src/shm/samples.ts";
import type { Exporter, ExporterEnv, ExporterType, Moment, PortInfo } from "../../src/telemetry/exporter.ts";
import { MAX_DATAGRAM_BYTES } from "../../src/telemetry/sender.ts";
import { FakeSender } from "../helpers/fake-sender.ts";
import { appendRecord, TEST_BOOT_MS } from "../helpers/records.ts";
import type { TestFlow } from "../helpers/records.ts";

interface Commit {
  readonly bridge: string;
  readonly next: number;
  readonly sequence: number;
}

interface Bench {
  readonly exporter: Exporter;
  readonly sender: FakeSender;
  readonly commits: readonly Commit[];
  readonly log: RecordLog;
  /** Hand over what was appended since the last call. */
  pump(now: Moment, bridge?: string): void;
}

const moment = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

const PORT: PortInfo = { no: 1, name: "p1", bridge: "b", ifIndex: 20001, speed: 1e9, up: true };

const HOSTILE: readonly TestFlow[] = [
  { packets: 0, l3Bytes: 0, bytes: 0 },
  { packets: Number.MAX_SAFE_INTEGER, l3Bytes: Number.MAX_SAFE_INTEGER, bytes: Number.MAX_SAFE_INTEGER },
  { packets: 1, l3Bytes: 2 ** 40, bytes: 2 ** 40 },
  { packets: 2 ** 40, l3Bytes: 1 },
  { firstMs: 5000, lastMs: 4000 },
  { firstMs: 0.25, lastMs: 2 ** 33 + 0.75 },
  { firstMs: -1, lastMs: 0 },
  { input: 0xffffffff, output: 0xffffffff },
  { outputs: 0xffffffff },
  { disposition: DROPPED, dropReason: 0xffff, outputs: 0 },
  { disposition: CONSUMED, outputs: 0 },
  { disposition: OBSERVED, outputs: 0 },
  { disposition: 99, endReason: 99 },
  { version: 6, l4: [0xffff, 0xffff], proto: 255, tos: 255, tcpFlags: 0xffffffff },
  { version: 0 },
  { bootMs: 0, firstMs: 0, lastMs: 0 },
  { bootMs: -5000, firstMs: 0, lastMs: 1 },
  { bootMs: 8e15, firstMs: 1, lastMs: 1 },
];

export function exporterConformance<Options>(name: string, type: ExporterType<Options>, input: unknown): void {
  const bench = (sequence = 0): Bench => {
    const sender = new FakeSender();
    const commits: Commit[] = [];
    const log = RecordLog.create(4096);
    const env: ExporterEnv = {
      name,
      collectors: [sender],
      port: () => PORT,
      ports: () => [PORT],
      resume: { sequence },
      sent: (bridge, next, at) => commits.push({ bridge, next, sequence: at }),
      agentAddress: "192.0.2.1",
      log: () => {},
    };
    const exporter = type.open(type.schema.parse(input), env);
    let next = 0;
    const pump = (now: Moment, bridge = "b"): void => {
      exporter.records?.(new RecordBatch(log, next, log.head - next), bridge, now);
      next = log.head;
    };
    return { exporter, sender, commits, log, pump };
  };

  test(`${name}: refuses an option that it does not know`, () => {
    assert.ok(!type.schema.safeParse({ ...(input as object), noSuchOption: 1 }).success);
  });

  test(`${name}: opening it does nothing`, async () => {
    const { exporter, sender, commits } = bench();
    assert.equal(sender.sent.length, 0);
    assert.equal(commits.length, 0);
    assert.equal(exporter.status().records, 0);
    await exporter.close();
  });

  test(`${name}: without records it commits nothing and counts nothing`, async () => {
    const { exporter, commits, pump } = bench();
    pump(moment(1000));
    exporter.samples?.([], "b", moment(1000));
    exporter.tick(moment(2000));
    exporter.flush(moment(3000));
    assert.deepEqual(commits, []);
    assert.equal(exporter.status().records, 0);
    await exporter.close();
  });

  test(`${name}: status has its shape`, () => {
    const { exporter, log, pump } = bench();
    for (const flow of HOSTILE.slice(3)) appendRecord(log, flow);
    pump(moment(6000));
    exporter.flush(moment(6000));
    const status = exporter.status();
    for (const count of [status.records, status.packets, status.octets])
      assert.ok(Number.isSafeInteger(count) && count >= 0, String(count));
    assert.ok(["l3", "l2", "l2+fcs"].includes(status.basis), status.basis);
    for (const counts of [status.notExportable, status.notExportableRecords])
      for (const [why, count] of Object.entries(counts)) assert.ok(Number.isFinite(count) && count >= 0, why);
    assert.deepEqual(Object.keys(status.notExportable), Object.keys(status.notExportableRecords));
    for (const line of status.detail) assert.ok(line.length > 0 && !line.includes("\n"));
    JSON.stringify(status);
  });

  test(`${name}: hostile records do not throw, and no datagram is too long`, async () => {
    const { exporter, sender, log, pump } = bench();
    for (const now of [0, 10_000, 2 ** 32 + 5, 3]) {
      for (const flow of HOSTILE) appendRecord(log, flow);
      pump(moment(now));
      exporter.tick(moment(now + 1));
    }
    exporter.flush(moment(20_000));
    for (const datagram of sender.sent) assert.ok(datagram.length > 0 && datagram.length <= MAX_DATAGRAM_BYTES);
    await exporter.close();
  });

  test(`${name}: a sender that refuses everything does not stop it`, async () => {
    const { exporter, sender, log, pump } = bench();
    sender.ready = false;
    for (let n = 0; n < 1000; n++) appendRecord(log, { src: n });
    pump(moment(6000));
    exporter.flush(moment(6000));
    assert.equal(sender.sent.length, 0);
    await exporter.close();
  });

  test(`${name}: hostile samples and counters do not throw`, async () => {
    const { exporter, sender } = bench();
    const sample: Sample = {
      kind: "flow",
      timeNs: 0,
      port: 1,
      rate: 0,
      pool: 2 ** 40,
      drops: 2 ** 40,
      segments: 0,
      wireLength: 0,
      disposition: 99,
      reason: 99,
      outputs: 99,
      outputPort: 99,
      inTci: 0xffff,
      outTci: 0xffff,
      slot: 0,
      gen: 0,
      data: new Uint8Array(0),
    };
    exporter.samples?.([sample, { ...sample, kind: "drop", data: new Uint8Array(9000) }], "b", moment(1));
    const counters = new CounterSnapshot(4);
    counters.values.fill(Number.MAX_SAFE_INTEGER);
    exporter.counters?.(counters, "b", moment(100_000));
    exporter.flush(moment(100_000));
    for (const datagram of sender.sent) assert.ok(datagram.length <= MAX_DATAGRAM_BYTES);
    await exporter.close();
  });

  test(`${name}: each record is committed once, in order, and after it was sent`, async () => {
    const { exporter, sender, commits, log, pump } = bench(7);
    if (!exporter.records) return;
    for (let step = 0; step < 40; step++) {
      for (let n = 0; n < (step * 7) % 90; n++) appendRecord(log, { src: n, version: n % 11 === 0 ? 6 : 4 });
      const sentBefore = sender.sent.length;
      const commitsBefore = commits.length;
      pump(moment(6000 + step * 100));
      exporter.tick(moment(6000 + step * 100 + 50));
      assert.ok(commits.length - commitsBefore <= sender.sent.length - sentBefore + 1);
    }
    exporter.flush(moment(20_000));
    assert.equal(commits.at(-1)!.next, log.head, "a flush commits everything");
    for (let n = 1; n < commits.length; n++) {
      assert.ok(commits[n]!.next > commits[n - 1]!.next, "the cursor goes forward");
      assert.ok(commits[n]!.sequence >= commits[n - 1]!.sequence, "the sequence does not go back");
    }
    await exporter.close();
  });

  test(`${name}: records of two bridges are committed each by its own number`, async () => {
    const { exporter, commits, log } = bench();
    if (!exporter.records) return;
    for (let n = 0; n < 100; n++) appendRecord(log, { src: n });
    exporter.records(new RecordBatch(log, 0, 10), "one", moment(6000));
    exporter.records(new RecordBatch(log, 50, 45), "two", moment(6000));
    exporter.records(new RecordBatch(log, 10, 5), "one", moment(6000));
    exporter.flush(moment(6000));
    const last = (bridge: string): number => commits.findLast((commit) => commit.bridge === bridge)!.next;
    assert.deepEqual([last("one"), last("two")], [15, 95]);
    await exporter.close();
  });

  test(`${name}: what is held leaves within a second of ticks`, async () => {
    const { exporter, sender, commits, log, pump } = bench();
    if (!exporter.records) return;
    appendRecord(log, {});
    pump(moment(6000));
    for (let at = 6250; at <= 7000; at += 250) exporter.tick(moment(at));
    // Who has no collectors of datagrams has taken it in.
    if (type.defaultPort > 0) assert.ok(sender.sent.length >= 1);
    assert.equal(commits.at(-1)!.next, 1);
    await exporter.close();
  });

  test(`${name}: flush twice, close twice`, async () => {
    const { exporter, sender, commits, log, pump } = bench();
    appendRecord(log, {});
    pump(moment(6000));
    exporter.flush(moment(6000));
    const sent = sender.sent.length;
    const committed = commits.length;
    exporter.flush(moment(6001));
    assert.equal(sender.sent.length, sent);
    assert.equal(commits.length, committed);
    await exporter.close();
    await exporter.close();
  });

  test(`${name}: two of one identity are told by equal strings`, () => {
    if (!type.identity) return;
    assert.equal(type.identity(type.schema.parse(input)), type.identity(type.schema.parse(input)));
  });
}
