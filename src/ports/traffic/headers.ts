/** Writers of headers into the world's memory: offset in, offset behind the header out. Nothing is allocated. */
import { writeU16, writeU32 } from "../../wire/bytes.ts";
import { foldSum } from "../../wire/checksum.ts";
import { ETH_HEADER_BYTES, ETH_SRC, ETH_TYPE } from "../../wire/ethernet.ts";
import {
  IPV4_CHECKSUM,
  IPV4_DF,
  IPV4_DST,
  IPV4_FRAGMENT,
  IPV4_HEADER_BYTES,
  IPV4_IDENTIFICATION,
  IPV4_SRC,
  IPV4_TOTAL_LENGTH,
  IPV4_TTL,
} from "../../wire/ipv4.ts";
import { IPV6_DST, IPV6_HEADER_BYTES, IPV6_NEXT_HEADER, IPV6_PAYLOAD_LENGTH, IPV6_SRC } from "../../wire/ipv6.ts";
import { TAG_BYTES, TPID_CTAG } from "../../wire/vlan.ts";

/** Upper 16 bits of every VM's MAC; the lower 32 are 00:0N:00:xx (src/ports/traffic/profile.ts). */
export const MAC_HIGH = 0x5254;
/** 01:00:5e, the upper 16 bits of an IPv4 group's MAC (RFC 1112 section 6.4), and 33:33 for IPv6 (RFC 2464 section 7). */
export const IPV4_GROUP_HIGH = 0x0100;
export const IPV6_GROUP_HIGH = 0x3333;
/** 2001:db8::/32, RFC 3849. */
export const IPV6_PREFIX = 0x20010db8;

/** The two halves of a 32-bit word, added. */
export function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

/** What stands on the wire for a sum (below 2^32). */
export function complement(sum: number): number {
  return ~foldSum(sum) & 0xffff;
}

/** Ethernet header, with a tag where `vid` is not 0. Returns the offset behind it. */
export function putEthernet(
  to: Uint8Array,
  at: number,
  dstHigh: number,
  dstLow: number,
  srcHigh: number,
  srcLow: number,
  vid: number,
  type: number,
): number {
  writeU16(to, at, dstHigh);
  writeU32(to, at + 2, dstLow);
  writeU16(to, at + ETH_SRC, srcHigh);
  writeU32(to, at + ETH_SRC + 2, srcLow);
  let end = at + ETH_TYPE;
  if (vid !== 0) {
    writeU16(to, end, TPID_CTAG);
    writeU16(to, end + 2, vid);
    end += TAG_BYTES;
  }
  writeU16(to, end, type);
  return end + ETH_HEADER_BYTES - ETH_TYPE;
}

/** IPv4 header (RFC 791 section 3.1) without options; length, id and checksum 0; DF. Returns the offset behind it. */
export function putIpv4(
  to: Uint8Array,
  at: number,
  protocol: number,
  tos: number,
  ttl: number,
  src: number,
  dst: number,
): number {
  writeU16(to, at, 0x4500 | tos);
  writeU32(to, at + IPV4_TOTAL_LENGTH, 0);
  writeU16(to, at + IPV4_FRAGMENT, IPV4_DF);
  writeU16(to, at + IPV4_TTL, (ttl << 8) | protocol);
  writeU16(to, at + IPV4_CHECKSUM, 0);
  writeU32(to, at + IPV4_SRC, src);
  writeU32(to, at + IPV4_DST, dst);
  return at + IPV4_HEADER_BYTES;
}

/** Length (with the header), id and checksum of an IPv4 header whose other words sum to `sum`. */
export function finishIpv4(to: Uint8Array, at: number, sum: number, length: number, id: number): void {
  writeU16(to, at + IPV4_TOTAL_LENGTH, length);
  writeU16(to, at + IPV4_IDENTIFICATION, id);
  writeU16(to, at + IPV4_CHECKSUM, complement(sum + length + id));
}

/**
 * IPv6 header (RFC 8200 section 3), length 0. Addresses are of 2001:db8:N::H, given by N and H; a destination net of
 * −1 is the link-local group ff02::H. Returns the offset behind it.
 */
export function putIpv6(
  to: Uint8Array,
  at: number,
  next: number,
  hops: number,
  label: number,
  srcNet: number,
  srcHost: number,
  dstNet: number,
  dstHost: number,
): number {
  writeU32(to, at, 0x60000000 | (label & 0xfffff));
  writeU16(to, at + IPV6_PAYLOAD_LENGTH, 0);
  writeU16(to, at + IPV6_NEXT_HEADER, (next << 8) | hops);
  writeU32(to, at + IPV6_SRC, IPV6_PREFIX);
  writeU32(to, at + IPV6_SRC + 4, srcNet << 16);
  writeU32(to, at + IPV6_SRC + 8, 0);
  writeU32(to, at + IPV6_SRC + 12, srcHost);
  writeU32(to, at + IPV6_DST, dstNet < 0 ? 0xff020000 : IPV6_PREFIX);
  writeU32(to, at + IPV6_DST + 4, dstNet < 0 ? 0 : dstNet << 16);
  // A solicited-node group is ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1).
  writeU32(to, at + IPV6_DST + 8, dstNet < 0 && dstHost >>> 24 === 0xff ? 1 : 0);
  writeU32(to, at + IPV6_DST + 12, dstHost);
  return at + IPV6_HEADER_BYTES;
}
