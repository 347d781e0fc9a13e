import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, truncateSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { after, test } from "node:test";
import { portConformance, virtualClock } from "../../../test/conformance/port.ts";
import { captures } from "../../../test/helpers/captures.ts";
import { needs } from "../../../test/helpers/needs.ts";
import { PCAP_RECORD_BYTES, pcapHeader, writePcapRecord } from "../../wire/pcap.ts";
import { createBatch, type Port } from "../port.ts";
import replay from "./index.ts";

const folder = mkdtempSync(join(tmpdir(), "weir-replay-"));
after(() => rmSync(folder, { recursive: true }));

/** A capture of frames of 60 bytes whose last byte numbers them, at these times in ms. */
function capture(name: string, timesMs: readonly number[], linktype = 1): string {
  const records = timesMs.map((ms, n) => {
    const record = new Uint8Array(PCAP_RECORD_BYTES + 60);
    writePcapRecord(record, 0, Math.floor(ms / 1000), (ms % 1000) * 1000, new Uint8Array(60).fill(n, 59), 0, 60, 64);
    return record;
  });
  writeFileSync(join(folder, name), Buffer.concat([pcapHeader({ linktype }), ...records]));
  return name;
}

function open(options: object, nowNs = 0): Port {
  const parsed = replay.schema.parse(options);
  return replay.open(parsed, { name: "river", bridge: "weir0", baseDir: folder, nowNs });
}

/** Numbers of the frames received at a time, and their stamps in ms. */
function receive(port: Port, nowMs: number, capacity = 8): { frames: number[]; atMs: number[] } {
  const batch = createBatch(capacity);
  const count = port.receive(batch, nowMs * 1e6);
  const each = Array.from({ length: count }, (_, n) => n);
  for (const n of each) assert.deepEqual([batch.captured[n], batch.length[n], batch.gsoSize[n]], [60, 64, 0]);
  return {
    frames: each.map((n) => batch.bytes[batch.offset[n]! + 59]!),
    atMs: each.map((n) => batch.timeNs[n]! / 1e6),
  };
}

test("realtime keeps the capture's pauses on the bridge's clock", () => {
  const port = open({ file: capture("pauses.pcap", [5000, 5010, 5010, 5500]) }, 1000e6);
  assert.deepEqual(receive(port, 1000), { frames: [0], atMs: [1000] });
  assert.equal(port.nextReceiveNs!(1000e6), 1010e6);
  assert.deepEqual(receive(port, 1009).frames, []);
  assert.deepEqual(receive(port, 1012), { frames: [1, 2], atMs: [1010, 1010] });
  assert.deepEqual(receive(port, 1500), { frames: [3], atMs: [1500] });
  assert.equal(port.ended, false);
  assert.deepEqual(receive(port, 1500).frames, []);
  assert.equal(port.ended, true);
  assert.match(port.status().message!, /^all 4 frames of .*pauses.pcap were received$/);
  assert.equal(port.nextReceiveNs!(1500e6), Infinity);
  port.close();
});

test("a factor stretches the pauses, max ignores them", () => {
  const file = capture("fast.pcap", [0, 100, 300]);
  const twice = open({ file, speed: 2 });
  assert.deepEqual(receive(twice, 149), { frames: [0, 1], atMs: [0, 50] });
  assert.deepEqual(receive(twice, 150), { frames: [2], atMs: [150] });
  const max = open({ file, speed: "max" });
  // Stamp 0 means now.
  assert.deepEqual(receive(max, 7, 2), { frames: [0, 1], atMs: [0, 0] });
  assert.deepEqual(receive(max, 7, 2).frames, [2]);
});

test("a clock that steps back, or by more than a day, costs no time", () => {
  const port = open({ file: capture("steps.pcap", [9000, 9100, 4000, 4050, 500_000_000, 500_000_010]) });
  assert.deepEqual(receive(port, 160), { frames: [0, 1, 2, 3, 4, 5], atMs: [0, 100, 100, 150, 150, 160] });
});

