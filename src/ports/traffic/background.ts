/**
 * What happens on a tenant network beside conversations: ARP, neighbour discovery, multicast chatter, a port scan, and
 * frames that a switch must refuse. Each function makes one or two whole frames in place and returns how many.
 */
import { ARP_ETHERNET_IPV4_BYTES, ARP_REPLY, ARP_REQUEST } from "../../wire/arp.ts";
import { writeU16, writeU32 } from "../../wire/bytes.ts";
import { sumBytes } from "../../wire/checksum.ts";
import { ETHERTYPE_ARP, ETHERTYPE_IPV4, ETHERTYPE_IPV6, ETHERTYPE_LLDP } from "../../wire/ethernet.ts";
import {
  ICMPV6_NEIGHBOR_ADVERTISEMENT,
  ICMPV6_NEIGHBOR_SOLICITATION,
  ICMPV6_ROUTER_ADVERTISEMENT,
} from "../../wire/icmpv6.ts";
import { IGMP_V2_REPORT } from "../../wire/igmp.ts";
import { IPV4_HEADER_BYTES, PROTO_ICMPV6, PROTO_IGMP, PROTO_TCP, PROTO_UDP } from "../../wire/ipv4.ts";
import { IPV6_HEADER_BYTES } from "../../wire/ipv6.ts";
import { TCP_ACK, TCP_HEADER_BYTES, TCP_RST, TCP_SYN } from "../../wire/tcp.ts";
import { UDP_HEADER_BYTES } from "../../wire/udp.ts";
import {
  IPV4_GROUP_HIGH,
  IPV6_GROUP_HIGH,
  IPV6_PREFIX,
  MAC_HIGH,
  complement,
  finishIpv4,
  putEthernet,
  putIpv4,
  putIpv6,
} from "./headers.ts";
import { BLOB_QUESTIONS, type Blobs } from "./blobs.ts";
import { BACKGROUND, VMS, WRONG_VID } from "./profile.ts";
import { below, next } from "./random.ts";
import { commit, reserve, type Store } from "./store.ts";
import { UPLINK_PORT, ipv4Of, macLow, portOf } from "./templates.ts";

export interface Background {
  readonly blobs: Blobs;
  /** One word: SYNs that the scan has sent. */
  readonly scanned: Uint32Array;
}

export function createBackground(blobs: Blobs): Background {
  return { blobs, scanned: new Uint32Array(1) };
}

const LAB = portOf("globex-lab7");
const BOT = portOf("initech-bot");
const PC = portOf("initech-pc1");
const NAS = portOf("acme-nas1");
const NOISY = portOf("globex-ci1");
const VIEWER = portOf("hooli-app1");
const ROUTER = VMS[UPLINK_PORT]!;

// `roll` falls into one of these shares of BACKGROUND_OF, in this order.
const ARP = BACKGROUND.arp;
const NEIGHBOUR = ARP + BACKGROUND.neighbourSolicitation;
const ADVERTISEMENT = NEIGHBOUR + BACKGROUND.routerAdvertisement;
const IGMP = ADVERTISEMENT + BACKGROUND.igmp;
const MDNS = IGMP + BACKGROUND.mdns;
const LLDP = MDNS + BACKGROUND.lldp;
const SCAN = LLDP + BACKGROUND.scan;
const WRONG = SCAN + BACKGROUND.wrongVlan;
const CUT = WRONG + BACKGROUND.cutEthernet;
const MULTICAST = CUT + BACKGROUND.multicastSource;

/** What a roll of 0 ..< BACKGROUND_OF brings: frames made, 0 = nothing beside conversations. */
export function background(b: Background, store: Store, roll: number): number {
  if (roll >= MULTICAST) return 0;
  if (roll < ARP) return arp(store);
  if (roll < NEIGHBOUR) return neighbour(store);
  if (roll < ADVERTISEMENT) return routerAdvertisement(store);
  if (roll < IGMP) return igmpReport(store);
  if (roll < MDNS) return mdns(store, b.blobs);
  if (roll < LLDP) return lldp(store);
  if (roll < SCAN) return scan(b, store);
  if (roll < WRONG) return arpRequest(store, LAB, MAC_HIGH, WRONG_VID);
  if (roll < CUT) return cutEthernet(store);
  return arpRequest(store, NOISY, IPV4_GROUP_HIGH, 0);
}

