/**
 * The keeper of the rules: answers misses with rules made by the pipeline, and keeps every rule equal to what the
 * pipeline would say now. It holds a copy of the datapath's rule cache and speaks to it only in RuleChanges.
 *
 * A rule stands only while its decision leaves nothing to learn: where a station has moved away or was forgotten, its
 * rules go, and its next frame is a miss again, which teaches where it is.
 */
import { DROP_NO_BUFFER_SPACE, DROPPED } from "../flow/disposition.ts";
import { KEY_PORT, KEY_WORDS } from "../flow/key.ts";
import type { LeftBehind, Miss, RuleChange } from "../datapath/datapath.ts";
import * as act from "../pipeline/actions.ts";
import { RuleCache } from "../pipeline/classify.ts";
import { FieldReader } from "../pipeline/fields.ts";
import { MAC_LEARNED, MAC_MOVED, type MacTable } from "../pipeline/mac-table.ts";
import { normal, type Decision, type Effect, type MacRef } from "../pipeline/normal.ts";
import type { Snapshot } from "../pipeline/snapshot.ts";
import { ChangeBuilder } from "./change.ts";
import { MacDependencies, SOURCE } from "./deps.ts";
import { RuleIndexes } from "./indexes.ts";

/** What records are told about rules (src/flow/outcomes.ts). */
export interface OutcomeBook {
  set(
    index: number,
    gen: number,
    outcome: { disposition: number; reason: number; outputs: number; outputPort: number },
    nowNs: number,
  ): void;
  /** By rule index: newest frame that the sweep has seen, ns. */
  readonly lastNs: Float64Array;
}

export interface RuleKeeperOptions {
  readonly maxRules: number;
  readonly maxMasks: number;
  /** Port numbers are below this. */
  readonly maxPorts: number;
  readonly macs: MacTable;
  readonly outcomes: OutcomeBook;
  readonly snapshot: Snapshot;
  /** A rule goes when it was not used for so long, and its index rests as long: idle timeout + 10 s. */
  readonly restNs: number;
  /** A station was heard on another port. */
  readonly onMove?: (at: MacRef, from: number, to: number) => void;
}

export interface KeeperStats {
  readonly rules: number;
  readonly masks: number;
  readonly made: number;
  readonly replaced: number;
  readonly removed: number;
  /** Misses turned away: no room for a rule. */
  readonly refused: number;
}

/** Of a question that no frame asked. */
const NO_MISS = -1;
/** Rules that one miss may have decided again at once; the others follow in the next turns. */
const AT_ONCE = 256;

export class RuleKeeper {
  readonly cache: RuleCache;
  private macs: MacTable;
  private readonly outcomes: OutcomeBook;
  private readonly indexes: RuleIndexes;
  private readonly deps: MacDependencies;
  private readonly reader = new FieldReader();
  private readonly change: ChangeBuilder;
  private readonly onMove: (at: MacRef, from: number, to: number) => void;
  private snapshot: Snapshot;
  private restNs: number;
  /** Rules to decide again: a ring of indexes, each at most once. */
  private readonly dirty: Int32Array;
  private readonly isDirty: Uint8Array;
  private dirtyHead = 0;
  private dirtyCount = 0;
  /** Where the pass over all rules stands; maxRules = no pass. */
  private passAt: number;
  private idleAt = 0;
  private made = 0;
  private replaced = 0;
  private removed = 0;
  private refused = 0;

  constructor(options: RuleKeeperOptions) {
    const { maxRules, macs } = options;
    this.cache = new RuleCache(maxRules, options.maxMasks);
    this.macs = macs;
    this.outcomes = options.outcomes;
    this.snapshot = options.snapshot;
    this.restNs = options.restNs;
    this.indexes = new RuleIndexes(maxRules, options.maxPorts, () => this.restNs);
    this.deps = new MacDependencies(maxRules);
    this.change = new ChangeBuilder();
    this.onMove = options.onMove ?? (() => {});
    this.dirty = new Int32Array(maxRules);
    this.isDirty = new Uint8Array(maxRules);
    this.passAt = maxRules;
    this.setMacs(macs);
  }

  /** Another MAC table; a snapshot that looks into it has to follow. */
  setMacs(macs: MacTable): void {
    this.macs = macs;
    macs.onGone = (vlan, high, low) => this.markAll(vlan, high, low);
    macs.lastUseNs = (vlan, high, low, port) => this.lastUse(vlan, high, low, port);
  }

  stats(): KeeperStats {
    const { made, replaced, removed, refused } = this;
    return { rules: this.cache.size, masks: this.cache.masks, made, replaced, removed, refused };
  }

  /** Work is waiting for `turn`. */
  get busy(): boolean {
    return this.dirtyCount > 0 || this.passAt < this.cache.maxRules;
  }

