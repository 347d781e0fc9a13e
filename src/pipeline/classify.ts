/**
 * The rule cache: from a key to the rule that covers it, by tuple-space search (Srinivasan, Suri, Varghese, SIGCOMM
 * 1999): one hash table per distinct mask, tried in order of their hits. Rules do not overlap with different decisions
 * (the pipeline is a function), so the first hit is the answer.
 *
 * A datapath owns one and asks it once per *flow*; the control thread owns another to know which rules there are.
 * `lookup` allocates nothing. A flow remembers (index, generation) and finds out with two loads whether its rule still
 * holds: `genByIndex[index] === gen`, then `actionsByIndex[index]`.
 */
import { KEY_WORDS } from "../flow/key.ts";
import type { ActionBlock } from "./actions.ts";
import { hashFactors } from "./hash.ts";

/** The parts of a RuleChange (src/datapath/datapath.ts) that concern the cache, in the order they are applied. */
export interface CacheChange {
  readonly replace?: readonly { readonly index: number; readonly actions: ActionBlock }[];
  readonly remove?: readonly number[];
  readonly add?: readonly CachedRule[];
}

export interface CachedRule {
  readonly index: number;
  /** 1 … 2^32 − 1; 0 means "no rule". */
  readonly gen: number;
  readonly mask: Uint32Array;
  readonly key: Uint32Array;
  readonly actions: ActionBlock;
}

const NO_ACTIONS: ActionBlock = new Uint32Array(2);
const FIRST_BITS = 6;
/** Hits are halved this often (in lookups), so that the order of masks follows the traffic. */
const DECAY = 65536;

/** The rules of one mask: open addressing, linear probing, no tombstones. */
interface MaskTable {
  readonly mask: Uint32Array;
  /** The words that the mask looks at, and the bits of each. */
  readonly words: Int32Array;
  readonly bits: Uint32Array;
  /** Rule index + 1; 0 = empty. Its length is a power of two, 1 << (32 − shift). */
  buckets: Int32Array;
  shift: number;
  count: number;
  hits: number;
}

export class RuleCache {
  readonly maxRules: number;
  readonly maxMasks: number;
  /** Generation of the rule at each index, 0 = none. */
  readonly genByIndex: Uint32Array;
  /** Action block of the rule at each index; a block is never written again. As long as the highest index was. */
  readonly actionsByIndex: ActionBlock[] = [];
  /** Rules of a change that found no place: a sign that its maker does not keep the limits. */
  rejected = 0;
  private readonly keys: Uint32Array;
  private readonly hashes: Int32Array;
  private readonly tableOf: (MaskTable | undefined)[] = [];
  private readonly tables: MaskTable[] = [];
  private readonly factors = hashFactors(KEY_WORDS);
  private untilDecay = DECAY;
  private count = 0;

  constructor(maxRules = 65536, maxMasks = 32) {
    this.maxRules = maxRules;
    this.maxMasks = maxMasks;
    this.genByIndex = new Uint32Array(maxRules);
    this.keys = new Uint32Array(maxRules * KEY_WORDS);
    this.hashes = new Int32Array(maxRules);
  }

  /** Rules in force. */
  get size(): number {
    return this.count;
  }

  /** Distinct masks in force. */
  get masks(): number {
    return this.tables.length;
  }

  /** Index of the rule that covers `key`, −1 = none. */
  lookup(key: Uint32Array): number {
    const tables = this.tables;
    for (let n = 0; n < tables.length; n++) {
      const table = tables[n]!;
      const index = this.probe(table, key, this.hash(table, key));
      if (index < 0) continue;
      table.hits++;
      if (n > 0 && table.hits > tables[n - 1]!.hits) {
        tables[n] = tables[n - 1]!;
        tables[n - 1] = table;
      }
      if (--this.untilDecay === 0) this.decay();
      return index;
    }
    return -1;
  }

  actionsOf(index: number): ActionBlock {
    return this.actionsByIndex[index]!;
  }

  genOf(index: number): number {
    return this.genByIndex[index]!;
  }

  /** Mask of the rule at `index`; undefined where there is none. Not a copy. */
  maskOf(index: number): Uint32Array | undefined {
    return this.tableOf[index]?.mask;
  }

  /** Key of the rule at `index` (bits outside its mask are 0), in place. */
  keyOf(index: number): Uint32Array {
    return this.keys.subarray(index * KEY_WORDS, (index + 1) * KEY_WORDS);
  }

  /** The mask of rules in force that has these bits; not a copy. */
  sameMask(mask: Uint32Array): Uint32Array | undefined {
    return this.tableFor(mask)?.mask;
  }

  /** Would a rule of this mask find a place? */
  hasRoomFor(mask: Uint32Array): boolean {
    return this.tables.length < this.maxMasks || this.tableFor(mask) !== undefined;
  }

  /** Replace, remove, add, in this order. */
  apply(change: CacheChange): void {
    if (change.replace)
      for (const { index, actions } of change.replace)
        if (this.tableOf[index] !== undefined) this.actionsByIndex[index] = actions;
    if (change.remove) for (const index of change.remove) this.remove(index);
    if (change.add) for (const rule of change.add) this.add(rule);
  }

