/**
 * A datapath of one thread for tests of table, counting and sweep: everything real but the frames. In exact mode it
 * unlinks at once, as replay does; otherwise `answer` is the worker's end of a batch.
 */
import { RecordCursor, RecordLog } from "../../src/shm/log.ts";
import { attach, createFlowMemory, releaseSlot, type FlowViews } from "../../src/shm/memory.ts";
import { KEY_WORDS, type FlowSlots } from "../../src/shm/slots.ts";
import { countDropped, createFlow, hit, splitHigh, splitLow } from "../../src/flow/count.ts";
import { Outcomes } from "../../src/flow/outcomes.ts";
import { Sweeper } from "../../src/flow/sweep.ts";
import { createTable, find, hashKey, insert, remove, type FlowTable } from "../../src/flow/table.ts";

export const SECOND = 1e9;

/** A key of `port` that differs by `n`. */
export function keyOf(port: number, n: number): Uint32Array {
  const key = new Uint32Array(KEY_WORDS);
  key[0] = (port << 16) | 0x14;
  key[1] = 0x02000000;
  key[5] = 0x0800_0600;
  key[6] = 0x0a000000 + (n >>> 12);
  key[14] = (n & 0xfff) << 16;
  return key;
}

export interface FrameFacts {
  readonly packets?: number;
  readonly bytes?: number;
  readonly l3Bytes?: number;
  readonly tcpFlags?: number;
  /** Drop reason. */
  readonly dropped?: number;
}

export interface TestRecord {
  readonly port: number;
  /** The `n` of `keyOf`. */
  readonly flow: number;
  readonly packets: number;
  readonly bytes: number;
  readonly l3Bytes: number;
  readonly firstMs: number;
  readonly lastMs: number;
  readonly endReason: number;
  readonly tcpFlags: number;
}

export interface FlowBench {
  readonly views: FlowViews;
  readonly table: FlowTable;
  readonly outcomes: Outcomes;
  readonly log: RecordLog;
  readonly sweeper: Sweeper;
  /** Another sweeper over the same memory. */
  newSweeper(): Sweeper;
  /** Count one frame as a datapath does; the slot, or -1 when the table is full. */
  frame(key: Uint32Array, nowNs: number, facts?: FrameFacts): number;
  hitSlot(slot: number, nowNs: number, facts?: FrameFacts): void;
  /** The datapath's answer to what it was asked to unlink. */
  answer(): void;
  /** Answer and sweep, twice. */
  sweepLive(nowNs: number): void;
  records(): TestRecord[];
}

export interface BenchOptions {
  readonly exact?: boolean;
  readonly capacity?: number;
  readonly activeNs?: number;
  readonly idleNs?: number;
  readonly tcpEndNs?: number;
  readonly logRecords?: number;
}

/** Rule 0, generation 1, forwards to port 9 (ifIndex 20009). */
export function flowBench(options: BenchOptions): FlowBench {
  const exact = options.exact ?? false;
  const views = attach(
    createFlowMemory({
      capacity: options.capacity ?? 4096,
      ports: 16,
      sampleWords: 16,
      noticeWords: 16,
      missWords: 16,
    }),
  );
  const slots: FlowSlots = views.slots;
  let seed = 1;
  const table = createTable(slots, () => (seed = Math.imul(seed, 0x5bd1e995) + 0x1b873593));
  const outcomes = new Outcomes(64, 16);
  outcomes.ifIndexOf.set(Array.from({ length: 16 }, (_, n) => 20000 + n));
  outcomes.set(0, 1, { disposition: 0, reason: 0, outputs: 1, outputPort: 9 }, 0);
  const log = RecordLog.create(options.logRecords ?? 4096);
  const asked: number[] = [];
  const quiet: number[] = [];
  const answer = (): void => {
    for (const slot of asked) {
      if (!remove(table, slot)) throw new Error(`slot ${slot} is not in the table`);
      quiet.push(slot);
    }
    asked.length = 0;
  };
  const retirer = {
    retire(list: readonly number[]): void {
      asked.push(...list);
      if (exact) answer();
    },
    quiesced(out: number[]): number {
      quiet.forEach((slot, n) => (out[n] = slot));
      return quiet.splice(0).length;
    },
    release(list: readonly number[]): void {
      for (const slot of list) releaseSlot(slots, views.free, slot);
    },
  };
  const newSweeper = (): Sweeper =>
    new Sweeper({
      slots,
      free: views.free,
      retirer,
      log,
      outcomes,
      ports: 16,
      exact,
      timeouts: {
        activeNs: options.activeNs ?? 60 * SECOND,
        idleNs: options.idleNs ?? 15 * SECOND,
        tcpEndNs: options.tcpEndNs ?? 2 * SECOND,
      },
      boot: { unixMs: 1_700_000_000_000, ns: 0 },
    });
  const sweeper = newSweeper();
  const hitSlot = (slot: number, nowNs: number, facts: FrameFacts = {}): void => {
    const { packets = 1, bytes = 64, l3Bytes = 50, tcpFlags = 0, dropped = 0 } = facts;
    if (dropped) countDropped(slots, slot, packets, bytes, dropped);
    hit(slots, slot, packets, bytes, l3Bytes, tcpFlags, splitLow(nowNs), splitHigh(nowNs));
  };
  /** As the engine asks. */
  const isDue = (slot: number, nowNs: number): boolean =>
    sweeper.mayBeDue(slot, splitLow(nowNs), splitHigh(nowNs)) && sweeper.closeIfDue(slot, nowNs);
  return {
    views,
    table,
    outcomes,
    log,
    sweeper,
    newSweeper,
    hitSlot,
    answer,
    frame(key, nowNs, facts) {
      if (exact && nowNs >= sweeper.dueAt(nowNs)) sweeper.sweep(nowNs);
      const hash = hashKey(table, key);
      let slot = find(table, key, hash);
      if (slot >= 0 && exact && isDue(slot, nowNs)) slot = -1;
      if (slot < 0) {
        slot = createFlow(slots, views.free, key, 0, 1, splitLow(nowNs), splitHigh(nowNs));
        if (slot < 0) return -1;
        insert(table, slot, hash);
      }
      hitSlot(slot, nowNs, facts);
      return slot;
    },
    sweepLive(nowNs) {
      answer();
      sweeper.sweep(nowNs);
      answer();
      sweeper.sweep(nowNs);
    },
    records() {
      const cursor = new RecordCursor();
      return Array.from({ length: log.head - log.oldest }, (_, n) => {
        const record = log.at(log.oldest + n, cursor);
        const { packets, bytes, l3Bytes, firstMs, lastMs, endReason, tcpFlags } = record;
        const port = record.key(0) >>> 16;
        const flow = ((record.key(6) & 0xffffff) << 12) | (record.key(14) >>> 16);
        return { port, flow, packets, bytes, l3Bytes, firstMs, lastMs, endReason, tcpFlags };
      });
    },
  };
}