/** RFC 826: hardware and protocol type and length, operation, sender, target. */
function putArp(
  to: Uint8Array,
  at: number,
  operation: number,
  mac: number,
  ip: number,
  targetMac: number,
  targetIp: number,
): number {
  writeU32(to, at, 0x00010800);
  writeU32(to, at + 4, 0x06040000 | operation);
  writeU16(to, at + 8, MAC_HIGH);
  writeU32(to, at + 10, mac);
  writeU32(to, at + 14, ip);
  writeU16(to, at + 18, operation === ARP_REQUEST ? 0 : MAC_HIGH);
  writeU32(to, at + 20, targetMac);
  writeU32(to, at + 24, targetIp);
  return at + ARP_ETHERNET_IPV4_BYTES;
}

/** Address of the router in a VM's net: 10.N.0.1. */
function routerIp(net: number): number {
  return (10 << 24) | (net << 16) | ROUTER.host;
}

function arpRequest(store: Store, port: number, srcHigh: number, vid: number): number {
  const vm = VMS[port]!;
  const at = reserve(store, port, 64);
  if (at < 0) return 1;
  const l3 = putEthernet(store.bytes, at, 0xffff, 0xffffffff, srcHigh, macLow(vm), vid, ETHERTYPE_ARP);
  const end = putArp(store.bytes, l3, ARP_REQUEST, macLow(vm), ipv4Of(vm), 0, routerIp(vm.net));
  commit(store, port, at, end - at);
  return 1;
}

/** A VM that is not the uplink. */
function anyVm(store: Store): number {
  return 1 + below(store.random, VMS.length - 1);
}

function arp(store: Store): number {
  const port = anyVm(store);
  const vm = VMS[port]!;
  arpRequest(store, port, MAC_HIGH, 0);
  const at = reserve(store, UPLINK_PORT, 64);
  if (at < 0) return 2;
  const router = macLow(ROUTER);
  const l3 = putEthernet(store.bytes, at, MAC_HIGH, macLow(vm), MAC_HIGH, router, vm.vid, ETHERTYPE_ARP);
  const end = putArp(store.bytes, l3, ARP_REPLY, router, routerIp(vm.net), macLow(vm), ipv4Of(vm));
  commit(store, UPLINK_PORT, at, end - at);
  return 2;
}

/** Length and checksum of an IPv6 packet at `l3` whose ICMPv6 message of `length` bytes stands behind it. */
function finishIcmpv6(to: Uint8Array, l3: number, length: number): number {
  const l4 = l3 + IPV6_HEADER_BYTES;
  writeU16(to, l3 + 4, length);
  writeU16(to, l4 + 2, 0);
  const pseudo = sumBytes(to, l3 + 8, IPV6_HEADER_BYTES - 8) + length + PROTO_ICMPV6;
  writeU16(to, l4 + 2, complement(pseudo + sumBytes(to, l4, length)));
  return l4 + length;
}

/** Type 1 (source) or 2 (target) link-layer address option, RFC 4861 section 4.6.1. */
function putLinkLayer(to: Uint8Array, at: number, type: number, mac: number): void {
  writeU16(to, at, (type << 8) | 1);
  writeU16(to, at + 2, MAC_HIGH);
  writeU32(to, at + 4, mac);
}

/** RFC 4861 sections 4.3 and 4.4: who has the router's address; the router has. */
function neighbour(store: Store): number {
  const port = anyVm(store);
  const vm = VMS[port]!;
  const router = macLow(ROUTER);
  let at = reserve(store, port, 96);
  if (at >= 0) {
    const group = (0xff000000 | ROUTER.host) >>> 0;
    const l3 = putEthernet(store.bytes, at, IPV6_GROUP_HIGH, group, MAC_HIGH, macLow(vm), 0, ETHERTYPE_IPV6);
    const l4 = putIpv6(store.bytes, l3, PROTO_ICMPV6, 255, 0, vm.net, vm.host, -1, group);
    writeU32(store.bytes, l4, ICMPV6_NEIGHBOR_SOLICITATION << 24);
    putTarget(store.bytes, l4, vm.net);
    putLinkLayer(store.bytes, l4 + 24, 1, macLow(vm));
    commit(store, port, at, finishIcmpv6(store.bytes, l3, 32) - at);
  }
  at = reserve(store, UPLINK_PORT, 96);
  if (at >= 0) {
    const l3 = putEthernet(store.bytes, at, MAC_HIGH, macLow(vm), MAC_HIGH, router, vm.vid, ETHERTYPE_IPV6);
    const l4 = putIpv6(store.bytes, l3, PROTO_ICMPV6, 255, 0, vm.net, ROUTER.host, vm.net, vm.host);
    writeU32(store.bytes, l4, ICMPV6_NEIGHBOR_ADVERTISEMENT << 24);
    putTarget(store.bytes, l4, vm.net);
    // Router and solicited flags.
    store.bytes[l4 + 4] = 0xc0;
    putLinkLayer(store.bytes, l4 + 24, 2, router);
    commit(store, UPLINK_PORT, at, finishIcmpv6(store.bytes, l3, 32) - at);
  }
  return 2;
}

