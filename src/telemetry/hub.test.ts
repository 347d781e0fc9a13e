/** The hub with exporters and senders that only remember. */
import assert from "node:assert/strict";
import test from "node:test";
import * as z from "zod";
import { CounterSnapshot } from "../shm/counters.ts";
import { RecordLog } from "../shm/log.ts";
import { RecordRing } from "../shm/ring.ts";
import {
  SAMPLE_CAPTURED_LENGTH,
  SAMPLE_HEAD_BYTES,
  SAMPLE_KIND,
  SAMPLE_KIND_DROP,
  SAMPLE_PORT,
} from "../shm/samples.ts";
import { FakeSender } from "../../test/helpers/fake-sender.ts";
import { appendRecord, TEST_BOOT_MS } from "../../test/helpers/records.ts";
import { EventBus } from "./events.ts";
import type { Exporter, ExporterEnv, ExporterType, Moment } from "./exporter.ts";
import { Hub } from "./hub.ts";
import type { ExporterSpec, HubOptions } from "./hub.ts";

const at = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

/** Sends one datagram a record when told to, and remembers everything. */
class Recorder implements Exporter {
  readonly env: ExporterEnv;
  readonly seen: string[] = [];
  ticks = 0;
  flushes = 0;
  closed = false;
  samplesSeen: string[] = [];
  countersSeen: string[] = [];
  broken = false;
  sequence: number;
  private count = 0;
  private packetsSent = 0;

  constructor(env: ExporterEnv) {
    this.env = env;
    this.sequence = env.resume.sequence;
  }

  records: NonNullable<Exporter["records"]> = (batch, bridge) => {
    if (this.broken) throw new Error("broken");
    for (let n = 0; n < batch.count; n++) {
      const record = batch.at(n);
      this.seen.push(`${bridge}/${record.number}`);
      this.packetsSent += record.packets;
      this.count++;
      this.sequence++;
      for (const collector of this.env.collectors) collector.send(Uint8Array.of(n));
    }
    this.env.sent(bridge, batch.first + batch.count, this.sequence);
  };
  samples: NonNullable<Exporter["samples"]> = (batch, bridge) => {
    for (const sample of batch) this.samplesSeen.push(`${bridge}/${sample.kind}/${sample.port}`);
  };
  counters: NonNullable<Exporter["counters"]> = (snapshot, bridge) => {
    this.countersSeen.push(`${bridge}/${snapshot.get(1, 0)}`);
  };
  tick(): void {
    this.ticks++;
  }
  flush(): void {
    this.flushes++;
  }
  status(): ReturnType<Exporter["status"]> {
    return {
      records: this.count,
      packets: this.packetsSent,
      octets: 0,
      basis: "l3",
      notExportable: { ipv6: 0 },
      notExportableRecords: { ipv6: 0 },
      detail: [`next sequence ${this.sequence}`],
    };
  }
  async close(): Promise<void> {
    this.closed = true;
  }
}

interface Bench {
  readonly hub: Hub;
  readonly made: Recorder[];
  readonly senders: FakeSender[];
  readonly state: Map<string, unknown>;
  readonly type: ExporterType<{ fail?: boolean | undefined }>;
  readonly logged: string[];
}

function bench(options: Partial<HubOptions> = {}): Bench {
  const made: Recorder[] = [];
  const senders: FakeSender[] = [];
  const logged: string[] = [];
  const state = new Map<string, unknown>();
  const type: Bench["type"] = {
    schema: z.strictObject({ fail: z.boolean().optional() }),
    defaultPort: 2055,
    open(given, env) {
      if (given.fail) throw new Error("set x to y");
      const recorder = new Recorder(env);
      made.push(recorder);
      return recorder;
    },
  };
  const hub = new Hub({
    state: { get: (name) => state.get(name), set: (name, value) => void state.set(name, value) },
    port: () => undefined,
    ports: () => [],
    agentAddress: "192.0.2.1",
    log: (_level, message) => logged.push(message),
    now: () => 5000,
    sender: (collector) => {
      const sender = new FakeSender(`${collector.host}:${collector.port}`);
      senders.push(sender);
      return sender;
    },
    ...options,
  });
  return { hub, made, senders, state, type, logged };
}

const spec = (name: string, more: Partial<ExporterSpec> = {}): ExporterSpec => ({
  name,
  type: "recorder",
  collectors: ["192.0.2.9"],
  bridges: [],
  options: {},
  ...more,
});

const fill = (log: RecordLog, count: number, packets = 1): void => {
  for (let n = 0; n < count; n++) appendRecord(log, { packets });
};

