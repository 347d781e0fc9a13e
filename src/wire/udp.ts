/** UDP, RFC 768: `0 source port 2 | 2 destination port 2 | 4 length 2 (header included) | 6 checksum 2 (0 = none)`. */
export const UDP_SRC = 0;
export const UDP_DST = 2;
/** 0 in a jumbogram (RFC 2675 section 4). */
export const UDP_LENGTH = 4;
export const UDP_CHECKSUM = 6;
/** What stands for a checksum of 0, for 0 says that there is none; TCP has only the 0 (RFC 1624 section 3). */
export const UDP_CHECKSUM_ZERO = 0xffff;
export const UDP_HEADER_BYTES = 8;
