/** Datagrams as a capture file, for tshark: Ethernet, IPv4, UDP to one port of the loopback address, checksums 0. */
import { PCAP_HEADER_BYTES, PCAP_RECORD_BYTES, pcapHeader, writePcapRecord } from "../../src/wire/pcap.ts";

const HEADERS_BYTES = 42;

export function udpCapture(payloads: readonly Uint8Array[], port: number): Uint8Array {
  const bytes = payloads.reduce((sum, payload) => sum + PCAP_RECORD_BYTES + HEADERS_BYTES + payload.length, 0);
  const file = new Uint8Array(PCAP_HEADER_BYTES + bytes);
  file.set(pcapHeader());
  let at = PCAP_HEADER_BYTES;
  for (const payload of payloads) {
    const frame = Buffer.alloc(HEADERS_BYTES + payload.length);
    frame.writeUInt16BE(0x0800, 12);
    frame[14] = 0x45;
    frame.writeUInt16BE(28 + payload.length, 16);
    frame[22] = 64;
    frame[23] = 17;
    frame.writeUInt32BE(0x7f000001, 26);
    frame.writeUInt32BE(0x7f000001, 30);
    frame.writeUInt16BE(port, 34);
    frame.writeUInt16BE(port, 36);
    frame.writeUInt16BE(8 + payload.length, 38);
    frame.set(payload, HEADERS_BYTES);
    at = writePcapRecord(file, at, 1, 0, frame, 0, frame.length, frame.length);
  }
  return file;
}
