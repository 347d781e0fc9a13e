/** One big capture out of many small ones: all of them in a row, again and again, each time later. */
import { closeSync, openSync, writeSync } from "node:fs";
import { readdirSync } from "node:fs";
import { join } from "node:path";
import { writeLe32 } from "../../src/wire/bytes.ts";
import { createCaptureBatch, openCaptureFile } from "../../src/wire/capture-file.ts";
import { PCAP_RECORD_BYTES, pcapHeader, writePcapRecord } from "../../src/wire/pcap.ts";

/** Seconds. Longer pauses are cut to this, steps back to none: a busy link's trace, some thousand packets a second. */
const MAX_GAP = 0.001;
const START = 1_700_000_000;

export interface BigCapture {
  readonly path: string;
  readonly packets: number;
  readonly bytes: number;
  /** How often the small ones stand in it. */
  readonly repeats: number;
}

/** All Ethernet packets below `folder` as records of a pcap file, from time 0 on, and how many seconds they last. */
function once(folder: string): { records: Uint8Array; at: number[]; times: number[]; seconds: number } {
  const parts: Uint8Array[] = [];
  const at: number[] = [];
  const times: number[] = [];
  const batch = createCaptureBatch(256);
  let [bytes, now] = [0, 0];
  for (const name of readdirSync(folder).toSorted()) {
    if (!/\.(pcap|pcapng|cap)$/.test(name)) continue;
    const reader = openCaptureFile(join(folder, name));
    let before = NaN;
    for (let count = reader.read(batch); count > 0; count = reader.read(batch)) {
      for (let n = 0; n < count; n++) {
        const time = batch.seconds[n]! + batch.nanoseconds[n]! / 1e9;
        if (time > before) now += Math.min(time - before, MAX_GAP);
        before = time;
        const captured = batch.captured[n]!;
        const record = new Uint8Array(PCAP_RECORD_BYTES + captured);
        const micro = Math.floor((now % 1) * 1e6);
        writePcapRecord(record, 0, Math.floor(now), micro, batch.bytes, batch.offset[n]!, captured, batch.length[n]!);
        parts.push(record);
        at.push(bytes);
        times.push(Math.floor(now));
        bytes += record.length;
      }
    }
    reader.close();
  }
  return { records: Buffer.concat(parts), at, times, seconds: Math.ceil(now) + 1 };
}

/** Write at least `packets` packets to `path`. */
export function writeBigCapture(folder: string, path: string, packets: number): BigCapture {
  const { records, at, times, seconds } = once(folder);
  const repeats = Math.ceil(packets / at.length);
  const fd = openSync(path, "w");
  writeSync(fd, pcapHeader());
  for (let repeat = 0; repeat < repeats; repeat++) {
    for (const [n, start] of at.entries()) writeLe32(records, start, START + repeat * seconds + times[n]!);
    for (let done = 0; done < records.length;) done += writeSync(fd, records, done);
  }
  closeSync(fd);
  return { path, packets: repeats * at.length, bytes: repeats * records.length, repeats };
}
