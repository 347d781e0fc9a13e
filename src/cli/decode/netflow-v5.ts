/** NetFlow version 5 datagrams for `weir decode`: Cisco, "NetFlow Export Datagram Format", tables B-3 and B-4. */
import { readU16, readU32 } from "../../wire/bytes.ts";
import { formatIpv4 } from "../../wire/address.ts";

const HEADER_BYTES = 24;
const RECORD_BYTES = 48;
const MAX_RECORDS = 30;
const TWO_32 = 4294967296;

export interface NetflowRecord {
  readonly src: string;
  readonly dst: string;
  readonly nextHop: string;
  /** ifIndex. */
  readonly input: number;
  readonly output: number;
  readonly packets: number;
  readonly octets: number;
  /** Unix time, ms. */
  readonly firstMs: number;
  readonly lastMs: number;
  readonly srcPort: number;
  readonly dstPort: number;
  readonly tcpFlags: number;
  readonly proto: number;
  readonly tos: number;
  readonly srcAs: number;
  readonly dstAs: number;
  readonly srcMask: number;
  readonly dstMask: number;
}

export interface NetflowDatagram {
  readonly version: 5;
  readonly uptimeMs: number;
  readonly unixMs: number;
  readonly sequence: number;
  readonly engineType: number;
  readonly engineId: number;
  /** 0 none, 1 deterministic, 2 random; 1 in `samplingRate`, 0 = every packet. */
  readonly samplingMode: number;
  readonly samplingRate: number;
  readonly records: readonly NetflowRecord[];
}

export interface DecodedNetflow {
  readonly datagram?: NetflowDatagram;
  readonly error?: { readonly offset: number; readonly message: string };
}

/** Never throws. What is wrong comes back with its offset, beside the records before it. */
export function decodeNetflowV5(bytes: Uint8Array): DecodedNetflow {
  const fault = (offset: number, message: string): DecodedNetflow => ({ error: { offset, message } });
  if (bytes.length < 2) return fault(0, "no version");
  const version = readU16(bytes, 0);
  if (version !== 5) return fault(0, `version ${version} is not 5`);
  if (bytes.length < HEADER_BYTES) return fault(bytes.length, `the header has ${HEADER_BYTES} bytes`);
  const count = readU16(bytes, 2);
  const uptimeMs = readU32(bytes, 4);
  const unixMs = readU32(bytes, 8) * 1000 + readU32(bytes, 12) / 1e6;
  const sampling = readU16(bytes, 22);
  const there = Math.min(count, Math.floor((bytes.length - HEADER_BYTES) / RECORD_BYTES), MAX_RECORDS);
  const datagram: NetflowDatagram = {
    version,
    uptimeMs,
    unixMs,
    sequence: readU32(bytes, 16),
    engineType: bytes[20]!,
    engineId: bytes[21]!,
    samplingMode: sampling >>> 14,
    samplingRate: sampling & 0x3fff,
    records: Array.from({ length: there }, (_, n) => record(bytes, HEADER_BYTES + n * RECORD_BYTES, uptimeMs, unixMs)),
  };
  const end = HEADER_BYTES + there * RECORD_BYTES;
  if (count < 1 || count > MAX_RECORDS) return { datagram, error: { offset: 2, message: `${count} records: 1 to 30` } };
  if (there < count) return { datagram, error: { offset: end, message: `${count} records, ${there} are there` } };
  const over = bytes.length - end;
  return over === 0 ? { datagram } : { datagram, error: { offset: end, message: `${over} bytes behind the records` } };
}

function record(bytes: Uint8Array, at: number, uptimeMs: number, unixMs: number): NetflowRecord {
  // How long before the header's instant, modulo 2^32 ms, so that it holds across the wrap of the uptime.
  const moment = (uptime: number): number => unixMs - ((uptimeMs - uptime + TWO_32) % TWO_32);
  return {
    src: formatIpv4(readU32(bytes, at)),
    dst: formatIpv4(readU32(bytes, at + 4)),
    nextHop: formatIpv4(readU32(bytes, at + 8)),
    input: readU16(bytes, at + 12),
    output: readU16(bytes, at + 14),
    packets: readU32(bytes, at + 16),
    octets: readU32(bytes, at + 20),
    firstMs: moment(readU32(bytes, at + 24)),
    lastMs: moment(readU32(bytes, at + 28)),
    srcPort: readU16(bytes, at + 32),
    dstPort: readU16(bytes, at + 34),
    tcpFlags: bytes[at + 37]!,
    proto: bytes[at + 38]!,
    tos: bytes[at + 39]!,
    srcAs: readU16(bytes, at + 40),
    dstAs: readU16(bytes, at + 42),
    srcMask: bytes[at + 44]!,
    dstMask: bytes[at + 45]!,
  };
}