test("a port that nobody asked goes on where it was, without a burst", () => {
  const port = open({ file: capture("late.pcap", [0, 10, 5000]) });
  assert.deepEqual(receive(port, 60_000), { frames: [0], atMs: [60_000] });
  assert.deepEqual(receive(port, 60_010), { frames: [1], atMs: [60_010] });
  assert.equal(port.nextReceiveNs!(0), 65_000e6);
});

test("loop begins again one gap after the last frame", () => {
  const port = open({ file: capture("loop.pcap", [0, 100, 150]), loop: true });
  assert.deepEqual(receive(port, 150).frames, [0, 1, 2]);
  assert.deepEqual(receive(port, 199).frames, []);
  assert.deepEqual(receive(port, 300), { frames: [0, 1], atMs: [200, 300] });
  assert.equal(port.ended, false);
  const empty = open({ file: capture("empty.pcap", []), loop: true });
  assert.deepEqual(receive(empty, 1).frames, []);
  assert.equal(empty.ended, true);
});

test("a cut file delivers all before the cut, then names the offset", () => {
  const file = capture("cut.pcap", [0, 0, 0]);
  truncateSync(join(folder, file), 24 + 2 * (16 + 60) + 16 + 20);
  const port = open({ file, loop: true });
  assert.deepEqual(receive(port, 0).frames, [0, 1]);
  assert.deepEqual(receive(port, 0).frames, []);
  assert.equal(port.status().state, "failed");
  assert.match(port.status().message!, /cut\.pcap, byte 176: .*20 of 60 bytes are there/);
  assert.equal(port.ended, true);
});

test("what is no capture, or not of Ethernet, is refused with its name", () => {
  assert.throws(() => open({ file: "absent.pcap" }), /absent\.pcap: no such file; "file" is a pcap or pcapng file/);
  writeFileSync(join(folder, "text.pcap"), "hello, this is text");
  assert.throws(() => open({ file: "text.pcap" }), /text\.pcap, byte 0: not a pcap or pcapng file/);
  const wifi = capture("wifi.pcap", [0], 105);
  assert.throws(() => open({ file: wifi }), /link type .*802_?11.* not supported/i);
  assert.equal(replay.schema.safeParse({ file: "x", speed: "warp" }).success, false);
  assert.equal(replay.schema.safeParse({ file: "x", speed: 0 }).success, false);
});

test("a looped file that goes away fails the port, not the datapath", () => {
  const file = capture("gone.pcap", [0]);
  const port = open({ file, loop: true, speed: "max" });
  assert.deepEqual(receive(port, 0).frames, [0]);
  rmSync(join(folder, file));
  assert.deepEqual(receive(port, 0).frames, []);
  assert.match(port.status().message!, /no such file/);
});

test("every frame of every Ethernet capture comes, as many bytes as capinfos counts", (t) => {
  const files = captures(t, "apps");
  if (!files || !needs(t, "capinfos")) return;
  const batch = createBatch(64);
  for (const file of files.slice(0, 40)) {
    const port = open({ file, speed: "max" });
    let [frames, bytes] = [0, 0];
    while (!port.ended) {
      const count = port.receive(batch, 0);
      frames += count;
      for (let n = 0; n < count; n++) bytes += batch.length[n]!;
    }
    port.close();
    if (port.status().state === "failed") continue;
    const said = spawnSync("capinfos", ["-rTcdM", file], { encoding: "utf8" }).stdout.trim().split("\t");
    assert.deepEqual([String(frames), String(bytes)], said.slice(1, 3), file);
  }
});

portConformance("replay", () => {
  const clock = virtualClock();
  const port = open(
    {
      file: capture(
        "conformance.pcap",
        Array.from({ length: 20 }, (_, n) => n * 30),
      ),
    },
    clock.now(),
  );
  return { port, clock, expected: Array.from({ length: 20 }, (_, n) => new Uint8Array(60).fill(n, 59)) };
});
