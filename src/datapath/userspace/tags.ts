/**
 * Tag operations of an action block, done in place on the received bytes and undone after each output: an output gets
 * its own VLAN tag without a copy of the frame, and what is sampled afterwards is what was received.
 *
 * ```
 *   offset−14      offset−10        offset            offset+12      offset+16
 *   |  room        | virtio-net 10  | dst 6 | src 6   | TPID | TCI   | Ethertype …
 *   PUSH moves virtio-net and MACs 4 bytes down; POP moves them 4 bytes up over the tag. Either touches only
 *   offset−14 ..< offset+18, which `undo` puts back.
 * ```
 */
import { TAG_POP, TAG_PUSH, TAG_SET_VID } from "../../pipeline/actions.ts";
import { VNET_BYTES } from "../../ports/port.ts";
import { shiftVnet } from "../../wire/vnet.ts";

const TAG_BYTES = 4;
const MACS_BYTES = 12;
const BEFORE = VNET_BYTES + TAG_BYTES;
const AFTER = MACS_BYTES + TAG_BYTES + 2;

/** Bytes that must be writable before the frame for any operation. */
export const TAG_HEADROOM = BEFORE;

const saved = new Uint8Array(BEFORE + AFTER);

/**
 * Apply one operation to the frame at `offset`, with TAG_HEADROOM writable bytes before it. Returns by how many bytes the
 * frame's start moved (−4, 0, +4): send from offset + shift, length − shift; then call `undo`.
 */
export function applyTag(
  bytes: Uint8Array,
  offset: number,
  operation: number,
  tci: number,
  tpid: number,
  vnet: boolean,
): number {
  for (let n = 0; n < BEFORE + AFTER; n++) saved[n] = bytes[offset - BEFORE + n]!;
  if (operation === TAG_SET_VID) {
    bytes[offset + 14] = (bytes[offset + 14]! & 0xf0) | (tci >>> 8);
    bytes[offset + 15] = tci & 0xff;
    return 0;
  }
  const shift = operation === TAG_PUSH ? -TAG_BYTES : operation === TAG_POP ? TAG_BYTES : 0;
  if (shift === 0) return 0;
  const from = vnet ? offset - VNET_BYTES : offset;
  bytes.copyWithin(from + shift, from, offset + MACS_BYTES);
  if (vnet) shiftVnet(bytes, from + shift, -shift);
  if (shift < 0) {
    bytes[offset + 8] = tpid >>> 8;
    bytes[offset + 9] = tpid & 0xff;
    bytes[offset + 10] = tci >>> 8;
    bytes[offset + 11] = tci & 0xff;
  }
  return shift;
}

/** Put back what the last `applyTag` on this frame changed. */
export function undoTag(bytes: Uint8Array, offset: number): void {
  for (let n = 0; n < BEFORE + AFTER; n++) bytes[offset - BEFORE + n] = saved[n]!;
}
