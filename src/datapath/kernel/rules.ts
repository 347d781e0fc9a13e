/**
 * Rules as the kernel holds them. A rule is an element of the hash `rules` (masked key → index) and a row of the rule
 * table (generation, action block). Blocks are never written again while somebody may read them: what is replaced is
 * freed after a grace period. Equal blocks are one, so that a thousand flows to one port need one.
 */
import { KEY_BYTES, KEY_WORDS } from "../../flow/key.ts";
import type { ActionBlock } from "../../pipeline/actions.ts";
import { gracePeriod } from "../../sys/bpf.ts";
import { deleteElement, lookupElement, updateElement } from "../../sys/bpf-maps.ts";
import { MAX_MASKS, type Rule, type RuleChange } from "../datapath.ts";
import { BLOCK_WORDS, MASK_ROW_ID, MASK_ROW_WORDS, MAX_BLOCKS, RULE_BLOCK, RULE_GEN, SET_MASKS } from "./layout.ts";
import { type KernelMaps, MASK_SET_WORDS } from "./maps.ts";

/** The key's last word is no field's: in the hash it holds the mask's number. */
const KEY_MASK_NUMBER = 19;

interface Block {
  readonly text: string;
  readonly at: number;
  readonly parts: number;
  users: number;
}

interface Mask {
  readonly words: Uint32Array;
  /** Never used again, so that a rule of a mask that is gone is no other mask's. */
  readonly number: number;
  rules: number;
}

interface Held {
  readonly key: Uint8Array;
  readonly mask: Mask;
  block: Block;
}

export class KernelRules {
  private readonly maps: KernelMaps;
  private readonly hash: number;
  private readonly held = new Map<number, Held>();
  private readonly blocks = new Map<string, Block>();
  /** First parts of free runs, by their length. */
  private readonly freeRuns = new Map<number, number[]>();
  private nextPart = 0;
  /** Replaced blocks that a running program may still read. */
  private old: Block[] = [];
  private masks: Mask[] = [];
  private nextMask = 1;
  private readonly index = new Uint8Array(4);

  constructor(maps: KernelMaps) {
    this.maps = maps;
    this.hash = maps.object.map("rules");
  }

  get size(): number {
    return this.held.size;
  }

  /** Replace, remove, add, in this order. Throws where a rule finds no room; those before it are in force. */
  apply(change: RuleChange): void {
    for (const { index, actions } of change.replace ?? []) {
      const held = this.held.get(index);
      if (held === undefined) continue;
      const block = this.takeBlock(actions);
      Atomics.store(this.maps.ruleTable, index * 2 + RULE_BLOCK, block.at);
      this.dropBlock(held.block);
      held.block = block;
    }
    for (const index of change.remove ?? []) this.remove(index);
    for (const rule of change.add ?? []) this.add(rule);
  }

  /** Blocks that nobody can reach once a grace period has gone by; give the list to `free` then. */
  takeOld(): Block[] {
    const { old } = this;
    this.old = [];
    return old;
  }

  free(blocks: readonly Block[]): void {
    for (const { at, parts } of blocks) {
      const runs = this.freeRuns.get(parts);
      if (runs) runs.push(at);
      else this.freeRuns.set(parts, [at]);
    }
  }

  private add(rule: Rule): void {
    const { maps } = this;
    this.remove(rule.index);
    const mask = this.maskFor(rule.mask);
    const masked = rule.key.map((word, n) => word & rule.mask[n]!);
    masked[KEY_MASK_NUMBER] = mask.number;
    const key = new Uint8Array(masked.buffer, masked.byteOffset, KEY_BYTES);
    // Another rule of the same mask and key gives way.
    if (lookupElement(this.hash, key, this.index)) this.remove(new Uint32Array(this.index.buffer)[0]!);
    const block = this.takeBlock(rule.actions);
    maps.ruleTable[rule.index * 2 + RULE_BLOCK] = block.at;
    Atomics.store(maps.ruleTable, rule.index * 2 + RULE_GEN, rule.gen | 0);
    this.held.set(rule.index, { key, mask, block });
    mask.rules++;
    updateElement(this.hash, key, new Uint8Array(Uint32Array.of(rule.index).buffer), `rule ${rule.index}`);
  }

  private remove(index: number): void {
    const held = this.held.get(index);
    if (held === undefined) return;
    this.held.delete(index);
    deleteElement(this.hash, held.key);
    Atomics.store(this.maps.ruleTable, index * 2 + RULE_GEN, 0);
    held.mask.rules--;
    this.dropBlock(held.block);
  }

  private takeBlock(actions: ActionBlock): Block {
    const text = actions.join();
    const known = this.blocks.get(text);
    if (known !== undefined) {
      known.users++;
      return known;
    }
    const parts = Math.ceil(actions.length / BLOCK_WORDS);
    let at = this.freeRuns.get(parts)?.pop();
    if (at === undefined) {
      if (this.nextPart + parts > MAX_BLOCKS) throw new Error(`more than ${MAX_BLOCKS} parts of action blocks`);
      at = this.nextPart;
      this.nextPart += parts;
    }
    this.maps.blocks.set(actions, at * BLOCK_WORDS);
    const block: Block = { text, at, parts, users: 1 };
    this.blocks.set(text, block);
    return block;
  }

  private dropBlock(block: Block): void {
    if (--block.users > 0) return;
    this.blocks.delete(block.text);
    this.old.push(block);
  }

  /** The mask's row in force; a new one is appended behind the others, where a running program sees it whole. */
  private maskFor(words: Uint32Array): Mask {
    const known = this.masks.find((mask) => mask.words.every((word, n) => word === words[n]));
    if (known !== undefined) return known;
    if (this.masks.length === MAX_MASKS) this.compact();
    if (this.masks.length === MAX_MASKS) throw new Error(`more than ${MAX_MASKS} masks of rules`);
    const mask: Mask = { words: words.slice(), number: this.nextMask++, rules: 0 };
    const set = this.maps.settings[SET_MASKS]! * MASK_SET_WORDS;
    this.write(set, this.masks.length, mask);
    this.masks.push(mask);
    Atomics.store(this.maps.masks, set, this.masks.length);
    return mask;
  }

  /** Leave out masks without rules: written as the other set, which then takes over. */
  private compact(): void {
    const { settings, masks } = this.maps;
    const other = settings[SET_MASKS]! ^ 1;
    // Who still reads the other set, from when it was in force, must be gone.
    gracePeriod();
    this.masks = this.masks.filter((mask) => mask.rules > 0);
    this.masks.forEach((mask, row) => this.write(other * MASK_SET_WORDS, row, mask));
    masks[other * MASK_SET_WORDS] = this.masks.length;
    Atomics.store(settings, SET_MASKS, other);
  }

  private write(set: number, row: number, mask: Mask): void {
    const at = set + MASK_ROW_WORDS * (1 + row);
    for (let n = 0; n < KEY_WORDS; n++) this.maps.masks[at + n] = mask.words[n]!;
    this.maps.masks[at + MASK_ROW_ID] = mask.number;
  }
}
