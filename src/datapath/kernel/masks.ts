/**
 * The masks of rules, in the order in which programs try them. There are two sets; SET_MASKS says which one is in force.
 * That one only grows; any other change is written as the other set, once nobody reads that any more, which then takes over.
 *
 * Each mask that is tried in vain costs a new flow a lookup. Programs count one in 64 of the new flows that a mask decides,
 * and masks that decide most come first, as in the userspace datapath (src/pipeline/classify.ts): rules do not overlap with
 * different decisions, so the order changes no answer.
 */
import { KEY_WORDS } from "../../flow/key.ts";
import { gracePeriod } from "../../sys/bpf.ts";
import { MAX_MASKS } from "../datapath.ts";
import { MASK_ROW_HITS, MASK_ROW_ID, MASK_ROW_WORDS, MASK_SET_WORDS, SET_MASKS } from "./layout.ts";
import type { KernelMaps } from "./maps.ts";

export interface Mask {
  readonly words: Uint32Array;
  /** Never used again, so that a rule of a mask that is gone is no other mask's. */
  readonly number: number;
  rules: number;
}

/** A mask goes before the one ahead of it when it has twice its hits, and so many more. */
const MORE_HITS = 16;
/** Hits are halved when one mask has more, so that the order follows the traffic. */
const MANY_HITS = 65536;

export class KernelMasks {
  /** How often one set has taken over from the other. */
  turns = 0;
  private readonly maps: Pick<KernelMaps, "masks" | "settings">;
  private rows: Mask[] = [];
  private next = 1;

  /** With the masks that an earlier process left in force. */
  constructor(maps: Pick<KernelMaps, "masks" | "settings">) {
    this.maps = maps;
    for (let row = 0; row < maps.masks[this.set]!; row++) {
      const at = this.at(this.set, row);
      const words = Uint32Array.from(maps.masks.subarray(at, at + KEY_WORDS));
      const number = maps.masks[at + MASK_ROW_ID]!;
      this.rows.push({ words, number, rules: 0 });
      this.next = Math.max(this.next, number + 1);
    }
  }

  byNumber(number: number): Mask | undefined {
    return this.rows.find((mask) => mask.number === number);
  }

  /** The mask of these words; a new one is appended behind the others, where a running program sees it whole. */
  of(words: Uint32Array): Mask {
    const known = this.rows.find((mask) => mask.words.every((word, n) => word === words[n]));
    if (known !== undefined) return known;
    if (this.rows.length === MAX_MASKS) {
      // Who still reads the other set, from when it was in force, must be gone.
      gracePeriod();
      this.replace(this.rows.filter(({ rules }) => rules > 0));
    }
    if (this.rows.length === MAX_MASKS) throw new Error(`more than ${MAX_MASKS} masks of rules`);
    const mask: Mask = { words: words.slice(), number: this.next++, rules: 0 };
    this.write(this.set, this.rows.length, mask, 0);
    this.rows.push(mask);
    Atomics.store(this.maps.masks, this.set, this.rows.length);
    return mask;
  }

  /** Whether a mask comes behind one that decides far less. */
  get isOutOfOrder(): boolean {
    return this.rows.some((_, row) => row > 0 && this.hits(row) > 2 * this.hits(row - 1) + MORE_HITS);
  }

  /** Order the masks by what they decide. `turns`: as it was when the grace period began that has just passed. */
  order(turns: number): void {
    const hits = new Map(this.rows.map((mask, row) => [mask, this.hits(row)]));
    if (turns === this.turns && this.isOutOfOrder)
      this.replace(this.rows.toSorted((a, b) => hits.get(b)! - hits.get(a)!));
    else if (Math.max(...hits.values()) > MANY_HITS)
      this.rows.forEach((_, row) => (this.maps.masks[this.at(this.set, row) + MASK_ROW_HITS] = this.hits(row) >>> 1));
  }

  /** Index of the set in force. */
  private get set(): number {
    return this.maps.settings[SET_MASKS]! * MASK_SET_WORDS;
  }

  private at(set: number, row: number): number {
    return set + MASK_ROW_WORDS * (1 + row);
  }

  private hits(row: number): number {
    return this.maps.masks[this.at(this.set, row) + MASK_ROW_HITS]! >>> 0;
  }

  /** Nobody reads the other set. */
  private replace(rows: Mask[]): void {
    const { settings, masks } = this.maps;
    const other = settings[SET_MASKS]! ^ 1;
    rows.forEach((mask, row) => this.write(other * MASK_SET_WORDS, row, mask, this.hits(this.rows.indexOf(mask))));
    masks[other * MASK_SET_WORDS] = rows.length;
    this.rows = rows;
    Atomics.store(settings, SET_MASKS, other);
    this.turns++;
  }

  private write(set: number, row: number, mask: Mask, hits: number): void {
    const at = this.at(set, row);
    this.maps.masks.set(mask.words, at);
    this.maps.masks[at + MASK_ROW_ID] = mask.number;
    this.maps.masks[at + MASK_ROW_HITS] = hits;
  }
}
