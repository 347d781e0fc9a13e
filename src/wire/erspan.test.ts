/** ERSPAN headers: those of real switches written again from what tshark reads in them, and ours read by tshark. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { basename } from "node:path";
import { captures } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { random as randomBits } from "../../test/helpers/random.ts";
import { tsharkFields, tsharkFrames } from "../../test/helpers/tshark.ts";
import { buildFrame } from "./builder.ts";
import { createCaptureBatch, openCaptureFile } from "./capture-file.ts";
import { ETH_HEADER_BYTES } from "./ethernet.ts";
import * as erspan from "./erspan.ts";

const IP_BYTES = 20;
const GRE = ETH_HEADER_BYTES + IP_BYTES;

const FIELDS = [
  "erspan.version",
  "erspan.vlan",
  "erspan.cos",
  "erspan.encap",
  "erspan.truncated",
  "erspan.spanid",
  "erspan.index",
  "erspan.timestamp",
  "erspan.direction",
  "erspan.hw",
  "erspan.gra",
  "gre.sequence_number",
  "gre.proto",
  "frame.protocols",
];

function framesOf(path: string): Uint8Array[] {
  const reader = openCaptureFile(path);
  const batch = createCaptureBatch(64);
  const frames: Uint8Array[] = [];
  for (let count = reader.read(batch); count > 0; count = reader.read(batch))
    for (let n = 0; n < count; n++)
      frames.push(batch.bytes.slice(batch.offset[n], batch.offset[n]! + batch.captured[n]!));
  reader.close();
  return frames;
}

/** Numbers in the order of FIELDS; NaN where a frame does not say one. Flags are tshark's words or numbers. */
function numbers(row: readonly string[]): number[] {
  return row.map((text) => (text === "True" ? 1 : text === "False" ? 0 : text === "" ? NaN : Number(text)));
}

/** Write the header of one captured frame again. */
function again(row: readonly string[], version: "I" | "II" | "III", buf: Uint8Array): number {
  const [, vlan, cos, encap, truncated, session, index, timestamp, direction, hardware, granularity, sequence] =
    numbers(row);
  const tci = (cos! << 13) | vlan!;
  if (version === "I") return erspan.writeErspanI(buf, 0);
  const order = Number.isNaN(sequence) ? 0 : sequence!;
  if (version === "II") return erspan.writeErspanII(buf, 0, order, session!, tci, encap!, truncated === 1, index!);
  return erspan.writeErspanIII(
    buf,
    0,
    order,
    session!,
    tci,
    truncated === 1,
    timestamp!,
    hardware!,
    direction!,
    granularity!,
  );
}

test("headers of captured sessions, written again, are the same bytes", (t) => {
  const paths = captures(t, "protocols");
  if (paths === undefined || !needs(t, "tshark")) return;
  const seen = new Set<string>();
  for (const path of paths.filter((one) => basename(one).startsWith("erspan"))) {
    const rows = tsharkFields(path, FIELDS);
    for (const [n, frame] of framesOf(path).entries()) {
      const row = rows[n]!;
      if (!row.at(-1)!.includes("gre:erspan")) continue;
      const type = row[0] === "2" ? "III" : row[0] === "1" ? "II" : "I";
      const buf = new Uint8Array(64);
      const bytes = again(row, type, buf);
      const theirs = frame.slice(GRE, GRE + bytes);
      // What we never say: integrity and frame type of type III; and no sequence number is not ours.
      if (type === "III") {
        const hasSequence = row[11] !== "";
        const header = hasSequence ? erspan.GRE_BYTES + erspan.GRE_SEQUENCE_BYTES : erspan.GRE_BYTES;
        const ours = buf.slice(erspan.GRE_BYTES + erspan.GRE_SEQUENCE_BYTES, bytes);
        const captured = frame.slice(GRE + header, GRE + header + erspan.ERSPAN_III_BYTES);
        captured[erspan.ERSPAN_FLAGS_SESSION]! &= ~0x18;
        captured[erspan.ERSPAN_III_FLAGS]! &= 0x83;
        assert.deepEqual(ours, captured, `${basename(path)} frame ${n + 1}`);
        if (hasSequence) assert.deepEqual(buf.slice(0, header), frame.slice(GRE, GRE + header));
      } else assert.deepEqual(buf.slice(0, bytes), theirs, `${basename(path)} frame ${n + 1}`);
      seen.add(type);
    }
  }
  assert.deepEqual([...seen].toSorted(), ["I", "II", "III"]);
});

test("tshark reads from our headers what was written, and the frame inside byte for byte", (t) => {
  if (!needs(t, "tshark")) return;
  const bits = randomBits(7);
  const random = (below: number): number => bits() % below;
  const inner = buildFrame({
    vlans: [{ vid: 100, pcp: 5 }],
    ip: { src: "10.1.0.5", dst: "10.1.0.9" },
    udp: { src: 1, dst: 53 },
  });
  const made = (["I", "II", "III"] as const).flatMap((type) =>
    Array.from({ length: 40 }, () => {
      const tci = (random(8) << 13) | random(4096);
      const [session, truncated] = [random(1024), random(2) === 1];
      const [sequence, timestamp] = [random(2 ** 32), random(2 ** 32)];
      const [index, encap, hardware, direction] = [random(2 ** 20), random(4), random(64), random(2)];
      const buf = new Uint8Array(erspan.erspanBytes(type) + inner.length);
      let at: number;
      if (type === "I") at = erspan.writeErspanI(buf, 0);
      else if (type === "II") at = erspan.writeErspanII(buf, 0, sequence, session, tci, encap, truncated, index);
      else at = erspan.writeErspanIII(buf, 0, sequence, session, tci, truncated, timestamp, hardware, direction, 0);
      assert.equal(at, erspan.erspanBytes(type));
      buf.set(inner, at);
      const frame = buildFrame({ ip: { src: "192.0.2.1", dst: "192.0.2.9", proto: erspan.PROTO_GRE }, payload: buf });
      const common = [tci & 0xfff, tci >>> 13];
      const rest = [Number(truncated), session];
      const says =
        type === "I"
          ? []
          : type === "II"
            ? [1, ...common, encap, ...rest, index, NaN, NaN, NaN, NaN, sequence]
            : [2, ...common, NaN, ...rest, NaN, timestamp, direction, hardware, 0, sequence];
      return { type, frame, says };
    }),
  );
  const rows = tsharkFrames(
    made.map(({ frame }) => frame),
    [...FIELDS, "_ws.malformed", "eth.src"],
  );
  for (const [n, { type, frame, says }] of made.entries()) {
    const row = rows[n]!;
    if (type !== "I") assert.deepEqual(numbers(row.slice(0, 12)), says, `frame ${n + 1}`);
    assert.equal(Number(row[12]), type === "III" ? 0x22eb : 0x88be);
    assert.equal(row[13], "eth:ethertype:ip:gre:erspan:eth:ethertype:vlan:ethertype:ip:udp");
    assert.deepEqual(frame.slice(GRE + erspan.erspanBytes(type)), inner);
  }
});
