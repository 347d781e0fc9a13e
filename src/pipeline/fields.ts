/**
 * Reading a key with a memory: every bit that a decision looks at goes into a mask, and the rule made of the decision
 * covers every key that agrees on those bits ("wildcards by observation", as Open vSwitch's xlate does). A reader that
 * asks for less makes wider rules; asking for the group bit of a MAC address is one bit, not forty-eight.
 */
import {
  KEY_ETH_DST,
  KEY_ETH_DST_SRC,
  KEY_ETH_SRC,
  KEY_FAULT_MASK,
  KEY_FAULT_SHIFT,
  KEY_PORT,
  KEY_VLAN,
  KEY_WORDS,
  TCI_PRESENT,
  TCI_VID,
} from "../flow/key.ts";
import { formatMacWords } from "../wire/address.ts";

/** A MAC address as two numbers: its first 16 bits and its last 32. */
export interface Mac {
  readonly high: number;
  readonly low: number;
}

/** One reader serves any number of decisions, one after the other. */
export class FieldReader {
  /** The bits looked at since `over`, in the key's layout. */
  readonly mask = new Uint32Array(KEY_WORDS);
  private key: Uint32Array = this.mask;

  /** Begin a decision about `key`, which is read in place. */
  over(key: Uint32Array): this {
    this.key = key;
    this.mask.fill(0);
    return this;
  }

  /** The bits `bits` of word `word`, in place. */
  bits(word: number, bits: number): number {
    this.mask[word]! |= bits;
    return (this.key[word]! & bits) >>> 0;
  }

  port(): number {
    return this.bits(KEY_PORT, 0xffff0000) >>> 16;
  }

  /** FAULT_*: the first bad header, 0 = a sound frame. */
  fault(): number {
    return this.bits(KEY_PORT, KEY_FAULT_MASK) >>> KEY_FAULT_SHIFT;
  }

  /** VLAN id of the outer tag (0 = priority-tagged), −1 = untagged. The priority is not looked at. */
  outerVid(): number {
    const tci = this.bits(KEY_VLAN, ((TCI_PRESENT | TCI_VID) << 16) >>> 0) >>> 16;
    return tci & TCI_PRESENT ? tci & TCI_VID : -1;
  }

  /** Is there a second tag? */
  hasInnerTag(): boolean {
    return this.bits(KEY_VLAN, TCI_PRESENT) !== 0;
  }

  /** I/G bit of the source address (IEEE 802, clause 8.2): a group address, which no frame may come from. */
  sourceIsGroup(): boolean {
    return this.bits(KEY_ETH_DST_SRC, 0x0100) !== 0;
  }

  destinationIsGroup(): boolean {
    return this.bits(KEY_ETH_DST, 0x01000000) !== 0;
  }

  /**
   * One of 01-80-C2-00-00-00 … 0F, which no bridge forwards (IEEE 802.1Q-2018, table 8-1). Looks no further than the
   * first difference, so that the rule of a flood does not hang on the group's whole address.
   */
  destinationIsReserved(): boolean {
    if (this.bits(KEY_ETH_DST, 0xffff0000) !== 0x01800000) return false;
    if (this.bits(KEY_ETH_DST, 0x0000ffff) !== 0xc200) return false;
    return this.bits(KEY_ETH_DST_SRC, 0xfff00000) === 0;
  }

  source(): Mac {
    return { high: this.bits(KEY_ETH_DST_SRC, 0x0000ffff), low: this.bits(KEY_ETH_SRC, 0xffffffff) };
  }

  destination(): Mac {
    const first = this.bits(KEY_ETH_DST, 0xffffffff);
    const last = this.bits(KEY_ETH_DST_SRC, 0xffff0000);
    return { high: first >>> 16, low: ((first << 16) | (last >>> 16)) >>> 0 };
  }
}

/** "52:54:00:aa:10:02" */
export function macText(mac: Mac): string {
  return formatMacWords(mac.high, mac.low);
}
