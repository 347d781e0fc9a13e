/**
 * IPv6 and its extension headers, RFC 8200 sections 3 and 4.
 *
 * ```
 *  0 version 4, traffic class 8, flow label 20 | 4 payload length 2 | 6 next header | 7 hop limit
 *  8 source 16 | 24 destination 16 | 40 extension headers or payload
 *
 *  extension header:  0 next header | 1 length in 8-byte units without the first (AH: in 4-byte units, minus 2)
 *  fragment header:   0 next header | 1 reserved | 2 offset 13, reserved 2, M 1 | 4 identification 4
 * ```
 */
export const IPV6_VERSION_CLASS = 0;
export const IPV6_PAYLOAD_LENGTH = 4;
export const IPV6_NEXT_HEADER = 6;
export const IPV6_HOP_LIMIT = 7;
export const IPV6_SRC = 8;
export const IPV6_DST = 24;
export const IPV6_HEADER_BYTES = 40;

/** Next header numbers of extension headers (IANA "IPv6 Extension Header Types"). */
export const IPV6_HOP_BY_HOP = 0;
export const IPV6_ROUTING = 43;
export const IPV6_FRAGMENT = 44;
/** RFC 4302: its length counts 4-byte units. */
export const IPV6_AUTHENTICATION = 51;
export const IPV6_NO_NEXT_HEADER = 59;
export const IPV6_DESTINATION_OPTIONS = 60;
/** RFC 6275 section 6.1.1: a header by its form, the payload by its use (its next header shall be 59). */
export const IPV6_MOBILITY = 135;

export const IPV6_EXT_NEXT_HEADER = 0;
export const IPV6_EXT_LENGTH = 1;
/** The shortest extension header; the fragment header's only size. */
export const IPV6_EXT_BYTES = 8;
/** Offset and M bit of a fragment header (section 4.5). */
export const IPV6_FRAGMENT_OFFSET = 2;
export const IPV6_FRAGMENT_M = 0x0001;
export const IPV6_FRAGMENT_OFFSET_MASK = 0xfff8;

/** More extension headers than this are taken for an attack; RFC 8200 section 4.1 has seven in its longest order. */
export const IPV6_MAX_EXTENSIONS = 8;

/** Whether a next header value names an extension header that has another header behind it. */
export function isExtension(nextHeader: number): boolean {
  return (
    nextHeader === IPV6_HOP_BY_HOP ||
    nextHeader === IPV6_ROUTING ||
    nextHeader === IPV6_FRAGMENT ||
    nextHeader === IPV6_AUTHENTICATION ||
    nextHeader === IPV6_DESTINATION_OPTIONS ||
    nextHeader === IPV6_MOBILITY
  );
}

/** Bytes of the extension header of type `nextHeader` whose length byte is `length`. */
export function extensionBytes(nextHeader: number, length: number): number {
  if (nextHeader === IPV6_FRAGMENT) return IPV6_EXT_BYTES;
  if (nextHeader === IPV6_AUTHENTICATION) return (length + 2) << 2;
  return (length + 1) << 3;
}
