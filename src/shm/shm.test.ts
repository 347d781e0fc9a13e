import assert from "node:assert/strict";
import { test } from "node:test";
import { Worker } from "node:worker_threads";
import fc from "fast-check";
import { C_RX_PACKETS, C_TX_BYTES, COUNTERS_PER_PORT, CounterSnapshot, PortCounters } from "./counters.ts";
import { ExporterCursors } from "./cursors.ts";
import { RecordBatch, RecordCursor, RecordLog, REC_PACKETS } from "./log.ts";
import { attach, createFlowMemory, releaseSlot } from "./memory.ts";
import { RecordRing, WordRing } from "./ring.ts";
import { readSample, SAMPLE_CAPTURED_LENGTH, SAMPLE_HEAD_BYTES, SAMPLE_KIND, SAMPLE_TIME_NS } from "./samples.ts";
import { addCounter, FlowSlots, plainCounter, readCounter, storeTime, writeCounter } from "./slots.ts";
import { OTHER_VLAN, UnattributedTable } from "./unattributed.ts";

test("word ring: first in, first out, refuses when full, for ever", () => {
  const command = fc.oneof(fc.record({ push: fc.nat(2 ** 31 - 1) }), fc.constant("pop" as const));
  fc.assert(
    fc.property(fc.array(command, { maxLength: 100 }), fc.constantFrom(0, 0x7ffffff0, -8), (commands, start) => {
      const ring = WordRing.create(16);
      new Int32Array(ring.buffer).fill(start, 0, 1).fill(start, 16, 17);
      const model: number[] = [];
      for (const one of commands) {
        if (one === "pop") assert.equal(ring.pop(), model.shift() ?? -1);
        else if (ring.push(one.push)) model.push(one.push);
        else assert.equal(model.length, 16);
        assert.equal(ring.size, model.length);
      }
    }),
  );
});

test("record ring: records come out whole and in order; a full ring refuses and nothing is damaged", () => {
  const command = fc.oneof(fc.record({ bytes: fc.integer({ min: 0, max: 500 }) }), fc.constant("take" as const));
  fc.assert(
    fc.property(fc.array(command, { maxLength: 120 }), (commands) => {
      const ring = RecordRing.create(256);
      const model: number[] = [];
      let refused = 0;
      for (const one of commands) {
        if (one !== "take") {
          const at = ring.reserve(one.bytes);
          if (at < 0) {
            refused++;
            continue;
          }
          assert.equal(at % 8, 0);
          ring.u8.fill(one.bytes & 0xff, at, at + one.bytes);
          ring.commit();
          model.push(one.bytes);
          continue;
        }
        const at = ring.peek();
        const expected = model.shift();
        if (expected === undefined) assert.equal(at, -1);
        else {
          assert.equal(ring.peekLength, expected);
          assert.ok(ring.u8.subarray(at, at + expected).every((byte) => byte === (expected & 0xff)));
          ring.release();
        }
      }
      if (model.length === 0 && refused === 0) assert.equal(ring.peek(), -1);
    }),
  );
});

test("record ring: the largest record is half the ring, wherever its tail stands", () => {
  const ring = RecordRing.create(256);
  for (let n = 0; n < 50; n++) {
    assert.ok(ring.reserve(128 * 4 - 8) >= 0);
    ring.commit();
    assert.ok(ring.peek() >= 0);
    ring.release();
    assert.ok(ring.reserve(n * 4) >= 0);
    ring.commit();
    assert.ok(ring.peek() >= 0);
    ring.release();
  }
  assert.equal(ring.reserve(128 * 4 - 7), -1);
});

test("counters of 64 bits: sums carry, times change their high word", () => {
  const { u32, i32 } = FlowSlots.create(1);
  let sum = 0;
  for (const amount of [1, 4294967295, 4294967295, 0, 77]) {
    addCounter(u32, i32, 2, amount);
    sum += amount;
    assert.equal(readCounter(i32, 2), sum);
    assert.equal(plainCounter(u32, 2), sum);
  }
  for (const ns of [5, 4294967301, 2 ** 52 + 3, 7]) {
    storeTime(i32, 8, ns | 0, Math.floor(ns / 2 ** 32));
    assert.equal(readCounter(i32, 8), ns);
    writeCounter(u32, 8, ns);
    assert.equal(plainCounter(u32, 8), ns);
  }
});

