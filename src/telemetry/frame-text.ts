/** A frame in one line, for people: "52:54:00:aa:10:02 > ff:ff:ff:ff:ff:ff, vlan 200, ARP who-has 10.2.0.1 tell 10.2.0.9". */
import { describeKey } from "../flow/describe.ts";
import type { KeyFields } from "../flow/describe.ts";
import { FACT_WORDS } from "../flow/facts.ts";
import { KEY_WORDS } from "../flow/key.ts";
import { parseKey } from "../flow/parse.ts";
import { hostPort } from "../text/host-port.ts";
import { ETHERTYPE_ARP } from "../wire/ethernet.ts";

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp",
  2: "igmp",
  6: "tcp",
  17: "udp",
  47: "gre",
  50: "esp",
  58: "icmpv6",
  89: "ospf",
  132: "sctp",
};

const key = new Uint32Array(KEY_WORDS);
const facts = new Int32Array(FACT_WORDS);

/** `data` are the first bytes of a frame that was `wireLength` long. Never throws: this is hostile input. */
export function frameText(data: Uint8Array, wireLength: number): string {
  key.fill(0);
  if (!parseKey(data, 0, data.length, Math.max(wireLength, data.length), 0, key, facts))
    return `${wireLength} bytes: no whole Ethernet header`;
  return keyText(describeKey(key));
}

/** The same from a key that is already in fields: a flow's. */
export function keyText(fields: KeyFields): string {
  const parts = [`${fields.ethSrc} > ${fields.ethDst}`];
  if (fields.vlan !== undefined)
    parts.push(fields.innerVlan === undefined ? `vlan ${fields.vlan}` : `vlan ${fields.vlan}/${fields.innerVlan}`);
  parts.push(payloadText(fields));
  if (fields.malformed !== undefined) parts.push(`bad ${fields.malformed} header`);
  return parts.join(", ");
}

function payloadText(fields: KeyFields): string {
  const { ipSrc, ipDst } = fields;
  if (fields.etherType === ETHERTYPE_ARP && ipSrc !== undefined) {
    if (fields.arpOp === 1) return `ARP who-has ${ipDst} tell ${ipSrc}`;
    if (fields.arpOp === 2) return `ARP ${ipSrc} is-at ${fields.ethSrc}`;
    return `ARP ${ipSrc} > ${ipDst}`;
  }
  if (fields.proto !== undefined && ipSrc !== undefined && ipDst !== undefined) {
    const protocol = PROTOCOLS[fields.proto] ?? `ip protocol ${fields.proto}`;
    const later = fields.fragment === "later" ? " (fragment)" : "";
    if (fields.srcPort !== undefined)
      return `${protocol} ${hostPort(ipSrc, fields.srcPort)} > ${hostPort(ipDst, fields.dstPort!)}${later}`;
    const type = fields.icmpType === undefined ? "" : ` type ${fields.icmpType} code ${fields.icmpCode}`;
    return `${protocol} ${ipSrc} > ${ipDst}${type}${later}`;
  }
  const number = `0x${fields.etherType.toString(16).padStart(4, "0")}`;
  return fields.llc ? `llc ${number}` : `ethertype ${number}`;
}
