import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync, writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { content, fileContent, frame, pcapFile, pcapngFile, readAll } from "../../test/helpers/capture-content.ts";
import type { Content } from "../../test/helpers/capture-content.ts";
import { captures } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { tsharkFields, withFolder } from "../../test/helpers/tshark.ts";
import { memorySource, readCapture } from "./capture-file.ts";
import { PCAP_HEADER_BYTES } from "./pcap.ts";
import * as ng from "./pcapng-write.ts";

function run(tool: string, ...args: string[]): string {
  const done = spawnSync(tool, args, { encoding: "utf8" });
  assert.equal(done.status, 0, done.stderr);
  return done.stdout;
}

test("what editcap makes of a capture reads as the capture", (t) => {
  const files = captures(t, "apps");
  if (files === undefined || !needs(t, "editcap")) return;
  withFolder((folder) => {
    for (const file of files.filter((_, n) => n % 9 === 0)) {
      const original = fileContent(file);
      assert.equal(original.error, undefined, file);
      for (const format of ["pcap", "nsecpcap", "pcapng"]) {
        const path = join(folder, format);
        run("editcap", "-F", format, file, path);
        const found = fileContent(path);
        assert.equal(found.error, undefined, path);
        const places = format === "pcap" ? -3 : undefined;
        const plain = ({ packets }: Content): unknown[] =>
          packets.map((packet) => ({ ...packet, interface: 0, time: packet.time.slice(0, places) }));
        assert.deepEqual(plain(found), plain(original), `${basename(file)} as ${format}`);
        const bytes = readFileSync(path);
        assert.deepEqual(content(bytes, { chunkBytes: 4096, anyLinktype: true }), found, "in small chunks");
      }
    }
  });
});

test("pcap files that we write, in both byte orders", (t) => {
  for (const nanoseconds of [false, true]) {
    const file = pcapFile(nanoseconds);
    const found = content(file);
    assert.equal(found.error, undefined);
    const fraction = nanoseconds ? "000999999" : "999999000";
    assert.deepEqual(
      found.packets.map(({ time, captured, length }) => [time, captured, length]),
      [0, 1, 2].map((n) => [`${4_000_000_000 + n}.${fraction}`, 61, 1500]),
    );
    const swapped = file.slice();
    const swap = (at: number, bytes: number): void => {
      const field = Buffer.from(swapped.buffer, at, bytes);
      if (bytes === 2) field.swap16();
      else field.swap32();
    };
    for (const [at, bytes] of [
      [0, 4],
      [4, 2],
      [6, 2],
      [16, 4],
      [20, 4],
    ] as const)
      swap(at, bytes);
    for (let at = PCAP_HEADER_BYTES; at < file.length; at += 16 + 61) [0, 4, 8, 12].forEach((n) => swap(at + n, 4));
    assert.deepEqual(content(swapped), found);
    if (!needs(t, "tshark")) return;
    const rows = withFolder((folder) => {
      writeFileSync(join(folder, "x"), swapped);
      return tsharkFields(join(folder, "x"), ["frame.time_epoch", "frame.cap_len", "frame.len"]);
    });
    assert.deepEqual(
      rows,
      found.packets.map(({ time, captured, length }) => [time, String(captured), String(length)]),
    );
  }
});

test("pcapng files that we write, as tshark and capinfos read them", (t) => {
  const file = pcapngFile();
  const reader = readCapture(memorySource(file));
  const found = readAll(reader);
  assert.equal(found.error, undefined);
  assert.deepEqual(
    found.packets.map(({ time, captured, length, interface: index }) => [time, captured, length, index]),
    [
      ["1700000000.123456789", 61, 1500, 0],
      ["4294967296.999999999", 60, 60, 1],
      ["0.000000001", 4, 4, 1],
    ],
  );
  assert.deepEqual(
    reader.interfaces.map(({ name, snaplen, linktype }) => [name, snaplen, linktype]),
    [
      ["web1", 128, 1],
      ["uplink", 0, 1],
    ],
  );
  if (!needs(t, "tshark", "capinfos")) return;
  withFolder((folder) => {
    const path = join(folder, "x.pcapng");
    writeFileSync(path, file);
    const names = [
      "frame.time_epoch",
      "frame.cap_len",
      "frame.len",
      "frame.interface_name",
      "frame.packet_flags_direction",
      "frame.comment",
    ];
    assert.deepEqual(tsharkFields(path, names), [
      ["1700000000.123456789", "61", "1500", "web1", "0x00000001", ""],
      ["4294967296.999999999", "60", "60", "uplink", "0x00000002", "dropped: policer ☂"],
      ["0.000000001", "4", "4", "uplink", "", ""],
    ]);
    const info = run("capinfos", path);
    for (const line of [
      /Number of packets: +3\n/,
      /Description = a port/,
      /Speed = 10000000000/,
      /Capture application: +weir/,
    ])
      assert.match(info, line);
  });
});

test("another link type is refused by name, at the first packet that has it", () => {
  const linux = pcapFile(false);
  linux[20] = 113;
  const found = content(linux);
  assert.equal(found.packets.length, 0);
  assert.match(
    found.error!.message,
    /^packets of link type LINUX_SLL \(113\) are not supported, only of ETHERNET \(1\)$/,
  );
  assert.equal(content(linux, { anyLinktype: true }).packets.length, 3);

  const packets = new Uint8Array(500);
  let at = 0;
  for (const index of [0, 0, 1, 0]) at = ng.writeEnhancedPacket(packets, at, index, 1, 0, frame, 0, 61, 61);
  const interfaces = [ng.interfaceDescription(), ng.interfaceDescription({ linktype: 228 })];
  const mixed = content(Buffer.concat([ng.sectionHeader(), ...interfaces, packets.subarray(0, at)]));
  assert.equal(mixed.packets.length, 2, "Ethernet before it is delivered");
  assert.match(mixed.error!.message, /IPV4 \(228\)/);
  const unused = Buffer.concat([ng.sectionHeader(), ...interfaces, packets.subarray(0, 2 * 96)]);
  assert.equal(content(unused).error, undefined, "an interface without packets harms nobody");
});

