/** Names of information elements (IANA, "IPFIX Information Elements"), and how their values are shown. */
import { formatIpv4, formatIpv6, formatMac } from "../../wire/address.ts";
import { readU32 } from "../../wire/bytes.ts";
import * as elements from "../../wire/ipfix-elements.ts";

/** Those that Weir does not write and others often do. */
const OF_OTHERS: Readonly<Record<number, string>> = {
  3: "deltaFlowCount",
  9: "sourceIPv4PrefixLength",
  13: "destinationIPv4PrefixLength",
  15: "ipNextHopIPv4Address",
  16: "bgpSourceAsNumber",
  17: "bgpDestinationAsNumber",
  18: "bgpNextHopIPv4Address",
  23: "postOctetDeltaCount",
  24: "postPacketDeltaCount",
  25: "minimumIpTotalLength",
  26: "maximumIpTotalLength",
  29: "sourceIPv6PrefixLength",
  30: "destinationIPv6PrefixLength",
  31: "flowLabelIPv6",
  33: "igmpType",
  36: "flowActiveTimeout",
  37: "flowIdleTimeout",
  52: "minimumTTL",
  53: "maximumTTL",
  54: "fragmentIdentification",
  57: "postDestinationMacAddress",
  59: "postVlanId",
  62: "ipNextHopIPv6Address",
  63: "bgpNextHopIPv6Address",
  70: "mplsTopLabelStackSection",
  81: "postSourceMacAddress",
  84: "samplerName",
  85: "octetTotalCount",
  86: "packetTotalCount",
  90: "mplsVpnRouteDistinguisher",
  94: "applicationDescription",
  95: "applicationId",
  96: "applicationName",
  130: "exporterIPv4Address",
  131: "exporterIPv6Address",
  138: "observationPointId",
  148: "flowId",
  150: "flowStartSeconds",
  151: "flowEndSeconds",
  154: "flowStartMicroseconds",
  155: "flowEndMicroseconds",
  156: "flowStartNanoseconds",
  157: "flowEndNanoseconds",
  160: "systemInitTimeMilliseconds",
  161: "flowDurationMilliseconds",
  176: "icmpTypeIPv4",
  177: "icmpCodeIPv4",
  178: "icmpTypeIPv6",
  179: "icmpCodeIPv6",
  192: "ipTTL",
  195: "ipDiffServCodePoint",
  225: "postNATSourceIPv4Address",
  226: "postNATDestinationIPv4Address",
  227: "postNAPTSourceTransportPort",
  228: "postNAPTDestinationTransportPort",
  230: "natEvent",
  231: "initiatorOctets",
  232: "responderOctets",
  234: "ingressVRFID",
  235: "egressVRFID",
  239: "biflowDirection",
  323: "observationTimeMilliseconds",
  351: "layer2SegmentId",
};

const names = new Map<number, string>(Object.entries(OF_OTHERS).map(([id, name]) => [Number(id), name]));
for (const element of Object.values(elements))
  if (element !== elements.SCOPE_SYSTEM) names.set(element.id, element.name);

/** Scopes of version 9 have numbers of their own (RFC 3954 section 6.1). */
const V9_SCOPES = ["", "System", "Interface", "LineCard", "Cache", "Template"];

const TEXTS = /(Name|Description|UUID)$/;

/** "octetDeltaCount"; "pen/number" for enterprise elements, the number where nobody here knows a name. */
export function elementName(id: number, pen: number, isV9Scope: boolean): string {
  if (pen !== 0) return `${pen}/${id}`;
  return (isV9Scope ? V9_SCOPES[id] : names.get(id)) || String(id);
}

/** Numbers up to 2^53 as such, above as bigint; addresses and names as text; anything else as bytes. */
export type Value = number | bigint | string | Uint8Array;

export function readValue(name: string, bytes: Uint8Array, at: number, length: number): Value {
  if (length === 4 && name.endsWith("IPv4Address")) return formatIpv4(readU32(bytes, at));
  if (length === 16 && name.endsWith("IPv6Address")) return formatIpv6(bytes, at);
  if (length === 6 && name.endsWith("MacAddress")) return formatMac(bytes, at);
  const part = bytes.subarray(at, at + length);
  if (TEXTS.test(name)) return new TextDecoder().decode(part).replace(/\0+$/, "");
  if (length > 8 || length === 0) return part;
  let value = 0;
  for (const byte of length > 6 ? [] : part) value = value * 256 + byte;
  if (length <= 6) return value;
  let wide = 0n;
  for (const byte of part) wide = (wide << 8n) | BigInt(byte);
  return wide <= BigInt(Number.MAX_SAFE_INTEGER) ? Number(wide) : wide;
}
