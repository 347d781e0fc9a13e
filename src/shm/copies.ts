/**
 * A frame that mirror sessions want, as it stands in the ring of copies, and what the datapath counts of each session.
 *
 * ```
 * byte  0 f64 timeNs   8 u32 sessions (one bit each)   12 port   16 direction (1 in, 2 out)   20 drop reason, 0 = not refused
 *      24 length       28 captured    32 tag operation 8 | TCI 16 << 16    36 TPID   40 is there a virtio-net header?
 *      46 virtio-net header (10)      56 bytes of the frame as received; the tag operation is still to be done
 * ```
 */
import type { RecordRing } from "./ring.ts";

/** What the control thread reads copies from. */
export type CopyRing = Pick<RecordRing, "u8" | "u32" | "f64" | "peek" | "release">;

export const COPY_HEAD_BYTES = 56;
export const COPY_VNET = 46;

// Word offsets, but for the time, a float64 at 0.
export const COPY_SESSIONS = 2;
export const COPY_PORT = 3;
export const COPY_DIRECTION = 4;
export const COPY_REASON = 5;
export const COPY_LENGTH = 6;
export const COPY_CAPTURED = 7;
export const COPY_TAG = 8;
export const COPY_TPID = 9;
export const COPY_HAS_VNET = 10;

/** Sessions of one bridge. */
export const MAX_SESSIONS = 32;
/** Instructions of a session's filter. */
export const MAX_FILTER = 2048;
/** Outputs of one session. */
export const MAX_OUTPUTS = 16;
/** float64 a session, written by the datapath. Packets are wire packets. */
export const SESSION_COUNTERS = 64;
export const M_MATCHED = 0;
export const M_SENT = 1;
export const M_BYTES_BEFORE = 2;
export const M_BYTES_AFTER = 3;
export const M_SAMPLED_OUT = 4;
export const M_RATE_DROPPED = 5;
/** The ring of copies was full. */
export const M_QUEUE_DROPPED = 6;
/** Copies that a SPAN or RSPAN port did not take. */
export const M_FAILED = 7;
/**
 * Three for each of the session's outputs in order, written where that is a SPAN or an RSPAN: packets sent, their bytes,
 * packets that its port did not take.
 */
export const M_OUTPUTS = 8;
export const OUTPUT_COUNTERS = 3;