test("a counter that carries all the time never runs back before its reader's eyes", async () => {
  const { buffer, i32 } = FlowSlots.create(1);
  const adds = 2_000_000;
  const amount = 2_200_000_001;
  const code = `import { workerData } from "node:worker_threads";
    const { FlowSlots, addCounter } = await import(workerData.module);
    const { u32, i32 } = new FlowSlots(workerData.buffer, 1);
    for (let n = 0; n < ${adds}; n++) addCounter(u32, i32, 2, ${amount});`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
    workerData: { buffer, module: new URL("./slots.js", import.meta.url).href },
  });
  try {
    let before = 0;
    for (const end = Date.now() + 20_000; before < adds * amount;) {
      assert.ok(Date.now() < end);
      for (let n = 0; n < 1000; n++) {
        const now = readCounter(i32, 2);
        assert.ok(now >= before, `${now} after ${before}`);
        assert.equal(now % amount, 0);
        before = now;
      }
    }
    assert.equal(before, adds * amount);
  } finally {
    await worker.terminate();
  }
});

test("port counters: a snapshot is one commit, whole", async () => {
  const counters = PortCounters.create(4);
  const own = new Float64Array(4 * COUNTERS_PER_PORT);
  const code = `import { workerData } from "node:worker_threads";
    const { PortCounters } = await import(workerData.module);
    const counters = new PortCounters(workerData.buffer);
    const own = new Float64Array(workerData.length);
    for (let n = 1; ; n++) { own.fill(n); counters.commit(own, 4); }`;
  const worker = new Worker(new URL(`data:text/javascript,${encodeURIComponent(code)}`), {
    workerData: { buffer: counters.buffer, length: own.length, module: new URL("./counters.js", import.meta.url).href },
  });
  try {
    const snapshot = new CounterSnapshot(4);
    // The thread starts when the machine has time for it.
    while (counters.snapshot(snapshot).get(0, 0) === 0) await new Promise((resolve) => setTimeout(resolve, 1));
    for (let looks = 0; looks < 20_000; looks++) {
      counters.snapshot(snapshot);
      const first = snapshot.get(0, C_RX_PACKETS);
      assert.equal(snapshot.get(3, C_TX_BYTES), first);
      assert.equal(snapshot.sum(1, 0, COUNTERS_PER_PORT), first * COUNTERS_PER_PORT);
    }
  } finally {
    await worker.terminate();
  }
});

test("unattributed frames: a row a port and VLAN, then one a port; nothing is lost", () => {
  const table = UnattributedTable.create(8, 16);
  let packets = 0;
  for (let vlan = 0; vlan < 100; vlan++)
    for (let port = 1; port < 8; port++) {
      table.add(port, vlan, 1, 60 + vlan, 46);
      packets++;
    }
  table.add(1, 0, 5, 10, 10);
  const rows = new UnattributedTable(table.buffer).read();
  const sum = (values: number[]): number => values.reduce((a, b) => a + b, 0);
  assert.equal(sum(rows.map((row) => row.packets)), packets + 5);
  assert.equal(sum(rows.map((row) => row.l3Bytes)), packets * 46 + 10);
  assert.equal(rows.filter((row) => row.vlan === OTHER_VLAN).length, 7);
  assert.deepEqual(
    rows.find((row) => row.port === 1 && row.vlan === 0),
    { port: 1, vlan: 0, packets: 6, bytes: 70, l3Bytes: 56 },
  );
  const before = rows.find((row) => row.port === 2 && row.vlan === OTHER_VLAN)!.packets;
  table.add(2, OTHER_VLAN, 3, 3, 3);
  assert.equal(table.read().find((row) => row.port === 2 && row.vlan === OTHER_VLAN)?.packets, before + 3);
});

