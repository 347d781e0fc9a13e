/** Flow keys made by hand, for tests of what is decided about them. */
import {
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_FAULT_SHIFT,
  KEY_OUTER_TPID_SHIFT,
  KEY_PORT,
  KEY_TYPE,
  KEY_VLAN,
  KEY_WORDS,
  TCI_PRESENT,
  TPID_8100,
} from "../../src/flow/key.ts";

export interface KeyFields {
  readonly port: number;
  /** "52:54:00:00:00:01", or a small number for 02:00:00:00:xx:xx. */
  readonly src?: string | number;
  readonly dst?: string | number;
  /** VLAN id of the outer tag; 0 = priority tag; absent = no tag. */
  readonly vid?: number;
  readonly pcp?: number;
  readonly innerVid?: number;
  readonly fault?: number;
  readonly etherType?: number;
}

export function macBytes(mac: string | number): number[] {
  if (typeof mac === "number") return [2, 0, 0, 0, mac >> 8, mac & 0xff];
  return mac.split(":").map((byte) => Number.parseInt(byte, 16));
}

export function makeKey(fields: KeyFields): Uint32Array {
  const key = new Uint32Array(KEY_WORDS);
  const dst = macBytes(fields.dst ?? 2);
  const src = macBytes(fields.src ?? 1);
  const outer = fields.vid === undefined ? 0 : ((fields.pcp ?? 0) << 13) | TCI_PRESENT | fields.vid;
  const inner = fields.innerVid === undefined ? 0 : TCI_PRESENT | fields.innerVid;
  const tpid = fields.vid === undefined ? 0 : TPID_8100 << KEY_OUTER_TPID_SHIFT;
  key[KEY_PORT] = (fields.port << 16) | ((fields.fault ?? 0) << KEY_FAULT_SHIFT) | tpid;
  key[KEY_ETH_DST] = (dst[0]! << 24) | (dst[1]! << 16) | (dst[2]! << 8) | dst[3]!;
  key[KEY_ETH_DST_SRC] = (dst[4]! << 24) | (dst[5]! << 16) | (src[0]! << 8) | src[1]!;
  key[KEY_ETH_SRC] = (src[2]! << 24) | (src[3]! << 16) | (src[4]! << 8) | src[5]!;
  key[KEY_VLAN] = (outer << 16) | inner;
  key[KEY_TYPE] = (fields.etherType ?? 0x0800) << 16;
  return key;
}
