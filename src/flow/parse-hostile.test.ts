/** Changed and cut frames: parseKey finds the IPv4 packets, octets and ports that tshark finds, in sound headers. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { captures } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { random } from "../../test/helpers/random.ts";
import { tsharkFrames } from "../../test/helpers/tshark.ts";
import { createCaptureBatch, openCaptureFile } from "../wire/capture-file.ts";
import { describeKey } from "./describe.ts";
import { KEY_IPV4, KEY_WORDS } from "./key.ts";
import { FACT_L3_BYTES, FACT_WORDS, parseKey } from "./parse.ts";

/** Bytes that decide how the next header is read. */
const EVIL = [0, 1, 4, 5, 6, 0x45, 0x46, 0x4f, 0x60, 0x80, 0x81, 0xff];

function hostileFrames(files: readonly string[], next: () => number): Uint8Array[] {
  const batch = createCaptureBatch(40);
  return files.flatMap((file) => {
    const reader = openCaptureFile(file);
    const count = reader.read(batch);
    const frames: Uint8Array[] = [];
    for (let n = 0; n < count; n++) {
      // tshark counts only what is in the file, so frames that a snap length cut prove nothing here.
      if (batch.captured[n] !== batch.length[n] || batch.length[n]! > 3000) continue;
      const at = batch.offset[n]!;
      const frame = batch.bytes.slice(at, at + batch.captured[n]!);
      for (let change = 0; change < 2; change++) {
        const where = 12 + (next() % 44);
        if (where < frame.length) frame[where] = next() & 1 ? next() : EVIL[next() % EVIL.length]!;
      }
      frames.push(next() & 3 ? frame : frame.slice(0, 14 + (next() % 60)));
    }
    reader.close();
    return frames;
  });
}

test("hostile frames as tshark sees them", (t) => {
  const files = [captures(t, "apps"), captures(t, "protocols")];
  if (files[0] === undefined || files[1] === undefined || !needs(t, "tshark")) return;
  const frames = hostileFrames(files.flat() as string[], random(0x5eed));
  const fields = ["frame.protocols", "ip.len", "ip.hdr_len", "tcp.srcport", "udp.srcport", "_ws.malformed"];
  const rows = tsharkFrames(frames, fields);
  assert.equal(rows.length, frames.length);
  const key = new Uint32Array(KEY_WORDS);
  const facts = new Int32Array(FACT_WORDS);
  let ipv4 = 0;
  let faults = 0;
  for (const [n, [protocols, total, header, tcpPort, udpPort, malformed]] of rows.entries()) {
    const frame = frames[n]!;
    const where = `${Buffer.from(frame.subarray(0, 80)).toString("hex")}: ${rows[n]!.join(" ")}`;
    parseKey(frame, 0, frame.length, frame.length, 1, key, facts);
    const ours = describeKey(key);
    const sound = (key[0]! & KEY_IPV4) !== 0;
    const theirs = total !== "" && /^eth:(ethertype:|vlan:|ieee8021ad:)*ip(:|$)/.test(protocols!);
    if (ours.malformed) faults++;
    if (theirs && !sound) {
      // It shows what is there of a header that is not whole, and a total length below the header's own.
      assert.equal(ours.malformed, "ipv4", where);
      assert.ok(malformed!.includes("IPv4") || Number(total) < Number(header), where);
      continue;
    }
    assert.equal(sound, theirs, where);
    if (!sound) continue;
    ipv4++;
    if (total !== "0") assert.equal(facts[FACT_L3_BYTES], Number(total), where);
    if (ours.srcPort !== undefined && ours.proto === 6) assert.equal(ours.srcPort, Number(tcpPort), where);
    if (ours.srcPort !== undefined && ours.proto === 17) assert.equal(ours.srcPort, Number(udpPort), where);
  }
  t.diagnostic(`${frames.length} frames, ${ipv4} with a sound IPv4 header, ${faults} with a fault`);
  assert.ok(ipv4 > 1000 && faults > 100);
});
