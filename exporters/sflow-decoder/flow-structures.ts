/**
 * What the numbers of flow records mean.
 *
 * Sources: sflow.org "sFlow Version 5" (July 2004), "sFlow Tunnel Structures", "sFlow Port NAT", "sFlow Host Structures",
 * "sFlow Dropped Packet Notification Structures", "sFlow Transit Delay Structures"; host-sflow's sflow.h for 1039 to
 * 1043, 2209, 2210.
 */
import { structure, u32, u64, mac, ipv4, ipv6, address, string, u32s, words } from "./fields.ts";
import type { Read, UnknownRecord } from "./fields.ts";

const ETHERNET = { length: u32, source: mac, destination: mac, etherType: u32 };
const IPV4 = {
  length: u32,
  protocol: u32,
  source: ipv4,
  destination: ipv4,
  ...words("sourcePort", "destinationPort", "tcpFlags", "tos"),
};
const IPV6 = {
  length: u32,
  protocol: u32,
  source: ipv6,
  destination: ipv6,
  ...words("sourcePort", "destinationPort", "tcpFlags", "priority"),
};
const SOCKET_IPV4 = { protocol: u32, local: ipv4, remote: ipv4, localPort: u32, remotePort: u32 };
const SOCKET_IPV6 = { protocol: u32, local: ipv6, remote: ipv6, localPort: u32, remotePort: u32 };

/** Flow records by format (enterprise 0). */
export const FLOW_STRUCTURES = {
  1: structure("rawHeader", { protocol: u32, frameLength: u32, stripped: u32, header: (c) => c.opaque() }),
  2: structure("ethernet", ETHERNET),
  3: structure("ipv4", IPV4),
  4: structure("ipv6", IPV6),
  1001: structure("switch", words("sourceVlan", "sourcePriority", "destinationVlan", "destinationPriority")),
  1002: structure("router", { nextHop: address, sourceMask: u32, destinationMask: u32 }),
  1003: structure("gateway", {
    nextHop: address,
    ...words("as", "sourceAs", "sourcePeerAs"),
    destinationAsPath: (c) =>
      c.list(8, "AS path segments", (segment) => ({ isSequence: segment.u32() === 2, path: u32s(segment) })),
    communities: u32s,
    localPreference: u32,
  }),
  1004: structure("user", { sourceCharset: u32, sourceUser: string, destinationCharset: u32, destinationUser: string }),
  1005: structure("url", { direction: u32, url: string, host: string }),
  1006: structure("mpls", { nextHop: address, inStack: u32s, outStack: u32s }),
  1007: structure("nat", { source: address, destination: address }),
  1008: structure("mplsTunnel", { name: string, tunnelId: u32, cos: u32 }),
  1009: structure("mplsVc", { instance: string, vcId: u32, cos: u32 }),
  1010: structure("mplsFtn", { description: string, mask: u32 }),
  1011: structure("mplsLdpFec", { prefixLength: u32 }),
  1012: structure("vlanStack", { stack: u32s }),
  1020: structure("natPort", words("sourcePort", "destinationPort")),
  1021: structure("tunnelEthernetOut", ETHERNET),
  1022: structure("tunnelEthernetIn", ETHERNET),
  1023: structure("tunnelIpv4Out", IPV4),
  1024: structure("tunnelIpv4In", IPV4),
  1025: structure("tunnelIpv6Out", IPV6),
  1026: structure("tunnelIpv6In", IPV6),
  1027: structure("decapsulateOut", { innerHeaderOffset: u32 }),
  1028: structure("decapsulateIn", { innerHeaderOffset: u32 }),
  1029: structure("vniOut", { vni: u32 }),
  1030: structure("vniIn", { vni: u32 }),
  1036: structure("egressQueue", { queue: u32 }),
  1037: structure("acl", { number: u32, name: string, direction: u32 }),
  1038: structure("function", { symbol: string }),
  1039: structure("transitDelay", { nanoseconds: u32 }),
  1040: structure("queueDepth", { bytes: u32 }),
  1041: structure("hardwareTrap", { group: string, trap: string }),
  1042: structure("linuxDropReason", { reason: string }),
  1043: structure("timestamp", { nanoseconds: u64 }),
  2100: structure("socketIpv4", SOCKET_IPV4),
  2101: structure("socketIpv6", SOCKET_IPV6),
  2102: structure("proxySocketIpv4", SOCKET_IPV4),
  2103: structure("proxySocketIpv6", SOCKET_IPV6),
  2209: structure(
    "tcpInfo",
    words(
      "direction",
      "sendMss",
      "receiveMss",
      "unacked",
      "lost",
      "retransmitted",
      "pathMtu",
      "rttUs",
      "rttVarianceUs",
      "congestionWindow",
      "reordering",
      "minRttUs",
    ),
  ),
  2210: structure("entities", words("sourceClass", "sourceIndex", "destinationClass", "destinationIndex")),
} as const;

export type FlowRecord = Read<typeof FLOW_STRUCTURES> | UnknownRecord;
