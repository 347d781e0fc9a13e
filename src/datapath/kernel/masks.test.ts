import assert from "node:assert/strict";
import test from "node:test";
import { toolsFor } from "../../../test/helpers/datapath-tools.ts";
import { kernelAvailable, kernelHarness } from "../../../test/helpers/kernel-harness.ts";
import { KEY_IP_DST, KEY_PORT, KEY_WORDS } from "../../flow/key.ts";
import { forward } from "../../pipeline/actions.ts";
import { buildFrame } from "../../wire/builder.ts";
import type { KernelDatapath } from "./index.ts";
import { MASK_ROW_HITS, MASK_ROW_ID, MASK_ROW_WORDS, MASK_SET_WORDS, SET_MASKS } from "./layout.ts";
import { KernelMasks } from "./masks.ts";

const words = (bits: number): Uint32Array => new Uint32Array(KEY_WORDS).fill(bits, 0, 1);

test("masks in order of what they decide: in the other set, whole, and only when nobody reads that", () => {
  const maps = { masks: new Int32Array(2 * MASK_SET_WORDS), settings: new Int32Array(64) };
  const masks = new KernelMasks(maps);
  for (const bits of [1, 2, 3]) masks.of(words(bits)).rules++;
  const at = (row: number, word: number): number =>
    maps.settings[SET_MASKS]! * MASK_SET_WORDS + MASK_ROW_WORDS * (1 + row) + word;
  const rows = (word: number): number[] => [0, 1, 2].map((row) => maps.masks[at(row, word)]!);
  const decide = (row: number, hits: number): void => void (maps.masks[at(row, MASK_ROW_HITS)]! += hits);
  assert.deepEqual(rows(MASK_ROW_ID), [1, 2, 3]);

  decide(0, 10);
  decide(2, 30);
  assert.equal(masks.isOutOfOrder, true);
  masks.order(masks.turns - 1);
  assert.deepEqual(rows(MASK_ROW_ID), [1, 2, 3], "somebody may still read the other set");
  masks.order(masks.turns);
  assert.equal(maps.settings[SET_MASKS], 1);
  assert.deepEqual(
    [rows(MASK_ROW_ID), rows(MASK_ROW_HITS)],
    [
      [3, 1, 2],
      [30, 10, 0],
    ],
  );
  decide(1, 30);
  assert.equal(masks.isOutOfOrder, false, "a little more is no reason");

  // The next process finds them as they are, and numbers go on.
  const next = new KernelMasks(maps);
  assert.deepEqual([next.byNumber(3)!.words[0], next.of(words(2)).number, next.of(words(4)).number], [3, 2, 4]);
  decide(0, 70_000);
  next.order(next.turns);
  assert.deepEqual(rows(MASK_ROW_HITS), [35_015, 20, 0], "old hits count for less");
});

test("programs count what masks decide; the one that decides most is tried first, and both go on deciding", async (t) => {
  if (!kernelAvailable(t)) return;
  const harness = await kernelHarness(4096);
  t.after(() => harness.close());
  const datapath = harness.datapath as KernelDatapath;
  const rule = (index: number, bits: number, ipDst: number, port: number) => {
    const [mask, key] = [new Uint32Array(KEY_WORDS), new Uint32Array(KEY_WORDS)];
    [mask[KEY_PORT], key[KEY_PORT]] = [0xffff0000, 1 << 16];
    [mask[KEY_IP_DST], key[KEY_IP_DST]] = [bits, ipDst];
    return { index, gen: 1, mask, key, actions: forward([{ port }]) };
  };
  // 10.1.0.9, and 10.1.1.0/28.
  toolsFor(datapath).program({ add: [rule(0, 0xffffffff, 0x0a010009, 3), rule(1, 0xfffffff0, 0x0a010100, 2)] });
  const { masks } = datapath["rules"];
  const send = (dst: string, src: number): void =>
    harness.send(1, buildFrame({ ip: { src: "10.1.0.1", dst }, udp: { src, dst: 53 }, payload: 18 }));
  const FLOWS = 3000;
  for (let src = 1; src <= FLOWS; src++) {
    send("10.1.1.2", src);
    if (src % 200 === 0) await harness.settle();
  }
  assert.equal(harness.received(2).length, FLOWS);
  datapath.follow();
  await datapath.settled();
  assert.deepEqual([masks.turns, masks.isOutOfOrder], [1, false]);
  send("10.1.0.9", 1);
  send("10.1.1.3", 1);
  await harness.settle();
  assert.deepEqual([harness.received(3).length, harness.received(2).length], [1, 1]);
});
