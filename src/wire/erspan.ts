/**
 * ERSPAN: a mirrored frame inside GRE (RFC 2784, 2890), draft-foschiano-erspan-03. What iproute2 and Open vSwitch call
 * `erspan_ver` 1 and 2 are types II and III of the draft.
 *
 * ```
 * GRE        0 C 1 0 1 K 1 S 1 … version 3 | 2 protocol 2 | 4 sequence 4, where S is set
 * type I     GRE without sequence, protocol 0x88BE, then the frame
 * type II    GRE with sequence, protocol 0x88BE, then 8 bytes, then the frame
 *            0 version 4 = 1, VLAN 12 | 2 COS 3, En 2, T 1, session 10 | 4 reserved 12, index 20
 * type III   GRE with sequence, protocol 0x22EB, then 12 bytes, then the frame
 *            0 version 4 = 2, VLAN 12 | 2 COS 3, BSO 2, T 1, session 10 | 4 time stamp 4 | 8 SGT 2
 *            10 P 1, frame type 5, hardware id 6, D 1, granularity 2, O 1
 * ```
 *
 * With O set 8 bytes of a platform's own follow (section 4.3). Of id 5: platform id 6, switch id 10, port index 16, seconds 32.
 */
import { writeU16, writeU32 } from "./bytes.ts";

/** IP protocol number of GRE. */
export const PROTO_GRE = 47;
export const GRE_BYTES = 4;
export const GRE_SEQUENCE_BYTES = 4;
export const GRE_FLAG_SEQUENCE = 0x1000;
export const GRE_PROTOCOL = 2;
export const GRE_SEQUENCE = 4;

/** Types I and II; type III. */
export const GRE_PROTOCOL_ERSPAN = 0x88be;
export const GRE_PROTOCOL_ERSPAN_III = 0x22eb;

/** Offsets from the end of GRE. */
export const ERSPAN_VERSION_VLAN = 0;
export const ERSPAN_FLAGS_SESSION = 2;
export const ERSPAN_II_INDEX = 4;
export const ERSPAN_II_BYTES = 8;
export const ERSPAN_III_TIMESTAMP = 4;
export const ERSPAN_III_SGT = 8;
export const ERSPAN_III_FLAGS = 10;
export const ERSPAN_III_BYTES = 12;
/** Offsets from the end of type III's header. */
export const ERSPAN_PLATFORM_TIME = 4;
export const ERSPAN_PLATFORM_BYTES = 8;

const VERSION_II = 1;
const VERSION_III = 2;
const COS_SHIFT = 13;
/** En of type II: what became of the frame's tag. */
export const ENCAP_UNTAGGED = 0;
export const ENCAP_ISL = 1;
/** The frame had an 802.1Q tag, which VLAN and COS say in its place. */
export const ENCAP_TAG_REMOVED = 2;
/** The frame carries its tag still. */
export const ENCAP_TAG_KEPT = 3;
const ENCAP_SHIFT = 11;
const TRUNCATED = 0x0400;

/** Most sessions: 10 bits. */
export const MAX_SESSION = 1023;
/** Most of type II's port index: 20 bits. */
export const MAX_INDEX = 0xfffff;

/** D of type III. */
export const DIRECTION_INGRESS = 0;
export const DIRECTION_EGRESS = 1;
/** Gra of type III: the time stamp counts 100 µs. */
export const GRANULARITY_100_US = 0;
/** 100 ns. */
export const GRANULARITY_100_NS = 1;
/** It is the nanoseconds of a second that the platform's own header says. */
export const GRANULARITY_IEEE_1588 = 2;
const DIRECTION_SHIFT = 3;
const GRANULARITY_SHIFT = 1;
/** O of type III. */
const OPTIONAL = 1;
const PLATFORM_ID = 5;
const HARDWARE_SHIFT = 4;
/** Hardware id of type III: 6 bits. */
export const MAX_HARDWARE = 63;

export type ErspanType = "I" | "II" | "III";

