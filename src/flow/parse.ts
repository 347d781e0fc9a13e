/**
 * From a frame to its key: the one parser of the project, called for every frame. README of wire/ has the rules of
 * soundness; every fault is named by header (KEY_FAULT), never guessed over.
 */

/** What a frame says beside its key: filled by `parseKey`, one Int32Array reused for every frame. */
export const FACT_WORDS = 8;
/** IP total length as on the wire (IPv6: payload length + 40); from the frame where the field is 0; 0 for non-IP. */
export const FACT_L3_BYTES = 0;
/** TCP flags, low 8 bits and NS/AE as bit 8; 0 for others. */
export const FACT_TCP_FLAGS = 1;
/** FAULT_* of src/flow/key.ts. */
export const FACT_FAULT = 2;
/** Bytes from the frame's start to the network header; to the transport header; to the payload behind it. 0 = none. */
export const FACT_L3_OFFSET = 3;
export const FACT_L4_OFFSET = 4;
export const FACT_PAYLOAD_OFFSET = 5;
/** VLAN tags found (0..2). */
export const FACT_TAGS = 6;

/**
 * Fill `key` (KEY_WORDS words) and `facts` (FACT_WORDS) from the frame at `buf[off]`, of which `captured` bytes are
 * there and `length` were on the wire (≥ captured). Reads nothing outside buf[off ..< off + captured].
 * False: not even an Ethernet header is whole; the key then holds the port only.
 */
export function parseKey(
  _buf: Uint8Array,
  _off: number,
  _captured: number,
  _length: number,
  _port: number,
  _key: Uint32Array,
  _facts: Int32Array,
): boolean {
  throw new Error("not written yet");
}
