/** ICMPv6, RFC 4443 section 2.1: `0 type | 1 code | 2 checksum 2`, then the message body. */
export const ICMPV6_TYPE = 0;
export const ICMPV6_CODE = 1;
export const ICMPV6_CHECKSUM = 2;
export const ICMPV6_HEADER_BYTES = 4;

export const ICMPV6_ECHO = 128;
export const ICMPV6_ECHO_REPLY = 129;
/** Neighbour discovery, RFC 4861 section 4. */
export const ICMPV6_ROUTER_SOLICITATION = 133;
export const ICMPV6_ROUTER_ADVERTISEMENT = 134;
export const ICMPV6_NEIGHBOR_SOLICITATION = 135;
export const ICMPV6_NEIGHBOR_ADVERTISEMENT = 136;
