/**
 * A frame described in the filter language, for weir trace: "vlan=200 ipSrc=10.2.0.9 ipDst=10.2.0.1 proto=icmp" → the
 * fields, and the frame that has them. What the description leaves open is invented, and named.
 */
import { parseIp, parseMac } from "../wire/address.ts";
import { buildFrame, type FrameOptions } from "../wire/builder.ts";
import { didYouMean } from "../text/suggest.ts";
import { FilterError, keyOf, numberOf, readTerms, unquote, type Term } from "./filter.ts";

/** As in the JSON of a flow. */
export interface FrameSpec {
  readonly ethSrc?: string;
  readonly ethDst?: string;
  readonly etherType?: number;
  readonly vlan?: number;
  readonly innerVlan?: number;
  readonly pcp?: number;
  readonly ipSrc?: string;
  readonly ipDst?: string;
  readonly proto?: number;
  readonly tos?: number;
  readonly srcPort?: number;
  readonly dstPort?: number;
  readonly icmpType?: number;
  readonly icmpCode?: number;
  readonly arpOp?: number;
  readonly tcpFlags?: number;
}

/** Largest value of each number; the others are addresses. */
const LIMITS: Readonly<Record<string, number>> = {
  etherType: 0xffff,
  vlan: 4095,
  innerVlan: 4095,
  pcp: 7,
  proto: 255,
  tos: 255,
  srcPort: 65_535,
  dstPort: 65_535,
  icmpType: 255,
  icmpCode: 255,
  arpOp: 65_535,
  tcpFlags: 511,
};
const ADDRESSES = ["ethSrc", "ethDst", "ipSrc", "ipDst"];
const NAMES = [...ADDRESSES, ...Object.keys(LIMITS)];

/** Throws a FilterError. Terms are key=value, each key once. */
export function parseFrameSpec(text: string): FrameSpec {
  const spec: Record<string, string | number> = {};
  for (const term of readTerms(text)) {
    const name = term.key;
    if (name === undefined)
      throw new FilterError(term.column, `a frame is described by key=value, as in ipSrc=10.1.0.5`);
    if (!NAMES.includes(name))
      throw new FilterError(
        term.column,
        `a frame has no ${name}${didYouMean(name, NAMES) || `; it has ${NAMES.join(", ")}`}`,
      );
    if (term.operator !== "=") throw new FilterError(term.column, `a frame has one ${name}: write ${name}=value`);
    if (Object.hasOwn(spec, name)) throw new FilterError(term.column, `${name} is there already`);
    spec[name] = valueOf(term, name);
  }
  checkTogether(spec as FrameSpec);
  return spec as FrameSpec;
}

function valueOf(term: Term, name: string): string | number {
  const value = unquote(term.value);
  const column = term.valueColumn;
  if (name === "ethSrc" || name === "ethDst") {
    const mac = value.toLowerCase().replaceAll("-", ":");
    if (!parseMac(mac)) throw new FilterError(column, `${value} is not a MAC address, such as 52:54:00:12:34:56`);
    return mac;
  }
  if (name === "ipSrc" || name === "ipDst") {
    if (!parseIp(value)) throw new FilterError(column, `${value} is not an address, such as 10.1.0.5`);
    return value;
  }
  const number = numberOf(keyOf(term), name, value, column);
  if (!Number.isInteger(number) || number > LIMITS[name]!)
    throw new FilterError(column, `${name}: ${value} is not a whole number up to ${LIMITS[name]}`);
  return number;
}

const ICMP = 1;
const TCP = 6;
const UDP = 17;
const ICMPV6 = 58;
const ETHERTYPE_ARP = 0x0806;
const IP_ETHER_TYPES: Readonly<Record<number, 4 | 6>> = { 0x0800: 4, 0x86dd: 6 };

const familyOf = (spec: FrameSpec): 4 | 6 | undefined =>
  parseIp(spec.ipSrc ?? spec.ipDst ?? "")?.family ??
  (spec.proto === ICMPV6 ? 6 : undefined) ??
  (spec.etherType === undefined ? undefined : IP_ETHER_TYPES[spec.etherType]);

const needsIp = (spec: FrameSpec) =>
  [spec.proto, spec.tos, spec.srcPort, spec.dstPort, spec.icmpType, spec.icmpCode, spec.tcpFlags].some(
    (value) => value !== undefined,
  );

