import assert from "node:assert/strict";
import { test } from "node:test";
import { RecordCursor } from "../shm/log.ts";
import { END_ACTIVE, END_FORCED, END_IDLE, END_LACK_OF_RESOURCES, END_OF_FLOW } from "./disposition.ts";
import { COUNT_PACKETS, PortTotals } from "./totals.ts";
import { SLICE } from "./sweep.ts";
import { flowBench, keyOf, SECOND } from "../../test/helpers/flowbed.ts";

const MS = 1e6;

test("an idle flow ends after idleTimeout, with its own times and one record", () => {
  const bed = flowBench({ exact: true });
  bed.frame(keyOf(1, 7), 10 * SECOND, { bytes: 100, l3Bytes: 86 });
  bed.frame(keyOf(1, 7), 12 * SECOND, { bytes: 60, l3Bytes: 46 });
  bed.sweeper.sweep(26 * SECOND);
  assert.deepEqual(bed.records(), []);
  assert.ok(bed.sweeper.dueAt(26 * SECOND) <= 27 * SECOND);
  bed.sweeper.sweep(27 * SECOND);
  assert.deepEqual(bed.records(), [
    {
      port: 1,
      flow: 7,
      packets: 2,
      bytes: 160,
      l3Bytes: 132,
      firstMs: 10_000,
      lastMs: 12_000,
      endReason: END_IDLE,
      tcpFlags: 0,
    },
  ]);
  assert.equal(bed.views.free.size, bed.views.slots.capacity);
  assert.equal(bed.sweeper.dueAt(27 * SECOND), Infinity);
});

test("active timeout: adjoining intervals do not overlap, each with its own first, last and flags", () => {
  const bed = flowBench({ exact: true, activeNs: 3 * SECOND });
  bed.frame(keyOf(1, 7), 1 * SECOND, { tcpFlags: 0x02 });
  for (let ms = 1500; ms <= 9000; ms += 500) bed.frame(keyOf(1, 7), ms * MS, { tcpFlags: 0x10 });
  bed.sweeper.endAll(9 * SECOND);
  const records = bed.records();
  assert.deepEqual(
    records.map((record) => [record.firstMs, record.lastMs, record.packets, record.tcpFlags, record.endReason]),
    [
      [1000, 3500, 6, 0x12, END_ACTIVE],
      [4000, 6500, 6, 0x10, END_ACTIVE],
      [7000, 9000, 5, 0x10, END_FORCED],
    ],
  );
});

test("a processor that looked at its clock long before it wrote makes no record overlap the one before", () => {
  const bed = flowBench({});
  const slot = bed.frame(keyOf(1, 7), 1 * SECOND);
  bed.sweepLive(1 * SECOND);
  bed.hitSlot(slot, 4 * SECOND);
  // Every block with flows is looked at now.
  bed.sweeper.setTimeouts({ activeNs: SECOND, idleNs: 15 * SECOND, tcpEndNs: 2 * SECOND });
  bed.sweepLive(4.5 * SECOND);
  bed.hitSlot(slot, 3.5 * SECOND);
  bed.sweeper.endAll(5 * SECOND);
  bed.sweepLive(5 * SECOND);
  const times = bed.records().map(({ firstMs, lastMs, packets }) => [firstMs, lastMs, packets]);
  assert.deepEqual(times, [
    [1000, 4000, 2],
    [4000, 4000, 1],
  ]);
});

test("FIN, then tcpEndTimeout of silence; data behind the FIN of an earlier interval still ends so", () => {
  const bed = flowBench({ exact: true, activeNs: 3 * SECOND });
  bed.frame(keyOf(1, 7), 1 * SECOND, { tcpFlags: 0x11 });
  for (let s = 2; s <= 4; s++) bed.frame(keyOf(1, 7), s * SECOND, { tcpFlags: 0x10 });
  bed.frame(keyOf(1, 7), 7 * SECOND, { tcpFlags: 0x02 });
  bed.sweeper.endAll(7 * SECOND);
  assert.deepEqual(
    bed.records().map((record) => [record.firstMs, record.tcpFlags, record.endReason]),
    [
      [1000, 0x11, END_ACTIVE],
      [4000, 0x10, END_OF_FLOW],
      [7000, 0x02, END_FORCED],
    ],
  );
});

