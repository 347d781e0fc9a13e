/**
 * What can become of a frame, and why a frame is refused: the one table of drop reasons, read by the datapaths (dense
 * numbers), exporters (sFlow and RFC 7270 codes) and views (class).
 */

/** Every frame has exactly one. The numbers are part of action blocks and records. */
export const DISPOSITIONS = ["forwarded", "dropped", "consumed", "observed"] as const;
export type DispositionName = (typeof DISPOSITIONS)[number];
export const FORWARDED = 0;
export const DROPPED = 1;
export const CONSUMED = 2;
export const OBSERVED = 3;

/** expected: a switch at work; refused: somebody's configuration or fault; fault: ours or the host's. */
export type DropClass = "expected" | "refused" | "fault";

export interface DropReason {
  readonly name: string;
  /** sFlow drop reason code (sflow.org "Dropped Packet Notification Structures"); 256 = unknown. */
  readonly sflow: number;
  /** forwardingStatus, RFC 7270 section 4.12. */
  readonly forwardingStatus: number;
  readonly class: DropClass;
}

const reason = (name: string, sflow: number, cls: DropClass, forwardingStatus = 128): DropReason => ({
  name,
  sflow,
  forwardingStatus,
  class: cls,
});

/** Index = the number that datapaths, slots and counters use. Append only; 0 is "not dropped". */
export const DROP_REASONS: readonly DropReason[] = [
  reason("none", 0, "expected", 64),
  reason("ingress_vlan_filter", 265, "refused"),
  reason("vlan_tag_mismatch", 264, "refused"),
  reason("egress_vlan_filter", 301, "refused"),
  reason("src_mac_is_multicast", 263, "refused"),
  reason("src_mac_is_dmac", 293, "refused"),
  reason("dmac_is_reserved", 294, "expected"),
  reason("port_loopback_filter", 268, "expected"),
  reason("port_list_is_empty", 267, "expected"),
  reason("locked_port", 304, "refused"),
  reason("mlag_port_isolation", 291, "refused"),
  reason("ingress_spanning_tree_filter", 266, "refused"),
  reason("acl", 258, "refused", 129),
  reason("policer", 261, "refused", 138),
  reason("storm_control", 261, "refused", 138),
  reason("pkt_too_big", 262, "refused", 133),
  reason("ttl_exceeded", 257, "refused", 137),
  reason("no_buffer_space", 259, "fault"),
  reason("cpu_backlog", 368, "fault"),
  reason("dev_ready", 331, "fault", 142),
  reason("split_horizon", 303, "fault"),
  reason("pkt_too_small", 324, "fault"),
  reason("llc_snap_parsing", 308, "fault"),
  reason("vlan_parsing", 309, "fault"),
  reason("tx_failed", 256, "fault"),
  reason("mirror_port_rx", 256, "refused"),
  reason("unknown", 256, "fault"),
  // Headers above VLAN, refused only where `dropMalformed` is set.
  reason("arp_parsing", 312, "fault"),
  reason("ip_1_parsing", 313, "fault"),
  reason("ipv6_bad_exthdr", 357, "fault"),
  reason("tcp_parsing", 317, "fault"),
  reason("udp_parsing", 316, "fault"),
  reason("sctp_parsing", 319, "fault"),
  reason("icmp_parsing", 336, "fault"),
  reason("unknown_parsing", 323, "fault"),
];

export const DROP_REASON_COUNT = DROP_REASONS.length;

const byName = new Map(DROP_REASONS.map((entry, index) => [entry.name, index]));

/** The dense number of a reason. Throws on a name that is not in the table: a programmer's error. */
export function dropReason(name: string): number {
  const index = byName.get(name);
  if (index === undefined) throw new Error(`no drop reason is called ${name}`);
  return index;
}

export const DROP_INGRESS_VLAN_FILTER = dropReason("ingress_vlan_filter");
export const DROP_VLAN_TAG_MISMATCH = dropReason("vlan_tag_mismatch");
export const DROP_EGRESS_VLAN_FILTER = dropReason("egress_vlan_filter");
export const DROP_SRC_MAC_IS_MULTICAST = dropReason("src_mac_is_multicast");
export const DROP_SRC_MAC_IS_DMAC = dropReason("src_mac_is_dmac");
export const DROP_DMAC_IS_RESERVED = dropReason("dmac_is_reserved");
export const DROP_PORT_LOOPBACK_FILTER = dropReason("port_loopback_filter");
export const DROP_PORT_LIST_IS_EMPTY = dropReason("port_list_is_empty");
export const DROP_PKT_TOO_BIG = dropReason("pkt_too_big");
export const DROP_NO_BUFFER_SPACE = dropReason("no_buffer_space");
export const DROP_CPU_BACKLOG = dropReason("cpu_backlog");
export const DROP_DEV_READY = dropReason("dev_ready");
export const DROP_SPLIT_HORIZON = dropReason("split_horizon");
export const DROP_MIRROR_PORT_RX = dropReason("mirror_port_rx");
export const DROP_PKT_TOO_SMALL = dropReason("pkt_too_small");
export const DROP_LLC_SNAP_PARSING = dropReason("llc_snap_parsing");
export const DROP_VLAN_PARSING = dropReason("vlan_parsing");
export const DROP_TX_FAILED = dropReason("tx_failed");
export const DROP_ACL = dropReason("acl");
export const DROP_UNKNOWN = dropReason("unknown");

/** Protocols that the switch itself takes in (disposition consumed). Empty until a control protocol runs here. */
export const CONSUMED_PROTOCOLS = ["unknown", "lacp", "lldp", "stp", "cfm", "bfd"] as const;

/** Why a frame counts by port, VLAN and tenant only. The index is the number in the counters. */
export const UNATTRIBUTED_CAUSES = ["tableFull", "missRefused", "noMemory", "race", "noFlow"] as const;
export type UnattributedCause = (typeof UNATTRIBUTED_CAUSES)[number];
export const CAUSE_TABLE_FULL = 0;
export const CAUSE_MISS_REFUSED = 1;
export const CAUSE_NO_MEMORY = 2;
export const CAUSE_RACE = 3;
export const CAUSE_NO_FLOW = 4;

/** RFC 5102 flowEndReason (element 136). */
export const END_IDLE = 1;
export const END_ACTIVE = 2;
export const END_OF_FLOW = 3;
export const END_FORCED = 4;
export const END_LACK_OF_RESOURCES = 5;
