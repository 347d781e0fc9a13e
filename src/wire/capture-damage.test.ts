/** Capture files that are damaged, cut or something else. */
import { test } from "node:test";
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { readFileSync } from "node:fs";
import { content, dribble, fileContent, pcapFile, pcapngFile } from "../../test/helpers/capture-content.ts";
import type { Content } from "../../test/helpers/capture-content.ts";
import { captures } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { openCaptureFile } from "./capture-file.ts";
import { PCAP_HEADER_BYTES } from "./pcap.ts";

test("damaged captures: as many packets as capinfos finds, or an error where it has one", (t) => {
  const files = captures(t, "malformed");
  if (files === undefined || !needs(t, "capinfos")) return;
  let damaged = 0;
  for (const file of files) {
    const found = fileContent(file);
    const info = spawnSync("capinfos", ["-T", "-r", "-M", "-c", file], { encoding: "utf8" });
    const count = Number(info.stdout.trim().split("\t")[1]);
    if (found.error) damaged++;
    if (info.stderr.includes("unknown or unsupported"))
      assert.equal(found.error, undefined, "a link type it does not know");
    else if (info.status === 0 && !found.error) assert.equal(found.packets.length, count, file);
    else assert.ok(found.error && info.stderr !== "", `${file}: ${found.error?.message}; capinfos: ${info.stderr}`);
    assert.deepEqual(dribble(readFileSync(file)), found, file);
  }
  t.diagnostic(`${files.length} files, ${damaged} with an error`);
});

test("a file cut at any byte: everything before it, then the offset", () => {
  for (const file of [pcapFile(true), pcapngFile()]) {
    const whole = content(file);
    const ends = new Set<number>();
    for (let length = 1; length < file.length; length++) {
      const cut = content(file.subarray(0, length), { chunkBytes: 4096 });
      assert.deepEqual(cut.packets, whole.packets.slice(0, cut.packets.length));
      if (cut.error === undefined) ends.add(length);
      else {
        assert.match(cut.error.message, /ends inside|shorter than|not a pcap/);
        assert.ok(cut.error.offset <= length && cut.error.offset >= Math.max(0, ...ends), `${cut.error.offset}`);
      }
    }
    assert.equal(ends.size, file[0] === 0x0a ? 6 : 3, "only where a record ends");
  }
});

test("lengths that cannot be: everything before, then the offset", () => {
  const second = PCAP_HEADER_BYTES + 16 + 61;
  const pcap = pcapFile(true);
  new DataView(pcap.buffer).setUint32(second + 8, 300_000, true);
  const found = content(pcap);
  assert.equal(found.packets.length, 1);
  assert.deepEqual(found.error, {
    offset: second,
    message: "a packet of 300000 bytes, more than 262144: the file is damaged here",
  });

  const file = pcapngFile();
  const blocks: number[] = [];
  const view = new DataView(file.buffer, file.byteOffset, file.length);
  for (let at = 0; at < file.length; at += view.getUint32(at + 4, true)) blocks.push(at);
  const third = blocks[4]!;
  const broken = (change: (view: DataView) => void): Content => {
    const copy = Uint8Array.from(file);
    change(new DataView(copy.buffer));
    return content(copy);
  };
  for (const [change, message] of [
    [(v: DataView) => v.setUint32(third + 4, 0, true), /type 6 and 0 bytes/],
    [(v: DataView) => v.setUint32(third + 4, 33, true), /type 6 and 33 bytes/],
    [(v: DataView) => v.setUint32(third + 4, 0xfffffffc, true), /cannot be/],
    [(v: DataView) => v.setUint32(blocks[5]! - 4, 4, true), /two lengths/],
    [(v: DataView) => v.setUint32(third + 8, 9, true), /interface 9, which the section does not describe/],
    [(v: DataView) => v.setUint32(third + 20, 0xffffffff, true), /a packet of 4294967295 bytes in a block/],
  ] as const) {
    const { packets, error } = broken(change);
    assert.equal(packets.length, 1, String(message));
    assert.equal(error?.offset, third);
    assert.match(error.message, message);
  }
});

test("what is no pcap file is refused by name", () => {
  const refused = (bytes: number[] | string): string => {
    const { packets, error } = content(typeof bytes === "string" ? Buffer.from(bytes) : Uint8Array.from(bytes));
    assert.equal(packets.length, 0);
    assert.equal(error?.offset, 0);
    return error.message;
  };
  assert.match(refused([0x34, 0xcd, 0xb2, 0xa1]), /Kuznetzov.*editcap/);
  assert.match(refused([0xa1, 0xb2, 0xcd, 0x34]), /Kuznetzov/);
  assert.match(refused([0x1f, 0x8b, 8, 0]), /gzip/);
  assert.match(refused("snoop\0\0\0"), /snoop/);
  assert.match(refused("hello, world"), /not a pcap or pcapng file: it begins with 0x68656c6c/);
  assert.match(refused(""), /empty/);
  assert.match(refused([0xd4, 0xc3, 0xb2, 0xa1, 3, 0, 0, 0, ...Array(16).fill(0)]), /version 3\.0/);
  assert.throws(() => openCaptureFile("/nonexistent.pcap"), /ENOENT/);
});
