/** The few words that several screens share: owners, VLANs, addresses of flows, losses. All made safe to print. */
import type { Counts, FlowJson, LostJson, Owner, VlanJson } from "../../bridge/views/json.ts";
import { hostPort } from "../../text/host-port.ts";
import { count } from "./units.ts";
import { visible } from "./text.ts";

/** "acme/web1", "acme", "web1" or "-". */
export function ownerName(owner: Owner | undefined, tenant?: string): string {
  const parts = [owner?.tenant ?? tenant, owner?.vm].filter((part): part is string => part !== undefined);
  return parts.length > 0 ? visible(parts.join("/")) : "-";
}

/** A tenant, or in brackets who has none: the one port, or "none". */
export function tenantName(row: { readonly tenant?: string; readonly ports: readonly string[] }): string {
  if (row.tenant !== undefined) return visible(row.tenant);
  return `(${row.ports.length === 1 ? visible(row.ports[0]!) : "none"})`;
}

export function vlanName(vlan: VlanJson | undefined): string {
  if (vlan === undefined) return "untagged";
  const trunks = vlan.trunks ?? "all";
  if (vlan.mode === "access") return String(vlan.tag);
  if (vlan.mode === "trunk") return `trunk ${trunks}`;
  return `${vlan.mode === "nativeTagged" ? "native tagged" : "native"} ${vlan.tag}, trunk ${trunks}`;
}

const PROTOCOLS: Readonly<Record<number, string>> = {
  1: "icmp",
  2: "igmp",
  4: "ipip",
  6: "tcp",
  17: "udp",
  41: "6in4",
  47: "gre",
  50: "esp",
  51: "ah",
  58: "icmpv6",
  89: "ospf",
  103: "pim",
  112: "vrrp",
  132: "sctp",
};
const ETHER_TYPES: Readonly<Record<number, string>> = {
  0x0800: "ipv4",
  0x0806: "arp",
  0x8035: "rarp",
  0x86dd: "ipv6",
  0x8809: "lacp",
  0x8847: "mpls",
  0x8863: "pppoe-d",
  0x8864: "pppoe",
  0x888e: "eapol",
  0x88cc: "lldp",
  0x88f7: "ptp",
};

export function protocolName(flow: Pick<FlowJson, "proto" | "etherType" | "ipSrc">): string {
  if (flow.proto !== undefined) return PROTOCOLS[flow.proto] ?? `ip ${flow.proto}`;
  return ETHER_TYPES[flow.etherType] ?? `0x${flow.etherType.toString(16).padStart(4, "0")}`;
}

function end(address: string, port: number | undefined): string {
  return port === undefined ? address : hostPort(address, port);
}

/** IP address and port where the flow has them, else the MAC address. */
export function flowEnds(flow: FlowJson): { readonly source: string; readonly destination: string } {
  return {
    source: flow.ipSrc === undefined ? flow.ethSrc : end(flow.ipSrc, flow.srcPort),
    destination: flow.ipDst === undefined ? flow.ethDst : end(flow.ipDst, flow.dstPort),
  };
}

export function total(counts: Counts | LostJson): number {
  return Object.values(counts).reduce((sum, value) => sum + value, 0);
}

/** "tap 88, nic 14": what is not zero, largest first. */
export function listCounts(counts: Counts | LostJson): string {
  return Object.entries(counts)
    .filter(([, value]) => value > 0)
    .toSorted((a, b) => b[1] - a[1])
    .map(([name, value]) => `${visible(name)} ${count(value)}`)
    .join(", ");
}

export function addLost(all: readonly LostJson[]): LostJson {
  const sum = { ring: 0, nic: 0, tap: 0, qdisc: 0 };
  for (const lost of all) for (const where of ["ring", "nic", "tap", "qdisc"] as const) sum[where] += lost[where];
  return sum;
}

export function plural(value: number, one: string, many = `${one}s`): string {
  return `${count(value)} ${value === 1 ? one : many}`;
}