/** Bytes before the mirrored frame, from GRE on. */
export function erspanBytes(type: ErspanType): number {
  if (type === "I") return GRE_BYTES;
  return GRE_BYTES + GRE_SEQUENCE_BYTES + (type === "II" ? ERSPAN_II_BYTES : ERSPAN_III_BYTES);
}

/** Write type I at `at`: it says nothing but what it is. Returns where the frame goes. */
export function writeErspanI(buf: Uint8Array, at: number): number {
  writeU16(buf, at, 0);
  writeU16(buf, at + GRE_PROTOCOL, GRE_PROTOCOL_ERSPAN);
  return at + GRE_BYTES;
}

/** VLAN and priority of a frame: `tci` as in its tag, without DEI; `encap` what became of the tag. */
function writeCommon(
  buf: Uint8Array,
  at: number,
  version: number,
  tci: number,
  middle: number,
  truncated: boolean,
  session: number,
): void {
  writeU16(buf, at + ERSPAN_VERSION_VLAN, (version << 12) | (tci & 0xfff));
  const cos = (tci >>> COS_SHIFT) << COS_SHIFT;
  writeU16(buf, at + ERSPAN_FLAGS_SESSION, cos | (middle << ENCAP_SHIFT) | (truncated ? TRUNCATED : 0) | session);
}

function writeSequence(buf: Uint8Array, at: number, protocol: number, sequence: number): number {
  writeU16(buf, at, GRE_FLAG_SEQUENCE);
  writeU16(buf, at + GRE_PROTOCOL, protocol);
  writeU32(buf, at + GRE_SEQUENCE, sequence);
  return at + GRE_BYTES + GRE_SEQUENCE_BYTES;
}

/**
 * Write type II at `at`. `tci`: VLAN id and priority of the frame; `index`: the port, up to MAX_INDEX. Returns where the
 * frame goes.
 */
export function writeErspanII(
  buf: Uint8Array,
  at: number,
  sequence: number,
  session: number,
  tci: number,
  encap: number,
  truncated: boolean,
  index: number,
): number {
  const header = writeSequence(buf, at, GRE_PROTOCOL_ERSPAN, sequence);
  writeCommon(buf, header, VERSION_II, tci, encap, truncated, session);
  writeU32(buf, header + ERSPAN_II_INDEX, index & MAX_INDEX);
  return header + ERSPAN_II_BYTES;
}

/**
 * Write type III at `at`. `timestamp`: in units of `granularity`, modulo 2³²; `hardware`: the
 * engine that mirrored, up to MAX_HARDWARE. The frame is an Ethernet frame of good or unknown integrity (P and BSO 0). Returns
 * where the frame goes.
 */
export function writeErspanIII(
  buf: Uint8Array,
  at: number,
  sequence: number,
  session: number,
  tci: number,
  truncated: boolean,
  timestamp: number,
  hardware: number,
  direction: number,
  granularity: number,
): number {
  const header = writeSequence(buf, at, GRE_PROTOCOL_ERSPAN_III, sequence);
  writeCommon(buf, header, VERSION_III, tci, 0, truncated, session);
  writeU32(buf, header + ERSPAN_III_TIMESTAMP, timestamp);
  writeU16(buf, header + ERSPAN_III_SGT, 0);
  const flags = (hardware << HARDWARE_SHIFT) | (direction << DIRECTION_SHIFT) | (granularity << GRANULARITY_SHIFT);
  writeU16(buf, header + ERSPAN_III_FLAGS, flags);
  return header + ERSPAN_III_BYTES;
}

/**
 * Write a platform's own header of id 5 at `at`, the end of type III's header: `port` modulo 2¹⁶, Unix `seconds` modulo 2³².
 * Returns where the frame goes.
 */
export function writeErspanPlatform(
  buf: Uint8Array,
  at: number,
  switchId: number,
  port: number,
  seconds: number,
): number {
  buf[at - 1]! |= OPTIONAL;
  writeU16(buf, at, (PLATFORM_ID << 10) | switchId);
  writeU16(buf, at + 2, port & 0xffff);
  writeU32(buf, at + ERSPAN_PLATFORM_TIME, seconds);
  return at + ERSPAN_PLATFORM_BYTES;
}