/** Reserved word and target address 2001:db8:N::1. */
function putTarget(to: Uint8Array, l4: number, net: number): void {
  writeU32(to, l4 + 4, 0);
  writeU32(to, l4 + 8, IPV6_PREFIX);
  writeU32(to, l4 + 12, net << 16);
  writeU32(to, l4 + 16, 0);
  writeU32(to, l4 + 20, ROUTER.host);
}

/** RFC 4861 section 4.2, to all nodes of one tenant's VLAN. */
function routerAdvertisement(store: Store): number {
  const vm = VMS[anyVm(store)]!;
  const at = reserve(store, UPLINK_PORT, 96);
  if (at < 0) return 1;
  const router = macLow(ROUTER);
  const l3 = putEthernet(store.bytes, at, IPV6_GROUP_HIGH, 1, MAC_HIGH, router, vm.vid, ETHERTYPE_IPV6);
  const l4 = putIpv6(store.bytes, l3, PROTO_ICMPV6, 255, 0, vm.net, ROUTER.host, -1, 1);
  writeU32(store.bytes, l4, ICMPV6_ROUTER_ADVERTISEMENT << 24);
  // Hop limit 64, router lifetime 1800 s; reachable and retransmission time unspecified.
  writeU32(store.bytes, l4 + 4, (64 << 24) | 1800);
  writeU32(store.bytes, l4 + 8, 0);
  writeU32(store.bytes, l4 + 12, 0);
  putLinkLayer(store.bytes, l4 + 16, 1, router);
  commit(store, UPLINK_PORT, at, finishIcmpv6(store.bytes, l3, 24) - at);
  return 1;
}

/** IGMPv2 membership report (RFC 2236) with the router alert option (RFC 2113): the viewer of the camera's group. */
function igmpReport(store: Store): number {
  const vm = VMS[VIEWER]!;
  const group = 0xef040000 | (below(store.random, 4) + 1);
  const at = reserve(store, VIEWER, 64);
  if (at < 0) return 1;
  const { bytes } = store;
  const macGroup = 0x5e000000 | (group & 0x7fffff);
  const l3 = putEthernet(bytes, at, IPV4_GROUP_HIGH, macGroup, MAC_HIGH, macLow(vm), 0, ETHERTYPE_IPV4);
  const options = putIpv4(bytes, l3, PROTO_IGMP, 0xc0, 1, ipv4Of(vm), group);
  writeU32(bytes, options, 0x94040000);
  bytes[l3] = 0x46;
  const l4 = options + 4;
  finishIpv4(bytes, l3, sumBytes(bytes, l3, IPV4_HEADER_BYTES + 4), IPV4_HEADER_BYTES + 4 + 8, 0);
  writeU32(bytes, l4, IGMP_V2_REPORT << 24);
  writeU32(bytes, l4 + 4, group);
  writeU16(bytes, l4 + 2, complement(sumBytes(bytes, l4, 8)));
  commit(store, VIEWER, at, l4 + 8 - at);
  return 1;
}

/** A multicast DNS question (RFC 6762), to 224.0.0.251:5353. */
function mdns(store: Store, blobs: Blobs): number {
  const vm = VMS[PC]!;
  const at = reserve(store, PC, 160);
  if (at < 0) return 1;
  const { bytes } = store;
  const length = UDP_HEADER_BYTES + blobs.length[BLOB_QUESTIONS]!;
  const l3 = putEthernet(bytes, at, IPV4_GROUP_HIGH, 0x5e0000fb, MAC_HIGH, macLow(vm), 0, ETHERTYPE_IPV4);
  const l4 = putIpv4(bytes, l3, PROTO_UDP, 0, 255, ipv4Of(vm), 0xe00000fb);
  finishIpv4(bytes, l3, sumBytes(bytes, l3, IPV4_HEADER_BYTES), IPV4_HEADER_BYTES + length, 0);
  writeU32(bytes, l4, (5353 << 16) | 5353);
  writeU32(bytes, l4 + 4, length << 16);
  const from = blobs.at[BLOB_QUESTIONS]!;
  bytes.copyWithin(l4 + UDP_HEADER_BYTES, from, from + blobs.length[BLOB_QUESTIONS]!);
  const pseudo = sumBytes(bytes, l3 + 12, 8) + PROTO_UDP + length;
  writeU16(bytes, l4 + 6, complement(pseudo + sumBytes(bytes, l4, length)) || 0xffff);
  commit(store, PC, at, l4 + length - at);
  return 1;
}

