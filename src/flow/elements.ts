/**
 * What a flow record says in information elements: the fields of a template in order, each with how it is read out of
 * the record. Shared by the exporters that speak in templates; what is common to both stands here once.
 */
import type { RecordCursor } from "../shm/log.ts";
import {
  REC_BOOT_MS,
  REC_BYTES,
  REC_DISPOSITION,
  REC_DROPPED_BYTES,
  REC_DROPPED_PACKETS,
  REC_DROP_REASON,
  REC_END_REASON,
  REC_FIRST_MS,
  REC_INPUT_IFINDEX,
  REC_KEY,
  REC_L3_BYTES,
  REC_LAST_MS,
  REC_OUTPUT_IFINDEX,
  REC_OUTPUTS,
  REC_PACKETS,
  REC_TCP_FLAGS,
} from "../shm/log.ts";
import * as element from "../wire/ipfix-elements.ts";
import type { Element } from "../wire/ipfix-elements.ts";
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_IGMP, PROTO_TCP } from "../wire/ipv4.ts";
import { setUint64 } from "../wire/template.ts";
import { CONSUMED, DROP_REASONS, DROPPED, FORWARDED } from "./disposition.ts";
import {
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_IPV4,
  KEY_IPV6,
  KEY_L4,
  KEY_L4_PRESENT,
  KEY_PORT,
  KEY_TYPE,
  KEY_VERSION,
  KEY_VLAN,
  TCI_PCP_SHIFT,
  TCI_PRESENT,
  TCI_VID,
} from "./key.ts";

// A field added to the key must be looked at here. Tunnels (words 15 and 16) are reserved: no template has them yet.
if ((KEY_VERSION as number) !== 1) throw new Error("flow/elements: look at the new flow key");

export interface FlowField extends Element {
  readonly write: (view: DataView, at: number, record: RecordCursor) => void;
}

/** One template each: what a flow is made of. `other` is everything without a sound IP header. */
export const FAMILIES = ["ipv4", "ipv6", "other"] as const;
export type Family = (typeof FAMILIES)[number];

export function familyOf(record: RecordCursor): Family {
  const presence = record.u32[record.w + REC_KEY + KEY_PORT]!;
  return (presence & KEY_IPV4) !== 0 ? "ipv4" : (presence & KEY_IPV6) !== 0 ? "ipv6" : "other";
}

export function writeFlow(fields: readonly FlowField[], view: DataView, start: number, record: RecordCursor): void {
  let at = start;
  for (const field of fields) {
    field.write(view, at, record);
    at += field.bytes;
  }
}

/**
 * The fields of one family. `version` 9 dates by SysUptime, 10 by Unix time in ms. `rate`: what was received had been
 * sampled 1 in `rate` before; 1 = everything.
 */
export function flowFields(version: 9 | 10, family: Family, rate: number): FlowField[] {
  const times = version === 9 ? UPTIMES : UNIX_TIMES;
  const sampling = samplingFields(version, rate);
  if (family === "other") return [...times, ...COUNTERS, ...INTERFACES, ...ETHERNET, ...ENDS, ...sampling];
  const tcpBits = version === 9 ? { ...TCP_BITS, bytes: 1, write: writeTcpBits8 } : TCP_BITS;
  const addresses = family === "ipv4" ? IPV4 : IPV6;
  return [
    ...times,
    OCTETS,
    ...COUNTERS,
    DROPPED_OCTETS,
    ...INTERFACES,
    ...addresses,
    ...TRANSPORT,
    tcpBits,
    ...ETHERNET,
    ...ENDS,
    ...sampling,
  ];
}

type Write = FlowField["write"];
const field = (of: Element, write: Write): FlowField => ({ ...of, write });
const count = (of: Element, offset: number): FlowField =>
  field(of, (view, at, { f64, f }) => setUint64(view, at, f64[f + offset]!));
const number32 = (of: Element, value: number): FlowField => field(of, (view, at) => view.setUint32(at, value));

/** What SysUptime is at boot: nfdump 1.7 takes a First or Last of 0 for none. */
export const SYS_UPTIME_AT_BOOT_MS = 1000;

/** Whole ms of uptime and of boot are cut each by itself, so that all protocols date a packet alike. */
const uptime = (of: Element, offset: number): FlowField =>
  field(of, (view, at, { f64, f }) => view.setUint32(at, SYS_UPTIME_AT_BOOT_MS + Math.floor(f64[f + offset]!)));
const unixTime = (of: Element, offset: number): FlowField =>
  field(of, (view, at, { f64, f }) =>
    setUint64(view, at, Math.floor(f64[f + REC_BOOT_MS]!) + Math.floor(f64[f + offset]!)),
  );

const UPTIMES = [
  uptime(element.FLOW_START_SYS_UP_TIME, REC_FIRST_MS),
  uptime(element.FLOW_END_SYS_UP_TIME, REC_LAST_MS),
];
const UNIX_TIMES = [
  unixTime(element.FLOW_START_MILLISECONDS, REC_FIRST_MS),
  unixTime(element.FLOW_END_MILLISECONDS, REC_LAST_MS),
];