  setRest(restNs: number): void {
    this.restNs = restNs;
  }

  /** Rules of these ports before their first frame: one that something else forwards does not wait (observe mode). */
  ahead(ports: readonly { readonly no: number }[], nowNs: number): RuleChange {
    const misses = ports.map(({ no }): Miss => {
      const key = new Uint32Array(KEY_WORDS);
      key[KEY_PORT] = no << 16;
      return { id: NO_MISS, key };
    });
    return this.resolve(misses, nowNs);
  }

  /** Another configuration: misses are answered by it at once, the rules follow in turns, refusals first. */
  setSnapshot(snapshot: Snapshot): void {
    this.snapshot = snapshot;
    this.passAt = 0;
  }

  /** Answer misses: one change that makes their rules and lets their frames go on. */
  resolve(misses: readonly Miss[], nowNs: number): RuleChange {
    for (const miss of misses) {
      const isCovered = this.cache.lookup(miss.key) >= 0 || this.makeRule(miss.key, nowNs);
      this.change.resume(isCovered ? { miss: miss.id } : { miss: miss.id, refuse: DROP_NO_BUFFER_SPACE });
    }
    this.redecide(AT_ONCE, nowNs);
    return this.change.take();
  }

  /**
   * A bounded piece of what waits: the pass after a change of configuration, rules whose MAC entries changed, rules that
   * nobody uses. `limit` decisions (256 are well under a millisecond). Undefined: nothing to program.
   */
  turn(nowNs: number, limit = 256): RuleChange | undefined {
    const left = this.pass(limit, nowNs);
    this.redecide(left, nowNs);
    this.idleOut(limit * 4, nowNs);
    return this.change.isEmpty ? undefined : this.change.take();
  }

  /** Every rule, for `weir show rules`. */
  indexesInUse(): Iterable<number> {
    return this.cache.indexes();
  }

  /** A frame of this key was seen at `timeNs`: where its source is, without any rule of it. */
  hear(key: Uint32Array, timeNs: number): void {
    for (const { at, port } of normal(this.reader.over(key), this.snapshot).effects)
      this.macs.learn(at.vlan, at.high, at.low, port, timeNs);
  }

  /** Rules that are in force already. What the pipeline says otherwise by now follows in the turns of a pass. */
  adopt({ rules, nextGen }: LeftBehind, nowNs: number): void {
    this.indexes.restore(
      rules.map(({ index, gen, key }) => ({ index, gen, port: key[KEY_PORT]! >>> 16 })),
      nextGen,
    );
    for (const rule of rules) {
      const { index, gen, actions } = rule;
      this.cache.apply({ add: [{ ...rule, mask: this.cache.sameMask(rule.mask) ?? rule.mask }] });
      this.outcomes.set(index, gen, outcomeOf(actions), nowNs);
      const decision = this.decideAgain(index);
      if (decision) this.deps.set(index, decision.source, decision.destination);
    }
    this.passAt = 0;
  }

  private makeRule(key: Uint32Array, nowNs: number): boolean {
    let decision = normal(this.reader.over(key), this.snapshot);
    // Learning may push out another entry, even the destination's: decide again with the table as it is now.
    if (this.learn(decision.effects, nowNs)) decision = normal(this.reader.over(key), this.snapshot);
    const port = key[0]! >>> 16;
    if (!this.cache.hasRoomFor(this.reader.mask)) return this.refuse();
    const index = this.indexes.take(port, nowNs);
    if (index < 0) return this.refuse();
    // Masks are few and rules many: those of one mask share it.
    const mask = this.cache.sameMask(this.reader.mask) ?? this.reader.mask.slice();
    const masked = new Uint32Array(key.length);
    for (let n = 0; n < key.length; n++) masked[n] = key[n]! & mask[n]!;
    const rule = { index, gen: this.indexes.genOf(index), mask, key: masked, actions: decision.actions };
    this.cache.apply({ add: [rule] });
    this.change.add(rule);
    this.made++;
    this.outcomes.set(rule.index, rule.gen, outcomeOf(decision.actions), nowNs);
    this.deps.set(index, decision.source, decision.destination);
    return true;
  }

  private refuse(): false {
    this.refused++;
    return false;
  }

  private learn(effects: readonly Effect[], nowNs: number): boolean {
    for (const { at, port, from } of effects) {
      const result = this.macs.learn(at.vlan, at.high, at.low, port, nowNs);
      if (result === MAC_LEARNED || result === MAC_MOVED) this.markAll(at.vlan, at.high, at.low);
      if (result === MAC_MOVED) this.onMove(at, from, port);
    }
    return effects.length > 0;
  }

  private markAll(vlan: number, high: number, low: number): void {
    this.deps.each(vlan, high, low, (rule) => this.mark(rule));
  }

