/**
 * The flow key: what tells one flow from another, 20 words of 32 bits, the same for every datapath.
 *
 * ```
 * word  31                              16 15                               0
 *  0    port number                       | presence, faults, TPIDs, fragment   (bits below)
 *  1    Ethernet destination, bytes 0..3
 *  2    Ethernet destination, bytes 4..5  | Ethernet source, bytes 0..1
 *  3    Ethernet source, bytes 2..5
 *  4    outer TCI                         | inner TCI          bit 12 (DEI) = "a tag is present", as in OVS
 *  5    Ethertype                         | protocol  8 | TOS  8
 *  6..9   source address      IPv4 and ARP: in the first word, the others 0
 *  10..13 destination address
 *  14   source port                       | destination port   TCP, UDP, SCTP
 *       type                              | code               ICMP, ICMPv6, IGMP (code 0)
 *       0                                 | operation          ARP
 *  15   tunnel id                                              0 = not from a tunnel (reserved)
 *  16   index of the tunnel's endpoints                        (reserved)
 *  17   ct zone                           | ct state 8 | 0     connection tracking (reserved)
 *  18   ct mark                                                (reserved)
 *  19   0
 * ```
 *
 * Words are in host order in memory; fields inside a word stand as drawn. For an 802.3 frame with LLC the Ethertype is
 * that of its SNAP header (OUI 0), else DSAP << 8 | SSAP, and KEY_LLC is set. A frame whose headers go bad above VLAN
 * keeps the key up to the last good header, and names the bad one in KEY_FAULT.
 */
import { KEY_WORDS } from "../shm/slots.ts";

export { KEY_WORDS };
export const KEY_BYTES = KEY_WORDS * 4;

/** Raised by one whenever a field is added or moved; every place that must learn of it asserts this number. */
export const KEY_VERSION = 1;

export const KEY_PORT = 0;
export const KEY_ETH_DST = 1;
export const KEY_ETH_DST_SRC = 2;
export const KEY_ETH_SRC = 3;
export const KEY_VLAN = 4;
export const KEY_TYPE = 5;
export const KEY_IP_SRC = 6;
export const KEY_IP_DST = 10;
export const KEY_L4 = 14;
export const KEY_TUNNEL_ID = 15;
export const KEY_TUNNEL_ENDPOINTS = 16;
export const KEY_CT = 17;
export const KEY_CT_MARK = 18;

// Word 0, low half.
/** Fragment class, 2 bits: FRAGMENT_NONE, FRAGMENT_FIRST, FRAGMENT_LATER. */
export const KEY_FRAGMENT_MASK = 0x0003;
export const FRAGMENT_NONE = 0;
export const FRAGMENT_FIRST = 1;
export const FRAGMENT_LATER = 2;
/** A sound IPv4 header: addresses, protocol, TOS are filled. */
export const KEY_IPV4 = 0x0004;
/** A sound IPv6 header. */
export const KEY_IPV6 = 0x0008;
/** A sound transport header: word 14 is filled. */
export const KEY_L4_PRESENT = 0x0010;
/** 802.3 length field and LLC instead of an Ethertype. */
export const KEY_LLC = 0x0020;
/** TPID of the outer and of the inner tag, 2 bits each: TPID_NONE, TPID_8100, TPID_88A8, TPID_9100. */
export const KEY_OUTER_TPID_SHIFT = 6;
export const KEY_INNER_TPID_SHIFT = 8;
export const TPID_NONE = 0;
export const TPID_8100 = 1;
export const TPID_88A8 = 2;
export const TPID_9100 = 3;
/** First bad header, 4 bits: 0 none, else FAULT_*. Up to VLAN and LLC it is refused, above it is switched and counted. */
export const KEY_FAULT_SHIFT = 10;
export const KEY_FAULT_MASK = 0xf << KEY_FAULT_SHIFT;

/** The names of bad headers, by their number in the key; 0 is a sound frame. */
export const FAULTS = [
  "none",
  "arp",
  "ipv4",
  "ipv6",
  "ipv6Ext",
  "tcp",
  "udp",
  "sctp",
  "icmp",
  "icmpv6",
  "igmp",
  "vlan",
  "llc",
] as const;
export type FaultName = (typeof FAULTS)[number];
export const FAULT_NONE = 0;
export const FAULT_ARP = 1;
export const FAULT_IPV4 = 2;
export const FAULT_IPV6 = 3;
export const FAULT_IPV6_EXT = 4;
export const FAULT_TCP = 5;
export const FAULT_UDP = 6;
export const FAULT_SCTP = 7;
export const FAULT_ICMP = 8;
export const FAULT_ICMPV6 = 9;
export const FAULT_IGMP = 10;
/** A cut VLAN tag; a cut LLC or SNAP header: such frames are refused (vlan_parsing, llc_snap_parsing). */
export const FAULT_VLAN = 11;
export const FAULT_LLC = 12;

/** In a TCI of word 4: a tag is present (the place of DEI, IEEE 802.1Q clause 9.6, which is not part of the key). */
export const TCI_PRESENT = 0x1000;
export const TCI_VID = 0x0fff;
export const TCI_PCP_SHIFT = 13;

/** TPID numbers on the wire by their code in the key. */
export const TPIDS = [0, 0x8100, 0x88a8, 0x9100] as const;