test("live mode: a FIN is noticed without a hit, within the time of a look", () => {
  const bed = flowBench({});
  bed.frame(keyOf(1, 7), 1 * SECOND, { tcpFlags: 0x11 });
  for (let ms = 1000; ms < 3000; ms += 50) bed.sweepLive(ms * MS);
  assert.deepEqual(bed.records(), []);
  for (let ms = 3000; ms <= 3300; ms += 50) bed.sweepLive(ms * MS);
  assert.deepEqual(
    bed.records().map((record) => record.endReason),
    [END_OF_FLOW],
  );
});

test("live mode: the slot is given back only after the datapath's answer, and late frames still count", () => {
  const bed = flowBench({});
  const slot = bed.frame(keyOf(1, 7), 1 * SECOND);
  bed.sweeper.endAll(2 * SECOND);
  assert.equal(bed.sweeper.closing, 1);
  bed.hitSlot(slot, 2 * SECOND, { bytes: 500 });
  bed.answer();
  bed.sweeper.sweep(2 * SECOND);
  assert.equal(bed.sweeper.closing, 0);
  assert.deepEqual(
    bed.records().map((record) => [record.packets, record.bytes]),
    [[2, 564]],
  );
});

test("lack of resources: one-packet flows leave first, with reason 5", () => {
  const bed = flowBench({ exact: true, capacity: 64 });
  for (let n = 0; n < 60; n++) bed.frame(keyOf(1, n), 1 * SECOND);
  for (let n = 0; n < 10; n++) bed.frame(keyOf(1, n), 1 * SECOND);
  bed.sweeper.sweep(6 * SECOND);
  const records = bed.records();
  assert.equal(records.length, 50);
  assert.ok(records.every((record) => record.endReason === END_LACK_OF_RESOURCES && record.packets === 1));
});

test("endPort ends one port's flows and nobody else's", () => {
  const bed = flowBench({ exact: true });
  for (let n = 0; n < 600; n++) bed.frame(keyOf(1 + (n % 2), n), 1 * SECOND);
  bed.sweeper.endPort(2, 2 * SECOND);
  assert.equal(bed.records().length, 300);
  assert.equal(bed.sweeper.ending(2), false);
  assert.equal(bed.sweeper.retired.get(2, 0), 300);
  assert.equal(bed.sweeper.retired.get(1, 0), 0);
});

test("endPort in slices: done when the last record is written", () => {
  const bed = flowBench({});
  for (let n = 0; n < 600; n++) bed.frame(keyOf(1 + (n % 2), n), 1 * SECOND);
  bed.sweeper.endPort(2, 2 * SECOND);
  for (let n = 0; n < 3; n++) bed.sweeper.sweep(2 * SECOND, 256);
  assert.equal(bed.sweeper.ending(2), true);
  for (let n = 0; n < 100 && bed.sweeper.ending(2); n++) bed.sweepLive(2 * SECOND);
  assert.equal(bed.sweeper.ending(2), false);
  assert.equal(bed.records().length, 300);
});

test("an epoch ends every flow at the old time, then counts uptime from the new boot", () => {
  for (const exact of [true, false]) {
    const bed = flowBench({ exact });
    bed.frame(keyOf(1, 7), 5 * SECOND);
    bed.sweeper.newEpoch(5 * SECOND, { unixMs: 1_800_000_000_000, ns: 100 * SECOND });
    bed.sweepLive(5 * SECOND);
    bed.sweepLive(5 * SECOND);
    bed.frame(keyOf(1, 7), 103 * SECOND);
    bed.sweeper.endAll(104 * SECOND);
    bed.sweepLive(104 * SECOND);
    const cursor = new RecordCursor();
    const seen = [0, 1].map((n) => {
      bed.log.at(n, cursor);
      return [cursor.bootMs, cursor.firstMs, cursor.endReason];
    });
    assert.deepEqual(seen, [
      [1_700_000_000_000, 5000, END_FORCED],
      [1_800_000_000_000, 3000, END_FORCED],
    ]);
  }
});

test("2^33 bytes and 2^33 packets in one flow sum exactly, over records and over carries", () => {
  const bed = flowBench({ exact: true, activeNs: 3 * SECOND });
  let packets = 0;
  let bytes = 0;
  for (let n = 0; n < 40; n++) {
    const more = { packets: 300_000_001, bytes: 4_294_967_295, l3Bytes: 4_000_000_000 };
    bed.frame(keyOf(1, 7), (1 + n) * SECOND, more);
    packets += more.packets;
    bytes += more.bytes;
  }
  bed.sweeper.endAll(50 * SECOND);
  const records = bed.records();
  assert.ok(records.length > 10);
  assert.equal(
    records.reduce((sum, record) => sum + record.packets, 0),
    packets,
  );
  assert.equal(
    records.reduce((sum, record) => sum + record.bytes, 0),
    bytes,
  );
  assert.equal(bed.sweeper.retired.get(1, 1), bytes);
  assert.ok(packets > 2 ** 33 && bytes > 2 ** 33);
});