function checkTogether(spec: FrameSpec): void {
  const clash = (message: string) => {
    throw new FilterError(1, message);
  };
  const families = [spec.ipSrc, spec.ipDst].flatMap((ip) => (ip === undefined ? [] : parseIp(ip)!.family));
  if (new Set(families).size > 1) clash("ipSrc and ipDst are of different families");
  const isArp = spec.etherType === ETHERTYPE_ARP || spec.arpOp !== undefined;
  if (isArp && (needsIp(spec) || families.includes(6))) clash("an ARP frame has IPv4 addresses and no IP header");
  if (isArp && spec.etherType !== undefined && spec.etherType !== ETHERTYPE_ARP)
    clash("arpOp belongs to etherType=arp");
  if (!isArp && spec.etherType !== undefined) {
    const named = IP_ETHER_TYPES[spec.etherType];
    if (named === undefined && (families.length || needsIp(spec))) clash("IP fields belong to etherType=ipv4 or ipv6");
    if (named !== undefined && families.length && !families.includes(named))
      clash("the addresses are not of that etherType");
  }
  const ports = spec.srcPort !== undefined || spec.dstPort !== undefined;
  if (ports && spec.proto !== undefined && spec.proto !== TCP && spec.proto !== UDP)
    clash("ports belong to proto=tcp or proto=udp");
  if (spec.tcpFlags !== undefined && spec.proto !== undefined && spec.proto !== TCP)
    clash("tcpFlags belong to proto=tcp");
  const icmp = spec.icmpType !== undefined || spec.icmpCode !== undefined;
  if (icmp && spec.proto !== undefined && spec.proto !== ICMP && spec.proto !== ICMPV6)
    clash("icmpType belongs to proto=icmp or icmpv6");
  if (icmp && (ports || spec.tcpFlags !== undefined)) clash("a frame has ports or an ICMP type, not both");
  if (spec.innerVlan !== undefined && spec.vlan === undefined) clash("innerVlan needs vlan, the outer tag");
}

export interface DescribedFrame {
  readonly frame: Uint8Array;
  /** Fields that the description left open and the frame has. */
  readonly invented: readonly string[];
}

/** The frame of a description. */
export function frameOf(spec: FrameSpec): DescribedFrame {
  const invented: string[] = [];
  const or = <T>(name: keyof FrameSpec, value: T | undefined, otherwise: T): T => {
    if (value === undefined) invented.push(name);
    return value ?? otherwise;
  };
  const options: FrameOptions = {
    ethSrc: or("ethSrc", spec.ethSrc, "52:54:00:00:00:01"),
    ethDst: or("ethDst", spec.ethDst, "52:54:00:00:00:02"),
  };
  if (spec.vlan !== undefined || spec.pcp !== undefined) {
    const outer = { vid: spec.vlan ?? 0, pcp: spec.pcp ?? 0 };
    options.vlans = spec.innerVlan === undefined ? [outer] : [{ ...outer, tpid: 0x88a8 }, { vid: spec.innerVlan }];
  }
  const isArp = spec.etherType === ETHERTYPE_ARP || spec.arpOp !== undefined;
  if (isArp) {
    options.arp = {
      op: or("arpOp", spec.arpOp, 1),
      senderIp: or("ipSrc", spec.ipSrc, "192.0.2.1"),
      targetIp: or("ipDst", spec.ipDst, "192.0.2.2"),
    };
    return { frame: buildFrame(options), invented };
  }
  const family = familyOf(spec) ?? (needsIp(spec) || spec.etherType === undefined ? 4 : undefined);
  if (family === undefined) {
    options.etherType = spec.etherType!;
    options.payload = 46;
    return { frame: buildFrame(options), invented };
  }
  transport(options, spec, family, or);
  return { frame: buildFrame(options), invented };
}

type Or = <T>(name: keyof FrameSpec, value: T | undefined, otherwise: T) => T;

function transport(options: FrameOptions, spec: FrameSpec, family: 4 | 6, or: Or): void {
  const icmp = family === 4 ? ICMP : ICMPV6;
  const implied = spec.icmpType !== undefined || spec.icmpCode !== undefined ? icmp : TCP;
  const src = or("ipSrc", spec.ipSrc, family === 4 ? "192.0.2.1" : "2001:db8::1");
  const dst = or("ipDst", spec.ipDst, family === 4 ? "192.0.2.2" : "2001:db8::2");
  const proto = or("proto", spec.proto, implied);
  options.ip = { src, dst, proto, ...(spec.tos !== undefined && { tos: spec.tos }) };
  if (proto === TCP || proto === UDP) {
    const ports = { src: or("srcPort", spec.srcPort, 49_152), dst: or("dstPort", spec.dstPort, 80) };
    if (proto === TCP) options.tcp = { ...ports, flags: spec.tcpFlags ?? 0x02 };
    else options.udp = ports;
  } else if (proto === ICMP || proto === ICMPV6) {
    const echo = proto === ICMP ? 8 : 128;
    options.icmp = { type: or("icmpType", spec.icmpType, echo), code: spec.icmpCode ?? 0 };
  } else options.payload = 8;
}
