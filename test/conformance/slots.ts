/**
 * What every writer of flow slots must do (src/shm/README.md), tried on the writer itself: layout, create, hit, flags,
 * intervals, full table, and the races of create, hit, retire and reuse with the sweeper. A writer that passes may
 * stand under the same sweeper as all others.
 */
import assert from "node:assert/strict";
import { test, type TestContext } from "node:test";
import { Outcomes } from "../../src/flow/outcomes.ts";
import type { Retirer } from "../../src/flow/retire.ts";
import { Sweeper } from "../../src/flow/sweep.ts";
import { COUNT_BYTES, COUNT_PACKETS, PortTotals } from "../../src/flow/totals.ts";
import { RecordCursor, RecordLog } from "../../src/shm/log.ts";
import type { WordRing } from "../../src/shm/ring.ts";
import * as slot from "../../src/shm/slots.ts";
import { keyOf, SECOND, type FrameFacts } from "../helpers/flowbed.ts";

/** The layout in bytes, in the order in which a writer in C tells its own. */
export const LAYOUT: readonly (readonly [string, number])[] = [
  ["size of a slot", slot.SLOT_BYTES],
  ["state", slot.SLOT_STATE * 4],
  ["gen", slot.SLOT_GEN * 4],
  ["packets", slot.SLOT_PACKETS * 4],
  ["bytes", slot.SLOT_BYTES_COUNT * 4],
  ["l3Bytes", slot.SLOT_L3_BYTES * 4],
  ["last", slot.SLOT_LAST * 4],
  ["first", slot.SLOT_FIRST * 4],
  ["tcpFlags", slot.SLOT_TCP_FLAGS * 4],
  ["reason", slot.SLOT_REASON * 4],
  ["rule", slot.SLOT_RULE * 4],
  ["ruleGen", slot.SLOT_RULE_GEN * 4],
  ["key", slot.SLOT_KEY * 4],
  ["size of a key", slot.KEY_WORDS * 4],
  ["droppedPackets", slot.SLOT_DROPPED_PACKETS * 4],
  ["droppedBytes", slot.SLOT_DROPPED_BYTES * 4],
  ["created", slot.SLOT_CREATED * 4],
  ["recorded", slot.SLOT_RECORDED * 4],
  ["recorded drops", slot.SLOT_RECORDED_DROPS * 4],
  ["head of the ring", 0],
  ["tail of the ring", 64],
  ["data of the ring", 128],
  ["version", slot.SLOT_VERSION],
];

/** Keys of the race: word 6 of the key is its number. */
export const HAMMER_KEYS = 256;
export const HAMMER_KEY_WORD = 6;

/** What a writer says it did in the race, by key number. */
export interface Said {
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  /** Packets that found no flow. */
  readonly unattributed: number;
  /** Slots taken for a flow that somebody else was faster to make. */
  readonly returned: number;
}

export interface SlotWriter {
  readonly slots: slot.FlowSlots;
  readonly free: WordRing;
  readonly retirer: Retirer;
  /** The writer's own view of LAYOUT, in its order; undefined where it is that very code. */
  layout(): readonly number[] | undefined;
  /** Count one frame: hit the flow or make it. The slot, or negative: none. Rule 0, generation 1. */
  frame(key: Uint32Array, nowNs: number, facts?: FrameFacts): number;
  /** In other threads: frames of random keys below HAMMER_KEYS, as fast as they go, until `stop`. */
  hammer(): Promise<{ stop(): Promise<Said> }>;
  close(): Promise<void>;
}

export interface SlotSuite {
  readonly name: string;
  /** Undefined: skipped, the test says why. Fresh memory each time. */
  create(t: TestContext): Promise<SlotWriter | undefined> | SlotWriter | undefined;
  /** How long the race lasts. */
  readonly raceMs: number;
}

function sweeperOf(writer: SlotWriter, log: RecordLog): Sweeper {
  const outcomes = new Outcomes(16, 16);
  outcomes.set(0, 1, { disposition: 0, reason: 0, outputs: 1, outputPort: 9 }, 0);
  const timeouts = { activeNs: 60 * SECOND, idleNs: 15 * SECOND, tcpEndNs: 2 * SECOND };
  const { slots, free, retirer } = writer;
  return new Sweeper({ slots, free, retirer, log, outcomes, ports: 16, timeouts, boot: { unixMs: 0, ns: 0 } });
}

