/**
 * Frames from plain options, with right lengths and checksums, for the traffic generator and tests. Not for the
 * per-frame path: who needs many frames builds one and patches it.
 *
 *     buildFrame({ ethSrc: "52:54:00:00:00:01", ethDst: "52:54:00:00:00:02", vlans: [{ vid: 100 }],
 *                  ip: { src: "10.1.0.5", dst: "10.1.0.9" }, tcp: { src: 40000, dst: 443, flags: TCP_SYN } })
 *
 * Throws an Error naming the bad option: a programmer's mistake.
 */
import { parseIp, parseIpv4, parseMac } from "./address.ts";
import type { IpAddress } from "./address.ts";
import * as arp from "./arp.ts";
import { writeU16, writeU32 } from "./bytes.ts";
import { checksum, foldSum } from "./checksum.ts";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETH_HEADER_BYTES, ETH_MIN_BYTES } from "./ethernet.ts";
import * as ipv4 from "./ipv4.ts";
import { IPV6_FRAGMENT, IPV6_FRAGMENT_M, IPV6_HEADER_BYTES } from "./ipv6.ts";
import { TCP_ACK, TCP_HEADER_BYTES } from "./tcp.ts";
import { UDP_CHECKSUM_ZERO } from "./udp.ts";
import { TAG_BYTES, TCI_DEI, TCI_PCP_SHIFT, TPID_CTAG } from "./vlan.ts";

export interface FrameOptions {
  ethSrc?: string;
  ethDst?: string;
  /** Outer tag first. */
  vlans?: readonly { vid: number; pcp?: number; dei?: boolean; tpid?: number }[];
  /** Of a frame without arp or ip; of what is inside SNAP. A value up to 1500 is an 802.3 length. */
  etherType?: number;
  arp?: { op?: number; senderMac?: string; senderIp: string; targetMac?: string; targetIp: string };
  ip?: IpOptions;
  tcp?: {
    src: number;
    dst: number;
    seq?: number;
    ack?: number;
    /** ACK unless given. */
    flags?: number;
    window?: number;
    /** A multiple of 4 bytes. */
    options?: Uint8Array;
  };
  udp?: { src: number; dst: number };
  icmp?: { type: number; code?: number; id?: number; seq?: number };
  /** What the innermost header carries: bytes, text, or so many zeros. */
  payload?: Uint8Array | string | number;
  /** Zeros up to 60 bytes, as a NIC does on a wire. Interfaces of virtual machines do not. */
  pad?: boolean;
}

export interface IpOptions {
  /** Both IPv4 or both IPv6. */
  src: string;
  dst: string;
  /** TOS or traffic class. */
  tos?: number;
  ttl?: number;
  /** Needed where no transport header gives it. */
  proto?: number;
  /** IPv4 identification; also of an IPv6 fragment header. */
  id?: number;
  df?: boolean;
  /** Offset in bytes, a multiple of 8. A later fragment (offset > 0) carries the payload without transport header. */
  fragment?: { offset: number; more: boolean };
  /** IPv4 options, a multiple of 4 bytes. */
  options?: Uint8Array;
  /** IPv6 extension headers before the fragment header: type and everything behind its length byte. */
  extensions?: readonly { type: number; body: Uint8Array }[];
}

export function buildFrame(options: FrameOptions): Uint8Array {
  const [type, body] = network(options);
  const vlans = options.vlans ?? [];
  const bytes = ETH_HEADER_BYTES + vlans.length * TAG_BYTES + body.length;
  const frame = new Uint8Array(options.pad ? Math.max(bytes, ETH_MIN_BYTES) : bytes);
  frame.set(mac(options.ethDst ?? "52:54:00:00:00:02", "ethDst"), 0);
  frame.set(mac(options.ethSrc ?? "52:54:00:00:00:01", "ethSrc"), 6);
  let at = 12;
  for (const tag of vlans) {
    writeU16(frame, at, tag.tpid ?? TPID_CTAG);
    writeU16(frame, at + 2, ((tag.pcp ?? 0) << TCI_PCP_SHIFT) | (tag.dei ? TCI_DEI : 0) | tag.vid);
    at += TAG_BYTES;
  }
  writeU16(frame, at, type);
  frame.set(body, at + 2);
  return frame;
}

