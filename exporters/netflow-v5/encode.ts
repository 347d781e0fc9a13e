/**
 * NetFlow version 5 on the wire: one datagram in one preallocated buffer, all numbers big endian.
 *
 * ```
 * HEADER 24 bytes   0 version 5 u16     2 count u16          4 SysUptime ms u32   8 unix seconds u32
 *                  12 nanoseconds u32  16 flow sequence u32 20 engine type u8    21 engine id u8   22 sampling u16
 * RECORD 48 bytes   0 source u32        4 destination u32    8 next hop u32      12 input u16      14 output u16
 *                  16 packets u32      20 octets u32        24 First ms u32      28 Last ms u32
 *                  32 source port u16  34 destination port u16   36 pad u8       37 TCP flags u8   38 protocol u8
 *                  39 TOS u8           40 source AS u16     42 destination AS u16
 *                  44 source mask u8   45 destination mask u8    46 pad u16
 * ```
 *
 * Source: Cisco, "NetFlow Export Datagram Format", tables B-3 and B-4. Pure: no clock, no socket.
 */
import { KEY_IP_DST, KEY_IP_SRC, KEY_L4, KEY_L4_PRESENT, KEY_PORT, KEY_TYPE, KEY_VERSION } from "../../src/flow/key.ts";
import { CONSUMED, DROPPED } from "../../src/flow/disposition.ts";
import {
  REC_DISPOSITION,
  REC_FIRST_MS,
  REC_INPUT_IFINDEX,
  REC_KEY,
  REC_LAST_MS,
  REC_OUTPUTS,
  REC_OUTPUT_IFINDEX,
  REC_TCP_FLAGS,
} from "../../src/shm/log.ts";
import type { RecordCursor } from "../../src/shm/log.ts";

// A field added to the key must be looked at here: what tells two flows apart may not fit into a version 5 record.
if ((KEY_VERSION as number) !== 1) throw new Error("netflow-v5: look at the new flow key");

export const VERSION = 5;
export const HEADER_BYTES = 24;
export const RECORD_BYTES = 48;
/** As many as an Ethernet frame takes: 1464 bytes of UDP payload. */
export const MAX_RECORDS = 30;
export const DATAGRAM_BYTES = HEADER_BYTES + MAX_RECORDS * RECORD_BYTES;

const H_VERSION = 0;
const H_COUNT = 2;
const H_SYS_UPTIME = 4;
const H_UNIX_SECS = 8;
const H_UNIX_NSECS = 12;
const H_FLOW_SEQUENCE = 16;
const H_ENGINE_TYPE = 20;
const H_ENGINE_ID = 21;
const H_SAMPLING = 22;

const R_SRC_ADDR = 0;
const R_DST_ADDR = 4;
const R_NEXT_HOP = 8;
const R_INPUT = 12;
const R_OUTPUT = 14;
const R_PACKETS = 16;
const R_OCTETS = 20;
const R_FIRST = 24;
const R_LAST = 28;
const R_SRC_PORT = 32;
// 34: destination port, written with the source port as one word
const R_PAD1 = 36;
const R_TCP_FLAGS = 37;
const R_PROTOCOL = 38;
const R_TOS = 39;
const R_SRC_AS = 40;
const R_DST_AS = 42;
const R_SRC_MASK = 44;
const R_DST_MASK = 45;
const R_PAD2 = 46;

const PROTOCOL_ICMP = 1;
const PROTOCOL_IGMP = 2;
const PROTOCOL_TCP = 6;

/** `output` of a flow that leaves by several ports. */
export const OUTPUT_SEVERAL = 65535;
/** The largest ifIndex that can be said: 65535 means "several". */
export const MAX_IFINDEX = 65534;
export const MAX_COUNTER = 0xffffffff;

/** Mode bits of the sampling field. */
export const SAMPLING_UNSPECIFIED = 0;
export const SAMPLING_DETERMINISTIC = 1;
export const SAMPLING_RANDOM = 2;
export const MAX_SAMPLING_RATE = 0x3fff;

/** The sampling field: mode in the top 2 bits, the rate below; 0 when nothing was sampled. */
export function samplingField(mode: number, rate: number): number {
  return rate > 1 ? (mode << 14) | rate : 0;
}

/** A datagram being filled. `view` and `bytes` are the same memory. */
export interface Datagram {
  readonly bytes: Uint8Array;
  readonly view: DataView;
}

export function createDatagram(): Datagram {
  const bytes = new Uint8Array(DATAGRAM_BYTES);
  return { bytes, view: new DataView(bytes.buffer) };
}

