/**
 * The Internet checksum: RFC 1071, its incremental update (RFC 1624), and the pseudo headers of IPv4 (RFC 9293 section
 * 3.1, RFC 768) and IPv6 (RFC 8200 section 8.1). A *sum* is an unfolded or folded one's complement sum below 2^32; a
 * *checksum* is its complement, as it stands on the wire.
 */
import { IPV4_DST, IPV4_SRC } from "./ipv4.ts";
import { IPV6_SRC } from "./ipv6.ts";

/** Fold a sum into 16 bits. */
export function foldSum(sum: number): number {
  sum = (sum & 0xffff) + (sum >>> 16);
  return (sum & 0xffff) + (sum >>> 16);
}

/** Add `len` bytes to a folded sum; an odd last byte is padded with 0. Returns a folded sum. */
export function sumBytes(buf: Uint8Array, off: number, len: number, sum = 0): number {
  const even = off + (len & ~1);
  while (off < even) {
    // 32,768 words cannot carry out of 31 bits.
    const stop = Math.min(even, off + 65534);
    for (; off < stop; off += 2) sum += (buf[off]! << 8) | buf[off + 1]!;
    sum = foldSum(sum);
  }
  return (len & 1) === 0 ? sum : foldSum(sum + (buf[off]! << 8));
}

/** Checksum of `len` bytes after a folded sum. */
export function checksum(buf: Uint8Array, off: number, len: number, sum = 0): number {
  return ~sumBytes(buf, off, len, sum) & 0xffff;
}

/** Sum of the pseudo header of a transport header and payload of `len` bytes inside the IPv4 packet at `ip`. */
export function pseudoIpv4(buf: Uint8Array, ip: number, protocol: number, len: number): number {
  return foldSum(sumBytes(buf, ip + IPV4_SRC, IPV4_DST + 4 - IPV4_SRC) + protocol + len);
}

/** The same for IPv6. `len` may need 32 bits. */
export function pseudoIpv6(buf: Uint8Array, ip: number, protocol: number, len: number): number {
  return foldSum(sumBytes(buf, ip + IPV6_SRC, 32) + protocol + (len >>> 16) + (len & 0xffff));
}

/** The checksum after one 16-bit word under it went from `before` to `after` (RFC 1624, equation 3). */
export function updateChecksum(check: number, before: number, after: number): number {
  return ~foldSum((~check & 0xffff) + (~before & 0xffff) + after) & 0xffff;
}
