/** What a frame says beside its key: filled by `parseKey`, one Int32Array reused for every frame. */
export const FACT_WORDS = 8;
/** IP total length as on the wire (IPv6: payload length + 40); from the frame where the field is 0; 0 for non-IP. */
export const FACT_L3_BYTES = 0;
/** TCP flags, low 8 bits and NS/AE as bit 8; 0 for others. */
export const FACT_TCP_FLAGS = 1;
/** FAULT_* of key.ts. */
export const FACT_FAULT = 2;
/** Bytes from the frame's start to the network header; to the transport header; to the payload behind it. 0 = none. */
export const FACT_L3_OFFSET = 3;
/** The transport header is sound and its fixed part captured. */
export const FACT_L4_OFFSET = 4;
/** As the transport header says; may lie behind the captured bytes, never behind the frame's end on the wire. */
export const FACT_PAYLOAD_OFFSET = 5;
/** VLAN tags found (0..2). */
export const FACT_TAGS = 6;