/** Sweep until nothing is on its way out. */
async function settle(sweeper: Sweeper, nowNs: number): Promise<void> {
  for (let n = 0; sweeper.closing > 0; n++) {
    assert.ok(n < 5000, `${sweeper.closing} slots do not come back`);
    sweeper.sweep(nowNs);
    await new Promise((done) => setTimeout(done, 1));
  }
}

function nowNs(): number {
  return Number(process.hrtime.bigint());
}

export function runSlotSuite(suite: SlotSuite): void {
  const on = (title: string, body: (writer: SlotWriter) => Promise<void> | void): void => {
    test(`${suite.name}: ${title}`, async (t) => {
      const writer = await suite.create(t);
      if (!writer) return;
      try {
        await body(writer);
      } finally {
        await writer.close();
      }
    });
  };
  const { u32At, counter } = reader;

  on("its layout is ours", (writer) => {
    const own = writer.layout();
    if (own)
      assert.deepEqual(
        LAYOUT.map(([name], n) => [name, own[n]]),
        LAYOUT.map((row) => [...row]),
      );
  });

  on("the first frame makes a flow, the second hits it", (writer) => {
    const start = 5 * SECOND;
    const index = writer.frame(keyOf(3, 42), start, { bytes: 100, l3Bytes: 86, tcpFlags: 2 });
    assert.ok(index >= 0);
    assert.equal(
      writer.frame(keyOf(3, 42), start + 7, { packets: 40, bytes: 65536, l3Bytes: 64976, tcpFlags: 16 }),
      index,
    );
    assert.notEqual(writer.frame(keyOf(3, 43), start + 9), index);
    const { slots } = writer;
    assert.equal(u32At(slots, index, slot.SLOT_STATE), slot.STATE_LIVE);
    assert.deepEqual(
      Array.from({ length: slot.KEY_WORDS }, (_, n) => u32At(slots, index, slot.SLOT_KEY + n)),
      [...keyOf(3, 42)],
    );
    assert.equal(counter(slots, index, slot.SLOT_PACKETS), 41);
    assert.equal(counter(slots, index, slot.SLOT_BYTES_COUNT), 65636);
    assert.equal(counter(slots, index, slot.SLOT_L3_BYTES), 65062);
    assert.equal(counter(slots, index, slot.SLOT_CREATED), start);
    assert.equal(counter(slots, index, slot.SLOT_FIRST), start);
    assert.equal(counter(slots, index, slot.SLOT_LAST), start + 7);
    assert.equal(u32At(slots, index, slot.SLOT_TCP_FLAGS), 18);
    assert.deepEqual([u32At(slots, index, slot.SLOT_RULE), u32At(slots, index, slot.SLOT_RULE_GEN)], [0, 1]);
  });

  on("the low word of first is never 0", (writer) => {
    const index = writer.frame(keyOf(3, 42), 2 ** 33);
    assert.equal(counter(writer.slots, index, slot.SLOT_FIRST), 2 ** 33 + 1);
    assert.equal(counter(writer.slots, index, slot.SLOT_LAST), 2 ** 33);
  });

  on("counters carry beyond 2^32", (writer) => {
    let index = -1;
    for (let n = 0; n < 5; n++) index = writer.frame(keyOf(3, 42), SECOND, { bytes: 4294967295, packets: 3000000000 });
    assert.equal(counter(writer.slots, index, slot.SLOT_BYTES_COUNT), 5 * 4294967295);
    assert.equal(counter(writer.slots, index, slot.SLOT_PACKETS), 15000000000);
  });

  on("after an interval is taken, the next frame sets first and flags again", (writer) => {
    const log = RecordLog.create(16);
    const sweeper = sweeperOf(writer, log);
    writer.frame(keyOf(3, 42), 1 * SECOND, { tcpFlags: 2 });
    sweeper.setTimeouts({ activeNs: 3 * SECOND, idleNs: 15 * SECOND, tcpEndNs: 2 * SECOND });
    sweeper.sweep(5 * SECOND);
    assert.equal(log.head, 1);
    const index = writer.frame(keyOf(3, 42), 6 * SECOND, { tcpFlags: 16 });
    assert.equal(counter(writer.slots, index, slot.SLOT_FIRST), 6 * SECOND);
    assert.equal(u32At(writer.slots, index, slot.SLOT_TCP_FLAGS), 16);
    assert.equal(counter(writer.slots, index, slot.SLOT_PACKETS), 2);
  });

  on("a full table refuses and goes on; a slot given back is used again, one generation later", async (writer) => {
    const { capacity } = writer.slots;
    const seen = new Set<number>();
    for (let n = 0; n < capacity; n++) seen.add(writer.frame(keyOf(3, n), SECOND));
    assert.equal(seen.size, capacity);
    assert.ok(!seen.has(-1));
    assert.equal(writer.frame(keyOf(3, capacity), SECOND), -1);
    assert.ok(seen.has(writer.frame(keyOf(3, 7), SECOND)));
    const log = RecordLog.create(capacity);
    const sweeper = sweeperOf(writer, log);
    sweeper.endAll(2 * SECOND);
    await settle(sweeper, 2 * SECOND);
    assert.equal(log.head, capacity);
    assert.equal(writer.free.size, capacity);
    const index = writer.frame(keyOf(3, 7), 3 * SECOND);
    assert.equal(u32At(writer.slots, index, slot.SLOT_GEN), 1);
    assert.equal(counter(writer.slots, index, slot.SLOT_PACKETS), 1);
  });

  on(
    "create, hit, interval, retire and reuse race: every packet is in its own flow's records, once",
    async (writer) => {
      const { slots } = writer;
      const log = RecordLog.create(32768);
      const sweeper = sweeperOf(writer, log);
      const packets = new Float64Array(HAMMER_KEYS);
      const bytes = new Float64Array(HAMMER_KEYS);
      const cursor = new RecordCursor();
      const lastOf = new Map<string, number>();
      const reasons = new Map<number, number>();
      let next = 0;
      const readRecords = (): void => {
        assert.ok(next >= log.oldest, "the log is too small for this test");
        for (; next < log.head; next++) {
          const record = log.at(next, cursor);
          const key = record.key(HAMMER_KEY_WORD);
          assert.equal(record.key(19), ~key >>> 0, "a key of two flows");
          packets[key]! += record.packets;
          bytes[key]! += record.bytes;
          assert.ok(record.firstMs <= record.lastMs);
          const flow = `${cursor.u32[cursor.w + 48]} ${cursor.u32[cursor.w + 49]}`;
          assert.ok(record.firstMs >= (lastOf.get(flow) ?? 0), "a record begins before the one before it ends");
          lastOf.set(flow, record.lastMs);
          reasons.set(record.endReason, (reasons.get(record.endReason) ?? 0) + 1);
        }
      };
      const race = await writer.hammer();
      const end = nowNs() + suite.raceMs * 1e6;
      for (let n = 0; nowNs() < end; n++) {
        // Intervals of every flow that was hit since, then the end of every flow; each with whatever frames come meanwhile.
        sweeper.setTimeouts({ activeNs: 1, idleNs: 15 * SECOND, tcpEndNs: 15 * SECOND });
        sweeper.sweep(nowNs());
        if (n % 4 === 3) sweeper.endAll(nowNs());
        readRecords();
        await new Promise((done) => setImmediate(done));
      }
      const said = await race.stop();
      sweeper.sweep(nowNs());
      const recorded = sweeper.recorded.get(1, COUNT_PACKETS);
      const unrecorded = sweeper.table(new PortTotals(16), true).get(1, COUNT_PACKETS);
      sweeper.endAll(nowNs());
      await settle(sweeper, nowNs());
      readRecords();
      assert.deepEqual(packets, said.packets);
      assert.deepEqual(bytes, said.bytes);
      const total = packets.reduce((a, b) => a + b, 0);
      assert.equal(recorded + unrecorded, total);
      assert.equal(sweeper.retired.get(1, COUNT_PACKETS), total);
      assert.equal(
        sweeper.recorded.get(1, COUNT_BYTES),
        bytes.reduce((a, b) => a + b, 0),
      );
      assert.equal(writer.free.size, slots.capacity);
      assert.ok((reasons.get(2) ?? 0) > 100 && (reasons.get(4) ?? 0) > 1000, `records by reason: ${[...reasons]}`);
      console.log(
        `${suite.name}: ${total} packets, ${next} records, ${said.unattributed} packets without a flow, ${said.returned} slots returned`,
      );
    },
  );
}

const reader = {
  u32At: (slots: slot.FlowSlots, index: number, word: number): number => slots.u32[index * slot.SLOT_WORDS + word]!,
  counter: (slots: slot.FlowSlots, index: number, word: number): number =>
    slot.readCounter(slots.i32, index * slot.SLOT_WORDS + word),
};
