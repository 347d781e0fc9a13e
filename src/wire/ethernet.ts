/**
 * Ethernet II (DIX) and IEEE 802.3 with LLC (802.2) and SNAP.
 *
 * ```
 *  0 destination 6 | 6 source 6 | 12 type or length 2 | 14 payload
 *                                  ≥ 1536 an Ethertype      ≤ 1500 a length (802.3 clause 3.2.6), then LLC:
 *                                                           0 DSAP | 1 SSAP | 2 control | with DSAP = SSAP = AA, control 03
 *                                                           SNAP: 3 OUI 3 | 6 protocol 2
 * ```
 */
export const ETH_DST = 0;
export const ETH_SRC = 6;
/** Ethertype or 802.3 length. */
export const ETH_TYPE = 12;
export const ETH_HEADER_BYTES = 14;
/** Shortest frame that a sender puts on a wire, without FCS (802.3 clause 4A.4.2: minFrameSize 64). */
export const ETH_MIN_BYTES = 60;

/** IEEE 802.3 clause 3.2.6: up to here the field is a length, from 1536 on it is a type, between it is undefined. */
export const ETH_MAX_LENGTH = 1500;

export const ETHERTYPE_IPV4 = 0x0800;
export const ETHERTYPE_ARP = 0x0806;
export const ETHERTYPE_IPV6 = 0x86dd;
export const ETHERTYPE_LLDP = 0x88cc;
/** Slow protocols: LACP, marker, OAM (802.3 annex 57A). */
export const ETHERTYPE_SLOW = 0x8809;

/** LLC header, IEEE 802.2 clause 3.2; offsets from its first byte. */
export const LLC_DSAP = 0;
export const LLC_SSAP = 1;
export const LLC_CONTROL = 2;
/** With a one-byte control field, the shortest. */
export const LLC_HEADER_BYTES = 3;
export const LLC_SAP_SNAP = 0xaa;
/** Unnumbered information. */
export const LLC_UI = 0x03;
/** SNAP, IEEE 802 clause 9.3 (RFC 1042 for IP); offsets from the LLC header's first byte. */
export const SNAP_OUI = 3;
export const SNAP_PROTOCOL = 6;
export const SNAP_HEADER_BYTES = 8;
