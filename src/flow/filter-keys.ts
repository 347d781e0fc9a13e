/**
 * The words of the filter language: every key of the API's lists, and how its values are written. Values may always be
 * given as the JSON has them; units, names and prefixes are read besides.
 */
import { BIT_RATE, BYTE_SIZE, DURATION, PACKET_RATE, type Unit } from "../text/units.ts";

/** How a key's values are compared. `id`: a number that names something; `count`: one that measures; `any`: by what is there. */
export type Kind = "text" | "ip" | "mac" | "id" | "count" | "boolean" | "any";

export interface Key {
  readonly kind: Kind;
  /** Where it stands in the JSON; the term holds if it holds for one of them (with != for none). */
  readonly paths: readonly (readonly string[])[];
  readonly unit?: Unit;
  /** Words for numbers: proto=tcp. */
  readonly words?: Readonly<Record<string, number>>;
}

/** IANA protocol numbers by the names of their RFCs. */
export const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  ospf: 89,
  vrrp: 112,
  sctp: 132,
};

/** IEEE 802 Ethertypes. */
export const ETHER_TYPES: Readonly<Record<string, number>> = {
  ipv4: 0x0800,
  arp: 0x0806,
  ipv6: 0x86dd,
  mpls: 0x8847,
  slow: 0x8809,
  lldp: 0x88cc,
};

const key = (kind: Kind, paths: readonly string[], more: Omit<Key, "kind" | "paths"> = {}): Key => ({
  kind,
  paths: paths.map((path) => path.split(".")),
  ...more,
});

const keys = new Map<string, Key>();
const add = (kind: Kind, names: string, more: Omit<Key, "kind" | "paths"> = {}) => {
  for (const name of names.split(" ")) keys.set(name, key(kind, [name], more));
};

add("text", "id bridge port name type state message origin device fragment malformed output disposition dropReason");
add("text", "rule mirrors mode trunks tenant reason class text last where match lookedAt collector profile basis");
add("text", "datapath vlans ports");
add("ip", "ipSrc ipDst");
add("mac", "ethSrc ethDst mac");
add("id", "ifIndex outputIfIndex vlan innerVlan pcp tos srcPort dstPort icmpType icmpCode arpOp tcpFlags tunnelId");
add("id", "forwardingStatus sflow gen mtu");
add("id", "proto", { words: PROTOCOLS });
add("id", "etherType", { words: ETHER_TYPES });
add("count", "packets droppedPackets totalPackets rxPackets txPackets txFailed forwarded consumed observed pending");
add("count", "flows flowsCreated samples samplePool sampleDrops records datagrams sendErrors octets");
add("count", "bytes l3Bytes droppedBytes rxBytes txBytes", { unit: BYTE_SIZE });
add("count", "pps rxPps txPps dropPps lostPps newFlowsPps", { unit: PACKET_RATE });
add("count", "bps rxBps txBps speed", { unit: BIT_RATE });
add("count", "firstMs lastMs ageMs disabledUntilMs", { unit: DURATION });
add("boolean", "enabled outputKnown ok");

for (const field of ["tenant", "vm", "vmId", "ifaceId"])
  for (const owner of ["owner", "outputOwner"]) keys.set(`${owner}.${field}`, key("text", [`${owner}.${field}`]));
for (const where of ["ring", "nic", "tap", "qdisc"]) keys.set(`lost.${where}`, key("count", [`lost.${where}`]));
// Short forms, and keys that look in several places.
for (const field of ["vm", "vmId", "ifaceId"]) keys.set(field, key("text", [`owner.${field}`, `outputOwner.${field}`]));
keys.set("tenant", key("text", ["tenant", "tenants", "owner.tenant", "outputOwner.tenant"]));
keys.set("ip", key("ip", ["ipSrc", "ipDst"]));
keys.set("mac", key("mac", ["ethSrc", "ethDst", "mac"]));
keys.set("vlan", key("id", ["vlan", "vlan.tag"]));
keys.set("mode", key("text", ["mode", "vlan.mode"]));
keys.set("dropped", key("count", ["dropped", "droppedPackets"]));

/** `label.rack` → owner.labels.rack; every other key by its name. */
export function findKey(name: string): Key | undefined {
  const label = /^(?:label|owner\.labels)\.(.+)$/.exec(name);
  return label ? { kind: "text", paths: [["owner", "labels", label[1]!]] } : keys.get(name);
}

/** A key that only the JSON knows. */
export const plainKey = (name: string): Key => key("any", [name]);

export const keyNames = (): Iterable<string> => keys.keys();
/** All keys whose numbers name something: what a bare number is looked for in. */
export const idKeys = [...keys.values()].filter((known) => known.kind === "id");

/** Keys that a flow's JSON may have, for those who check a filter before there is a flow. */
export const FLOW_KEYS: readonly string[] =
  `id bridge port ifIndex vlan innerVlan pcp ethSrc ethDst etherType ipSrc ipDst proto tos fragment srcPort dstPort
  icmpType icmpCode arpOp tcpFlags tunnelId malformed packets bytes l3Bytes droppedPackets droppedBytes pps bps firstMs
  lastMs output outputIfIndex outputOwner outputKnown disposition dropReason forwardingStatus owner tenant rule mirrors`.split(
    /\s+/,
  );
