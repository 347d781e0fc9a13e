/**
 * IPv4, RFC 791 section 3.1.
 *
 * ```
 *  0 version 4, IHL 4 | 1 TOS (DSCP 6, ECN 2: RFC 2474, RFC 3168) | 2 total length 2
 *  4 identification 2 | 6 flags 3, fragment offset 13
 *  8 TTL | 9 protocol | 10 header checksum 2 | 12 source 4 | 16 destination 4 | 20 options
 * ```
 */
export const IPV4_VERSION_IHL = 0;
export const IPV4_TOS = 1;
export const IPV4_TOTAL_LENGTH = 2;
export const IPV4_IDENTIFICATION = 4;
export const IPV4_FRAGMENT = 6;
export const IPV4_TTL = 8;
export const IPV4_PROTOCOL = 9;
export const IPV4_CHECKSUM = 10;
export const IPV4_SRC = 12;
export const IPV4_DST = 16;
/** Without options. */
export const IPV4_HEADER_BYTES = 20;

/** In the 16 bits at IPV4_FRAGMENT. */
export const IPV4_DF = 0x4000;
export const IPV4_MF = 0x2000;
/** In units of 8 bytes. */
export const IPV4_OFFSET_MASK = 0x1fff;

/** IANA protocol numbers, the same for IPv4 and IPv6. */
export const PROTO_ICMP = 1;
export const PROTO_IGMP = 2;
export const PROTO_TCP = 6;
export const PROTO_UDP = 17;
export const PROTO_ICMPV6 = 58;
export const PROTO_SCTP = 132;
