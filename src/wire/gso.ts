/**
 * Cutting a GSO frame into the packets that a device would have put on the wire, for outputs that cannot: what Linux
 * does in tcp_gso_segment and __udp_gso_segment.
 */
import { readLe16, readU16, readU32, writeU16, writeU32 } from "./bytes.ts";
import { checksum, pseudoIpv4, pseudoIpv6 } from "./checksum.ts";
import { ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETH_HEADER_BYTES } from "./ethernet.ts";
import {
  IPV4_CHECKSUM,
  IPV4_HEADER_BYTES,
  IPV4_IDENTIFICATION,
  IPV4_PROTOCOL,
  IPV4_TOTAL_LENGTH,
  PROTO_TCP,
  PROTO_UDP,
} from "./ipv4.ts";
import {
  IPV6_EXT_BYTES,
  IPV6_EXT_LENGTH,
  IPV6_FRAGMENT,
  IPV6_HEADER_BYTES,
  IPV6_NEXT_HEADER,
  IPV6_PAYLOAD_LENGTH,
  extensionBytes,
  isExtension,
} from "./ipv6.ts";
import { TCP_CHECKSUM, TCP_CWR, TCP_FIN, TCP_FLAGS, TCP_PSH, TCP_SEQUENCE } from "./tcp.ts";
import { UDP_CHECKSUM, UDP_CHECKSUM_ZERO, UDP_LENGTH } from "./udp.ts";
import { TAG_BYTES, isTpid } from "./vlan.ts";
import {
  VNET_CSUM_START,
  VNET_GSO_SIZE,
  VNET_GSO_TCPV4,
  VNET_GSO_TCPV6,
  VNET_GSO_UDP_L4,
  gsoHeaderBytes,
  gsoType,
} from "./vnet.ts";

/**
 * Cut the frame of `length` bytes at `frame[off]`, described by the virtio-net header at `frame[vnet]`, into whole packets
 * with right lengths and checksums, one after the other in `out`: packet n is `lengths[n]` bytes at `offsets[n]`. `out` is
 * another array. Returns how many; 0 where it cannot be done: no GSO frame, headers that do not fit it, a kind that is
 * not known (UFO, TCP inside a tunnel, jumbograms), or no room.
 */
export function segmentGso(
  frame: Uint8Array,
  vnet: number,
  off: number,
  length: number,
  out: Uint8Array,
  offsets: Int32Array,
  lengths: Int32Array,
): number {
  const type = gsoType(frame, vnet);
  const tcp = type === VNET_GSO_TCPV4 || type === VNET_GSO_TCPV6;
  const size = readLe16(frame, vnet + VNET_GSO_SIZE);
  const headers = gsoHeaderBytes(frame, vnet, off, length);
  if (headers === 0 || size === 0 || (!tcp && type !== VNET_GSO_UDP_L4)) return 0;
  const l4 = readLe16(frame, vnet + VNET_CSUM_START);
  const l3 = networkOffset(frame, off, length);
  const version = l3 === 0 ? 0 : transportIsAt(frame, off, l3, l4, tcp ? PROTO_TCP : PROTO_UDP);
  if (version === 0 || (tcp && (version === 4) !== (type === VNET_GSO_TCPV4))) return 0;

  const payload = length - headers;
  const count = Math.max(1, Math.ceil(payload / size));
  if (count > offsets.length || count > lengths.length || count * headers + payload > out.length) return 0;

  const identification = readU16(frame, off + l3 + IPV4_IDENTIFICATION);
  let at = 0;
  for (let n = 0; n < count; n++) {
    const from = headers + n * size;
    const bytes = headers + Math.min(size, length - from);
    for (let i = 0; i < headers; i++) out[at + i] = frame[off + i]!;
    for (let i = headers; i < bytes; i++) out[at + i] = frame[off + from - headers + i]!;

    const ip = at + l3;
    if (version === 4) {
      writeU16(out, ip + IPV4_TOTAL_LENGTH, bytes - l3);
      writeU16(out, ip + IPV4_IDENTIFICATION, identification + n);
      writeU16(out, ip + IPV4_CHECKSUM, 0);
      writeU16(out, ip + IPV4_CHECKSUM, checksum(out, ip, (out[ip]! & 0x0f) << 2));
    } else writeU16(out, ip + IPV6_PAYLOAD_LENGTH, bytes - l3 - IPV6_HEADER_BYTES);

    const transport = at + l4;
    if (tcp) {
      writeU32(out, transport + TCP_SEQUENCE, readU32(frame, off + l4 + TCP_SEQUENCE) + n * size);
      let flags = out[transport + TCP_FLAGS]!;
      if (n < count - 1) flags &= ~(TCP_FIN | TCP_PSH);
      if (n > 0) flags &= ~TCP_CWR;
      out[transport + TCP_FLAGS] = flags;
    } else writeU16(out, transport + UDP_LENGTH, bytes - l4);
    const place = transport + (tcp ? TCP_CHECKSUM : UDP_CHECKSUM);
    const protocol = tcp ? PROTO_TCP : PROTO_UDP;
    const pseudo =
      version === 4 ? pseudoIpv4(out, ip, protocol, bytes - l4) : pseudoIpv6(out, ip, protocol, bytes - l4);
    writeU16(out, place, 0);
    const check = checksum(out, transport, bytes - l4, pseudo);
    writeU16(out, place, check === 0 && !tcp ? UDP_CHECKSUM_ZERO : check);

    offsets[n] = at;
    lengths[n] = bytes;
    at += bytes;
  }
  return count;
}

/** Bytes before the IP header, behind up to three tags; 0 where there is none. */
function networkOffset(frame: Uint8Array, off: number, length: number): number {
  for (let at = ETH_HEADER_BYTES; at <= length && at <= ETH_HEADER_BYTES + 3 * TAG_BYTES; at += TAG_BYTES) {
    const type = readU16(frame, off + at - 2);
    if (type === ETHERTYPE_IPV4 || type === ETHERTYPE_IPV6) return at;
    if (!isTpid(type)) return 0;
  }
  return 0;
}

/** The IP version, where the header of `protocol` is at `l4` right behind the IP header and its extensions; else 0. */
function transportIsAt(frame: Uint8Array, off: number, l3: number, l4: number, protocol: number): 0 | 4 | 6 {
  const ip = off + l3;
  const version = frame[ip]! >> 4;
  if (version === 4 && l4 >= l3 + IPV4_HEADER_BYTES)
    return l3 + ((frame[ip]! & 0x0f) << 2) === l4 && frame[ip + IPV4_PROTOCOL] === protocol ? 4 : 0;
  if (version !== 6 || l4 < l3 + IPV6_HEADER_BYTES || readU16(frame, ip + IPV6_PAYLOAD_LENGTH) === 0) return 0;
  let next = frame[ip + IPV6_NEXT_HEADER]!;
  let at = l3 + IPV6_HEADER_BYTES;
  while (isExtension(next) && next !== IPV6_FRAGMENT && at + IPV6_EXT_BYTES <= l4) {
    const type = next;
    next = frame[off + at]!;
    at += extensionBytes(type, frame[off + at + IPV6_EXT_LENGTH]!);
  }
  return at === l4 && next === protocol ? 6 : 0;
}