const OCTETS = count(element.OCTET_DELTA_COUNT, REC_L3_BYTES);
const COUNTERS = [
  count(element.PACKET_DELTA_COUNT, REC_PACKETS),
  count(element.LAYER2_OCTET_DELTA_COUNT, REC_BYTES),
  count(element.DROPPED_PACKET_DELTA_COUNT, REC_DROPPED_PACKETS),
];
const DROPPED_OCTETS = field(element.DROPPED_OCTET_DELTA_COUNT, (view, at, record) =>
  setUint64(view, at, droppedL3Bytes(record)),
);

const INTERFACES = [
  field(element.INGRESS_INTERFACE, (view, at, { u32, w }) => view.setUint32(at, u32[w + REC_INPUT_IFINDEX]!)),
  field(element.EGRESS_INTERFACE, (view, at, record) => view.setUint32(at, outputOf(record))),
  field(element.FLOW_DIRECTION, (view, at) => view.setUint8(at, 0)),
];

const ETHERNET = [
  field(element.SOURCE_MAC_ADDRESS, (view, at, { u32, w }) => {
    view.setUint16(at, u32[w + REC_KEY + KEY_ETH_DST_SRC]!);
    view.setUint32(at + 2, u32[w + REC_KEY + KEY_ETH_SRC]!);
  }),
  field(element.DESTINATION_MAC_ADDRESS, (view, at, { u32, w }) => {
    view.setUint32(at, u32[w + REC_KEY + KEY_ETH_DST]!);
    view.setUint16(at + 4, u32[w + REC_KEY + KEY_ETH_DST_SRC]! >>> 16);
  }),
  field(element.VLAN_ID, writeOuterVlan),
  field(element.DOT1Q_VLAN_ID, writeOuterVlan),
  field(element.DOT1Q_PRIORITY, (view, at, { u32, w }) =>
    view.setUint8(at, u32[w + REC_KEY + KEY_VLAN]! >>> (16 + TCI_PCP_SHIFT)),
  ),
  field(element.DOT1Q_CUSTOMER_VLAN_ID, (view, at, { u32, w }) =>
    view.setUint16(at, vlanOf(u32[w + REC_KEY + KEY_VLAN]! & 0xffff)),
  ),
  field(element.ETHERNET_TYPE, (view, at, { u32, w }) => view.setUint16(at, u32[w + REC_KEY + KEY_TYPE]! >>> 16)),
];

const ENDS = [
  field(element.FLOW_END_REASON, (view, at, { u32, w }) => view.setUint8(at, u32[w + REC_END_REASON]!)),
  field(element.FORWARDING_STATUS, (view, at, record) => view.setUint8(at, forwardingStatusOf(record))),
];

const writeAddress6 =
  (word: number): Write =>
  (view, at, { u32, w }) => {
    for (let n = 0; n < 4; n++) view.setUint32(at + 4 * n, u32[w + REC_KEY + word + n]!);
  };
const writeAddress4 =
  (word: number): Write =>
  (view, at, { u32, w }) =>
    view.setUint32(at, u32[w + REC_KEY + word]!);

const IPV4 = [
  field(element.SOURCE_IPV4_ADDRESS, writeAddress4(KEY_IP_SRC)),
  field(element.DESTINATION_IPV4_ADDRESS, writeAddress4(KEY_IP_DST)),
  field(element.IP_VERSION, (view, at) => view.setUint8(at, 4)),
  field(element.ICMP_TYPE_CODE_IPV4, (view, at, record) => view.setUint16(at, icmpOf(record, PROTO_ICMP))),
];
const IPV6 = [
  field(element.SOURCE_IPV6_ADDRESS, writeAddress6(KEY_IP_SRC)),
  field(element.DESTINATION_IPV6_ADDRESS, writeAddress6(KEY_IP_DST)),
  field(element.IP_VERSION, (view, at) => view.setUint8(at, 6)),
  field(element.ICMP_TYPE_CODE_IPV6, (view, at, record) => view.setUint16(at, icmpOf(record, PROTO_ICMPV6))),
];
const TRANSPORT = [
  field(element.PROTOCOL_IDENTIFIER, (view, at, record) => view.setUint8(at, protocolOf(record))),
  field(element.IP_CLASS_OF_SERVICE, (view, at, { u32, w }) => view.setUint8(at, u32[w + REC_KEY + KEY_TYPE]!)),
  field(element.SOURCE_TRANSPORT_PORT, (view, at, record) => view.setUint16(at, portsOf(record) >>> 16)),
  field(element.DESTINATION_TRANSPORT_PORT, (view, at, record) => view.setUint16(at, portsOf(record))),
];
const TCP_BITS = field(element.TCP_CONTROL_BITS, (view, at, record) => view.setUint16(at, tcpBitsOf(record)));

