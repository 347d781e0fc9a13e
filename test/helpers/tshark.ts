/** tshark as an oracle: fields of every frame of a capture file, or of frames made by a test. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { PCAP_HEADER_BYTES, PCAP_RECORD_BYTES, pcapHeader, writePcapRecord } from "../../src/wire/pcap.ts";

/** Each frame judged alone (nothing is put together from several), names are not resolved. */
const ALONE = ["ip.defragment:FALSE", "ipv6.defragment:FALSE", "tcp.desegment_tcp_streams:FALSE"];

/**
 * First occurrence of each field, "" where a frame has none. `preferences` are `name:value`; `filter`: only of frames that
 * this display filter takes.
 */
export function tsharkFields(
  path: string,
  fields: readonly string[],
  preferences: readonly string[] = [],
  filter = "",
): string[][] {
  const options = [...ALONE, ...preferences].flatMap((preference) => ["-o", preference]);
  const names = fields.flatMap((name) => ["-e", name]);
  const chosen = filter === "" ? [] : ["-Y", filter];
  const done = spawnSync(
    "tshark",
    ["-r", path, "-n", ...options, ...chosen, "-T", "fields", "-E", "occurrence=f", ...names],
    {
      encoding: "utf8",
      maxBuffer: 1 << 28,
    },
  );
  assert.equal(done.status, 0, done.stderr);
  if (done.stdout === "") return [];
  return done.stdout
    .replace(/\n$/, "")
    .split("\n")
    .map((line) => line.split("\t"));
}

/** The same of Ethernet frames. */
export function tsharkFrames(
  frames: readonly Uint8Array[],
  fields: readonly string[],
  preferences?: readonly string[],
) {
  const bytes = frames.reduce((sum, frame) => sum + PCAP_RECORD_BYTES + frame.length, PCAP_HEADER_BYTES);
  const file = new Uint8Array(bytes);
  file.set(pcapHeader());
  let at = PCAP_HEADER_BYTES;
  for (const frame of frames) at = writePcapRecord(file, at, 1, 0, frame, 0, frame.length, frame.length);
  return withFolder((folder) => {
    const path = join(folder, "frames.pcap");
    writeFileSync(path, file);
    return tsharkFields(path, fields, preferences);
  });
}

/** A folder of its own for `use`, removed whatever happens. */
export function withFolder<T>(use: (folder: string) => T): T {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  try {
    return use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}

export async function withFolderAsync<T>(use: (folder: string) => Promise<T>): Promise<T> {
  const folder = mkdtempSync(join(tmpdir(), "weir-test-"));
  try {
    return await use(folder);
  } finally {
    rmSync(folder, { recursive: true });
  }
}