/** A block in either byte order. */
function block(little: boolean, type: number, ...body: (number | Uint8Array)[]): Uint8Array {
  const bytes = Buffer.concat(
    body.map((part) => {
      if (typeof part !== "number") return Buffer.concat([part, Buffer.alloc(-part.length & 3)]);
      const word = Buffer.alloc(4);
      if (little) word.writeUInt32LE(part >>> 0);
      else word.writeUInt32BE(part >>> 0);
      return word;
    }),
  );
  const out = Buffer.alloc(bytes.length + 12);
  for (const [at, value] of [
    [0, type],
    [4, out.length],
    [out.length - 4, out.length],
  ] as const) {
    if (little) out.writeUInt32LE(value, at);
    else out.writeUInt32BE(value, at);
  }
  bytes.copy(out, 8);
  return out;
}

test("sections, byte orders, resolutions, offsets, old and simple packet blocks, unknown blocks", (t) => {
  const section = (little: boolean): Uint8Array =>
    block(little, 0x0a0d0d0a, 0x1a2b3c4d, little ? 1 : 1 << 16, 0xffffffff, 0xffffffff);
  const half = (little: boolean, first: number, second: number): number =>
    little ? first | (second << 16) : (first << 16) | second;
  const parts = [true, false].flatMap((little) => {
    const described = (...options: (number | Uint8Array)[]): Uint8Array =>
      block(little, 1, half(little, 1, 0), 40, ...options);
    const resolution = (value: number): (number | Uint8Array)[] => [half(little, 9, 1), Uint8Array.of(value), 0];
    const packet = (index: number, high: number, low: number): Uint8Array =>
      block(little, 6, index, high, low, frame.length, 100, frame);
    const offset = little ? [0xffffff9c, 0xffffffff] : [0xffffffff, 0xffffff9c];
    return [
      section(little),
      block(little, 0x0bad, new Uint8Array(100_000)),
      described(),
      described(...resolution(9)),
      described(...resolution(0x80 | 10)),
      described(half(little, 14, 8), ...offset),
      described(...resolution(12)),
      described(...resolution(0)),
      block(little, 3, 50, frame.subarray(0, 40)),
      packet(0, 0x5b0d0, 0x12345678),
      packet(1, 0x17979cfe, 0x362a0015),
      packet(2, 1, 0x00000201),
      block(little, 2, half(little, 3, 0), 0, 5_000_001, frame.length, 100, frame),
      packet(4, 0xffffffff, 0xffffffff),
      packet(5, 0, 77),
      block(little, 5, 0, 0, 0),
      block(little, 3, 50, frame.subarray(0, 40)),
    ];
  });
  const file = Buffer.concat(parts);
  const reader = readCapture(memorySource(file), { chunkBytes: 4096 });
  const { packets, error } = readAll(reader);
  assert.equal(error, undefined);
  assert.equal(reader.interfaces.length, 12);
  assert.deepEqual(
    packets.slice(9).map((packet) => ({ ...packet, interface: packet.interface - 6 })),
    packets.slice(1, 8),
  );
  assert.deepEqual(
    packets.slice(0, 8).map(({ time, captured, length, interface: index }) => [time, captured, length, index]),
    [
      // A simple packet takes the time of the one before it.
      ["0.000000000", 40, 50, 0],
      ["1601782588.659320000", 61, 100, 0],
      ["1700000000.000000021", 61, 100, 1],
      ["4194304.500976562", 61, 100, 2],
      ["-95.000001000", 61, 100, 3],
      ["18446744.073709551", 61, 100, 4],
      ["77.000000000", 61, 100, 5],
      ["77.000000000", 40, 50, 0],
    ],
  );
  if (!needs(t, "tshark")) return;
  withFolder((folder) => {
    const path = join(folder, "x.pcapng");
    writeFileSync(path, file);
    // It shows the unknown blocks as well.
    const rows = tsharkFields(path, ["frame.time_epoch", "frame.cap_len", "frame.len"]).filter(
      ([, n]) => Number(n) <= 61,
    );
    assert.equal(rows.length, packets.length);
    for (const [n, row] of rows.entries()) {
      assert.deepEqual(row.slice(1).map(Number), [packets[n]!.captured, packets[n]!.length], `packet ${n}`);
      // Simple packets have no time for it, below 1970 it writes signs its own way, and picoseconds overflow in 4.0.
      const { captured, time, interface: index } = packets[n]!;
      if (captured === 61 && index % 6 !== 3 && index % 6 !== 4) assert.equal(row[0], time, `packet ${n}`);
    }
  });
});

test("an FCS that the file declares is not part of the packet", () => {
  const file = pcapFile(false);
  new DataView(file.buffer).setUint32(20, (2 << 28) | 0x04000001, true);
  new DataView(file.buffer).setUint32(PCAP_HEADER_BYTES + 12, 61, true);
  const { packets } = content(file);
  assert.deepEqual(
    packets.map(({ captured, length }) => [captured, length]),
    [
      [57, 57],
      [61, 1496],
      [61, 1496],
    ],
  );
});
