/**
 * The virtio-net header that stands before a frame on tap devices and packet sockets (OASIS virtio 1.2 section 5.1.6,
 * without num_buffers): it carries what the sender left to the device, a checksum or the cutting of a large segment.
 *
 * ```
 *  0 flags 1 | 1 GSO type 1 | 2 header length 2 | 4 GSO size 2 | 6 checksum start 2 | 8 checksum offset 2   little endian
 * ```
 *
 * Everything in it comes from a guest and is believed only inside the frame. The offsets count from the frame's start.
 */
import { readLe16, readU16, writeLe16, writeU16 } from "./bytes.ts";
import { checksum } from "./checksum.ts";
import { ETH_HEADER_BYTES, ETH_TYPE, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "./ethernet.ts";
import { IPV4_HEADER_BYTES } from "./ipv4.ts";
import { IPV6_HEADER_BYTES } from "./ipv6.ts";
import { TCP_DATA_OFFSET, TCP_HEADER_BYTES } from "./tcp.ts";
import { UDP_CHECKSUM, UDP_CHECKSUM_ZERO, UDP_HEADER_BYTES } from "./udp.ts";
import { TAG_BYTES, TPID_CTAG, TPID_STAG } from "./vlan.ts";

export const VNET_FLAGS = 0;
export const VNET_GSO_TYPE = 1;
/** A hint only: Linux puts different things here, and 0. */
export const VNET_HEADER_LENGTH = 2;
export const VNET_GSO_SIZE = 4;
export const VNET_CSUM_START = 6;
/** From the checksum's start. */
export const VNET_CSUM_OFFSET = 8;
export const VNET_HEADER_BYTES = 10;

/** The checksum's place holds the sum of the pseudo header; the rest is to be added. */
export const VNET_NEEDS_CSUM = 1;
/** The receiver need not look at the checksum. */
export const VNET_DATA_VALID = 2;

export const VNET_GSO_NONE = 0;
export const VNET_GSO_TCPV4 = 1;
/** UFO: cut by IP fragmentation. */
export const VNET_GSO_UDP = 3;
export const VNET_GSO_TCPV6 = 4;
/** USO: cut into datagrams. */
export const VNET_GSO_UDP_L4 = 5;
/** Beside a TCP type: the first segment has CWR. */
export const VNET_GSO_ECN = 0x80;

/** The GSO type without ECN. */
export function gsoType(buf: Uint8Array, vnet: number): number {
  return buf[vnet + VNET_GSO_TYPE]! & ~VNET_GSO_ECN;
}

/** The header of a frame that asks for nothing. */
export function clearVnet(buf: Uint8Array, vnet: number): void {
  buf.fill(0, vnet, vnet + VNET_HEADER_BYTES);
}

/** Bytes were put before (`by` > 0) or taken from before (`by` < 0) the network header: a VLAN tag is ±4. */
export function shiftVnet(buf: Uint8Array, vnet: number, by: number): void {
  if ((buf[vnet + VNET_FLAGS]! & VNET_NEEDS_CSUM) !== 0)
    writeLe16(buf, vnet + VNET_CSUM_START, readLe16(buf, vnet + VNET_CSUM_START) + by);
  const headerLength = readLe16(buf, vnet + VNET_HEADER_LENGTH);
  if (headerLength !== 0) writeLe16(buf, vnet + VNET_HEADER_LENGTH, headerLength + by);
}

/** Segment size of a GSO frame; 0 for an ordinary one. */
export function gsoSize(buf: Uint8Array, vnet: number): number {
  return buf[vnet + VNET_GSO_TYPE] === VNET_GSO_NONE ? 0 : readLe16(buf, vnet + VNET_GSO_SIZE);
}

/**
 * Bytes of headers that each segment of the GSO frame at `off` repeats, from the frame's start to the end of TCP or UDP;
 * 0 for an ordinary frame and for a header that does not fit the frame. Nothing is read behind `length` bytes.
 */
export function gsoHeaderBytes(buf: Uint8Array, vnet: number, off: number, length: number): number {
  const type = gsoType(buf, vnet);
  if (type === VNET_GSO_NONE) return 0;
  const isPartial = (buf[vnet + VNET_FLAGS]! & VNET_NEEDS_CSUM) !== 0;
  const l4 = isPartial ? readLe16(buf, vnet + VNET_CSUM_START) : findTransport(buf, off, length);
  if (l4 === 0) return 0;
  if (type !== VNET_GSO_TCPV4 && type !== VNET_GSO_TCPV6) {
    return l4 + UDP_HEADER_BYTES <= length ? l4 + UDP_HEADER_BYTES : 0;
  }
  if (l4 + TCP_HEADER_BYTES > length) return 0;
  const headers = l4 + ((buf[off + l4 + TCP_DATA_OFFSET]! >> 4) << 2);
  return headers >= l4 + TCP_HEADER_BYTES && headers <= length ? headers : 0;
}

/** Offset of the transport header in a plain IP frame (tags allowed, IPv6 without extension headers); 0 = not found. */
function findTransport(buf: Uint8Array, off: number, length: number): number {
  let at = ETH_TYPE;
  for (let tags = 0; tags < 2 && at + 2 <= length; tags++) {
    const type = readU16(buf, off + at);
    if (type !== TPID_CTAG && type !== TPID_STAG) break;
    at += TAG_BYTES;
  }
  const network = at + ETH_HEADER_BYTES - ETH_TYPE;
  if (network + IPV4_HEADER_BYTES > length) return 0;
  const type = readU16(buf, off + at);
  if (type === ETHERTYPE_IPV6) return network + IPV6_HEADER_BYTES;
  return type === ETHERTYPE_IPV4 ? network + (buf[off + network]! & 0x0f) * 4 : 0;
}

/** Packets that a frame is on the wire; `headers` as `gsoHeaderBytes` says. */
export function wirePackets(length: number, headers: number, gsoSize: number): number {
  if (gsoSize === 0 || headers === 0 || length - headers <= gsoSize) return 1;
  return Math.ceil((length - headers) / gsoSize);
}

/**
 * Compute the checksum that the frame at `off` was sent without, for an output that cannot, and note it as done.
 * False: the place is outside the frame, which then cannot be sent.
 */
export function completeChecksum(buf: Uint8Array, vnet: number, off: number, length: number): boolean {
  const flags = buf[vnet + VNET_FLAGS]!;
  if ((flags & VNET_NEEDS_CSUM) === 0) return true;
  const start = readLe16(buf, vnet + VNET_CSUM_START);
  const at = start + readLe16(buf, vnet + VNET_CSUM_OFFSET);
  if (at + 2 > length) return false;
  const check = checksum(buf, off + start, length - start);
  writeU16(buf, off + at, check === 0 && at - start === UDP_CHECKSUM ? UDP_CHECKSUM_ZERO : check);
  buf[vnet + VNET_FLAGS] = flags & ~VNET_NEEDS_CSUM;
  return true;
}
