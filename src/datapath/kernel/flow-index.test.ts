/** Keys that share a bucket: more of them than it has entries are flows of their own all the same, found, ended, and gone. */
import assert from "node:assert/strict";
import test from "node:test";
import { flows, toolsFor } from "../../../test/helpers/datapath-tools.ts";
import { kernelAvailable, kernelHarness } from "../../../test/helpers/kernel-harness.ts";
import { FACT_WORDS, parseKey } from "../../flow/parse.ts";
import { KEY_PORT, KEY_WORDS } from "../../flow/key.ts";
import { forward } from "../../pipeline/actions.ts";
import { SLOT_STATE, SLOT_WORDS, STATE_LIVE } from "../../shm/slots.ts";
import { allKeys } from "../../sys/bpf-maps.ts";
import { buildFrame } from "../../wire/builder.ts";
import type { KernelDatapath } from "./index.ts";
import { bucketCount, hashKey } from "./flow-index.ts";
import { BUCKET_STATE, BUCKET_WAYS, BUCKET_WORDS } from "./layout.ts";

const CAPACITY = 256;
const FLOWS = 3 * BUCKET_WAYS;

/** Frames for port 1 whose keys all have the first frame's bucket. */
function colliding(): Uint8Array[] {
  const [key, facts] = [new Uint32Array(KEY_WORDS), new Int32Array(FACT_WORDS)];
  const found: Uint8Array[] = [];
  let bucket = -1;
  for (let src = 1; found.length < FLOWS; src++) {
    const frame = buildFrame({ ip: { src: "10.1.0.1", dst: "10.1.0.2" }, udp: { src, dst: 53 }, payload: 18 });
    parseKey(frame, 0, frame.length, frame.length, 1, key, facts);
    const its = hashKey(key, 0) & (bucketCount(CAPACITY) - 1);
    if (bucket < 0) bucket = its;
    if (its === bucket) found.push(frame);
  }
  return found;
}

test("flows beyond a bucket's room are found by the overflow, and leave nothing behind", async (t) => {
  if (!kernelAvailable(t)) return;
  const harness = await kernelHarness(CAPACITY);
  t.after(() => harness.close());
  const datapath = harness.datapath as KernelDatapath;
  const [mask, key] = [new Uint32Array(KEY_WORDS), new Uint32Array(KEY_WORDS)];
  [mask[KEY_PORT], key[KEY_PORT]] = [0xffff0000, 1 << 16];
  toolsFor(datapath).program({ add: [{ index: 0, gen: 1, mask, key, actions: forward([{ port: 2 }]) }] });
  const frames = colliding();
  const live = (): number[] => {
    const { u32, capacity } = datapath.slots;
    return Array.from({ length: capacity }, (_, slot) => slot).filter(
      (slot) => u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE,
    );
  };
  /** What the buckets hold, how many flows they say have no room there, and how many stand in the hash. */
  const indexed = (): { entries: number; without: number; overflow: number } => {
    const { buckets, object } = datapath["maps"];
    const [entries, states] = [0, 1].map((isState) =>
      buckets.filter((_, n) => Number(n % BUCKET_WORDS === BUCKET_STATE) === isState),
    );
    return {
      entries: entries!.filter(Boolean).length,
      without: states!.reduce((sum, state) => sum + state, 0),
      overflow: allKeys(object.map("overflow"), KEY_WORDS * 4, CAPACITY).length,
    };
  };
  for (let life = 0; life < 2; life++) {
    for (let round = 0; round < 3; round++) for (const frame of frames) harness.send(1, frame);
    await harness.settle();
    assert.equal(harness.received(2).length, 3 * FLOWS);
    assert.deepEqual(
      flows(datapath).map(({ packets }) => packets),
      Array<number>(FLOWS).fill(3),
    );
    const [slots, beyond] = [live(), FLOWS - BUCKET_WAYS];
    assert.deepEqual(indexed(), { entries: BUCKET_WAYS, without: beyond, overflow: beyond });
    datapath.retire(slots);
    await datapath.settled();
    assert.deepEqual(indexed(), { entries: 0, without: 0, overflow: 0 });
    const quiet: number[] = [];
    assert.equal(datapath.quiesced(quiet), FLOWS);
    datapath.release(quiet);
  }
});
