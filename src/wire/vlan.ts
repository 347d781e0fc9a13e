/**
 * VLAN tags: IEEE 802.1Q (C-tag), 802.1ad (S-tag, now 802.1Q clause 9.5) and 0x9100, which older switches use for the
 * outer tag.
 *
 * ```
 *  0 TPID 2 | 2 TCI: PCP 3, DEI 1, VID 12 | 4 type or length of what follows, or the next TPID
 * ```
 */
export const TPID_CTAG = 0x8100;
export const TPID_STAG = 0x88a8;
export const TPID_QINQ_OLD = 0x9100;

/** Offsets from the TPID. */
export const TAG_TCI = 2;
export const TAG_NEXT_TYPE = 4;
export const TAG_BYTES = 4;

/** IEEE 802.1Q clause 9.6. */
export const TCI_VID_MASK = 0x0fff;
export const TCI_DEI = 0x1000;
export const TCI_PCP_SHIFT = 13;
/** Clause 9.6, table 9-2: no VLAN, only a priority; and the id that is not to be used. */
export const VID_PRIORITY = 0;
export const VID_RESERVED = 0xfff;

export function isTpid(type: number): boolean {
  return type === TPID_CTAG || type === TPID_STAG || type === TPID_QINQ_OLD;
}
