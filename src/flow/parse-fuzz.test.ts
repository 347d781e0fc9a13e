/** Hostile frames: every capture, cut and changed at random. Nothing throws, nothing behind the frame is looked at. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { captures } from "../../test/helpers/captures.ts";
import { random } from "../../test/helpers/random.ts";
import { createCaptureBatch, openCaptureFile } from "../wire/capture-file.ts";
import { gsoHeaderBytes, completeChecksum, VNET_HEADER_BYTES } from "../wire/vnet.ts";
import { segmentGso } from "../wire/gso.ts";
import { describeKey } from "./describe.ts";
import * as K from "./key.ts";
import {
  FACT_FAULT,
  FACT_L3_BYTES,
  FACT_L3_OFFSET,
  FACT_L4_OFFSET,
  FACT_PAYLOAD_OFFSET,
  FACT_TAGS,
  FACT_WORDS,
  parseKey,
} from "./parse.ts";

const MAX = 2048;
const GUARD = 80;
const room = [0, 1].map(() => new Uint8Array(GUARD + MAX + GUARD));
const keys = [0, 1].map(() => new Uint32Array(K.KEY_WORDS));
const facts = [0, 1].map(() => new Int32Array(FACT_WORDS));

/** Parse twice with other bytes around the frame: the answers are one. Then look whether they make sense. */
function check(frame: Uint8Array, captured: number, length: number, fillers: readonly [number, number]): void {
  let whole = false;
  for (const n of [0, 1]) {
    room[n]!.fill(fillers[n]!);
    room[n]!.set(frame.subarray(0, captured), GUARD);
    keys[n]!.fill(fillers[n]!);
    whole = parseKey(room[n]!, GUARD, captured, length, 3, keys[n]!, facts[n]!);
  }
  assert.deepEqual(keys[0], keys[1], "bytes outside the frame change the key");
  assert.deepEqual(facts[0], facts[1], "bytes outside the frame change the facts");
  // The same at the very end of the memory: a read behind it would give undefined.
  const end = room[0]!.slice(GUARD, GUARD + captured);
  assert.equal(parseKey(end, 0, captured, length, 3, keys[1]!, facts[1]!), whole);
  assert.deepEqual(keys[1], keys[0]);

  const [key, fact] = [keys[0]!, facts[0]!];
  const flags = key[K.KEY_PORT]!;
  const fault = (flags & K.KEY_FAULT_MASK) >> K.KEY_FAULT_SHIFT;
  assert.equal(whole, captured >= 14);
  assert.equal(flags >>> 16, 3);
  assert.equal(fact[FACT_FAULT], fault);
  assert.ok(fault < K.FAULTS.length);
  const ip = (flags & (K.KEY_IPV4 | K.KEY_IPV6)) !== 0;
  assert.equal(fact[FACT_L3_BYTES]! > 0, ip, "octets of IP and of nothing else");
  assert.ok(fact[FACT_L3_BYTES]! <= Math.max(length, 65575));
  assert.equal(fact[FACT_L4_OFFSET]! > 0, (flags & K.KEY_L4_PRESENT) !== 0);
  if (flags & K.KEY_L4_PRESENT) {
    assert.ok(ip && fault === 0 && (flags & K.KEY_FRAGMENT_MASK) !== K.FRAGMENT_LATER);
    assert.ok(fact[FACT_L3_OFFSET]! + 20 <= fact[FACT_L4_OFFSET]! && fact[FACT_L4_OFFSET]! < captured);
    assert.ok(fact[FACT_PAYLOAD_OFFSET]! > fact[FACT_L4_OFFSET]! && fact[FACT_PAYLOAD_OFFSET]! <= length);
  } else if (!ip && key[K.KEY_TYPE]! >>> 16 !== 0x0806) assert.equal(key[K.KEY_L4], 0);
  const vlan = key[K.KEY_VLAN]!;
  assert.equal(fact[FACT_TAGS], Number((vlan & (K.TCI_PRESENT << 16)) !== 0) + Number((vlan & K.TCI_PRESENT) !== 0));
  assert.doesNotThrow(() => JSON.stringify(describeKey(key)));
}

/** A virtio-net header of random bytes before the frame must not lead outside it. */
function checkVnet(frame: Uint8Array, next: () => number): void {
  const bytes = new Uint8Array(VNET_HEADER_BYTES + frame.length + GUARD).fill(0xa5);
  bytes.set(frame, VNET_HEADER_BYTES);
  for (let n = 0; n < VNET_HEADER_BYTES; n++) bytes[n] = n % 2 === 1 && n > 1 ? next() & 1 : next() & 0x7f;
  bytes[1] = [1, 4, 5, 0x81][next() & 3]!;
  const headers = gsoHeaderBytes(bytes, 0, VNET_HEADER_BYTES, frame.length);
  assert.ok(headers <= frame.length);
  segmentGso(bytes, 0, VNET_HEADER_BYTES, frame.length, out, offsets, lengths);
  completeChecksum(bytes, 0, VNET_HEADER_BYTES, frame.length);
  for (let n = VNET_HEADER_BYTES + frame.length; n < bytes.length; n++)
    assert.equal(bytes[n], 0xa5, "written behind the frame");
}
const out = new Uint8Array(65536);
const offsets = new Int32Array(64);
const lengths = new Int32Array(64);

/** Where a change hurts: the headers' length, version, type and offset bytes. */
const EVIL = [0, 1, 4, 5, 6, 0x0f, 0x40, 0x45, 0x4f, 0x60, 0x80, 0x81, 0xff];

for (const kind of ["apps", "protocols", "malformed"] as const) {
  test(`frames of captures/${kind}, cut and changed`, (t) => {
    const files = captures(t, kind);
    if (files === undefined) return;
    const next = random(0x5eed);
    const batch = createCaptureBatch(64);
    const deadline = performance.now() + 6000;
    let parsed = 0;
    let perFile = 0;
    for (const file of files) {
      const reader = openCaptureFile(file, { anyLinktype: true });
      perFile = 0;
      for (let count; (count = reader.read(batch)) > 0 && perFile < 100 && performance.now() < deadline;) {
        for (let n = 0; n < count; n++, perFile++) {
          const at = batch.offset[n]!;
          const captured = Math.min(batch.captured[n]!, MAX);
          const frame = batch.bytes.slice(at, at + captured);
          const length = batch.length[n]!;
          check(frame, captured, length, [0, 0xff]);
          for (let round = 0; round < 6; round++) {
            const cut = round < 2 ? next() % (captured + 1) : captured;
            for (let change = round === 0 ? 0 : 1 + (next() & 3); change > 0; change--) {
              const where = next() % Math.max(1, Math.min(captured, 80));
              frame[where] = next() & 1 ? next() : EVIL[next() % EVIL.length]!;
            }
            check(frame, cut, next() & 1 ? cut : Math.max(cut, length), [0x45, 0x06]);
            parsed++;
          }
          checkVnet(frame, next);
        }
      }
      reader.close();
    }
    t.diagnostic(`${parsed} hostile frames of ${files.length} files`);
    assert.ok(parsed > 500);
  });
}