function writeTcpBits8(view: DataView, at: number, record: RecordCursor): void {
  view.setUint8(at, tcpBitsOf(record));
}

/** The one sampler, or selector, that options describe. */
export const SAMPLER = 1;

/** In the record itself, for some collectors read only this; others only options, by a sampler that the record names. */
function samplingFields(version: 9 | 10, rate: number): FlowField[] {
  const interval = number32(element.SAMPLING_INTERVAL, rate);
  const sampler =
    version === 9
      ? field(element.SAMPLER_ID, (view, at) => view.setUint8(at, SAMPLER))
      : field(element.SELECTOR_ID, (view, at) => setUint64(view, at, SAMPLER));
  return rate > 1 ? [interval, sampler] : [interval];
}

function writeOuterVlan(view: DataView, at: number, { u32, w }: RecordCursor): void {
  view.setUint16(at, vlanOf(u32[w + REC_KEY + KEY_VLAN]! >>> 16));
}

function vlanOf(tci: number): number {
  return (tci & TCI_PRESENT) !== 0 ? tci & TCI_VID : 0;
}

function protocolOf({ u32, w }: RecordCursor): number {
  return (u32[w + REC_KEY + KEY_TYPE]! >>> 8) & 0xff;
}

/** Bits that TCP alone has: those of NS and below (RFC 9293 section 3.1). */
function tcpBitsOf(record: RecordCursor): number {
  return protocolOf(record) === PROTO_TCP ? record.u32[record.w + REC_TCP_FLAGS]! & 0x1ff : 0;
}

/** Source and destination port as one word. ICMP, ICMPv6 and IGMP as NetFlow has always had them: 0, type × 256 + code. */
function portsOf(record: RecordCursor): number {
  const { u32, w } = record;
  if ((u32[w + REC_KEY + KEY_PORT]! & KEY_L4_PRESENT) === 0) return 0;
  const l4 = u32[w + REC_KEY + KEY_L4]!;
  const protocol = protocolOf(record);
  return protocol === PROTO_ICMP || protocol === PROTO_ICMPV6 || protocol === PROTO_IGMP ? typeAndCode(l4) : l4;
}

function icmpOf(record: RecordCursor, protocol: number): number {
  const { u32, w } = record;
  if (protocolOf(record) !== protocol || (u32[w + REC_KEY + KEY_PORT]! & KEY_L4_PRESENT) === 0) return 0;
  return typeAndCode(u32[w + REC_KEY + KEY_L4]!);
}

function typeAndCode(l4: number): number {
  return ((l4 >>> 16) << 8) | (l4 & 0xff);
}

/** ifIndex of the one port the flow leaves by; 0 where that is none, several, or not known. */
function outputOf({ u32, w }: RecordCursor): number {
  const disposition = u32[w + REC_DISPOSITION]!;
  if (disposition === DROPPED || disposition === CONSUMED || u32[w + REC_OUTPUTS]! > 1) return 0;
  return u32[w + REC_OUTPUT_IFINDEX]!;
}

const STATUS_UNKNOWN = 0;
const STATUS_DROPPED_UNKNOWN = 128;
const STATUS_CONSUMED = 192;

/** RFC 7270 section 4.12. */
function forwardingStatusOf({ u32, w }: RecordCursor): number {
  switch (u32[w + REC_DISPOSITION]) {
    case FORWARDED:
      return DROP_REASONS[0]!.forwardingStatus;
    case DROPPED:
      return statusOfReason[u32[w + REC_DROP_REASON]!] ?? STATUS_DROPPED_UNKNOWN;
    case CONSUMED:
      return STATUS_CONSUMED;
    default:
      return STATUS_UNKNOWN;
  }
}

const statusOfReason = DROP_REASONS.map((reason, n) => (n === 0 ? STATUS_DROPPED_UNKNOWN : reason.forwardingStatus));

const ETHERNET_HEADER_BYTES = 14;
const TAG_BYTES = 4;

/**
 * IP octets of the dropped frames. Slots count those in frame bytes: where all frames were dropped it is the interval's
 * sum, else Ethernet header and tags are taken off, and the padding of short frames is still in it.
 */
function droppedL3Bytes({ f64, f, u32, w }: RecordCursor): number {
  const dropped = f64[f + REC_DROPPED_PACKETS]!;
  const l3Bytes = f64[f + REC_L3_BYTES]!;
  if (dropped === 0) return 0;
  if (dropped >= f64[f + REC_PACKETS]!) return l3Bytes;
  const tci = u32[w + REC_KEY + KEY_VLAN]!;
  const tags = ((tci >>> 16) & TCI_PRESENT ? 1 : 0) + (tci & TCI_PRESENT ? 1 : 0);
  const header = ETHERNET_HEADER_BYTES + tags * TAG_BYTES;
  return Math.min(l3Bytes, Math.max(0, f64[f + REC_DROPPED_BYTES]! - dropped * header));
}
