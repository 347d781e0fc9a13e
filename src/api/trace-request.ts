/** What `weir trace` asks about: fields in the filter language become a whole frame; what they leave open is invented. */
import { parseFilter, type FilterTerm, numberFor } from "../flow/filter.ts";
import { parseIp, parseMac } from "../wire/address.ts";
import { buildFrame, type FrameOptions } from "../wire/builder.ts";
import { ETHERTYPE_ARP } from "../wire/ethernet.ts";
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_TCP, PROTO_UDP } from "../wire/ipv4.ts";
import { didYouMean } from "../text/suggest.ts";
import { Problem } from "./problem.ts";

export interface TracedFrame {
  readonly bytes: Uint8Array;
  /** Fields that were not given and matter to the answer. */
  readonly invented: readonly string[];
}

/** Addresses that a trace may use where none was given. Undefined: nothing is known. */
export interface Stations {
  /** A station that sends on this port. */
  source(): string | undefined;
  /** The station with this IP address. */
  owner(ip: string): string | undefined;
}

// Locally administered, given to nobody.
const INVENTED_SOURCE = "02:00:00:00:00:01";
const INVENTED_DESTINATION = "02:00:00:00:00:02";

const NUMBERS: Readonly<Record<string, number>> = {
  vlan: 4094,
  innerVlan: 4094,
  pcp: 7,
  etherType: 0xffff,
  proto: 255,
  tos: 255,
  srcPort: 65535,
  dstPort: 65535,
  icmpType: 255,
  icmpCode: 255,
  arpOp: 65535,
};
const ADDRESSES = ["ethSrc", "ethDst", "ipSrc", "ipDst"] as const;
const KEYS = [...Object.keys(NUMBERS), ...ADDRESSES];

function wrong(message: string): never {
  throw new Problem(400, `match: ${message}`, [{ path: "match", message }]);
}

function terms(match: string): FilterTerm[] {
  try {
    return parseFilter(match);
  } catch (error) {
    return wrong((error as Error).message);
  }
}

interface Fields {
  readonly numbers: Readonly<Record<string, number>>;
  readonly addresses: Readonly<Partial<Record<(typeof ADDRESSES)[number], string>>>;
}

function read(match: string): Fields {
  const numbers: Record<string, number> = {};
  const addresses: Record<string, string> = {};
  for (const { key, op, values } of terms(match)) {
    const value = values[0]!;
    if (key === undefined) wrong(`${value}: a trace takes key=value only`);
    if (op !== "=" || values.length > 1) wrong(`${key}: one frame has one value: ${key}=value`);
    if (!KEYS.includes(key)) wrong(`there is no field ${key}${didYouMean(key, KEYS)}; fields: ${KEYS.join(", ")}`);
    if (key in numbers || key in addresses) wrong(`${key} is said twice`);
    if (key in NUMBERS) {
      const number = numberFor(key, value);
      if (number === undefined || !Number.isInteger(number) || number < 0 || number > NUMBERS[key]!)
        wrong(`${key}=${value}: a number 0..${NUMBERS[key]!} is wanted`);
      numbers[key] = number;
    } else addresses[key] = address(key, value);
  }
  return { numbers, addresses };
}

function address(key: string, value: string): string {
  const isMac = key.startsWith("eth");
  if ((isMac ? parseMac(value) : parseIp(value)) === undefined)
    wrong(`${key}=${value}: not ${isMac ? "a MAC" : "an IP"} address`);
  return value;
}

/** Throws a Problem (400) that names the field. */
export function frameFromFields(match: string, stations: Stations): TracedFrame {
  const { numbers, addresses } = read(match);
  const invented: string[] = [];
  const ethSrc = addresses.ethSrc ?? stations.source() ?? (invented.push("ethSrc"), INVENTED_SOURCE);
  const known = addresses.ipDst === undefined ? undefined : stations.owner(addresses.ipDst);
  const isArp = numbers.etherType === ETHERTYPE_ARP;
  const ethDst =
    addresses.ethDst ?? (isArp ? "ff:ff:ff:ff:ff:ff" : (known ?? (invented.push("ethDst"), INVENTED_DESTINATION)));
  const { pcp } = numbers;
  const vlans = [numbers.vlan, numbers.innerVlan].flatMap((vid, n) =>
    vid === undefined ? [] : [{ vid, ...(n === 0 && pcp !== undefined && { pcp }) }],
  );
  const options: FrameOptions = { ethSrc, ethDst, vlans, ...body(numbers, addresses, isArp) };
  try {
    return { bytes: buildFrame(options), invented };
  } catch (error) {
    return wrong((error as Error).message.replace(/^buildFrame: /, ""));
  }
}

function body(numbers: Fields["numbers"], addresses: Fields["addresses"], isArp: boolean): Partial<FrameOptions> {
  const { ipSrc, ipDst } = addresses;
  if (isArp) {
    const arp = { senderIp: ipSrc ?? "0.0.0.0", targetIp: ipDst ?? "0.0.0.0", op: numbers.arpOp ?? 1 };
    return { arp };
  }
  const some = ipSrc ?? ipDst;
  const needsIp = numbers.proto !== undefined || numbers.srcPort !== undefined || numbers.dstPort !== undefined;
  if (some === undefined && !needsIp) return { etherType: numbers.etherType ?? 0x0800, payload: 46 };
  const nobody = some?.includes(":") ? "::" : "0.0.0.0";
  const proto = numbers.proto ?? (needsIp ? PROTO_TCP : undefined);
  const ip = {
    src: ipSrc ?? nobody,
    dst: ipDst ?? nobody,
    ...(proto !== undefined && { proto }),
    ...(numbers.tos !== undefined && { tos: numbers.tos }),
  };
  const ports = { src: numbers.srcPort ?? 0, dst: numbers.dstPort ?? 0 };
  if (proto === PROTO_TCP) return { ip, tcp: ports };
  if (proto === PROTO_UDP) return { ip, udp: ports };
  if (proto === PROTO_ICMP || proto === PROTO_ICMPV6) {
    const echo = proto === PROTO_ICMP ? 8 : 128;
    return { ip, icmp: { type: numbers.icmpType ?? echo, code: numbers.icmpCode ?? 0 } };
  }
  return { ip, payload: 8 };
}