test("each exporter gets each record once, at its own pace of coming and going", async () => {
  const { hub, made, type } = bench();
  const log = RecordLog.create(1000);
  hub.addExporter(spec("a"), type);
  hub.addBridge({ name: "b", log });
  fill(log, 600);
  assert.equal(hub.pump(at(1)), 0);
  hub.addExporter(spec("late"), type);
  fill(log, 5);
  hub.pump(at(2));
  hub.pump(at(2));
  const [a, late] = made;
  assert.deepEqual(
    a!.seen,
    Array.from({ length: 605 }, (_, n) => `b/${n}`),
  );
  assert.deepEqual(late!.seen, ["b/600", "b/601", "b/602", "b/603", "b/604"]);
  await hub.removeExporter("a", at(3));
  assert.ok(a!.closed && a!.flushes === 1);
  fill(log, 1);
  hub.pump(at(4));
  assert.equal(a!.seen.length, 605);
  assert.equal(late!.seen.length, 6);
  assert.deepEqual(hub.exporterNames, ["late"]);
});

test("bridges: an exporter serves those it names; one that comes is read from its oldest record", () => {
  const { hub, made, type } = bench();
  const logs = [RecordLog.create(8), RecordLog.create(8)];
  hub.addExporter(spec("all"), type);
  hub.addExporter(spec("some", { bridges: ["two"] }), type);
  for (const log of logs) fill(log, 2);
  hub.addBridge({ name: "one", log: logs[0]! });
  hub.addBridge({ name: "two", log: logs[1]! });
  assert.throws(() => hub.addBridge({ name: "two", log: logs[1]! }), /already/);
  hub.pump(at(1));
  assert.deepEqual(made[0]!.seen, ["one/0", "one/1", "two/0", "two/1"]);
  assert.deepEqual(made[1]!.seen, ["two/0", "two/1"]);
  fill(logs[1]!, 1);
  hub.removeBridge("two", at(2));
  fill(logs[1]!, 1);
  hub.pump(at(3));
  assert.equal(made[1]!.seen.at(-1), "two/2", "its last records are handed out, and no more");
});

test("overrun: counted in records and packets for that exporter, told once, and it goes on", () => {
  const events = new EventBus();
  const { hub, made, type, logged } = bench({ events });
  const log = RecordLog.create(10);
  let recorded = 0;
  hub.addExporter(spec("a"), type);
  hub.addBridge({ name: "b", log, recordedPackets: () => recorded });
  fill(log, 3, 5);
  hub.pump(at(1));
  fill(log, 25, 7);
  recorded = 3 * 5 + 25 * 7;
  hub.pump(at(2));
  assert.equal(made[0]!.seen.at(3), "b/18");
  const [view] = hub.exporters();
  assert.equal(view!.lostRecords, 15);
  assert.equal(view!.lostPackets, 15 * 7);
  assert.ok(view!.detail.includes("log overrun: 15 records lost"));
  assert.deepEqual(logged, ["log overrun: 15 records of b lost for exporter a"]);
  assert.equal(events.recent(["exporter"]).length, 1);
});

test("what finds no room stays in the log until the sender is writable", async () => {
  const { hub, made, senders, type } = bench();
  const log = RecordLog.create(1000);
  hub.addExporter(spec("a"), type);
  hub.addBridge({ name: "b", log });
  senders[0]!.ready = false;
  fill(log, 300);
  assert.equal(hub.pump(at(1)), 300);
  assert.equal(hub.exporters()[0]!.pendingRecords, 300);
  assert.equal(hub.exporters()[0]!.pendingPackets, 300);
  let flushed = false;
  const flush = hub.flush(at(2)).then((drained) => (flushed = drained));
  await Promise.resolve();
  assert.equal(flushed, false);
  senders[0]!.open();
  await flush;
  assert.ok(flushed);
  assert.equal(made[0]!.seen.length, 300);
  assert.equal(hub.exporters()[0]!.pendingRecords, 0);
});

test("flush is bounded: a sender that never has room gets the rest anyway, and refuses it", async () => {
  const { hub, made, senders, type } = bench({ now: Date.now });
  const log = RecordLog.create(1000);
  hub.addExporter(spec("a"), type);
  hub.addBridge({ name: "b", log });
  senders[0]!.ready = false;
  fill(log, 300);
  await hub.flush(at(1), 20);
  assert.equal(made[0]!.seen.length, 300);
  assert.equal(senders[0]!.sent.length, 0);
});