  private mark(index: number): void {
    if (this.isDirty[index] === 1) return;
    this.isDirty[index] = 1;
    this.dirty[(this.dirtyHead + this.dirtyCount) % this.dirty.length] = index;
    this.dirtyCount++;
  }

  private redecide(limit: number, nowNs: number): void {
    for (let n = Math.min(limit, this.dirtyCount); n > 0; n--) {
      const index = this.dirty[this.dirtyHead]!;
      this.dirtyHead = (this.dirtyHead + 1) % this.dirty.length;
      this.dirtyCount--;
      this.isDirty[index] = 0;
      const decision = this.decideAgain(index);
      if (decision === undefined) this.remove(index, nowNs);
      else this.keep(index, decision, nowNs);
    }
  }

  /** One piece of the pass over all rules: refusals and removals at once, everything else that changed goes to the ring. */
  private pass(limit: number, nowNs: number): number {
    let left = limit;
    while (this.passAt < this.cache.maxRules && left > 0) {
      const index = this.passAt++;
      if (this.cache.genByIndex[index] === 0) continue;
      left--;
      const decision = this.decideAgain(index);
      if (decision === undefined) this.remove(index, nowNs);
      else if (
        act.disposition(decision.actions) === DROPPED ||
        // The same actions can be another VLAN's by now, and hang on its stations.
        act.equalActions(decision.actions, this.cache.actionsByIndex[index]!)
      )
        this.keep(index, decision, nowNs);
      else this.mark(index);
    }
    return left;
  }

  /** What the pipeline says of a rule now; undefined: the rule cannot say it, it has to go. */
  private decideAgain(index: number): Decision | undefined {
    const mask = this.cache.maskOf(index);
    if (mask === undefined) return undefined;
    if (this.snapshot.port(this.indexes.portOfRule(index)) === undefined) return undefined;
    const decision = normal(this.reader.over(this.cache.keyOf(index)), this.snapshot);
    // A bit that the rule does not know was looked at: what was read was not there.
    const isCovered = this.reader.mask.every((bits, word) => (bits & ~mask[word]!) === 0);
    return isCovered && decision.effects.length === 0 ? decision : undefined;
  }

  private keep(index: number, decision: Decision, nowNs: number): void {
    this.deps.set(index, decision.source, decision.destination);
    if (act.equalActions(decision.actions, this.cache.actionsByIndex[index]!)) return;
    this.cache.apply({ replace: [{ index, actions: decision.actions }] });
    this.change.replace(index, decision.actions);
    this.replaced++;
    const used = this.outcomes.lastNs[index]!;
    this.outcomes.set(index, this.indexes.genOf(index), outcomeOf(decision.actions), nowNs);
    this.outcomes.lastNs[index] = used;
  }

  private remove(index: number, nowNs: number): void {
    if (this.cache.genByIndex[index] === 0) return;
    this.deps.set(index, undefined, undefined);
    this.cache.apply({ remove: [index] });
    this.change.remove(index);
    this.indexes.give(index, nowNs);
    this.removed++;
  }

  private idleOut(limit: number, nowNs: number): void {
    // Where something else forwards, no frame waits for an answer: its rule has to be there.
    if (this.snapshot.mode === "observe") return;
    const { genByIndex, maxRules } = this.cache;
    const { lastNs } = this.outcomes;
    if (this.cache.size === 0) return;
    for (let n = Math.min(limit, maxRules); n > 0; n--) {
      const index = this.idleAt;
      this.idleAt = index + 1 === maxRules ? 0 : index + 1;
      if (genByIndex[index] === 0 || nowNs - lastNs[index]! < this.restNs) continue;
      this.touchSource(index);
      this.remove(index, nowNs);
    }
  }

  /** The rule's last use is the last that was heard of its source. */
  private touchSource(index: number): void {
    const source = this.deps.sourceOf(index);
    if (source === undefined) return;
    this.macs.touch(source.vlan, source.high, source.low, this.indexes.portOfRule(index), this.outcomes.lastNs[index]!);
  }

  private lastUse(vlan: number, high: number, low: number, port: number): number {
    let last = 0;
    this.deps.each(vlan, high, low, (rule, role) => {
      if (role === SOURCE && this.indexes.portOfRule(rule) === port) last = Math.max(last, this.outcomes.lastNs[rule]!);
    });
    return last;
  }
}

/** What records are told of a rule. */
export function outcomeOf(actions: act.ActionBlock): {
  disposition: number;
  reason: number;
  outputs: number;
  outputPort: number;
} {
  const disposition = act.disposition(actions);
  const outputs = act.outputCount(actions);
  return {
    disposition,
    reason: disposition === DROPPED ? act.detail(actions) : 0,
    outputs,
    outputPort: outputs === 1 ? act.outputPort(actions, 0) : 0,
  };
}