test("a flow that lives for 60 days: every record has the times of its interval", () => {
  const bed = flowBench({ exact: true, activeNs: 3600 * SECOND, idleNs: 7200 * SECOND });
  const step = 1800;
  const days = 60 * 86400;
  for (let s = step; s <= days; s += step) bed.frame(keyOf(1, 7), s * SECOND);
  bed.sweeper.endAll(days * SECOND);
  let before = -1;
  let packets = 0;
  for (const record of bed.records()) {
    assert.ok(record.firstMs > before, `${record.firstMs} after ${before}`);
    assert.ok(record.lastMs - record.firstMs <= 3_600_000);
    before = record.lastMs;
    packets += record.packets;
  }
  assert.equal(before, days * 1000);
  assert.equal(packets, days / step);
});

test("refused frames: dropped where all were, beside the packets where some were", () => {
  const bed = flowBench({ exact: true });
  bed.frame(keyOf(1, 1), 1 * SECOND, { dropped: 15 });
  bed.frame(keyOf(1, 2), 1 * SECOND, { dropped: 15 });
  bed.frame(keyOf(1, 2), 1 * SECOND);
  bed.sweeper.endAll(2 * SECOND);
  const cursor = new RecordCursor();
  const seen = [0, 1].map((n) => {
    bed.log.at(n, cursor);
    return [
      cursor.disposition,
      cursor.dropReason,
      cursor.packets,
      cursor.droppedPackets,
      cursor.outputs,
      cursor.outputIfIndex,
    ];
  });
  assert.deepEqual(seen, [
    [1, 15, 1, 1, 0, 0],
    [0, 15, 2, 1, 1, 20009],
  ]);
});

test("a rule's outcome outlives its index for one successor; its last use is seen", () => {
  const bed = flowBench({ exact: true });
  bed.frame(keyOf(1, 1), 3 * SECOND);
  bed.sweeper.sweep(8 * SECOND);
  assert.equal(bed.outcomes.lastNs[0], 3 * SECOND);
  bed.outcomes.set(0, 2, { disposition: 1, reason: 4, outputs: 0, outputPort: 0 }, 9 * SECOND);
  bed.sweeper.endAll(9 * SECOND);
  const cursor = bed.log.at(0, new RecordCursor());
  assert.deepEqual([cursor.disposition, cursor.outputPort, cursor.outputIfIndex], [0, 9, 20009]);
});

test("a table with flows is taken over as it stands", () => {
  const bed = flowBench({ exact: true });
  for (let n = 0; n < 1000; n++) bed.frame(keyOf(1, n), 1 * SECOND);
  const second = bed.newSweeper();
  second.sweep(30 * SECOND);
  assert.equal(bed.records().length, 1000);
  assert.equal(bed.views.free.size, bed.views.slots.capacity);
});

test("sums in slices are the sums of one look, and no flow ends in between", async () => {
  const bed = flowBench({ capacity: 20_000 });
  for (let n = 0; n < 20_000; n++) bed.frame(keyOf(1 + (n % 8), n), 10 * SECOND, { packets: 1 + (n % 3) });
  const whole = bed.sweeper.table(new PortTotals(16), true);
  let breaths = 0;
  const sliced = await bed.sweeper.unrecorded(new PortTotals(16), async () => {
    breaths++;
    bed.sweepLive(1000 * SECOND);
  });
  assert.equal(breaths, Math.ceil(20_000 / SLICE));
  for (let port = 0; port < 16; port++)
    assert.equal(sliced.get(port, COUNT_PACKETS), whole.get(port, COUNT_PACKETS), `port ${port}`);
  assert.equal(bed.sweeper.recorded.total(COUNT_PACKETS), 0);
  bed.sweepLive(1000 * SECOND);
  for (let n = 0; n < 2000 && bed.sweeper.recorded.total(COUNT_PACKETS) < whole.total(COUNT_PACKETS); n++)
    bed.sweepLive(1000 * SECOND);
  assert.equal(bed.sweeper.recorded.total(COUNT_PACKETS), whole.total(COUNT_PACKETS));
});
