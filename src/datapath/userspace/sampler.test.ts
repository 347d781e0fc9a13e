/**
 * Sampling through the engine: are its estimates as good as theory promises, is its skip as even as it says, and are pool
 * and drops exact? Traffic is known, seeds are fixed: every run is the same.
 */
import assert from "node:assert/strict";
import test from "node:test";
import { random } from "../../../test/helpers/random.ts";
import { quietPort } from "../../../test/bench/frame-wheel.ts";
import { KEY_WORDS } from "../../flow/key.ts";
import { forward } from "../../pipeline/actions.ts";
import type { PacketBatch, Port } from "../../ports/port.ts";
import * as C from "../../shm/counters.ts";
import { CounterSnapshot } from "../../shm/counters.ts";
import { readSample } from "../../shm/samples.ts";
import type { Sample } from "../../shm/samples.ts";
import { buildFrame } from "../../wire/builder.ts";
import { LocalDatapath } from "./local.ts";
import { Random } from "./sampler.ts";

/** UDP destination port of the class of traffic that is estimated; the rest goes elsewhere. */
const CLASS_PORT = 7;
const FRAME_BYTES = 128;
const UDP_DST = 36;

interface Known {
  packets: number;
  bytes: number;
}

/** Receives `total` frames, three in ten of the class, in no order, their lengths 900 to 1500; knows what it gave. */
function mixedPort(seed: number, total: number, known: Known, gso = 0): Port {
  const next = random(seed);
  const frames = [CLASS_PORT, 8].map((dst) =>
    buildFrame({
      ethSrc: "52:54:00:00:00:01",
      ethDst: "52:54:00:00:00:02",
      ip: { src: "10.0.0.1", dst: "10.0.0.2" },
      udp: { src: 1, dst },
      payload: new Uint8Array(FRAME_BYTES - 42),
    }),
  );
  const bytes = new Uint8Array(2 * (FRAME_BYTES + 64));
  frames.forEach((frame, n) => bytes.set(frame, 32 + n * (FRAME_BYTES + 64)));
  let left = total;
  return {
    ...quietPort(),
    receive(batch: PacketBatch): number {
      const count = Math.min(batch.capacity, left);
      batch.bytes = bytes;
      for (let n = 0; n < count; n++) {
        const isClass = next() % 10 < 3;
        const length = 900 + (next() % 601);
        batch.offset[n] = 32 + (isClass ? 0 : FRAME_BYTES + 64);
        batch.captured[n] = FRAME_BYTES;
        batch.length[n] = gso > 0 ? 42 + gso * 1000 : length;
        batch.timeNs[n] = 0;
        batch.gsoSize[n] = gso > 0 ? 1000 : 0;
        batch.gsoHeaders[n] = gso > 0 ? 42 : 0;
        if (!isClass) continue;
        known.packets += 1;
        known.bytes += length;
      }
      left -= count;
      return count;
    },
  };
}

const ALL = new Uint32Array(KEY_WORDS);
const PORT_ONLY = ALL.map((_, n) => (n === 0 ? 0xffff0000 : 0));
const PORT_1 = ALL.map((_, n) => (n === 0 ? 1 << 16 : 0));

interface Run {
  readonly samples: Sample[];
  readonly counters: CounterSnapshot;
}

/** Everything that `port` has, through an engine that samples 1 in `rate`; `ringWords`: a small ring, emptied now and then. */
async function run(port: Port, rate: number, seed: number, ringWords = 0): Promise<Run> {
  const datapath = new LocalDatapath({
    capacity: 64,
    ports: 4,
    seed,
    open: (spec): Port => (spec.no === 1 ? port : quietPort()),
    ...(ringWords > 0 && { sampleWords: ringWords }),
  });
  for (const no of [1, 2]) await datapath.addPort({ no, name: `p${no}`, type: "test", options: {} });
  datapath.program({
    add: [{ index: 0, gen: 1, mask: PORT_ONLY, key: PORT_1, actions: forward([{ port: 2 }]) }],
    sampling: [{ port: 1, rate, header: 64 }],
    enabled: [1, 2].map((no) => ({ port: no, up: true })),
  });
  const samples: Sample[] = [];
  for (let step = 1; datapath.step(step) > 0; step++) if (ringWords === 0 || step % 10 === 0) drain(datapath, samples);
  drain(datapath, samples);
  const counters = datapath.counters(new CounterSnapshot(4));
  await datapath.close();
  return { samples, counters };
}

function drain({ samples: ring }: LocalDatapath, into: Sample[]): void {
  for (let at = ring.peek(); at >= 0; at = ring.peek()) {
    into.push(readSample(ring, at));
    ring.release();
  }
}