function network(options: FrameOptions): [number, Uint8Array] {
  if (options.arp) return [ETHERTYPE_ARP, arpPacket(options)];
  if (!options.ip) {
    const body = payloadBytes(options.payload);
    return [options.etherType ?? body.length, body];
  }
  const src = ip(options.ip.src, "ip.src");
  const dst = ip(options.ip.dst, "ip.dst");
  if (src.family !== dst.family) throw new Error("buildFrame: ip.src and ip.dst are of different families");
  return src.family === 4
    ? [ETHERTYPE_IPV4, ipv4Packet(options, options.ip, src, dst)]
    : [ETHERTYPE_IPV6, ipv6Packet(options, options.ip, src, dst)];
}

function arpPacket(options: FrameOptions): Uint8Array {
  const { op, senderMac, senderIp, targetMac, targetIp } = options.arp!;
  const packet = new Uint8Array(arp.ARP_ETHERNET_IPV4_BYTES);
  writeU16(packet, arp.ARP_HARDWARE, arp.ARP_HARDWARE_ETHERNET);
  writeU16(packet, arp.ARP_PROTOCOL, ETHERTYPE_IPV4);
  packet[arp.ARP_HARDWARE_LENGTH] = 6;
  packet[arp.ARP_PROTOCOL_LENGTH] = 4;
  writeU16(packet, arp.ARP_OPERATION, op ?? arp.ARP_REQUEST);
  packet.set(mac(senderMac ?? options.ethSrc ?? "52:54:00:00:00:01", "arp.senderMac"), arp.ARP_SENDER_MAC);
  packet.set(mac(targetMac ?? "00:00:00:00:00:00", "arp.targetMac"), arp.ARP_TARGET_MAC);
  writeU32(packet, arp.ARP_SENDER_IP, v4(senderIp, "arp.senderIp"));
  writeU32(packet, arp.ARP_TARGET_IP, v4(targetIp, "arp.targetIp"));
  return packet;
}

function ipv4Packet(options: FrameOptions, given: IpOptions, src: IpAddress, dst: IpAddress): Uint8Array {
  const [proto, body] = transport(options, given, src, dst);
  const headerBytes = ipv4.IPV4_HEADER_BYTES + (given.options?.length ?? 0);
  if (headerBytes > 60 || headerBytes % 4 !== 0)
    throw new Error("buildFrame: ip.options is not 0, 4, …, 40 bytes long");
  const packet = new Uint8Array(headerBytes + body.length);
  packet[ipv4.IPV4_VERSION_IHL] = 0x40 | (headerBytes >> 2);
  packet[ipv4.IPV4_TOS] = given.tos ?? 0;
  // A packet above 65,535 bytes (BIG TCP) has total length 0.
  writeU16(packet, ipv4.IPV4_TOTAL_LENGTH, packet.length > 0xffff ? 0 : packet.length);
  writeU16(packet, ipv4.IPV4_IDENTIFICATION, given.id ?? 0);
  const more = given.fragment?.more ? ipv4.IPV4_MF : 0;
  writeU16(packet, ipv4.IPV4_FRAGMENT, (given.df ? ipv4.IPV4_DF : 0) | more | ((given.fragment?.offset ?? 0) >> 3));
  packet[ipv4.IPV4_TTL] = given.ttl ?? 64;
  packet[ipv4.IPV4_PROTOCOL] = proto;
  writeU32(packet, ipv4.IPV4_SRC, src.words[0]);
  writeU32(packet, ipv4.IPV4_DST, dst.words[0]);
  packet.set(given.options ?? [], ipv4.IPV4_HEADER_BYTES);
  writeU16(packet, ipv4.IPV4_CHECKSUM, checksum(packet, 0, headerBytes));
  packet.set(body, headerBytes);
  return packet;
}

function ipv6Packet(options: FrameOptions, given: IpOptions, src: IpAddress, dst: IpAddress): Uint8Array {
  const [proto, body] = transport(options, given, src, dst);
  const chain = (given.extensions ?? []).map(({ type, body: rest }) => ({ type, rest }));
  if (given.fragment) {
    const rest = new Uint8Array(6);
    writeU16(rest, 0, given.fragment.offset | (given.fragment.more ? IPV6_FRAGMENT_M : 0));
    writeU32(rest, 2, given.id ?? 0);
    chain.push({ type: IPV6_FRAGMENT, rest });
  }
  const extensionBytes = chain.reduce((sum, { rest }) => sum + 2 + rest.length, 0);
  const packet = new Uint8Array(IPV6_HEADER_BYTES + extensionBytes + body.length);
  const payload = extensionBytes + body.length;
  writeU32(packet, 0, (6 << 28) | ((given.tos ?? 0) << 20));
  writeU16(packet, 4, payload > 0xffff ? 0 : payload);
  packet[6] = chain[0]?.type ?? proto;
  packet[7] = given.ttl ?? 64;
  src.words.forEach((word, n) => writeU32(packet, 8 + 4 * n, word));
  dst.words.forEach((word, n) => writeU32(packet, 24 + 4 * n, word));
  let at = IPV6_HEADER_BYTES;
  chain.forEach(({ type, rest }, n) => {
    packet[at] = chain[n + 1]?.type ?? proto;
    // In units of 8 bytes without the first; AH (51) in units of 4 without two.
    packet[at + 1] = type === IPV6_FRAGMENT ? 0 : type === 51 ? (2 + rest.length) / 4 - 2 : (2 + rest.length) / 8 - 1;
    packet.set(rest, at + 2);
    at += 2 + rest.length;
  });
  packet.set(body, at);
  return packet;
}

