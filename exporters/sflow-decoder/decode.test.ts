/** Real datagrams of others, damaged ones, and what the specification says byte by byte. Encoder → decoder: ../sflow. */
import assert from "node:assert/strict";
import test from "node:test";
import { createCaptureBatch, openCaptureFile } from "../../src/wire/capture-file.ts";
import { captures } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { random } from "../../test/helpers/random.ts";
import { tsharkFields } from "../../test/helpers/tshark.ts";
import { decode } from "./decode.ts";
import type { Datagram, FlowSample } from "./decode.ts";

const SFLOW_PORT = 6343;

/** UDP payloads to port 6343 of a capture: Ethernet, IPv4 without options or IPv6. */
function payloads(path: string): Uint8Array[] {
  const found: Uint8Array[] = [];
  const reader = openCaptureFile(path, { anyLinktype: true });
  const batch = createCaptureBatch(64);
  for (let count; (count = reader.read(batch)) > 0;)
    for (let n = 0; n < count; n++) {
      const frame = batch.bytes.slice(batch.offset[n], batch.offset[n]! + batch.captured[n]!);
      const payload = udpPayload(frame);
      if (payload) found.push(payload);
    }
  reader.close();
  return found;
}

function udpPayload(frame: Uint8Array): Uint8Array | undefined {
  const view = new DataView(frame.buffer, frame.byteOffset, frame.byteLength);
  if (frame.length < 42) return undefined;
  let at = 14;
  if (view.getUint16(12) === 0x8100) at += 4;
  const ip = frame[at]! >> 4;
  const isUdp = ip === 4 ? frame[at + 9] === 17 : frame[at + 6] === 17;
  at += ip === 4 ? (frame[at]! & 15) * 4 : 40;
  if (!isUdp || at + 8 > frame.length || view.getUint16(at + 2) !== SFLOW_PORT) return undefined;
  return frame.subarray(at + 8, at + view.getUint16(at + 4));
}

/** sFlow in the captures, by file. */
function real(t: test.TestContext): [string, Uint8Array[]][] | undefined {
  const protocols = captures(t, "protocols");
  if (protocols === undefined) return undefined;
  return [...protocols, ...captures(t, "malformed")!]
    .map((path): [string, Uint8Array[]] => [path, payloads(path)])
    .filter(([, found]) => found.length > 0);
}

test("every sFlow datagram of the captures is read whole, as tshark reads it", (t) => {
  const files = real(t);
  if (files === undefined || !needs(t, "tshark")) return;
  assert.ok(files.length > 0);
  for (const [path, found] of files) {
    const datagrams = found.map((bytes): Datagram => {
      const { datagram, error } = decode(bytes);
      assert.equal(error, undefined, path);
      return datagram!;
    });
    const fields = ["sflow_245.sequence_number", "sflow_245.numsamples", "sflow.flow_sample.sampling_rate"];
    const rows = tsharkFields(path, ["udp.dstport", ...fields]).filter(([port]) => Number(port) === SFLOW_PORT);
    const rateOf = ({ samples }: Datagram): string =>
      String(samples.find((sample): sample is FlowSample => sample.type === "flow")?.rate ?? "");
    assert.deepEqual(
      datagrams.map((each) => [String(each.sequence), String(each.samples.length), rateOf(each)]),
      rows.map(([, sequence, samples, rate]) => [sequence, samples, rate]),
    );
  }
});

test("100,000 damaged datagrams: an answer each, with an offset inside", (t) => {
  const files = real(t);
  if (files === undefined) return;
  const seeds = [...files.flatMap(([, found]) => found), EVERYTHING];
  const next = random(6343);
  const below = (limit: number): number => next() % limit;
  let errors = 0;
  for (let n = 0; n < 100_000; n++) {
    const seed = seeds[n % seeds.length]!;
    const bytes = seed.slice(0, below(4) === 0 ? below(seed.length + 1) : seed.length);
    const view = new DataView(bytes.buffer);
    for (let edits = below(6); edits > 0 && bytes.length >= 4; edits--) {
      const word = below(bytes.length >> 2) * 4;
      if (below(2) === 0) bytes[below(bytes.length)] = next();
      else view.setUint32(word, [0, 1, 0xffffffff, 0x7fffffff, 0x80000000, bytes.length, word, next()][below(8)]!);
    }
    const { datagram, error } = decode(bytes);
    assert.ok(datagram !== undefined || error !== undefined);
    if (error === undefined) continue;
    errors++;
    assert.ok(error.offset >= 0 && error.offset <= bytes.length, `${error.message} at ${error.offset}`);
  }
  assert.ok(errors > 10_000, `${errors} of 100,000 were found damaged`);
});

test("counts and lengths that promise too much cost nothing", () => {
  const huge = words(5, 1, 0x0a000001, 0, 1, 2, 0xffffffff);
  assert.deepEqual(decode(huge).error, { offset: 24, message: "4294967295 samples do not fit into 0 bytes" });
  const long = words(5, 1, 0x0a000001, 0, 1, 2, 1, 1, 0xfffffffc);
  assert.deepEqual(decode(long).error, { offset: 36, message: "a sample needs 4294967292 bytes, 0 are left" });
  for (let length = 0; length < EVERYTHING.length; length++) {
    const { error } = decode(EVERYTHING.slice(0, length));
    assert.ok(error !== undefined && error.offset <= length, `cut at ${length}`);
  }
});

