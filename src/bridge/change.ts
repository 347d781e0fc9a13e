/**
 * Gathers what one RuleChange says. A datapath applies replace, remove, add in this order, so a rule that is made and
 * changed again before the change leaves must leave as it is at the end.
 */
import type { Rule, RuleChange } from "../datapath/datapath.ts";
import type { ActionBlock } from "../pipeline/actions.ts";

export type Resume = NonNullable<RuleChange["resume"]>[number];

export class ChangeBuilder {
  private adds = new Map<number, Rule>();
  private replaces = new Map<number, ActionBlock>();
  private removes: number[] = [];
  private resumes: Resume[] = [];

  get isEmpty(): boolean {
    return this.adds.size + this.replaces.size + this.removes.length + this.resumes.length === 0;
  }

  add(rule: Rule): void {
    this.adds.set(rule.index, rule);
  }

  replace(index: number, actions: ActionBlock): void {
    const fresh = this.adds.get(index);
    if (fresh) this.adds.set(index, { ...fresh, actions });
    else this.replaces.set(index, actions);
  }

  remove(index: number): void {
    if (this.adds.delete(index)) return;
    this.replaces.delete(index);
    this.removes.push(index);
  }

  resume(what: Resume): void {
    this.resumes.push(what);
  }

  /** The change so far; the next begins. */
  take(): RuleChange {
    const change: RuleChange = {
      replace: Array.from(this.replaces, ([index, actions]) => ({ index, actions })),
      remove: this.removes,
      add: [...this.adds.values()],
      resume: this.resumes,
    };
    this.adds = new Map();
    this.replaces = new Map();
    this.removes = [];
    this.resumes = [];
    return change;
  }
}
