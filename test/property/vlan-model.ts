/**
 * What a VLAN switch may do with a frame, said a second time: from the frame's bytes and the ports' configuration alone,
 * by the tables of src/pipeline/README.md, without a line of src/pipeline. Tests hold what the switch sent against it.
 */
import type { VlanConfig } from "../../src/flow/attachment.ts";

export const TPIDS: readonly number[] = [0x8100, 0x88a8, 0x9100];

/** Tags of a frame as they stand in its bytes: outer first; undefined where a tag is cut (nobody can know its VLAN). */
export interface Tags {
  readonly outer?: { readonly vid: number; readonly tci: number; readonly tpid: number };
  readonly isDouble: boolean;
}

function word(bytes: Uint8Array, at: number): number {
  return (bytes[at]! << 8) | bytes[at + 1]!;
}

export function tagsOf(bytes: Uint8Array): Tags | undefined {
  if (bytes.length < 14) return undefined;
  const tpid = word(bytes, 12);
  if (!TPIDS.includes(tpid)) return { isDouble: false };
  if (bytes.length < 18) return undefined;
  const tci = word(bytes, 14);
  const isDouble = TPIDS.includes(word(bytes, 16));
  if (isDouble && bytes.length < 22) return undefined;
  return { outer: { vid: tci & 0xfff, tci, tpid }, isDouble };
}

/** VLAN that a port puts the frame into; undefined: it is not admitted. 0 is the untagged domain. */
export function ingressVlan(vlan: VlanConfig | undefined, tags: Tags): number | undefined {
  const vid = tags.outer?.vid ?? 0;
  if (vid === 0) {
    if (vlan === undefined) return 0;
    return vlan.mode === "trunk" ? undefined : vlan.tag;
  }
  if (vlan === undefined || vlan.mode === "access") return undefined;
  return isMember(vlan, vid) ? vid : undefined;
}

export function isMember(vlan: VlanConfig | undefined, vid: number): boolean {
  if (vlan === undefined) return vid === 0;
  if (vid === 0 || vid === 4095) return false;
  switch (vlan.mode) {
    case "access":
      return vlan.tag === vid;
    case "trunk":
      return vlan.trunks === "all" || vlan.trunks.includes(vid);
    default:
      return vlan.tag === vid || vlan.trunks === "all" || vlan.trunks.includes(vid);
  }
}

/** The bytes by which a frame of VLAN `vid` leaves a port; undefined: not by this port. */
export function egressBytes(
  bytes: Uint8Array,
  tags: Tags,
  vid: number,
  vlan: VlanConfig | undefined,
): Uint8Array | undefined {
  if (!isMember(vlan, vid)) return undefined;
  const isNative = vlan?.mode === "nativeUntagged" && vlan.tag === vid;
  const isTagged = vlan !== undefined && vlan.mode !== "access" && !isNative;
  const { outer } = tags;
  if (isTagged) {
    if (outer === undefined) return withTag(bytes, 0x8100, vid, 12);
    return outer.vid === vid ? bytes : withTag(bytes, outer.tpid, (outer.tci & 0xf000) | vid, 16);
  }
  if (outer === undefined) return bytes;
  // What would stand first then is a tag that the switch behind a native VLAN believes.
  if (isNative && tags.isDouble) return undefined;
  return Uint8Array.of(...bytes.subarray(0, 12), ...bytes.subarray(16));
}

/** The frame with this tag behind its addresses, instead of what stands before `rest`. */
function withTag(bytes: Uint8Array, tpid: number, tci: number, rest: number): Uint8Array {
  const tag = [tpid >>> 8, tpid & 0xff, tci >>> 8, tci & 0xff];
  return Uint8Array.of(...bytes.subarray(0, 12), ...tag, ...bytes.subarray(rest));
}

export function isGroup(bytes: Uint8Array): boolean {
  return (bytes[0]! & 1) === 1;
}

/** 01-80-C2-00-00-0x: no bridge forwards it (IEEE 802.1Q-2018, table 8-1). */
export function isReserved(bytes: Uint8Array): boolean {
  return [1, 0x80, 0xc2, 0, 0].every((byte, n) => bytes[n] === byte) && bytes[5]! < 16;
}

export function equalBytes(a: Uint8Array, b: Uint8Array): boolean {
  return a.length === b.length && Buffer.compare(a, b) === 0;
}
