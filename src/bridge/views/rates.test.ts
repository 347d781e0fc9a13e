import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import * as C from "../../shm/counters.ts";
import { CounterSnapshot } from "../../shm/counters.ts";
import { dropReason } from "../../flow/disposition.ts";
import {
  FlowSlots,
  SLOT_BYTES_COUNT,
  SLOT_GEN,
  SLOT_PACKETS,
  SLOT_STATE,
  SLOT_WORDS,
  STATE_LIVE,
  writeCounter,
} from "../../shm/slots.ts";
import { BLOCK_SLOTS } from "../../flow/due.ts";
import { FlowRates } from "./flow-rates.ts";
import * as R from "./rates.ts";
import { Rates } from "./rates.ts";
import { TopN } from "./top.ts";

const PORTS = 4;

function counters(values: Readonly<Record<number, number>>, port = 1): CounterSnapshot {
  const snapshot = new CounterSnapshot(PORTS);
  for (const [counter, value] of Object.entries(values))
    snapshot.values[port * C.COUNTERS_PER_PORT + Number(counter)] = value;
  return snapshot;
}

test("rates are over the last ten seconds, whatever the pace of looks", () => {
  const rates = new Rates(PORTS);
  assert.equal(rates.perSecond(1, R.RX_PACKETS), 0);
  // 100 a second for 30 s, then 500 a second for 10 s; looks every 250 ms, most of them ignored.
  for (let ms = 0; ms <= 40_000; ms += 250) {
    const packets = ms <= 30_000 ? ms / 10 : 3000 + (ms - 30_000) / 2;
    rates.look(counters({ [C.C_RX_PACKETS]: packets }), ms);
    if (ms === 500) assert.equal(rates.perSecond(1, R.RX_PACKETS), 0);
    if (ms === 5000) assert.equal(rates.perSecond(1, R.RX_PACKETS), 100);
  }
  assert.ok(Math.abs(rates.perSecond(1, R.RX_PACKETS) - 500) < 1);
  assert.ok(Math.abs(rates.total(R.RX_PACKETS) - 500) < 1);
  assert.equal(rates.perSecond(2, R.RX_PACKETS), 0);
});

test("refused leaves the expected reasons out; a counter that starts anew is no negative rate", () => {
  const rates = new Rates(PORTS);
  rates.look(counters({ [C.C_LOST_NIC]: 1000 }), 0);
  const drops = {
    [C.C_DROPPED]: 30,
    [C.C_DROP_REASON + dropReason("ingress_vlan_filter")]: 10,
    [C.C_DROP_REASON + dropReason("port_loopback_filter")]: 20,
  };
  rates.look(counters({ ...drops, [C.C_LOST_NIC]: 1 }), 1000);
  assert.equal(rates.perSecond(1, R.DROPPED), 30);
  assert.equal(rates.perSecond(1, R.REFUSED), 10);
  assert.equal(rates.perSecond(1, R.LOST), 0);
});

test("TopN keeps what sorting would", () => {
  fc.assert(
    fc.property(fc.array(fc.integer({ min: 0, max: 50 })), fc.integer({ min: 0, max: 12 }), (values, size) => {
      const top = new TopN<number>(size, (a, b) => b - a);
      for (const value of values) top.offer(value);
      assert.deepEqual(top.sorted(), values.toSorted((a, b) => b - a).slice(0, size));
    }),
  );
});

test("rates of flows: from two looks a second apart, forgotten when nobody asks", async () => {
  const slots = FlowSlots.create(20_000);
  const inUse = new Int32Array(Math.ceil(slots.capacity / BLOCK_SLOTS)).fill(1);
  let nowNs = 5e9;
  const slept: number[] = [];
  let breaths = 0;
  const set = (slot: number, gen: number, packets: number): void => {
    const at = slot * SLOT_WORDS;
    slots.u32[at + SLOT_STATE] = STATE_LIVE;
    slots.u32[at + SLOT_GEN] = gen;
    writeCounter(slots.u32, at + SLOT_PACKETS, packets);
    writeCounter(slots.u32, at + SLOT_BYTES_COUNT, packets * 100);
  };
  set(7, 1, 1e12);
  const rates = new FlowRates(slots, () => inUse, {
    breathe: async () => void breaths++,
    sleep: async (ms) => {
      slept.push(ms);
      nowNs += ms * 1e6;
      set(7, 1, 1e12 + 50);
      // Made between the looks: all it has is new.
      set(19_999, 3, 20);
    },
  });
  const now = (): number => nowNs;
  assert.equal(rates.pps(7, 1), 0);
  await rates.refresh(now);
  assert.deepEqual(slept, [1000]);
  assert.ok(breaths >= 6, "slices");
  assert.deepEqual([rates.pps(7, 1), rates.bps(7, 1), rates.pps(19_999, 3)], [50, 40_000, 20]);
  assert.equal(rates.pps(7, 2), 0, "another flow in the same slot");
  // Again within a second: the same answer, no work.
  nowNs += 0.5e9;
  const before = breaths;
  await rates.refresh(now);
  assert.equal(breaths, before);
  // Two seconds later: no waiting.
  nowNs += 1.5e9;
  set(7, 1, 1e12 + 250);
  await rates.refresh(now);
  assert.deepEqual(slept, [1000]);
  assert.equal(rates.pps(7, 1), 100);
  // A minute of silence: the memory goes, and the next question waits again.
  nowNs += 60e9;
  rates.forget(nowNs);
  assert.equal(rates.pps(7, 1), 0);
  await rates.refresh(now);
  assert.equal(slept.length, 2);
});

test("rates of flows: the memory is given back while somebody waits for a look", async () => {
  const slots = FlowSlots.create(20_000);
  const inUse = new Int32Array(Math.ceil(slots.capacity / BLOCK_SLOTS)).fill(1);
  let nowNs = 100e9;
  const rates: FlowRates = new FlowRates(slots, () => inUse, {
    breathe: async () => rates.forget(nowNs),
    sleep: async (ms) => {
      nowNs += ms * 1e6;
      rates.forget(nowNs);
    },
  });
  await rates.refresh(() => nowNs);
  await rates.refresh(() => (nowNs += 100e9));
});
