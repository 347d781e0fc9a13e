import { test } from "node:test";
import assert from "node:assert/strict";
import { KEY_WORDS } from "./key.ts";
import { FACT_L3_BYTES, FACT_TCP_FLAGS, FACT_WORDS, parseKey } from "./parse.ts";

test("a tagged TCP frame fills every word it should", () => {
  const frame = Buffer.from(
    "525400000002525400000001810060648847".slice(0, 32) +
      "0800" +
      "450000280001400040060000" +
      "0a0000010a000002" +
      "d43100500000000100000002" +
      "51120000" +
      "00000000",
    "hex",
  );
  const key = new Uint32Array(KEY_WORDS).fill(0xdeadbeef);
  const facts = new Int32Array(FACT_WORDS);
  assert.equal(parseKey(frame, 0, frame.length, frame.length, 7, key, facts), true);
  assert.deepEqual(
    [...key],
    [
      0x0007_0054, 0x52540000, 0x00025254, 0x00000001, 0x7064_0000, 0x0800_0600, 0x0a000001, 0, 0, 0, 0x0a000002, 0, 0,
      0, 0xd431_0050, 0, 0, 0, 0, 0,
    ],
  );
  assert.equal(facts[FACT_L3_BYTES], 40);
  assert.equal(facts[FACT_TCP_FLAGS], 0x112);
});