test("a version, an address type, an interface format that is none", () => {
  assert.deepEqual(decode(words(4)), { error: { offset: 0, message: "version 4 is not 5" } });
  assert.deepEqual(decode(words(5, 3)), { error: { offset: 4, message: "address type 3 is not 0, 1 or 2" } });
  const flow = words(5, 1, 1, 0, 1, 2, 1, 1, 32, 1, 2, 3, 4, 5, 6, 0xc0000000, 0);
  assert.equal(decode(flow).error!.message, "interface format 3 is not 0, 1 or 2");
  assert.equal(decode(new Uint8Array(0)).error!.offset, 0);
});

test("structures that are not in the catalogue are kept as bytes", () => {
  const { datagram, error } = decode(
    words(...HEADER, 2, (99 << 12) | 7, 4, 0xdeadbeef, 2, 24, 9, 0x02000001, 1, (5703 << 12) | 1, 4, 0x01020304),
  );
  assert.equal(error, undefined);
  assert.deepEqual(datagram!.samples, [
    { type: "unknown", enterprise: 99, format: 7, bytes: Uint8Array.of(0xde, 0xad, 0xbe, 0xef) },
    {
      type: "counters",
      expanded: false,
      sequence: 9,
      source: { class: 2, index: 1 },
      records: [{ type: "unknown", enterprise: 5703, format: 1, bytes: Uint8Array.of(1, 2, 3, 4) }],
    },
  ]);
});

test("a structure that grew keeps its known fields", () => {
  const { datagram, error } = decode(words(...HEADER, 1, 2, 32, 9, 1, 1, 2002, 12, 2, 1, 77));
  assert.equal(error, undefined);
  const [sample] = datagram!.samples;
  assert.ok(sample?.type === "counters");
  assert.deepEqual(sample.records, [{ type: "parent", containerType: 2, containerIndex: 1 }]);
});

const HEADER = [5, 2, 0x20010db8, 0, 0, 1, 3, 100, 5000];

/** A datagram by hand: expanded flow with switch and gateway data, a discard with a function name, counters with a host. */
const EVERYTHING = words(
  ...HEADER,
  3,
  // flow, expanded: 1:2^24+1, several outputs
  ...tagged(3, [
    7,
    0,
    0x01000001,
    400,
    4000,
    3,
    0,
    0x01000001,
    2,
    5,
    3,
    ...tagged(1, [1, 64, 4, 5, 0x01020304, 0x05000000]),
    ...tagged(1001, [10, 1, 20, 2]),
    ...tagged(1003, [1, 0xc0000201, 65001, 65002, 65003, 1, 2, 2, 65004, 65005, 1, 99, 100]),
  ]),
  ...tagged(5, [1, 0, 3, 12, 3, 0, 265, 1, ...tagged(1038, [6, 0x66696c74, 0x65720000])]),
  ...tagged(2, [
    2,
    0x03000003,
    3,
    ...tagged(2000, [4, 0x77656231, 0, 1, 2, 3, 3, 2, 5, 0x362e312e, 0x30000000]),
    ...tagged(2001, [1, 3, 1, 0x52540012, 0x34560000]),
    ...tagged(1, [3, 6, 2, 0x540be400, 1, 3, 0, 1, 2, 3, 4, 5, 6, 7, 0, 8, 9, 10, 11, 12, 13, 1]),
  ]),
);

test("what the specification says, by hand", () => {
  const { datagram, error } = decode(EVERYTHING);
  assert.equal(error, undefined);
  const { samples, ...head } = datagram!;
  assert.deepEqual(head, { version: 5, agent: "2001:db8::1", subAgent: 3, sequence: 100, uptimeMs: 5000 });
  const [flow, discard, counters] = samples;
  assert.deepEqual(flow, {
    type: "flow",
    expanded: true,
    sequence: 7,
    source: { class: 0, index: 0x01000001 },
    rate: 400,
    pool: 4000,
    drops: 3,
    input: { kind: "port", ifIndex: 0x01000001 },
    output: { kind: "several", count: 5 },
    records: [
      { type: "rawHeader", protocol: 1, frameLength: 64, stripped: 4, header: Uint8Array.of(1, 2, 3, 4, 5) },
      { type: "switch", sourceVlan: 10, sourcePriority: 1, destinationVlan: 20, destinationPriority: 2 },
      {
        type: "gateway",
        nextHop: "192.0.2.1",
        as: 65001,
        sourceAs: 65002,
        sourcePeerAs: 65003,
        destinationAsPath: [{ isSequence: true, path: [65004, 65005] }],
        communities: [99],
        localPreference: 100,
      },
    ],
  });
  assert.deepEqual(discard, {
    type: "discard",
    sequence: 1,
    source: { class: 0, index: 3 },
    drops: 12,
    input: 3,
    output: 0,
    reason: 265,
    records: [{ type: "function", symbol: "filter" }],
  });
  assert.ok(counters?.type === "counters");
  assert.deepEqual(counters.source, { class: 3, index: 3 });
  const [host, adapters, generic] = counters.records;
  assert.deepEqual(host, {
    type: "host",
    hostname: "web1",
    uuid: "00000000-0000-0001-0000-000200000003",
    machine: 3,
    os: 2,
    osRelease: "6.1.0",
  });
  assert.deepEqual(adapters, { type: "adapters", adapters: [{ ifIndex: 3, macs: ["52:54:00:12:34:56"] }] });
  assert.ok(generic?.type === "interface");
  assert.equal(generic.ifSpeed, 10_000_000_000n);
  assert.equal(generic.ifInOctets, 1n);
  assert.equal(generic.ifPromiscuousMode, 1);
});

function tagged(tag: number, body: readonly number[]): number[] {
  return [tag, body.length * 4, ...body];
}

function words(...values: readonly number[]): Uint8Array {
  const bytes = new Uint8Array(values.length * 4);
  const view = new DataView(bytes.buffer);
  values.forEach((value, n) => view.setUint32(n * 4, value));
  return bytes;
}