/** Protocol number, and the transport header with its payload. */
function transport(options: FrameOptions, given: IpOptions, src: IpAddress, dst: IpAddress): [number, Uint8Array] {
  const payload = payloadBytes(options.payload);
  const { tcp, udp, icmp } = options;
  const proto =
    given.proto ??
    (tcp
      ? ipv4.PROTO_TCP
      : udp
        ? ipv4.PROTO_UDP
        : icmp
          ? src.family === 4
            ? ipv4.PROTO_ICMP
            : ipv4.PROTO_ICMPV6
          : 59);
  if ((given.fragment?.offset ?? 0) > 0) return [proto, payload];
  let header: Uint8Array;
  let checksumAt: number;
  if (tcp) {
    const headerBytes = TCP_HEADER_BYTES + (tcp.options?.length ?? 0);
    if (headerBytes > 60 || headerBytes % 4 !== 0)
      throw new Error("buildFrame: tcp.options is not 0, 4, …, 40 bytes long");
    header = new Uint8Array(headerBytes);
    writeU16(header, 0, tcp.src);
    writeU16(header, 2, tcp.dst);
    writeU32(header, 4, tcp.seq ?? 0);
    writeU32(header, 8, tcp.ack ?? 0);
    const flags = tcp.flags ?? TCP_ACK;
    header[12] = ((headerBytes >> 2) << 4) | ((flags >> 8) & 1);
    header[13] = flags;
    writeU16(header, 14, tcp.window ?? 0xffff);
    header.set(tcp.options ?? [], TCP_HEADER_BYTES);
    checksumAt = 16;
  } else if (udp) {
    header = new Uint8Array(8);
    writeU16(header, 0, udp.src);
    writeU16(header, 2, udp.dst);
    writeU16(header, 4, 8 + payload.length > 0xffff ? 0 : 8 + payload.length);
    checksumAt = 6;
  } else if (icmp) {
    header = new Uint8Array(8);
    header[0] = icmp.type;
    header[1] = icmp.code ?? 0;
    writeU16(header, 4, icmp.id ?? 0);
    writeU16(header, 6, icmp.seq ?? 0);
    checksumAt = 2;
  } else return [proto, payload];

  const whole = new Uint8Array(header.length + payload.length);
  whole.set(header);
  whole.set(payload, header.length);
  // ICMP has no pseudo header, ICMPv6 has.
  const pseudo = proto === ipv4.PROTO_ICMP ? 0 : pseudoSum(src, dst, proto, whole.length);
  const check = checksum(whole, 0, whole.length, pseudo);
  writeU16(whole, checksumAt, check === 0 && udp ? UDP_CHECKSUM_ZERO : check);
  return [proto, whole];
}

function pseudoSum(src: IpAddress, dst: IpAddress, proto: number, len: number): number {
  const words = [...src.words, ...dst.words, len];
  return words.reduce((sum, word) => foldSum(sum + (word >>> 16) + (word & 0xffff)), proto);
}

function payloadBytes(payload: Uint8Array | string | number | undefined): Uint8Array {
  if (typeof payload === "string") return new TextEncoder().encode(payload);
  return payload instanceof Uint8Array ? payload : new Uint8Array(payload ?? 0);
}

function mac(text: string, name: string): Uint8Array {
  const bytes = parseMac(text);
  if (bytes === undefined) throw new Error(`buildFrame: ${name} is not a MAC address: ${text}`);
  return bytes;
}

function v4(text: string, name: string): number {
  const value = parseIpv4(text);
  if (value === undefined) throw new Error(`buildFrame: ${name} is not an IPv4 address: ${text}`);
  return value;
}

function ip(text: string, name: string): IpAddress {
  const found = parseIp(text);
  if (found === undefined) throw new Error(`buildFrame: ${name} is not an IP address: ${text}`);
  return found;
}
