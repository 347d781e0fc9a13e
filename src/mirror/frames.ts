/**
 * From the ring of copies to frames as they are on the wire: super-packets cut into segments, partial checksums completed,
 * the tag of the output they left by put on or taken off, all in memory of its own.
 */
import { TAG_POP, TAG_PUSH, TAG_SET_VID } from "../pipeline/actions.ts";
import * as M from "../shm/copies.ts";
import { segmentGso } from "../wire/gso.ts";
import { completeChecksum, gsoSize } from "../wire/vnet.ts";

/** One frame; lent for the call. */
export interface CopyFrame {
  bytes: Uint8Array;
  off: number;
  /** Bytes that are there, and bytes that were on the wire without FCS. */
  captured: number;
  length: number;
  timeNs: number;
  /** Where it came in or left. */
  port: number;
  direction: "in" | "out";
  /** Of frames without a tag there, 0 = none; and the port's ifIndex. Filled in by the keeper. */
  vlan: number;
  ifIndex: number;
  /** Drop reason number, 0 = it was not refused. */
  reason: number;
  /** Sessions that want it, one bit each. */
  sessions: number;
}

const MOST = 65_536 + 64;
const MAX_SEGMENTS = 1024;
/** Segments repeat their headers: a 64 KiB super-packet of small segments is several times as much. */
const segments = {
  bytes: new Uint8Array(MOST * 4),
  offsets: new Int32Array(MAX_SEGMENTS),
  lengths: new Int32Array(MAX_SEGMENTS),
};
const work = new Uint8Array(MOST + M.COPY_HEAD_BYTES);
const ROOM = 64;

/** Up to `limit` records out of the ring. Returns how many. */
export function drain(ring: M.CopyRing, limit: number, frame: CopyFrame, take: (frame: CopyFrame) => void): number {
  let done = 0;
  for (; done < limit; done++) {
    const at = ring.peek();
    if (at < 0) break;
    one(ring, at, frame, take);
    ring.release();
  }
  return done;
}

function one({ u8, u32, f64 }: M.CopyRing, at: number, frame: CopyFrame, take: (frame: CopyFrame) => void): void {
  const w = at >>> 2;
  const captured = u32[w + M.COPY_CAPTURED]!;
  const length = u32[w + M.COPY_LENGTH]!;
  const tag = u32[w + M.COPY_TAG]!;
  const tpid = u32[w + M.COPY_TPID]!;
  frame.timeNs = f64[at >>> 3]!;
  frame.sessions = u32[w + M.COPY_SESSIONS]!;
  frame.port = u32[w + M.COPY_PORT]!;
  frame.direction = u32[w + M.COPY_DIRECTION] === 1 ? "in" : "out";
  frame.reason = u32[w + M.COPY_REASON]!;
  const off = at + M.COPY_HEAD_BYTES;
  const vnet = at + M.COPY_VNET;
  if (u32[w + M.COPY_HAS_VNET] === 1) {
    if (gsoSize(u8, vnet) > 0) {
      const count = segmentGso(u8, vnet, off, captured, segments.bytes, segments.offsets, segments.lengths);
      for (let n = 0; n < count; n++) {
        const bytes = segments.lengths[n]!;
        retag(segments.bytes, segments.offsets[n]!, bytes, bytes, tag, tpid, frame, take);
      }
      if (count > 0) return;
    } else if (captured === length) completeChecksum(u8, vnet, off, length);
  }
  retag(u8, off, captured, length, tag, tpid, frame, take);
}

function retag(
  bytes: Uint8Array,
  off: number,
  captured: number,
  length: number,
  tag: number,
  tpid: number,
  frame: CopyFrame,
  take: (frame: CopyFrame) => void,
): void {
  const operation = tag & 0xff;
  const tci = tag >>> 16;
  const has = Math.min(captured, MOST - ROOM);
  const shift = operation === TAG_PUSH ? 4 : operation === TAG_POP && has >= 18 ? -4 : 0;
  frame.bytes = work;
  frame.off = ROOM;
  frame.captured = has + shift;
  frame.length = length + shift;
  if (shift === 0) {
    work.set(bytes.subarray(off, off + has), ROOM);
    if (operation === TAG_SET_VID && has >= 16) {
      work[ROOM + 14] = (work[ROOM + 14]! & 0xf0) | (tci >>> 8);
      work[ROOM + 15] = tci & 0xff;
    }
  } else {
    work.set(bytes.subarray(off, off + 12), ROOM);
    work.set(bytes.subarray(off + 12 + (shift < 0 ? 4 : 0), off + has), ROOM + 12 + (shift > 0 ? 4 : 0));
    if (shift > 0) {
      work[ROOM + 12] = tpid >>> 8;
      work[ROOM + 13] = tpid & 0xff;
      work[ROOM + 14] = tci >>> 8;
      work[ROOM + 15] = tci & 0xff;
    }
  }
  take(frame);
}
