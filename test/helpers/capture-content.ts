/** What a capture file holds, as plain values; and small capture files to read. */
import assert from "node:assert/strict";
import { createCaptureBatch, memorySource, openCaptureFile, readCapture } from "../../src/wire/capture-file.ts";
import type { CaptureError, CaptureOptions, CaptureReader } from "../../src/wire/capture-file.ts";
import { PCAP_HEADER_BYTES, pcapHeader, writePcapRecord } from "../../src/wire/pcap.ts";
import * as ng from "../../src/wire/pcapng-write.ts";

export interface Packet {
  time: string;
  captured: number;
  length: number;
  interface: number;
  bytes: string;
}

export interface Content {
  packets: Packet[];
  error: CaptureError | undefined;
}

export function readAll(reader: CaptureReader, batchSize = 7): Content {
  const batch = createCaptureBatch(batchSize);
  const packets: Packet[] = [];
  for (let count; (count = reader.read(batch)) > 0;) {
    for (let n = 0; n < count; n++) {
      const offset = batch.offset[n]!;
      packets.push({
        time: `${batch.seconds[n]}.${String(batch.nanoseconds[n]).padStart(9, "0")}`,
        captured: batch.captured[n]!,
        length: batch.length[n]!,
        interface: batch.interface[n]!,
        bytes: Buffer.from(batch.bytes.subarray(offset, offset + batch.captured[n]!)).toString("hex"),
      });
    }
  }
  assert.equal(reader.read(batch), 0, "the end stays the end");
  reader.close();
  return { packets, error: reader.error };
}

export const content = (bytes: Uint8Array, options?: CaptureOptions): Content =>
  readAll(readCapture(memorySource(bytes), options));
export const fileContent = (path: string): Content => readAll(openCaptureFile(path, { anyLinktype: true }));

/** A source that gives one to three bytes at a time, as a slow pipe may. */
export function dribble(bytes: Uint8Array): Content {
  let from = 0;
  const read = (into: Uint8Array, at: number, length: number): number => {
    const part = bytes.subarray(from, from + Math.min(length, 1 + (from % 3)));
    into.set(part, at);
    from += part.length;
    return part.length;
  };
  return readAll(readCapture({ read, close: () => {} }, { anyLinktype: true }), 64);
}

export const frame = Uint8Array.from({ length: 61 }, (_, n) => n);

export function pcapFile(nanoseconds: boolean, count = 3): Uint8Array {
  const file = new Uint8Array(PCAP_HEADER_BYTES + count * (16 + frame.length));
  file.set(pcapHeader({ nanoseconds }));
  let at = PCAP_HEADER_BYTES;
  for (let n = 0; n < count; n++) at = writePcapRecord(file, at, 4_000_000_000 + n, 999_999, frame, 0, 61, 1500);
  assert.equal(at, file.length);
  return file;
}

export function pcapngFile(): Uint8Array {
  const packets = new Uint8Array(1000);
  let at = ng.writeEnhancedPacket(packets, 0, 0, 1_700_000_000, 123_456_789, frame, 0, 61, 1500, ng.EPB_INBOUND);
  const comment = new TextEncoder().encode("dropped: policer ☂");
  assert.equal(at, ng.enhancedPacketBytes(61, ng.EPB_INBOUND));
  at = ng.writeEnhancedPacket(packets, at, 1, 4_294_967_296, 999_999_999, frame, 1, 60, 60, ng.EPB_OUTBOUND, comment);
  at = ng.writeEnhancedPacket(packets, at, 1, 0, 1, frame, 0, 4, 4);
  return Buffer.concat([
    ng.sectionHeader({ application: "weir", os: "Linux", comment: "a test" }),
    ng.interfaceDescription({ name: "web1", description: "a port", snaplen: 128, speed: 10_000_000_000 }),
    ng.interfaceDescription({ name: "uplink" }),
    packets.subarray(0, at),
    ng.interfaceStatistics({
      interface: 1,
      seconds: 1_700_000_001,
      nanoseconds: 5,
      start: { seconds: 1_700_000_000, nanoseconds: 0 },
      received: 2 ** 33 + 1,
      dropped: 7,
    }),
  ]);
}
