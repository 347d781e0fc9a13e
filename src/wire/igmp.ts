/** IGMP, RFC 2236 section 2 and RFC 9776 section 4: `0 type | 1 max response | 2 checksum 2 | 4 group address 4`. */
export const IGMP_TYPE = 0;
export const IGMP_MAX_RESPONSE = 1;
export const IGMP_CHECKSUM = 2;
export const IGMP_GROUP = 4;
export const IGMP_HEADER_BYTES = 8;

export const IGMP_QUERY = 0x11;
export const IGMP_V1_REPORT = 0x12;
export const IGMP_V2_REPORT = 0x16;
export const IGMP_LEAVE = 0x17;
export const IGMP_V3_REPORT = 0x22;
