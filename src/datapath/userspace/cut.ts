/**
 * Frames that are not finished, as what they become on the wire and cut: a super-packet as its segments, a frame with an
 * open checksum with that completed. For SPAN copies of sessions with a snaplen.
 */
import { VNET_BYTES } from "../../ports/port.ts";
import { segmentGso } from "../../wire/gso.ts";
import { completeChecksum } from "../../wire/vnet.ts";
import type { Frame } from "./frame.ts";
import { TAG_HEADROOM } from "./tags.ts";

const MOST = 65_536 + 64;
const MAX_SEGMENTS = 1024;
/** Segments repeat their headers: a super-packet of small segments is several times as much. */
const SEGMENT_BYTES = MOST * 4;

export class Cutter {
  /** Pieces of the last frame, each with room for a tag before it. */
  readonly bytes = new Uint8Array(SEGMENT_BYTES + MAX_SEGMENTS * TAG_HEADROOM);
  readonly offsets = new Int32Array(MAX_SEGMENTS);
  readonly lengths = new Int32Array(MAX_SEGMENTS);
  private readonly whole = new Uint8Array(SEGMENT_BYTES);

  /** Returns how many pieces of at most `snaplen` bytes there are, 0 = it cannot be done. */
  cut(frame: Frame, snaplen: number): number {
    const { bytes, offset, captured, length } = frame;
    const { whole, offsets, lengths } = this;
    const from = offset - VNET_BYTES;
    let count = 1;
    if (frame.gsoSize > 0) count = segmentGso(bytes, from, offset, captured, whole, offsets, lengths);
    else {
      if (captured !== length || captured > MOST - VNET_BYTES) return 0;
      whole.set(bytes.subarray(from, offset + captured));
      offsets[0] = VNET_BYTES;
      lengths[0] = captured;
      if (!completeChecksum(whole, 0, VNET_BYTES, captured)) return 0;
    }
    let at = 0;
    for (let n = 0; n < count; n++) {
      const piece = Math.min(lengths[n]!, snaplen);
      at += TAG_HEADROOM;
      this.bytes.set(whole.subarray(offsets[n], offsets[n]! + piece), at);
      offsets[n] = at;
      lengths[n] = piece;
      at += piece;
    }
    return count;
  }
}