test("sequence: kept by name, across a restart, a replacement and a removal", async () => {
  const { hub, made, type, state } = bench();
  const log = RecordLog.create(100);
  hub.addExporter(spec("a"), type);
  hub.addBridge({ name: "b", log });
  fill(log, 7);
  hub.tick(at(1));
  assert.deepEqual(state.get("exporter/a"), { sequence: 7 });
  fill(log, 2);
  await hub.replaceExporter(spec("a", { collectors: ["192.0.2.10"] }), type, at(2));
  assert.equal(made[0]!.seen.length, 9, "the old one got what was there");
  assert.equal(made[1]!.env.resume.sequence, 9);
  fill(log, 1);
  hub.pump(at(3));
  assert.deepEqual(made[1]!.seen, ["b/9"]);
  await hub.close();
  assert.deepEqual(state.get("exporter/a"), { sequence: 10 });

  const again = bench({ state: { get: (name) => state.get(name), set: () => {} } });
  again.hub.addExporter(spec("a"), again.type);
  again.hub.addExporter(spec("other"), again.type);
  assert.deepEqual(
    again.made.map((recorder) => recorder.env.resume.sequence),
    [10, 0],
  );
  for (const bad of [null, 3, { sequence: -1 }, { sequence: "9" }, { sequence: NaN }]) {
    const damaged = bench({ state: { get: () => bad, set: () => {} } });
    damaged.hub.addExporter(spec("a"), damaged.type);
    assert.equal(damaged.made[0]!.env.resume.sequence, 0);
  }
});

test("a replacement that cannot be opened changes nothing", async () => {
  const { hub, made, senders, type } = bench();
  const log = RecordLog.create(100);
  hub.addExporter(spec("a"), type);
  hub.addBridge({ name: "b", log });
  await assert.rejects(hub.replaceExporter(spec("a", { options: { fail: true } }), type, at(1)), /set x to y/);
  fill(log, 1);
  hub.pump(at(2));
  assert.deepEqual(made[0]!.seen, ["b/0"]);
  assert.deepEqual(
    senders.map((sender) => sender.closed),
    [false, true],
  );
  assert.throws(() => hub.addExporter(spec("a"), type), /already/);
  assert.throws(() => hub.addExporter(spec("c", { collectors: ["::1"] }), type), /brackets/);
});

test("an exporter that throws loses its batch, counted, and hurts nobody else", () => {
  const { hub, made, type, logged } = bench();
  const log = RecordLog.create(100);
  hub.addExporter(spec("bad"), type);
  hub.addExporter(spec("good"), type);
  hub.addBridge({ name: "b", log });
  made[0]!.broken = true;
  fill(log, 4);
  hub.tick(at(1));
  fill(log, 1);
  hub.tick(at(2));
  assert.equal(made[1]!.seen.length, 5);
  const [bad, good] = hub.exporters();
  assert.deepEqual([bad!.state, bad!.lostRecords], ["FAILED", 5]);
  assert.ok(bad!.detail.includes("failed 2 times: broken"));
  assert.notEqual(good!.state, "FAILED");
  assert.equal(logged.length, 1);
});

test("samples, notices and counters reach those who want them; rings are emptied anyway", () => {
  const notices: number[] = [];
  const snapshots: string[] = [];
  const { hub, made, type } = bench({
    onNotice: (notice) => notices.push(notice.port),
    onCounters: (_snapshot, bridge) => snapshots.push(bridge),
  });
  const rings = { samples: RecordRing.create(1024), notices: RecordRing.create(1024) };
  const put = (ring: RecordRing, kind: number, port: number): void => {
    const offset = ring.reserve(SAMPLE_HEAD_BYTES + 4);
    ring.u32.fill(0, offset / 4, offset / 4 + SAMPLE_HEAD_BYTES / 4);
    ring.u32[offset / 4 + SAMPLE_KIND] = kind;
    ring.u32[offset / 4 + SAMPLE_PORT] = port;
    ring.u32[offset / 4 + SAMPLE_CAPTURED_LENGTH] = 4;
    ring.commit();
  };
  const counters = new CounterSnapshot(4);
  hub.addBridge({ name: "b", log: RecordLog.create(8), ...rings, counters: () => counters });
  put(rings.samples, 1, 3);
  put(rings.notices, SAMPLE_KIND_DROP, 5);
  hub.tick(at(1000));
  assert.equal(rings.samples.peek(), -1, "nobody wanted it, and it does not fill the ring");
  assert.deepEqual(notices, [5]);

  hub.addExporter(spec("a"), type);
  put(rings.samples, 1, 3);
  put(rings.notices, SAMPLE_KIND_DROP, 5);
  for (const now of [1250, 1500, 1750, 2000, 2250]) hub.tick(at(now));
  assert.deepEqual(made[0]!.samplesSeen, ["b/flow/3", "b/drop/5"]);
  assert.deepEqual(made[0]!.countersSeen, ["b/0"], "once a second");
  assert.deepEqual(snapshots, ["b", "b"]);
  assert.equal(made[0]!.ticks, 5);
});

test("refresh: every sender resolves its name again", () => {
  const { hub, senders, type } = bench();
  hub.addExporter(spec("a", { collectors: ["one.test", "two.test:9995"] }), type);
  hub.refresh();
  assert.deepEqual(
    senders.map((sender) => [sender.stats.collector, sender.refreshed]),
    [
      ["one.test:2055", 1],
      ["two.test:9995", 1],
    ],
  );
});