test("cursors: a write that stops anywhere leaves the one before it", () => {
  const cursors = ExporterCursors.create(2);
  assert.equal(cursors.read(1), undefined);
  for (let n = 1; n <= 5; n++) cursors.write(1, n, n * 30);
  assert.deepEqual(cursors.read(1), { cursor: 5, sequence: 150, until: 0 });
  assert.equal(cursors.read(0), undefined);
  // Write 6 goes over the older copy; here it ends after its first word, or after its values.
  const torn = new ExporterCursors(cursors.buffer.slice(0));
  const words = new Int32Array(torn.buffer);
  const older = words[16]! < words[24]! ? 16 : 24;
  words[older] = 6;
  assert.deepEqual(torn.read(1), { cursor: 5, sequence: 150, until: 0 });
  torn.write(1, 6, 180);
  assert.deepEqual(torn.read(1), { cursor: 6, sequence: 180, until: 0 });
});

test("cursors: generations wrap", () => {
  const cursors = ExporterCursors.create(1);
  const words = new Int32Array(cursors.buffer);
  for (const start of [0x7ffffffe, -3]) {
    words.fill(start, 0, 2).fill(start - 1, 8, 10);
    for (let n = 1; n <= 6; n++) {
      cursors.write(0, n, n);
      assert.deepEqual(cursors.read(0), { cursor: n, sequence: n, until: 0 });
    }
  }
});

test("record log: numbers go on, the oldest are overwritten", () => {
  const log = RecordLog.create(4);
  const cursor = new RecordCursor();
  for (let n = 0; n < 10; n++) {
    log.next(cursor).f64[cursor.f + REC_PACKETS] = n * 10;
    log.publish();
  }
  assert.deepEqual([log.head, log.oldest], [10, 6]);
  const batch = new RecordBatch(log, 6, 4);
  assert.deepEqual(
    Array.from({ length: 4 }, (_, n) => [batch.at(n).number, batch.at(n).packets]),
    [
      [6, 60],
      [7, 70],
      [8, 80],
      [9, 90],
    ],
  );
  assert.throws(() => new RecordLog(new SharedArrayBuffer(100)), RangeError);
});

test("a sample is copied out of its ring", () => {
  const ring = RecordRing.create(256);
  const at = ring.reserve(SAMPLE_HEAD_BYTES + 5);
  ring.f64[at / 8 + SAMPLE_TIME_NS] = 17;
  ring.u32[at / 4 + SAMPLE_KIND] = 2;
  ring.u32[at / 4 + SAMPLE_CAPTURED_LENGTH] = 5;
  ring.u8.set([1, 2, 3, 4, 5], at + SAMPLE_HEAD_BYTES);
  ring.commit();
  const sample = readSample(ring, ring.peek());
  ring.release();
  ring.u8.fill(0);
  assert.equal(sample.kind, "drop");
  assert.equal(sample.timeNs, 17);
  assert.deepEqual([...sample.data], [1, 2, 3, 4, 5]);
  assert.ok(!(sample.data.buffer instanceof SharedArrayBuffer));
});

test("flow memory: structured-clonable, attached twice, slots in the ring in order", () => {
  const memory = createFlowMemory({ capacity: 20, ports: 4 });
  const views = attach(structuredClone(memory));
  assert.deepEqual([views.free.pop(), views.free.pop(), attach(memory).free.pop()], [0, 1, 2]);
  assert.equal(views.free.size, 17);
  views.slots.u32.fill(9, 48, 96);
  releaseSlot(views.slots, views.free, 1);
  assert.deepEqual([...views.slots.u32.subarray(48, 52)], [0, 10, 0, 0]);
  assert.equal(views.free.size, 18);
  assert.throws(() => createFlowMemory({ capacity: 0, ports: 4 }), RangeError);
  assert.throws(() => attach({ ...memory, version: 99 }), /layout 99/);
});
