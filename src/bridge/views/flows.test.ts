import assert from "node:assert/strict";
import test from "node:test";
import { compareBy } from "../../api/query.ts";
import { BLOCK_SLOTS } from "../../flow/due.ts";
import { Outcomes } from "../../flow/outcomes.ts";
import {
  FlowSlots,
  SLOT_GEN,
  SLOT_KEY,
  SLOT_PACKETS,
  SLOT_STATE,
  SLOT_WORDS,
  STATE_LIVE,
  writeCounter,
} from "../../shm/slots.ts";
import { FlowRates } from "./flow-rates.ts";
import { topFlows, type FlowChoice, type FlowSource } from "./flows.ts";

/** Every second slot has a flow, of port 1 to 4. `made` counts the JSON that is made. */
function source(capacity: number): FlowSource & { made: number } {
  const slots = FlowSlots.create(capacity);
  for (let slot = 0; slot < capacity; slot += 2) {
    const at = slot * SLOT_WORDS;
    slots.u32[at + SLOT_GEN] = slot + 1;
    slots.u32[at + SLOT_KEY] = (1 + ((slot >> 1) % 4)) << 16;
    writeCounter(slots.u32, at + SLOT_PACKETS, (slot * 7919) % 100_003);
    slots.u32[at + SLOT_STATE] = STATE_LIVE;
  }
  const breath = { breathe: async () => {}, sleep: async () => {} };
  const inUse = new Int32Array(Math.ceil(capacity / BLOCK_SLOTS)).fill(1);
  return {
    made: 0,
    name: "weir0",
    slots,
    inUse,
    rates: new FlowRates(slots, () => inUse, breath),
    outcomes: new Outcomes(16, 16),
    boot: { ns: 0, unixMs: 0 } as FlowSource["boot"],
    outputKnown: true,
    port(no) {
      this.made++;
      return { name: `p${no}`, ifIndex: no, nativeVlan: 0 };
    },
    rule: () => undefined,
    mirrors: () => [],
    tenant: () => undefined,
  };
}

const choice = (more: Partial<FlowChoice>): FlowChoice => ({ sort: "-packets", limit: 5, compare: compareBy, ...more });

test("several lists in one pass are those of a pass each, and JSON is made once for all of them", async () => {
  const flows = source(4000);
  const still = { breathe: async () => {}, sleep: async () => {} };
  const choices = [
    choice({}),
    choice({ sort: "packets", limit: 7 }),
    choice({ matches: ({ port }) => port === "p2" }),
    choice({ matches: ({ packets }) => packets > 50_000, sort: "port", limit: 3 }),
    choice({ sort: "-port", limit: 9 }),
  ];
  const together = await topFlows([flows], choices, still);
  assert.ok(flows.made < 2000 + 60, `${flows.made} for 2000 flows`);
  for (const [n, one] of choices.entries()) {
    const [alone] = await topFlows([flows], [one], still);
    assert.deepEqual(together[n], alone);
  }
  assert.deepEqual(
    together.map(({ total, items }) => [total, items.length]),
    [
      [2000, 5],
      [2000, 7],
      [500, 5],
      [together[3]!.total, 3],
      [2000, 9],
    ],
  );
  const packets = together[0]!.items.map((flow) => flow.packets);
  assert.deepEqual(
    packets,
    packets.toSorted((a, b) => b - a),
  );
  assert.ok(together[2]!.items.every(({ port }) => port === "p2"));
});

test("however many lists: what is done between two breaths is bounded; without a filter no JSON is made but of the first", async () => {
  const flows = source(65_536);
  let most = 0;
  let before = 0;
  let breaths = 0;
  const counting = {
    breathe: async () => {
      most = Math.max(most, flows.made - before);
      before = flows.made;
      breaths++;
    },
    sleep: async () => {},
  };
  await topFlows([flows], [choice({})], counting);
  assert.ok(flows.made <= 5 && breaths >= 8, `${flows.made} made, ${breaths} breaths`);
  before = flows.made;
  await topFlows([flows], [choice({ matches: () => false })], counting);
  assert.ok(most > 200 && most <= 256, `${most} flows in one go`);
  most = 0;
  before = flows.made;
  await topFlows(
    [flows],
    Array.from({ length: 100 }, () => choice({ matches: () => false })),
    counting,
  );
  assert.ok(most > 15 && most <= 256 / 10, `${most} flows in one go with 100 filters`);
});
