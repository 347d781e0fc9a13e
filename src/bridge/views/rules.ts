/** The rule cache as JSON: what was decided, and for which frames. */
import { DISPOSITIONS, DROP_REASONS, DROPPED } from "../../flow/disposition.ts";
import { detail, disposition, outputCount, outputPort } from "../../pipeline/actions.ts";
import type { RuleCache } from "../../pipeline/classify.ts";
import { lookedAt, matchText } from "../../pipeline/words.ts";
import type { RuleJson } from "./json.ts";

export interface RuleContext {
  readonly bridge: string;
  portName(no: number): string;
  /** Live flows by rule index. */
  readonly flows: ReadonlyMap<number, number>;
}

export function ruleJson(cache: RuleCache, index: number, context: RuleContext): RuleJson {
  const actions = cache.actionsOf(index);
  const mask = cache.maskOf(index)!;
  const key = cache.keyOf(index);
  const kind = disposition(actions);
  return {
    bridge: context.bridge,
    id: `r${index}`,
    lookedAt: lookedAt(mask),
    match: matchText(mask, key, context.portName(key[0]! >>> 16)),
    disposition: DISPOSITIONS[kind]!,
    ...(kind === DROPPED && { dropReason: DROP_REASONS[detail(actions)]!.name }),
    output: Array.from({ length: outputCount(actions) }, (_, n) => context.portName(outputPort(actions, n))),
    gen: cache.genOf(index),
    flows: context.flows.get(index) ?? 0,
  };
}
