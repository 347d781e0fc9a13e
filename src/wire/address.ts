/**
 * Addresses as text: MAC, IPv4, IPv6 (read: RFC 4291 section 2.2, written: RFC 5952) and prefixes. Reading is strict and
 * answers undefined to anything else: no leading zeros, no short forms of IPv4, no zone, no white space.
 *
 * An IP address in words is what a flow key holds: IPv6 four words, IPv4 in the first, the others 0.
 */
import { readU16, readU32, writeU16 } from "./bytes.ts";

const MAC = /^[0-9a-f]{2}([:-])[0-9a-f]{2}(?:\1[0-9a-f]{2}){4}$/i;

/** Six bytes from `52:54:00:12:34:56` or `52-54-00-12-34-56`. */
export function parseMac(text: string): Uint8Array | undefined {
  if (!MAC.test(text)) return undefined;
  return Uint8Array.from({ length: 6 }, (_, n) => parseInt(text.slice(3 * n, 3 * n + 2), 16));
}

const HEX = Array.from({ length: 256 }, (_, byte) => byte.toString(16).padStart(2, "0"));

/** `high` is the first two bytes, `low` the last four. */
export function formatMacWords(high: number, low: number): string {
  return `${HEX[(high >>> 8) & 255]}:${HEX[high & 255]}:${HEX[low >>> 24]}:${HEX[(low >>> 16) & 255]}:${HEX[(low >>> 8) & 255]}:${HEX[low & 255]}`;
}

export function formatMac(buf: Uint8Array, off = 0): string {
  return formatMacWords(readU16(buf, off), readU32(buf, off + 2));
}

const OCTET = /^(?:0|[1-9][0-9]{0,2})$/;

/** The address as an unsigned 32-bit number. */
export function parseIpv4(text: string): number | undefined {
  const octets = text.split(".");
  if (octets.length !== 4) return undefined;
  let value = 0;
  for (const octet of octets) {
    if (!OCTET.test(octet) || Number(octet) > 255) return undefined;
    value = value * 256 + Number(octet);
  }
  return value;
}

export function formatIpv4(value: number): string {
  return `${value >>> 24}.${(value >>> 16) & 255}.${(value >>> 8) & 255}.${value & 255}`;
}

const GROUP = /^[0-9a-f]{1,4}$/i;

/** Eight 16-bit groups or fewer from one side of `::`. */
function groups(text: string, last: boolean): number[] | undefined {
  if (text === "") return [];
  const parts = text.split(":");
  const found: number[] = [];
  for (const [index, part] of parts.entries()) {
    if (GROUP.test(part)) {
      found.push(parseInt(part, 16));
      continue;
    }
    const embedded = last && index === parts.length - 1 ? parseIpv4(part) : undefined;
    if (embedded === undefined) return undefined;
    found.push(embedded >>> 16, embedded & 0xffff);
  }
  return found;
}

/** Sixteen bytes. */
export function parseIpv6(text: string): Uint8Array | undefined {
  const sides = text.split("::");
  if (sides.length > 2) return undefined;
  const head = groups(sides[0]!, sides.length === 1);
  const tail = sides.length === 2 ? groups(sides[1]!, true) : [];
  if (head === undefined || tail === undefined) return undefined;
  const count = head.length + tail.length;
  if (sides.length === 1 ? count !== 8 : count > 7) return undefined;
  const bytes = new Uint8Array(16);
  head.forEach((group, n) => writeU16(bytes, 2 * n, group));
  tail.forEach((group, n) => writeU16(bytes, 2 * (8 - tail.length + n), group));
  return bytes;
}

/** RFC 5952: lower case, no leading zeros, the first longest run of two or more zero groups as `::`. */
export function formatIpv6Words(w0: number, w1: number, w2: number, w3: number): string {
  // Section 5: the IPv4-mapped prefix is written with its IPv4 address.
  if (w0 === 0 && w1 === 0 && w2 === 0xffff) return `::ffff:${formatIpv4(w3)}`;
  const words = [w0, w1, w2, w3].flatMap((word) => [word >>> 16, word & 0xffff]);
  let start = -1;
  let longest = 1;
  for (let n = 0, run = 0; n < 8; n++) {
    run = words[n] === 0 ? run + 1 : 0;
    if (run > longest) {
      longest = run;
      start = n - run + 1;
    }
  }
  const text = words.map((word) => word.toString(16));
  if (start < 0) return text.join(":");
  return `${text.slice(0, start).join(":")}::${text.slice(start + longest).join(":")}`;
}

export function formatIpv6(buf: Uint8Array, off = 0): string {
  return formatIpv6Words(readU32(buf, off), readU32(buf, off + 4), readU32(buf, off + 8), readU32(buf, off + 12));
}

export interface IpAddress {
  readonly family: 4 | 6;
  /** As in a flow key. */
  readonly words: readonly [number, number, number, number];
}

export function parseIp(text: string): IpAddress | undefined {
  const v4 = parseIpv4(text);
  if (v4 !== undefined) return { family: 4, words: [v4, 0, 0, 0] };
  const v6 = parseIpv6(text);
  if (v6 === undefined) return undefined;
  return { family: 6, words: [readU32(v6, 0), readU32(v6, 4), readU32(v6, 8), readU32(v6, 12)] };
}

export function formatIp(ip: IpAddress): string {
  return ip.family === 4 ? formatIpv4(ip.words[0]) : formatIpv6Words(...ip.words);
}

export interface IpPrefix extends IpAddress {
  /** 0..32 or 0..128. */
  readonly bits: number;
}

/** `10.0.0.0/8`, `2001:db8::/32`; an address alone is its own prefix. Bits behind the length are cleared. */
export function parsePrefix(text: string): IpPrefix | undefined {
  const slash = text.indexOf("/");
  const ip = parseIp(slash < 0 ? text : text.slice(0, slash));
  if (ip === undefined) return undefined;
  const width = ip.family === 4 ? 32 : 128;
  const length = slash < 0 ? String(width) : text.slice(slash + 1);
  if (!OCTET.test(length) || Number(length) > width) return undefined;
  const bits = Number(length);
  const [a, b, c, d] = ip.words;
  const mask = (n: number): number => prefixMask(bits - 32 * n);
  return {
    family: ip.family,
    bits,
    words: [(a & mask(0)) >>> 0, (b & mask(1)) >>> 0, (c & mask(2)) >>> 0, (d & mask(3)) >>> 0],
  };
}

/** The 32-bit mask of a prefix of `bits`, which may lie outside 0..32. */
export function prefixMask(bits: number): number {
  if (bits <= 0) return 0;
  return bits >= 32 ? 0xffffffff : (-1 << (32 - bits)) >>> 0;
}

export function prefixContains(prefix: IpPrefix, ip: IpAddress): boolean {
  return (
    prefix.family === ip.family &&
    prefix.words.every((word, n) => (((ip.words[n]! & prefixMask(prefix.bits - 32 * n)) >>> 0) as number) === word)
  );
}

export function formatPrefix(prefix: IpPrefix): string {
  return `${formatIp(prefix)}/${prefix.bits}`;
}
