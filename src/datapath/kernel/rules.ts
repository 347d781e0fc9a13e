/**
 * Rules as the kernel holds them. A rule is an element of the hash `rules` (masked key → index) and a row of the rule
 * table (generation, action block). Blocks are never written again while somebody may read them: what is replaced is
 * freed after a grace period. Equal blocks are one, so that a thousand flows to one port need one.
 */
import { KEY_BYTES } from "../../flow/key.ts";
import {
  ACTION_COPY_WORDS,
  ACTION_HEADER_WORDS,
  ACTION_OUTPUT_WORDS,
  type ActionBlock,
} from "../../pipeline/actions.ts";
import { allKeys, deleteElement, lookupElement, updateElement } from "../../sys/bpf-maps.ts";
import { MAX_RULES, type Rule, type RuleChange } from "../datapath.ts";
import { AWAY_UNTAGGED, BLOCK_WORDS, MAX_AWAY, MAX_BLOCKS, RULE_BLOCK, RULE_GEN } from "./layout.ts";
import type { KernelMaps } from "./maps.ts";
import { KernelMasks, type Mask } from "./masks.ts";

/** The key's last word is no field's: in the hash it holds the mask's number. */
const KEY_MASK_NUMBER = 19;

interface Block {
  readonly text: string;
  readonly at: number;
  readonly parts: number;
  users: number;
}

interface Held {
  readonly key: Uint8Array;
  readonly mask: Mask;
  block: Block;
}

/** What of the maps rules are in. */
export type RuleMaps = Pick<KernelMaps, "masks" | "settings" | "ruleTable" | "blocks"> & {
  readonly object: Pick<KernelMaps["object"], "map">;
};

export class KernelRules {
  private readonly maps: RuleMaps;
  private readonly hash: number;
  readonly masks: KernelMasks;
  private readonly held = new Map<number, Held>();
  private readonly blocks = new Map<string, Block>();
  /** First parts of free runs, by their length. */
  private readonly freeRuns = new Map<number, number[]>();
  private nextPart = 0;
  /** Replaced blocks that a running program may still read. */
  private old: Block[] = [];
  /** Blocks for frames without a rule while nobody answers, by key of the map `away`. */
  private readonly away = new Map<number, Block>();
  private readonly index = new Uint8Array(4);

  constructor(maps: RuleMaps) {
    this.maps = maps;
    this.hash = maps.object.map("rules");
    this.masks = new KernelMasks(maps);
  }

  /**
   * The rules that an earlier process left in the maps. Half a change, where it was killed in the middle of one, is brought to
   * an end: rows of the table that no element leads to are no rules.
   */
  adopt(): Rule[] {
    const { maps } = this;
    const rules: Rule[] = [];
    for (const key of allKeys(this.hash, KEY_BYTES, 2 * MAX_RULES)) {
      if (!lookupElement(this.hash, key, this.index)) continue;
      const index = new Uint32Array(this.index.buffer)[0]!;
      const words = new Uint32Array(key.slice().buffer);
      const mask = this.masks.byNumber(words[KEY_MASK_NUMBER]!);
      const gen = maps.ruleTable[index * 2 + RULE_GEN]! >>> 0;
      if (mask === undefined || gen === 0 || this.held.has(index)) {
        if (!this.held.has(index)) deleteElement(this.hash, key);
        continue;
      }
      const block = this.adoptBlock(maps.ruleTable[index * 2 + RULE_BLOCK]! >>> 0);
      this.held.set(index, { key: key.slice(), mask, block });
      mask.rules++;
      words[KEY_MASK_NUMBER] = 0;
      rules.push({
        index,
        gen,
        mask: mask.words,
        key: words,
        actions: Uint32Array.from(block.text.split(","), Number),
      });
    }
    const away = maps.object.map("away");
    for (const key of allKeys(away, 4, 2 * MAX_AWAY)) {
      if (!lookupElement(away, key, this.index)) continue;
      const number = new Uint32Array(key.buffer)[0]!;
      if (!this.away.has(number)) this.away.set(number, this.adoptBlock(new Uint32Array(this.index.buffer)[0]!));
    }
    for (let index = 0; index < MAX_RULES; index++) if (!this.held.has(index)) maps.ruleTable[index * 2 + RULE_GEN] = 0;
    this.findFreeParts();
    return rules;
  }

  private adoptBlock(at: number): Block {
    const { blocks } = this.maps;
    const words = blocks[at * BLOCK_WORDS]!;
    const length = blockWords(words);
    const text = Uint32Array.from(blocks.subarray(at * BLOCK_WORDS, at * BLOCK_WORDS + length)).join();
    const known = this.blocks.get(text);
    if (known !== undefined && known.at === at) {
      known.users++;
      return known;
    }
    const block: Block = { text, at, parts: Math.ceil(length / BLOCK_WORDS), users: 1 };
    // Of two equal ones, where a process was killed in between, the later finds its end with its rule.
    if (known === undefined) this.blocks.set(text, block);
    this.nextPart = Math.max(this.nextPart, at + block.parts);
    return block;
  }

  /** Parts below the highest that no block fills. */
  private findFreeParts(): void {
    const used = new Uint8Array(this.nextPart);
    const blocks = [...Array.from(this.held.values(), ({ block }) => block), ...this.away.values()];
    for (const block of blocks) used.fill(1, block.at, block.at + block.parts);
    const singles = this.freeRuns.get(1) ?? [];
    for (let part = 0; part < this.nextPart; part++) if (used[part] === 0) singles.push(part);
    this.freeRuns.set(1, singles);
  }

  get size(): number {
    return this.held.size;
  }

  /** What `away` holds from now on. */
  setAway(floods: NonNullable<RuleChange["away"]>): void {
    const map = this.maps.object.map("away");
    const wanted = new Map(floods.slice(0, MAX_AWAY).map((flood) => [awayKey(flood), flood.actions]));
    const texts = new Map<ActionBlock, string>();
    const textOf = (actions: ActionBlock): string => {
      let text = texts.get(actions);
      if (text === undefined) texts.set(actions, (text = actions.join()));
      return text;
    };
    for (const [key, block] of this.away) {
      const actions = wanted.get(key);
      if (actions !== undefined && textOf(actions) === block.text) wanted.delete(key);
      if (actions !== undefined) continue;
      deleteElement(map, bytesOf(key));
      this.away.delete(key);
      this.dropBlock(block);
    }
    for (const [key, actions] of wanted) {
      const before = this.away.get(key);
      const block = this.takeBlock(actions);
      this.away.set(key, block);
      updateElement(map, bytesOf(key), bytesOf(block.at), "flood while nobody answers");
      if (before) this.dropBlock(before);
    }
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
    const mask = this.masks.of(rule.mask);
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
    if (this.blocks.get(block.text) === block) this.blocks.delete(block.text);
    this.old.push(block);
  }
}

const bytesOf = (value: number): Uint8Array => new Uint8Array(Uint32Array.of(value).buffer);

function awayKey({ port, vid }: { readonly port: number; readonly vid: number }): number {
  return ((port << 16) | (vid < 0 ? AWAY_UNTAGGED : vid)) >>> 0;
}

/** Words of a block, from its first. */
function blockWords(first: number): number {
  const outputs = (first >>> 8) & 0xffff;
  return ACTION_HEADER_WORDS + outputs * ACTION_OUTPUT_WORDS + (first >>> 24) * ACTION_COPY_WORDS;
}
