/**
 * TCP, RFC 9293 section 3.1.
 *
 * ```
 *  0 source port 2 | 2 destination port 2 | 4 sequence 4 | 8 acknowledgment 4
 * 12 data offset 4, reserved 3, AE 1 | 13 flags 8 | 14 window 2 | 16 checksum 2 | 18 urgent 2 | 20 options
 * ```
 */
export const TCP_SRC = 0;
export const TCP_DST = 2;
export const TCP_SEQUENCE = 4;
export const TCP_ACKNOWLEDGMENT = 8;
/** In the high half, in units of 4 bytes; bit 0 is AE (once NS, RFC 3540). */
export const TCP_DATA_OFFSET = 12;
export const TCP_FLAGS = 13;
export const TCP_WINDOW = 14;
export const TCP_CHECKSUM = 16;
export const TCP_URGENT = 18;
/** Without options. */
export const TCP_HEADER_BYTES = 20;

export const TCP_FIN = 0x01;
export const TCP_SYN = 0x02;
export const TCP_RST = 0x04;
export const TCP_PSH = 0x08;
export const TCP_ACK = 0x10;
export const TCP_URG = 0x20;
export const TCP_ECE = 0x40;
export const TCP_CWR = 0x80;
