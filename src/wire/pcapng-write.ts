/** Writing pcapng: little endian, one section, nanoseconds. The layouts are drawn in pcapng.ts. */
import { copyBytes, writeLe16, writeLe32 } from "./bytes.ts";
import { LINKTYPE_ETHERNET } from "./linktype.ts";
import {
  BLOCK_ENHANCED_PACKET,
  BLOCK_INTERFACE,
  BLOCK_INTERFACE_STATISTICS,
  BLOCK_SECTION,
  BYTE_ORDER_MAGIC,
  OPTION_COMMENT,
  OPTION_IF_NAME,
  OPTION_IF_TSRESOL,
} from "./pcapng.ts";

const OPTION_SHB_HARDWARE = 2;
const OPTION_SHB_OS = 3;
const OPTION_SHB_USERAPPL = 4;
const OPTION_IF_DESCRIPTION = 3;
const OPTION_IF_SPEED = 8;
const OPTION_EPB_FLAGS = 2;
const OPTION_ISB_STARTTIME = 2;
const OPTION_ISB_ENDTIME = 3;
const OPTION_ISB_IFRECV = 4;
const OPTION_ISB_IFDROP = 5;

/** epb_flags, direction. */
export const EPB_INBOUND = 1;
export const EPB_OUTBOUND = 2;

export interface SectionOptions {
  readonly hardware?: string;
  readonly os?: string;
  readonly application?: string;
  readonly comment?: string;
}

export interface InterfaceOptions {
  readonly name?: string;
  readonly description?: string;
  /** 0 = unlimited. */
  readonly snaplen?: number;
  readonly linktype?: number;
  /** bit/s */
  readonly speed?: number;
}

export interface StatisticsOptions {
  readonly interface: number;
  readonly seconds: number;
  readonly nanoseconds: number;
  readonly start?: { readonly seconds: number; readonly nanoseconds: number };
  readonly received?: number;
  readonly dropped?: number;
}

const text = (value: string): Uint8Array => new TextEncoder().encode(value);

function u64(value: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeLe32(bytes, 0, value % 4294967296);
  writeLe32(bytes, 4, Math.floor(value / 4294967296));
  return bytes;
}

/** A time option or field: high word first, then low. */
function timestamp(seconds: number, nanoseconds: number): Uint8Array {
  const bytes = new Uint8Array(8);
  writeTime(bytes, 0, seconds, nanoseconds);
  return bytes;
}

/** seconds × 10^9 + nanoseconds as two words, exactly: by hand, as a double has 53 bits only. */
function writeTime(out: Uint8Array, at: number, seconds: number, nanoseconds: number): void {
  const upper = Math.floor(seconds / 65536) * 1_000_000_000;
  const low = (upper % 65536) * 65536 + (seconds % 65536) * 1_000_000_000 + nanoseconds;
  writeLe32(out, at, Math.floor(upper / 65536) + Math.floor(low / 4294967296));
  writeLe32(out, at + 4, low % 4294967296);
}

function block(
  type: number,
  fixed: Uint8Array,
  options: readonly (readonly [number, Uint8Array] | undefined)[],
): Uint8Array {
  const present = options.filter((option) => option !== undefined);
  const optionBytes = present.reduce((sum, [, value]) => sum + 4 + ((value.length + 3) & ~3), 0);
  const length = 12 + fixed.length + (present.length > 0 ? optionBytes + 4 : 0);
  const out = new Uint8Array(length);
  writeLe32(out, 0, type);
  writeLe32(out, 4, length);
  out.set(fixed, 8);
  let at = 8 + fixed.length;
  for (const [code, value] of present) {
    writeLe16(out, at, code);
    writeLe16(out, at + 2, value.length);
    out.set(value, at + 4);
    at += 4 + ((value.length + 3) & ~3);
  }
  writeLe32(out, length - 4, length);
  return out;
}

/** Section Header Block. */
export function sectionHeader(options: SectionOptions = {}): Uint8Array {
  const fixed = new Uint8Array(16);
  writeLe32(fixed, 0, BYTE_ORDER_MAGIC);
  writeLe16(fixed, 4, 1);
  // Section length: not known, all ones.
  fixed.fill(0xff, 8);
  return block(BLOCK_SECTION, fixed, [
    options.comment === undefined ? undefined : [OPTION_COMMENT, text(options.comment)],
    options.hardware === undefined ? undefined : [OPTION_SHB_HARDWARE, text(options.hardware)],
    options.os === undefined ? undefined : [OPTION_SHB_OS, text(options.os)],
    options.application === undefined ? undefined : [OPTION_SHB_USERAPPL, text(options.application)],
  ]);
}