/**
 * Write the header. `uptimeMs` (whole ms since boot) and `bootMs` (Unix ms of uptime 0) say one instant twice: the
 * collector subtracts them, and gets the same boot time out of every datagram.
 */
export function writeHeader(
  datagram: Datagram,
  count: number,
  uptimeMs: number,
  bootMs: number,
  sequence: number,
  engineType: number,
  engineId: number,
  sampling: number,
): void {
  const view = datagram.view;
  const unixMs = Math.max(0, Math.floor(bootMs) + uptimeMs);
  const seconds = Math.floor(unixMs / 1000);
  view.setUint16(H_VERSION, VERSION);
  view.setUint16(H_COUNT, count);
  view.setUint32(H_SYS_UPTIME, uptimeMs); // DataView takes the number modulo 2^32: the wrap after 49.7 days
  view.setUint32(H_UNIX_SECS, seconds);
  view.setUint32(H_UNIX_NSECS, (unixMs - seconds * 1000) * 1e6);
  view.setUint32(H_FLOW_SEQUENCE, sequence);
  view.setUint8(H_ENGINE_TYPE, engineType);
  view.setUint8(H_ENGINE_ID, engineId);
  view.setUint16(H_SAMPLING, sampling);
}

/**
 * Write record number `index` of the datagram from an IPv4 flow record, with these counters (a flow above 2^32 - 1 is
 * written as several records). Returns how many of its two interfaces have an ifIndex that 16 bits cannot say.
 */
export function writeRecord(
  datagram: Datagram,
  index: number,
  record: RecordCursor,
  packets: number,
  octets: number,
): number {
  const view = datagram.view;
  const at = HEADER_BYTES + index * RECORD_BYTES;
  const { u32, f64, w, f } = record;
  const key = w + REC_KEY;
  const type = u32[key + KEY_TYPE]!;
  const protocol = (type >>> 8) & 0xff;
  const input = u32[w + REC_INPUT_IFINDEX]!;
  const output = outputOf(u32[w + REC_DISPOSITION]!, u32[w + REC_OUTPUTS]!, u32[w + REC_OUTPUT_IFINDEX]!);

  view.setUint32(at + R_SRC_ADDR, u32[key + KEY_IP_SRC]!);
  view.setUint32(at + R_DST_ADDR, u32[key + KEY_IP_DST]!);
  view.setUint32(at + R_NEXT_HOP, 0);
  view.setUint16(at + R_INPUT, input > MAX_IFINDEX ? 0 : input);
  view.setUint16(at + R_OUTPUT, output < 0 ? 0 : output);
  view.setUint32(at + R_PACKETS, packets);
  view.setUint32(at + R_OCTETS, octets);
  view.setUint32(at + R_FIRST, Math.floor(f64[f + REC_FIRST_MS]!));
  view.setUint32(at + R_LAST, Math.floor(f64[f + REC_LAST_MS]!));
  view.setUint32(at + R_SRC_PORT, portsOf(protocol, u32[key + KEY_PORT]!, u32[key + KEY_L4]!));
  view.setUint8(at + R_PAD1, 0);
  view.setUint8(at + R_TCP_FLAGS, protocol === PROTOCOL_TCP ? u32[w + REC_TCP_FLAGS]! : 0);
  view.setUint8(at + R_PROTOCOL, protocol);
  view.setUint8(at + R_TOS, type);
  view.setUint16(at + R_SRC_AS, 0);
  view.setUint16(at + R_DST_AS, 0);
  view.setUint8(at + R_SRC_MASK, 0);
  view.setUint8(at + R_DST_MASK, 0);
  view.setUint16(at + R_PAD2, 0);
  return (input > MAX_IFINDEX ? 1 : 0) + (output < 0 ? 1 : 0);
}

/** Where the flow left: 0 for dropped and consumed, 65535 for several ports, -1 where the ifIndex cannot be said. */
function outputOf(disposition: number, outputs: number, ifIndex: number): number {
  if (disposition === DROPPED || disposition === CONSUMED) return 0;
  if (outputs > 1) return OUTPUT_SEVERAL;
  return ifIndex > MAX_IFINDEX ? -1 : ifIndex;
}

/** Source and destination port as one word; ICMP and IGMP: 0 and type << 8 | code. */
function portsOf(protocol: number, presence: number, l4: number): number {
  if ((presence & KEY_L4_PRESENT) === 0) return 0;
  if (protocol === PROTOCOL_ICMP || protocol === PROTOCOL_IGMP) return ((l4 >>> 16) << 8) | (l4 & 0xff);
  return l4;
}
