/** SCTP common header, RFC 9260 section 3.1: `0 source port 2 | 2 destination port 2 | 4 verification tag 4 | 8 CRC32c 4`. */
export const SCTP_SRC = 0;
export const SCTP_DST = 2;
export const SCTP_TAG = 4;
export const SCTP_CHECKSUM = 8;
export const SCTP_HEADER_BYTES = 12;
