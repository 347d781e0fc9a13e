/** Writers of headers into the world's memory, and the Internet checksum (RFC 1071). Offsets in, offsets out. */

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_VLAN = 0x8100;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_LLDP = 0x88cc;

export const PROTO_ICMP = 1;
export const PROTO_IGMP = 2;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ICMPV6 = 58;

export const ETHERNET_BYTES = 14;
export const VLAN_BYTES = 4;
export const IPV4_BYTES = 20;
export const IPV6_BYTES = 40;
export const TCP_BYTES = 20;
export const UDP_BYTES = 8;
export const ICMP_BYTES = 8;

/** Upper 16 bits of every VM's MAC; the lower 32 are 00:0N:00:xx (src/ports/traffic/profile.ts). */
export const MAC_HIGH = 0x5254;
/** 01:00:5e, the upper 16 bits of an IPv4 group's MAC (RFC 1112 section 6.4), and 33:33 for IPv6 (RFC 2464 section 7). */
export const IPV4_GROUP_HIGH = 0x0100;
export const IPV6_GROUP_HIGH = 0x3333;
/** 2001:db8::/32, RFC 3849. */
export const IPV6_PREFIX = 0x20010db8;

export function put16(to: Uint8Array, at: number, value: number): void {
  to[at] = value >>> 8;
  to[at + 1] = value;
}

export function put32(to: Uint8Array, at: number, value: number): void {
  to[at] = value >>> 24;
  to[at + 1] = value >>> 16;
  to[at + 2] = value >>> 8;
  to[at + 3] = value;
}

/** Sum of the 16-bit words of `length` bytes, an odd last one padded with 0; not folded (length ≤ 64 KiB). */
export function sum16(from: Uint8Array, at: number, length: number): number {
  let sum = 0;
  const even = at + (length & ~1);
  for (let p = at; p < even; p += 2) sum += (from[p]! << 8) | from[p + 1]!;
  return length & 1 ? sum + (from[even]! << 8) : sum;
}

/** The two halves of a 32-bit word, added. */
export function halves(word: number): number {
  return (word >>> 16) + (word & 0xffff);
}

/** Fold a sum (< 2^32) to 16 bits and complement it: what stands in the header. */
export function checksum(sum: number): number {
  const once = halves(sum);
  return ~halves(once) & 0xffff;
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
  put16(to, at, dstHigh);
  put32(to, at + 2, dstLow);
  put16(to, at + 6, srcHigh);
  put32(to, at + 8, srcLow);
  if (vid === 0) {
    put16(to, at + 12, type);
    return at + ETHERNET_BYTES;
  }
  put16(to, at + 12, ETHERTYPE_VLAN);
  put16(to, at + 14, vid);
  put16(to, at + 16, type);
  return at + ETHERNET_BYTES + VLAN_BYTES;
}

/** IPv4 header (RFC 791 section 3.1) without options, length, id and checksum 0; DF. Returns the offset behind it. */
export function putIpv4(
  to: Uint8Array,
  at: number,
  protocol: number,
  tos: number,
  ttl: number,
  src: number,
  dst: number,
): number {
  put16(to, at, 0x4500 | tos);
  put32(to, at + 2, 0);
  put16(to, at + 6, 0x4000);
  put16(to, at + 8, (ttl << 8) | protocol);
  put16(to, at + 10, 0);
  put32(to, at + 12, src);
  put32(to, at + 16, dst);
  return at + IPV4_BYTES;
}

/** Length (with the header), id and checksum of an IPv4 header whose other words sum to `sum`. */
export function finishIpv4(to: Uint8Array, at: number, sum: number, length: number, id: number): void {
  put16(to, at + 2, length);
  put16(to, at + 4, id);
  put16(to, at + 10, checksum(sum + length + id));
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
  put32(to, at, 0x60000000 | (label & 0xfffff));
  put16(to, at + 4, 0);
  put16(to, at + 6, (next << 8) | hops);
  put32(to, at + 8, IPV6_PREFIX);
  put32(to, at + 12, srcNet << 16);
  put32(to, at + 16, 0);
  put32(to, at + 20, srcHost);
  put32(to, at + 24, dstNet < 0 ? 0xff020000 : IPV6_PREFIX);
  put32(to, at + 28, dstNet < 0 ? 0 : dstNet << 16);
  // A solicited-node group is ff02::1:ffXX:XXXX (RFC 4291 section 2.7.1).
  put32(to, at + 32, dstNet < 0 && dstHost >>> 24 === 0xff ? 1 : 0);
  put32(to, at + 36, dstHost);
  return at + IPV6_BYTES;
}
