/**
 * The virtio-net header (OASIS virtio 1.2, section 5.1.6), little endian, 10 bytes: what hypervisors, taps and packet
 * sockets put before a frame that is not finished: its checksum is still to be filled in, it is still to be cut up.
 *
 * ```
 * 0 flags u8 | 1 gso_type u8 | 2 hdr_len u16 | 4 gso_size u16 | 6 csum_start u16 | 8 csum_offset u16
 * ```
 *
 * csum_start and hdr_len count from the frame's first byte. hdr_len is a hint (Linux writes the size of its linear
 * buffer there), so headers are measured in the frame.
 */
import { ETH_HEADER_BYTES, ETH_TYPE, ETHERTYPE_IPV4, ETHERTYPE_IPV6 } from "./ethernet.ts";
import { TAG_BYTES, TPID_CTAG, TPID_STAG } from "./vlan.ts";

export const VIRTIO_NET_BYTES = 10;
export const VIRTIO_NET_FLAGS = 0;
export const VIRTIO_NET_GSO_TYPE = 1;
export const VIRTIO_NET_HDR_LEN = 2;
export const VIRTIO_NET_GSO_SIZE = 4;
export const VIRTIO_NET_CSUM_START = 6;
export const VIRTIO_NET_CSUM_OFFSET = 8;

export const VIRTIO_NET_F_NEEDS_CSUM = 1;
export const GSO_NONE = 0;
export const GSO_TCPV4 = 1;
export const GSO_UDP = 3;
export const GSO_TCPV6 = 4;
export const GSO_UDP_L4 = 5;
/** Flag in gso_type: the segments carry ECN's CWR. */
export const GSO_ECN = 0x80;

const UDP_HEADER_BYTES = 8;
/** RFC 9293 section 3.1: data offset, high 4 bits of byte 12, in words of 4 bytes. */
const TCP_DATA_OFFSET = 12;
const TCP_MIN_BYTES = 20;
const IPV6_HEADER_BYTES = 40;
const IPV4_MIN_BYTES = 20;

function u16(bytes: Uint8Array, at: number): number {
  return bytes[at]! | (bytes[at + 1]! << 8);
}

function add16(bytes: Uint8Array, at: number, amount: number): void {
  const value = u16(bytes, at) + amount;
  bytes[at] = value & 0xff;
  bytes[at + 1] = value >>> 8;
}

/** Segment size of the frame whose header stands at `at`; 0 for an ordinary frame. */
export function gsoSize(bytes: Uint8Array, at: number): number {
  return bytes[at + VIRTIO_NET_GSO_TYPE] === GSO_NONE ? 0 : u16(bytes, at + VIRTIO_NET_GSO_SIZE);
}

/** `amount` bytes were put in (or taken out, < 0) before the network header: let the header's offsets follow. */
export function shiftOffsets(bytes: Uint8Array, at: number, amount: number): void {
  if ((bytes[at + VIRTIO_NET_FLAGS]! & VIRTIO_NET_F_NEEDS_CSUM) !== 0) add16(bytes, at + VIRTIO_NET_CSUM_START, amount);
  if (bytes[at + VIRTIO_NET_GSO_TYPE] !== GSO_NONE) add16(bytes, at + VIRTIO_NET_HDR_LEN, amount);
}

/**
 * Bytes of headers that each segment of the GSO frame at `offset` repeats: to the end of TCP or UDP. 0 where the frame
 * is not what its header says (nothing is read outside `captured` bytes).
 */
export function gsoHeaders(bytes: Uint8Array, offset: number, captured: number): number {
  const at = offset - VIRTIO_NET_BYTES;
  const transport =
    (bytes[at + VIRTIO_NET_FLAGS]! & VIRTIO_NET_F_NEEDS_CSUM) !== 0
      ? u16(bytes, at + VIRTIO_NET_CSUM_START)
      : findTransport(bytes, offset, captured);
  if (transport === 0 || transport + TCP_MIN_BYTES > captured) return 0;
  const type = bytes[at + VIRTIO_NET_GSO_TYPE]! & ~GSO_ECN;
  if (type === GSO_UDP_L4 || type === GSO_UDP) return transport + UDP_HEADER_BYTES;
  const length = (bytes[offset + transport + TCP_DATA_OFFSET]! >>> 4) * 4;
  return length < TCP_MIN_BYTES || transport + length > captured ? 0 : transport + length;
}

/** Offset of the transport header in a plain IP frame (tags allowed, IPv6 without extension headers); 0 = not found. */
function findTransport(bytes: Uint8Array, offset: number, captured: number): number {
  let at = ETH_TYPE;
  for (let tags = 0; tags < 2 && at + 2 <= captured; tags++) {
    const type = (bytes[offset + at]! << 8) | bytes[offset + at + 1]!;
    if (type !== TPID_CTAG && type !== TPID_STAG) break;
    at += TAG_BYTES;
  }
  const network = at + ETH_HEADER_BYTES - ETH_TYPE;
  if (network + IPV4_MIN_BYTES > captured) return 0;
  const type = (bytes[offset + at]! << 8) | bytes[offset + at + 1]!;
  if (type === ETHERTYPE_IPV6) return network + IPV6_HEADER_BYTES;
  return type === ETHERTYPE_IPV4 ? network + (bytes[offset + network]! & 0x0f) * 4 : 0;
}
