/** A flow key for people and JSON: the names of "A flow" in the documented interface. Keys that do not apply are left out. */
import { formatIpv4, formatIpv6Words, formatMacWords } from "../wire/address.ts";
import { ETHERTYPE_ARP } from "../wire/ethernet.ts";
import { PROTO_ICMP, PROTO_ICMPV6, PROTO_IGMP } from "../wire/ipv4.ts";
import {
  FAULTS,
  FRAGMENT_FIRST,
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_FAULT_MASK,
  KEY_FAULT_SHIFT,
  KEY_FRAGMENT_MASK,
  KEY_IPV4,
  KEY_IPV6,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_L4,
  KEY_L4_PRESENT,
  KEY_LLC,
  KEY_PORT,
  KEY_TUNNEL_ID,
  KEY_TYPE,
  KEY_VLAN,
  TCI_PCP_SHIFT,
  TCI_PRESENT,
  TCI_VID,
} from "./key.ts";
import type { FaultName } from "./key.ts";

export interface KeyFields {
  /** Port number; views put the port's name here. */
  port: number;
  ethSrc: string;
  ethDst: string;
  /** VLAN id of the outer tag, 0 = a priority tag; absent = untagged. */
  vlan?: number;
  innerVlan?: number;
  /** Priority of the outer tag. */
  pcp?: number;
  /** With `llc`: the type of SNAP, or DSAP << 8 | SSAP. */
  etherType: number;
  llc?: true;
  /** IP addresses; sender and target of ARP. */
  ipSrc?: string;
  ipDst?: string;
  proto?: number;
  tos?: number;
  fragment?: "first" | "later";
  srcPort?: number;
  dstPort?: number;
  icmpType?: number;
  icmpCode?: number;
  igmpType?: number;
  arpOp?: number;
  tunnelId?: number;
  /** The first bad header. */
  malformed?: FaultName;
}

/** Decode `key` (KEY_WORDS words at `at`, so that a key can be read where it stands in a slot). */
export function describeKey(key: Uint32Array, at = 0): KeyFields {
  const word = (n: number): number => key[at + n]!;
  const flags = word(KEY_PORT);
  const type = word(KEY_TYPE);
  const fields: KeyFields = {
    port: flags >>> 16,
    ethSrc: formatMacWords(word(KEY_ETH_DST_SRC) & 0xffff, word(KEY_ETH_SRC)),
    ethDst: formatMacWords(
      word(KEY_ETH_DST) >>> 16,
      ((word(KEY_ETH_DST) << 16) | (word(KEY_ETH_DST_SRC) >>> 16)) >>> 0,
    ),
    etherType: type >>> 16,
  };

  const outer = word(KEY_VLAN) >>> 16;
  const inner = word(KEY_VLAN) & 0xffff;
  if (outer & TCI_PRESENT) {
    fields.vlan = outer & TCI_VID;
    fields.pcp = outer >>> TCI_PCP_SHIFT;
  }
  if (inner & TCI_PRESENT) fields.innerVlan = inner & TCI_VID;
  if (flags & KEY_LLC) fields.llc = true;

  if (flags & KEY_IPV6) {
    fields.ipSrc = ipv6(key, at + KEY_IP_SRC);
    fields.ipDst = ipv6(key, at + KEY_IP_DST);
  } else if (flags & KEY_IPV4 || word(KEY_IP_SRC) !== 0 || word(KEY_IP_DST) !== 0) {
    fields.ipSrc = formatIpv4(word(KEY_IP_SRC));
    fields.ipDst = formatIpv4(word(KEY_IP_DST));
  }
  if (flags & (KEY_IPV4 | KEY_IPV6)) {
    fields.proto = (type >>> 8) & 0xff;
    fields.tos = type & 0xff;
    const fragment = flags & KEY_FRAGMENT_MASK;
    if (fragment !== 0) fields.fragment = fragment === FRAGMENT_FIRST ? "first" : "later";
  }

  const l4 = word(KEY_L4);
  if (fields.etherType === ETHERTYPE_ARP && l4 !== 0) fields.arpOp = l4;
  if (flags & KEY_L4_PRESENT) {
    if (fields.proto === PROTO_IGMP) fields.igmpType = l4 >>> 16;
    else if (fields.proto === PROTO_ICMP || fields.proto === PROTO_ICMPV6) {
      fields.icmpType = l4 >>> 16;
      fields.icmpCode = l4 & 0xffff;
    } else {
      fields.srcPort = l4 >>> 16;
      fields.dstPort = l4 & 0xffff;
    }
  }
  if (word(KEY_TUNNEL_ID) !== 0) fields.tunnelId = word(KEY_TUNNEL_ID);
  const fault = (flags & KEY_FAULT_MASK) >>> KEY_FAULT_SHIFT;
  if (fault !== 0) fields.malformed = FAULTS[fault]!;
  return fields;
}

function ipv6(key: Uint32Array, at: number): string {
  return formatIpv6Words(key[at]!, key[at + 1]!, key[at + 2]!, key[at + 3]!);
}