/** Interface Description Block; the first has number 0. */
export function interfaceDescription(options: InterfaceOptions = {}): Uint8Array {
  const fixed = new Uint8Array(8);
  writeLe16(fixed, 0, options.linktype ?? LINKTYPE_ETHERNET);
  writeLe32(fixed, 4, options.snaplen ?? 0);
  return block(BLOCK_INTERFACE, fixed, [
    options.name === undefined ? undefined : [OPTION_IF_NAME, text(options.name)],
    options.description === undefined ? undefined : [OPTION_IF_DESCRIPTION, text(options.description)],
    options.speed === undefined ? undefined : [OPTION_IF_SPEED, u64(options.speed)],
    [OPTION_IF_TSRESOL, Uint8Array.of(9)],
  ]);
}

/** Interface Statistics Block. */
export function interfaceStatistics(options: StatisticsOptions): Uint8Array {
  const fixed = new Uint8Array(12);
  writeLe32(fixed, 0, options.interface);
  writeTime(fixed, 4, options.seconds, options.nanoseconds);
  const { start } = options;
  return block(BLOCK_INTERFACE_STATISTICS, fixed, [
    start && [OPTION_ISB_STARTTIME, timestamp(start.seconds, start.nanoseconds)],
    start && [OPTION_ISB_ENDTIME, timestamp(options.seconds, options.nanoseconds)],
    options.received === undefined ? undefined : [OPTION_ISB_IFRECV, u64(options.received)],
    options.dropped === undefined ? undefined : [OPTION_ISB_IFDROP, u64(options.dropped)],
  ]);
}

/** Bytes that `writeEnhancedPacket` needs. */
export function enhancedPacketBytes(captured: number, flags = 0, comment?: Uint8Array): number {
  const options = (flags === 0 ? 0 : 8) + (comment === undefined ? 0 : 4 + ((comment.length + 3) & ~3));
  return 32 + ((captured + 3) & ~3) + (options === 0 ? 0 : options + 4);
}

/**
 * Write an Enhanced Packet Block to `out[at]`, which has `enhancedPacketBytes` of room. No allocation. Returns where it
 * ends. `comment` is UTF-8, ≤ 65,535 bytes; `flags` are epb_flags, 0 = none.
 */
export function writeEnhancedPacket(
  out: Uint8Array,
  at: number,
  interfaceNumber: number,
  seconds: number,
  nanoseconds: number,
  bytes: Uint8Array,
  off: number,
  captured: number,
  length: number,
  flags = 0,
  comment?: Uint8Array,
): number {
  const total = enhancedPacketBytes(captured, flags, comment);
  writeLe32(out, at, BLOCK_ENHANCED_PACKET);
  writeLe32(out, at + 4, total);
  writeLe32(out, at + 8, interfaceNumber);
  writeTime(out, at + 12, seconds, nanoseconds);
  writeLe32(out, at + 20, captured);
  writeLe32(out, at + 24, length);
  let to = pad(out, copyBytes(bytes, off, captured, out, at + 28), captured);
  if (flags !== 0) {
    writeLe16(out, to, OPTION_EPB_FLAGS);
    writeLe16(out, to + 2, 4);
    writeLe32(out, to + 4, flags);
    to += 8;
  }
  if (comment !== undefined) {
    writeLe16(out, to, OPTION_COMMENT);
    writeLe16(out, to + 2, comment.length);
    to = pad(out, copyBytes(comment, 0, comment.length, out, to + 4), comment.length);
  }
  if (flags !== 0 || comment !== undefined) {
    writeLe32(out, to, 0);
    to += 4;
  }
  writeLe32(out, to, total);
  return to + 4;
}

/** Zeros up to a multiple of 4 bytes after `count` bytes that end at `at`. */
function pad(out: Uint8Array, at: number, count: number): number {
  for (; (count & 3) !== 0; count++) out[at++] = 0;
  return at;
}