  /** Every index that holds a rule. */
  *indexes(): Generator<number> {
    for (let index = 0; index < this.tableOf.length; index++) if (this.tableOf[index] !== undefined) yield index;
  }

  private add(rule: CachedRule): void {
    const { index } = rule;
    if (!(index >= 0 && index < this.maxRules)) {
      this.rejected++;
      return;
    }
    // Pushed one by one: an array with holes would be slower to read for ever.
    while (this.tableOf.length <= index) {
      this.tableOf.push(undefined);
      this.actionsByIndex.push(NO_ACTIONS);
    }
    this.remove(index);
    let table = this.tableFor(rule.mask);
    if (table === undefined) {
      if (this.tables.length >= this.maxMasks) {
        this.rejected++;
        return;
      }
      table = newTable(rule.mask);
      this.tables.push(table);
    }
    const at = index * KEY_WORDS;
    for (let word = 0; word < KEY_WORDS; word++) this.keys[at + word] = rule.key[word]! & rule.mask[word]!;
    const hash = this.hash(table, rule.key);
    const twin = this.probe(table, rule.key, hash);
    if (twin >= 0) {
      this.vacate(table, twin);
      this.forget(twin);
    } else if ((table.count + 1) * 2 > table.buckets.length) this.grow(table);
    this.hashes[index] = hash;
    this.tableOf[index] = table;
    this.genByIndex[index] = rule.gen;
    this.actionsByIndex[index] = rule.actions;
    place(table, index, hash);
    table.count++;
    this.count++;
  }

  private remove(index: number): void {
    const table = this.tableOf[index];
    if (table === undefined) return;
    this.vacate(table, index);
    this.forget(index);
    if (table.count === 0) this.tables.splice(this.tables.indexOf(table), 1);
  }

  /** Take the rule out of its table's buckets, closing the gap (Knuth vol. 3, algorithm 6.4R). */
  private vacate(table: MaskTable, index: number): void {
    const { buckets, shift } = table;
    const wrap = buckets.length - 1;
    let hole = this.hashes[index]! >>> shift;
    while (buckets[hole] !== index + 1) hole = (hole + 1) & wrap;
    for (let next = (hole + 1) & wrap; buckets[next] !== 0; next = (next + 1) & wrap) {
      const home = this.hashes[buckets[next]! - 1]! >>> shift;
      if (((next - home) & wrap) < ((next - hole) & wrap)) continue;
      buckets[hole] = buckets[next]!;
      hole = next;
    }
    buckets[hole] = 0;
    table.count--;
  }

  private forget(index: number): void {
    this.tableOf[index] = undefined;
    this.genByIndex[index] = 0;
    this.actionsByIndex[index] = NO_ACTIONS;
    this.count--;
  }

  private hash(table: MaskTable, key: Uint32Array): number {
    const { words, bits } = table;
    const factors = this.factors;
    let sum = 0;
    for (let n = 0; n < words.length; n++) {
      const word = words[n]!;
      const value = key[word]! & bits[n]!;
      sum = (sum + Math.imul(value & 0xffff, factors[2 * word]!)) | 0;
      sum = (sum + Math.imul(value >>> 16, factors[2 * word + 1]!)) | 0;
    }
    // A signed 32-bit number is never boxed; an unsigned one may be.
    return sum;
  }

  private probe(table: MaskTable, key: Uint32Array, hash: number): number {
    const { buckets, words, bits } = table;
    const wrap = buckets.length - 1;
    for (let at = hash >>> table.shift; buckets[at] !== 0; at = (at + 1) & wrap) {
      const index = buckets[at]! - 1;
      if (this.hashes[index] !== hash) continue;
      const base = index * KEY_WORDS;
      let n = 0;
      while (n < words.length && ((this.keys[base + words[n]!]! ^ key[words[n]!]!) & bits[n]!) === 0) n++;
      if (n === words.length) return index;
    }
    return -1;
  }

  private tableFor(mask: Uint32Array): MaskTable | undefined {
    for (const table of this.tables) {
      let word = 0;
      while (word < KEY_WORDS && table.mask[word] === mask[word]) word++;
      if (word === KEY_WORDS) return table;
    }
    return undefined;
  }

  private grow(table: MaskTable): void {
    const old = table.buckets;
    table.buckets = new Int32Array(old.length * 2);
    table.shift--;
    for (const entry of old) if (entry !== 0) place(table, entry - 1, this.hashes[entry - 1]!);
  }

  private decay(): void {
    this.untilDecay = DECAY;
    for (let n = 0; n < this.tables.length; n++) this.tables[n]!.hits >>>= 1;
  }
}

function newTable(mask: Uint32Array): MaskTable {
  const words: number[] = [];
  mask.forEach((bits, word) => bits !== 0 && words.push(word));
  return {
    mask: mask.slice(),
    words: Int32Array.from(words),
    bits: Uint32Array.from(words, (word) => mask[word]!),
    buckets: new Int32Array(1 << FIRST_BITS),
    shift: 32 - FIRST_BITS,
    count: 0,
    hits: 0,
  };
}

function place(table: MaskTable, index: number, hash: number): void {
  const wrap = table.buckets.length - 1;
  let at = hash >>> table.shift;
  while (table.buckets[at] !== 0) at = (at + 1) & wrap;
  table.buckets[at] = index + 1;
}
