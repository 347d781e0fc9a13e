/** A rule's mask and key in words: which fields a decision looked at, and which frames it covers. */
import { describeKey } from "../flow/describe.ts";
import {
  FAULTS,
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_FAULT_MASK,
  KEY_FAULT_SHIFT,
  KEY_PORT,
  KEY_VLAN,
  TCI_PRESENT,
  TCI_VID,
} from "../flow/key.ts";

/** Bits of a MAC address that a mask covers, from the first; 1 = the group bit only. */
function macBits(first: number, last: number): string {
  const count = (word: number): number => {
    let bits = 0;
    for (let rest = word; rest !== 0; rest = (rest & (rest - 1)) >>> 0) bits++;
    return bits;
  };
  const bits = count(first) + count(last);
  if (bits === 0) return "";
  if (bits === 48) return "all";
  return bits === 1 ? "group" : `${bits}`;
}

const sourceBits = (mask: Uint32Array): string => macBits((mask[KEY_ETH_DST_SRC]! & 0xffff) >>> 0, mask[KEY_ETH_SRC]!);
const destinationBits = (mask: Uint32Array): string =>
  macBits(mask[KEY_ETH_DST]!, (mask[KEY_ETH_DST_SRC]! & 0xffff0000) >>> 0);

/** ["port", "malformed", "vlan", "ethSrc", "ethDst (first 16 bits)"]: in the order of a frame's way through the pipeline. */
export function lookedAt(mask: Uint32Array): string[] {
  const fields: string[] = [];
  const mac = (name: string, bits: string): void => {
    if (bits === "all") fields.push(name);
    else if (bits === "group") fields.push(`${name} (group bit)`);
    else if (bits !== "") fields.push(`${name} (first ${bits} bits)`);
  };
  if (mask[KEY_PORT]! >>> 16) fields.push("port");
  if (mask[KEY_PORT]! & KEY_FAULT_MASK) fields.push("malformed");
  if (mask[KEY_VLAN]! >>> 16) fields.push("vlan");
  if (mask[KEY_VLAN]! & 0xffff) fields.push("innerVlan");
  mac("ethSrc", sourceBits(mask));
  mac("ethDst", destinationBits(mask));
  return fields;
}

/**
 * The frames that a rule covers, in the filter language: "port=db1 vlan=200". What the language has no word for is said
 * beside it in brackets: "[untagged] [ethDst: a group]".
 */
export function matchText(mask: Uint32Array, key: Uint32Array, portName: string): string {
  const fields = describeKey(key);
  const terms: string[] = [];
  if (mask[KEY_PORT]! >>> 16) terms.push(`port=${portName}`);
  const fault = (key[KEY_PORT]! & KEY_FAULT_MASK) >>> KEY_FAULT_SHIFT;
  if (mask[KEY_PORT]! & KEY_FAULT_MASK && fault !== 0) terms.push(`malformed=${FAULTS[fault]}`);
  const tci = key[KEY_VLAN]! >>> 16;
  if (mask[KEY_VLAN]! >>> 16) terms.push(tci & TCI_PRESENT ? `vlan=${tci & TCI_VID}` : "[untagged]");
  if (mask[KEY_VLAN]! & 0xffff) terms.push(key[KEY_VLAN]! & TCI_PRESENT ? "[two tags]" : "[not two tags]");
  macTerm(terms, "ethSrc", sourceBits(mask), fields.ethSrc);
  macTerm(terms, "ethDst", destinationBits(mask), fields.ethDst);
  return terms.join(" ");
}

function macTerm(terms: string[], name: string, bits: string, mac: string): void {
  const isGroup = (Number.parseInt(mac.slice(0, 2), 16) & 1) === 1;
  if (bits === "all") terms.push(`${name}=${mac}`);
  else if (bits === "group") terms.push(`[${name}: ${isGroup ? "a group" : "one station"}]`);
  else if (bits !== "") terms.push(`${name}=${mac.slice(0, Math.floor(Number(bits) / 8) * 3)}*`);
}