/** IEEE 802.1AB: chassis id and port id (MAC address), TTL 120 s, end. A reserved group: a bridge does not forward it. */
function lldp(store: Store): number {
  const vm = VMS[NAS]!;
  const at = reserve(store, NAS, 64);
  if (at < 0) return 1;
  const { bytes } = store;
  let p = putEthernet(bytes, at, 0x0180, 0xc200000e, MAC_HIGH, macLow(vm), 0, ETHERTYPE_LLDP);
  for (const [type, subtype] of LLDP_IDS) {
    writeU16(bytes, p, (type << 9) | 7);
    bytes[p + 2] = subtype;
    writeU16(bytes, p + 3, MAC_HIGH);
    writeU32(bytes, p + 5, macLow(vm));
    p += 9;
  }
  writeU16(bytes, p, (3 << 9) | 2);
  writeU16(bytes, p + 2, 120);
  writeU16(bytes, p + 4, 0);
  commit(store, NAS, at, p + 6 - at);
  return 1;
}
const LLDP_IDS = [
  [1, 4],
  [2, 3],
] as const;

/** The scan asks host after host of 10.3.0.0/16 for ports that worms like; every eighth is closed and says so. */
const SCANNED_PORTS = [22, 23, 80, 135, 139, 443, 445, 1433, 3306, 3389, 5900, 8080];

function scan(b: Background, store: Store): number {
  const vm = VMS[BOT]!;
  const count = b.scanned[0]!++;
  const target = (10 << 24) | (vm.net << 16) | (((count >> 2) + 2) & 0xffff);
  const port = SCANNED_PORTS[count % SCANNED_PORTS.length]!;
  const seq = next(store.random);
  const source = 40000 + (count & 0xfff);
  bareTcp(store, BOT, vm.vid, ipv4Of(vm), target, source, port, seq, 0, TCP_SYN);
  if ((count & 7) !== 0) return 1;
  bareTcp(store, UPLINK_PORT, vm.vid, target, ipv4Of(vm), port, source, 0, seq + 1, TCP_RST | TCP_ACK);
  return 2;
}

/** A TCP segment without payload between the scanner and the router, from the port of either. */
function bareTcp(
  store: Store,
  port: number,
  vid: number,
  src: number,
  dst: number,
  srcPort: number,
  dstPort: number,
  seq: number,
  ack: number,
  flags: number,
): void {
  const at = reserve(store, port, 64);
  if (at < 0) return;
  const { bytes } = store;
  const bot = macLow(VMS[BOT]!);
  const router = macLow(ROUTER);
  const inbound = port === UPLINK_PORT;
  const to = inbound ? bot : router;
  const from = inbound ? router : bot;
  const l3 = putEthernet(bytes, at, MAC_HIGH, to, MAC_HIGH, from, inbound ? vid : 0, ETHERTYPE_IPV4);
  const l4 = putIpv4(bytes, l3, PROTO_TCP, 0, 64, src, dst);
  finishIpv4(bytes, l3, sumBytes(bytes, l3, IPV4_HEADER_BYTES), IPV4_HEADER_BYTES + TCP_HEADER_BYTES, 0);
  writeU32(bytes, l4, (srcPort << 16) | dstPort);
  writeU32(bytes, l4 + 4, seq);
  writeU32(bytes, l4 + 8, ack);
  writeU32(bytes, l4 + 12, (0x5000 << 16) | (flags << 16) | 1024);
  writeU32(bytes, l4 + 16, 0);
  const pseudo = sumBytes(bytes, l3 + 12, 8) + PROTO_TCP + TCP_HEADER_BYTES;
  writeU16(bytes, l4 + 16, complement(pseudo + sumBytes(bytes, l4, TCP_HEADER_BYTES)));
  commit(store, port, at, l4 + TCP_HEADER_BYTES - at);
}

/** Ten bytes: not even an Ethernet header. */
function cutEthernet(store: Store): number {
  const at = reserve(store, BOT, 64);
  if (at < 0) return 1;
  putEthernet(store.bytes, at, MAC_HIGH, macLow(ROUTER), MAC_HIGH, macLow(VMS[BOT]!), 0, ETHERTYPE_IPV4);
  commit(store, BOT, at, 10);
  return 1;
}