const isClass = ({ data }: Sample): boolean => CLASS_PORT === data[UDP_DST]! * 256 + data[UDP_DST + 1]!;

for (const rate of [100, 400])
  test(`accuracy at 1:${rate}: at least 93 of 100 runs within 196·√(1/c) percent, packets and bytes`, async (t) => {
    let [packetsWithin, bytesWithin] = [0, 0];
    for (let seed = 1; seed <= 100; seed++) {
      const known: Known = { packets: 0, bytes: 0 };
      const { samples, counters } = await run(mixedPort(seed, rate * 300, known), rate, seed * 7919);
      const pool = counters.get(1, C.C_SAMPLE_POOL);
      assert.equal(pool, rate * 300, "the pool is what was received, exactly");
      assert.equal(counters.get(1, C.C_SAMPLES), samples.length);
      const found = samples.filter(isClass);
      const scale = pool / samples.length;
      const band = 1.96 * Math.sqrt(1 / found.length);
      const bytes = found.reduce((sum, sample) => sum + sample.wireLength, 0);
      if (Math.abs((found.length * scale) / known.packets - 1) <= band) packetsWithin++;
      if (Math.abs((bytes * scale) / known.bytes - 1) <= band) bytesWithin++;
    }
    t.diagnostic(`packets ${packetsWithin}, bytes ${bytesWithin} of 100 within the band`);
    assert.ok(packetsWithin >= 93 && bytesWithin >= 93, `${packetsWithin}, ${bytesWithin}`);
  });

/** χ² of counts that should be equal, as a z-score (Wilson and Hilferty): below 2.33 is p > 0.01. */
function evenness(counts: Uint32Array): number {
  const expected = counts.reduce((sum, count) => sum + count, 0) / counts.length;
  const chi2 = counts.reduce((sum, count) => sum + (count - expected) ** 2 / expected, 0);
  const k = counts.length - 1;
  return (Math.cbrt(chi2 / k) - (1 - 2 / (9 * k))) / Math.sqrt(2 / (9 * k));
}

for (const rate of [2, 10, 100, 400])
  test(`skips at 1:${rate} are even over 1 to ${2 * rate - 1} (χ², p > 0.01)`, () => {
    const draws = new Random(rate * 31 + 1);
    const counts = new Uint32Array(2 * rate - 1);
    for (let n = 0; n < 500 * counts.length; n++) counts[draws.skip(rate) - 1]!++;
    assert.ok(counts.every((count) => count > 0));
    assert.ok(evenness(counts) < 2.33, String(evenness(counts)));
  });

test("gaps between samples in the pool are the skips that were drawn", async () => {
  const { samples } = await run(mixedPort(1, 200_000, { packets: 0, bytes: 0 }), 10, 42);
  const counts = new Uint32Array(19);
  let before = 0;
  for (const { pool } of samples) {
    counts[pool - before - 1]!++;
    before = pool;
  }
  assert.ok(evenness(counts) < 2.33, String(evenness(counts)));
});

test("samples that find no room appear in drops, exactly, and the next sample says so", async () => {
  const kept = await run(mixedPort(5, 50_000, { packets: 0, bytes: 0 }), 10, 99);
  const full = await run(mixedPort(5, 50_000, { packets: 0, bytes: 0 }), 10, 99, 4096);
  assert.ok(full.samples.length < kept.samples.length);
  const drops = full.counters.get(1, C.C_SAMPLE_DROPS);
  assert.equal(full.samples.length + drops, kept.samples.length);
  assert.equal(full.counters.get(1, C.C_SAMPLES), full.samples.length);
  assert.equal(full.counters.get(1, C.C_SAMPLE_POOL), 50_000);
  assert.ok(kept.samples.every((sample) => sample.drops === 0));
  // The n-th sample that arrives is the one of the same pool among all, so many later as it says were lost.
  const place = new Map(kept.samples.map(({ pool }, n) => [pool, n]));
  full.samples.forEach((sample, n) => assert.equal(place.get(sample.pool), n + sample.drops));
  assert.ok(full.samples.at(-1)!.drops > 1000);
});

test("a super-packet counts as its packets: the mean stays 1 in N", async () => {
  for (const segments of [5, 40, 150]) {
    const { samples, counters } = await run(mixedPort(3, 40_000, { packets: 0, bytes: 0 }, segments), 400, 17);
    const pool = counters.get(1, C.C_SAMPLE_POOL);
    assert.equal(pool, 40_000 * segments);
    const expected = pool / 400;
    const off = samples.length / expected - 1;
    assert.ok(Math.abs(off) < 0.03, `${segments} segments: ${(off * 100).toFixed(1)} % off`);
    assert.ok(samples.every((sample) => sample.segments === segments && sample.wireLength === 1042));
  }
});
