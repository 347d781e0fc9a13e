import assert from "node:assert/strict";
import { test } from "node:test";
import { portConformance, virtualClock } from "../../../test/conformance/port.ts";
import { VNET_BYTES, createBatch, type Port } from "../port.ts";
import memoryType, { memory, pair, type MemoryChannel } from "./index.ts";

const open = (channel: MemoryChannel): Port =>
  memoryType.open(channel.options, { name: "m", bridge: "b", baseDir: ".", nowNs: 0 });

test("frames come out in order, in batches of the capacity, with their facts", () => {
  const channel = memory();
  const port = open(channel);
  const batch = createBatch(2);
  channel.inject(Uint8Array.of(1, 2), { timeNs: 7, length: 60, gsoSize: 1448, gsoHeaders: 54 });
  channel.inject(Uint8Array.of(3));
  channel.inject(Uint8Array.of(4));
  assert.equal(port.nextReceiveNs!(5), 5);
  assert.equal(port.receive(batch, 0), 2);
  const bytes = (n: number): number[] => [
    ...batch.bytes.subarray(batch.offset[n], batch.offset[n]! + batch.captured[n]!),
  ];
  assert.deepEqual([bytes(0), bytes(1)], [[1, 2], [3]]);
  assert.deepEqual([batch.timeNs[0], batch.length[0], batch.gsoSize[0], batch.gsoHeaders[0]], [7, 60, 1448, 54]);
  assert.deepEqual([batch.timeNs[1], batch.length[1], batch.gsoSize[1], batch.gsoHeaders[1]], [0, 1, 0, 0]);
  assert.equal(port.receive(batch, 0), 1);
  assert.deepEqual(bytes(0), [4]);
  assert.equal(port.receive(batch, 0), 0);
  assert.equal(port.nextReceiveNs!(5), Infinity);
});

test("virtio-net headers stand before the frame, and never mix in one batch", () => {
  const channel = memory();
  const port = open(channel);
  const batch = createBatch(8);
  const vnet = new Uint8Array(VNET_BYTES).fill(9);
  channel.inject(Uint8Array.of(1));
  channel.inject(Uint8Array.of(2), { vnet });
  assert.equal(port.receive(batch, 0), 1);
  assert.equal(batch.vnet, false);
  assert.equal(port.receive(batch, 0), 1);
  assert.equal(batch.vnet, true);
  assert.deepEqual(batch.bytes.subarray(batch.offset[0]! - VNET_BYTES, batch.offset[0]), vnet);
  assert.ok(port.transmit(batch.bytes, batch.offset[0]!, 1, 1, true));
  assert.deepEqual(channel.take(), [{ bytes: Uint8Array.of(2), length: 1, vnet }]);
});

test("a port that is down receives nothing, one that is full refuses, one that ended says so", () => {
  const channel = memory();
  const port = open(channel);
  const batch = createBatch(8);
  channel.inject(Uint8Array.of(1));
  channel.state = "down";
  assert.equal(port.receive(batch, 0), 0);
  channel.state = "up";
  channel.accepts = false;
  assert.equal(port.transmit(Uint8Array.of(1), 0, 1, 1, false), false);
  assert.equal(port.receive(batch, 0), 1);
  channel.state = "ended";
  assert.equal(port.ended, true);
  port.close();
  assert.throws(() => open(channel), /call memory\(\)/);
});

test("a pair is a cable", () => {
  const [a, b] = pair();
  const [portA, portB] = [open(a), open(b)];
  const batch = createBatch(8);
  assert.ok(portA.transmit(Uint8Array.of(1, 2, 3), 1, 2, 64, false));
  assert.equal(portB.receive(batch, 0), 1);
  assert.deepEqual([...batch.bytes.subarray(batch.offset[0])], [2, 3]);
  assert.equal(batch.length[0], 64);
});

portConformance("memory", () => {
  const channel = memory();
  const expected = Array.from({ length: 20 }, (_, n) => new Uint8Array(60 + n).fill(n));
  for (const bytes of expected) channel.inject(bytes);
  const sent = (): Uint8Array[] => channel.take().map((frame) => frame.bytes);
  return { port: open(channel), expected, clock: virtualClock(), sent };
});
