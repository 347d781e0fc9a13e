/**
 * Mirrors as actions: which copies a decision's frames make. Sessions are data; what each limits, samples and filters is
 * asked frame by frame where the copies are made.
 *
 * A frame goes to one destination once, however many sessions select it for that destination and however many of its
 * ports are selected: as it came in where its ingress port is selected, else as it left by the first selected output.
 */
import { DROPPED, OBSERVED } from "../flow/disposition.ts";
import {
  ACTION_HEADER_WORDS,
  ACTION_OUTPUT_WORDS,
  type ActionBlock,
  COPY_IN,
  COPY_OUT,
  COPY_RSPAN,
  COPY_SPAN,
  type Copy,
  disposition,
  outputCount,
  outputPort,
  TAG_KEEP,
  TAG_POP,
  TAG_PUSH,
  TAG_SET_VID,
  withCopies,
} from "./actions.ts";
import type { FieldReader } from "./fields.ts";
import type { MirrorSession } from "./mirror-plan.ts";
import { leavesTagged, nativeVlan, type Snapshot } from "./snapshot.ts";

/** The decision's actions and the copies that the sessions want. */
export function mirrored(actions: ActionBlock, fields: FieldReader, snapshot: Snapshot): ActionBlock {
  const { sessions } = snapshot.mirrors;
  if (sessions.length === 0) return actions;
  const from = fields.port();
  const copies: Copy[] = [];
  for (const session of sessions) {
    if (whyNot(session, actions, fields, snapshot) !== undefined) continue;
    if (disposition(actions) === OBSERVED) addObserved(copies, session, from);
    else add(copies, session, actions, selected(session, actions, from)!, fields, snapshot, from);
  }
  return withCopies(actions, copies);
}

export interface MirrorVerdict {
  readonly name: string;
  /** Why it copies none of these frames; absent: it does, as far as its filter and limits let it. */
  readonly whyNot?: string;
}

/** What each session makes of the decision's frames. */
export function mirrorVerdicts(actions: ActionBlock, fields: FieldReader, snapshot: Snapshot): MirrorVerdict[] {
  return snapshot.mirrors.sessions.map((session) => {
    const no = whyNot(session, actions, fields, snapshot);
    return { name: session.name, ...(no !== undefined && { whyNot: no }) };
  });
}

/** Undefined: the session copies the decision's frames. Fields are looked at in the order of the questions. */
function whyNot(
  session: MirrorSession,
  actions: ActionBlock,
  fields: FieldReader,
  snapshot: Snapshot,
): string | undefined {
  const from = fields.port();
  const { outputPorts, rspanVlans } = snapshot.mirrors;
  if (outputPorts.has(from)) return "its port sends copies";
  const isDropped = disposition(actions) === DROPPED;
  if (session.dropped === (isDropped ? "exclude" : "only")) return `dropped: ${session.dropped}`;
  if (selected(session, actions, from) === undefined) return "no selected port is on its way";
  // A rule that can do without the VLAN must: in observe mode no frame waits for another rule.
  if (session.vlans === undefined && rspanVlans.size === 0) return undefined;
  const vlan = vlanOf(fields, snapshot, from);
  if (rspanVlans.has(vlan)) return `VLAN ${vlan} is of copies`;
  if (session.vlans !== undefined && !session.vlans.has(vlan)) return `VLAN ${vlan} is not selected`;
  return undefined;
}

/** −1: as it came in; else the output that the session selects; undefined: nothing that it does. */
function selected(session: MirrorSession, actions: ActionBlock, from: number): number | undefined {
  const isIn = session.ingress || disposition(actions) === OBSERVED;
  return isIn && session.ports.has(from) ? -1 : firstOutput(session, actions);
}

/** Something else forwards the frame: which of the two it is, coming in or leaving, its datapath sees. */
function addObserved(copies: Copy[], { bit, ingress, egress, copies: isKept }: MirrorSession, port: number): void {
  if (!isKept) return;
  if (ingress) put(copies, { kind: COPY_IN, port, sessions: 1 << bit });
  if (egress) put(copies, { kind: COPY_OUT, port, sessions: 1 << bit });
}

/** The first output that the session selects; undefined: none. */
function firstOutput(session: MirrorSession, actions: ActionBlock): number | undefined {
  if (!session.egress) return undefined;
  const outputs = outputCount(actions);
  for (let n = 0; n < outputs; n++) if (session.ports.has(outputPort(actions, n))) return n;
  return undefined;
}

function vlanOf(fields: FieldReader, snapshot: Snapshot, from: number): number {
  const vid = fields.outerVid();
  return vid > 0 ? vid : Math.max(0, nativeVlan(snapshot.port(from)?.vlan));
}

function add(
  copies: Copy[],
  session: MirrorSession,
  actions: ActionBlock,
  output: number,
  fields: FieldReader,
  snapshot: Snapshot,
  from: number,
): void {
  const sessions = 1 << session.bit;
  const form = output < 0 ? { port: from } : outputOf(actions, output);
  if (session.copies) put(copies, { ...form, kind: output < 0 ? COPY_IN : COPY_OUT, sessions });
  for (const port of session.spans) if (port !== from) put(copies, { ...form, port, kind: COPY_SPAN, sessions });
  for (const { vlan, stacked } of session.rspans) {
    const replaces = !stacked && fields.outerVid() >= 0;
    for (const target of snapshot.floodPorts(vlan)) {
      if (target.no === from) continue;
      // A port that takes the VLAN's tag off sends what was under it.
      const tagged = leavesTagged(target.vlan, vlan);
      const tag = tagged ? (replaces ? TAG_SET_VID : TAG_PUSH) : replaces ? TAG_POP : TAG_KEEP;
      put(copies, { port: target.no, tag, tci: vlan, kind: COPY_RSPAN, sessions });
    }
  }
}

/** Another copy; the same once, for all who want it. */
function put(copies: Copy[], copy: Copy): void {
  const same = copies.findIndex(
    ({ kind, port, tci }) => kind === copy.kind && port === copy.port && (kind !== COPY_RSPAN || tci === copy.tci),
  );
  if (same < 0) copies.push(copy);
  else copies[same] = { ...copies[same]!, sessions: copies[same]!.sessions | copy.sessions };
}

function outputOf(actions: ActionBlock, n: number): Pick<Copy, "port" | "tag" | "tci" | "tpid"> {
  const at = ACTION_HEADER_WORDS + n * ACTION_OUTPUT_WORDS;
  const operand = actions[at + 1]!;
  const tag = ((actions[at]! >>> 16) & 0xff) as NonNullable<Copy["tag"]>;
  return { port: actions[at]! & 0xffff, tag, tci: operand & 0xffff, tpid: operand >>> 16 };
}
