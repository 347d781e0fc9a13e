/**
 * Why a frame goes where it goes: the very decision that rules are made of, told step by step. Changes nothing: what the
 * frame would teach is said, not learned.
 */
import { DISPOSITIONS, DROP_REASONS, DROPPED, type DispositionName, type DropReason } from "../flow/disposition.ts";
import { KEY_PORT } from "../flow/key.ts";
import * as act from "./actions.ts";
import type { Advice } from "./advice.ts";
import { FieldReader } from "./fields.ts";
import { mirrorVerdicts, type MirrorVerdict } from "./mirror.ts";
import { normal, type Effect, type Step } from "./normal.ts";
import type { Snapshot } from "./snapshot.ts";
import { lookedAt, matchText } from "./words.ts";

export interface TraceOutput {
  readonly port: string;
  readonly tag: "keep" | "push" | "pop" | "setVid";
  /** VLAN id of the tag that is written. */
  readonly vid?: number;
}

export interface Trace {
  /** Each step of the decision in order; the first is of the parser, the last decides. */
  readonly steps: readonly Step[];
  readonly disposition: DispositionName;
  readonly dropReason?: DropReason;
  readonly outputs: readonly TraceOutput[];
  readonly actions: act.ActionBlock;
  /** The fields that the decision looked at. */
  readonly lookedAt: readonly string[];
  /** The frames that the same rule covers, in the filter language. */
  readonly covers: string;
  readonly mask: Uint32Array;
  /** What the bridge would note. */
  readonly effects: readonly Effect[];
  /** What each mirror session would make of it. */
  readonly mirrors: readonly MirrorVerdict[];
  /** What would let a refused frame pass. */
  readonly allow?: Advice;
}

const TAGS = {
  [act.TAG_KEEP]: "keep",
  [act.TAG_PUSH]: "push",
  [act.TAG_POP]: "pop",
  [act.TAG_SET_VID]: "setVid",
} as const;

export function trace(key: Uint32Array, snapshot: Snapshot): Trace {
  const reader = new FieldReader().over(key);
  const steps: Step[] = [];
  const { actions, effects } = normal(reader, snapshot, (step) => steps.push(step));
  const kind = act.disposition(actions);
  const nameOf = (no: number): string => snapshot.port(no)?.name ?? `#${no}`;
  const outputs = Array.from({ length: act.outputCount(actions) }, (_, n): TraceOutput => {
    const tag = TAGS[act.outputTag(actions, n) as keyof typeof TAGS];
    const vid = act.outputTci(actions, n) & 0xfff;
    return { port: nameOf(act.outputPort(actions, n)), tag, ...((tag === "push" || tag === "setVid") && { vid }) };
  });
  const allow = steps.findLast((step) => step.allow)?.allow;
  return {
    steps,
    disposition: DISPOSITIONS[kind]!,
    ...(kind === DROPPED && { dropReason: DROP_REASONS[act.detail(actions)]! }),
    outputs,
    actions,
    lookedAt: lookedAt(reader.mask),
    covers: matchText(reader.mask, key, nameOf(key[KEY_PORT]! >>> 16)),
    mask: reader.mask,
    effects,
    mirrors: mirrorVerdicts(actions, reader, snapshot),
    ...(allow && { allow }),
  };
}
