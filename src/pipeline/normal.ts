/**
 * The learning switch (IEEE 802.1Q clause 8, OVS's action NORMAL): a pure function from a key and a snapshot to what to
 * do with every frame of that key, the addresses the decision rests on, and what the bridge should note. The fields it
 * reads through the FieldReader are the rule's mask: the answer is right for every key that agrees on them.
 *
 * The same function serves misses, revalidation, `weir trace` (through `say`) and tests. README.md has the order of
 * the checks and the table of tag operations.
 */
import {
  DROP_DEV_READY,
  DROP_DMAC_IS_RESERVED,
  DROP_EGRESS_VLAN_FILTER,
  DROP_INGRESS_VLAN_FILTER,
  DROP_MIRROR_PORT_RX,
  DROP_PORT_LIST_IS_EMPTY,
  DROP_PORT_LOOPBACK_FILTER,
  DROP_SRC_MAC_IS_DMAC,
  DROP_SRC_MAC_IS_MULTICAST,
  DROP_VLAN_TAG_MISMATCH,
  dropReason,
} from "../flow/disposition.ts";
import { FAULT_LLC, FAULT_NONE, FAULT_VLAN, FAULTS, type FaultName } from "../flow/key.ts";
import { drop, forward, observe, TAG_KEEP, TAG_POP, TAG_PUSH, TAG_SET_VID } from "./actions.ts";
import type { ActionBlock, Output } from "./actions.ts";
import * as advice from "./advice.ts";
import { macText, type FieldReader, type Mac } from "./fields.ts";
import { mirrored } from "./mirror.ts";
import { carries, leavesTagged, nativeVlan, vlanText, type Snapshot, type SnapshotPort } from "./snapshot.ts";

/** (VLAN, MAC): an entry of the MAC table that a decision looked up, found or not. */
export interface MacRef extends Mac {
  readonly vlan: number;
}

/** What the caller should do because of the frame; data, so that trace and revalidation can leave it undone. */
export interface Effect {
  readonly kind: "learn";
  readonly at: MacRef;
  readonly port: number;
  /** The port it was known at until now, 0 = nowhere. */
  readonly from: number;
}

export interface Decision {
  readonly actions: ActionBlock;
  readonly effects: readonly Effect[];
  /** The source address's entry, where the decision got so far. */
  readonly source?: MacRef;
  /** The destination's; not for a flood to a group address. */
  readonly destination?: MacRef;
}

/** One step of a decision, for a person. */
export interface Step {
  readonly step: "parse" | "ingress" | "learning" | "lookup" | "egress";
  readonly text: string;
  /** Where the decision ends here. */
  readonly verdict?: string;
  /** What would allow the frame, where that is a matter of configuration. */
  readonly allow?: advice.Advice;
}

export type Say = (step: Step) => void;

/** Refusal of a bad header: the two below the network layer always, the others with `dropMalformed`. */
const FAULT_REASONS: Record<FaultName, string> = {
  none: "none",
  arp: "arp_parsing",
  ipv4: "ip_1_parsing",
  ipv6: "ip_1_parsing",
  ipv6Ext: "ipv6_bad_exthdr",
  tcp: "tcp_parsing",
  udp: "udp_parsing",
  sctp: "sctp_parsing",
  icmp: "icmp_parsing",
  icmpv6: "icmp_parsing",
  igmp: "unknown_parsing",
  vlan: "vlan_parsing",
  llc: "llc_snap_parsing",
};
const FAULT_DROPS = FAULTS.map((name) => dropReason(FAULT_REASONS[name]));

const NO_EFFECTS: readonly Effect[] = [];

function refuse(reason: number): Decision {
  return { actions: drop(reason), effects: NO_EFFECTS };
}

export function normal(fields: FieldReader, snapshot: Snapshot, say?: Say): Decision {
  const decision = forwarding(fields, snapshot, say);
  const actions = mirrored(decision.actions, fields, snapshot);
  return actions === decision.actions ? decision : { ...decision, actions };
}

function forwarding(fields: FieldReader, snapshot: Snapshot, say?: Say): Decision {
  const port = snapshot.port(fields.port());
  if (port === undefined) {
    say?.({ step: "ingress", text: "the port is not on this bridge", verdict: "not admitted" });
    return refuse(DROP_DEV_READY);
  }
  if (snapshot.mode === "observe") {
    say?.({ step: "ingress", text: `port ${port.name}, observe mode`, verdict: "counted, not forwarded" });
    return { actions: observe(), effects: NO_EFFECTS };
  }
  if (snapshot.mirrors.outputPorts.has(port.no)) {
    say?.({ step: "ingress", text: `port ${port.name} sends a mirror's copies and takes nothing`, verdict: "refused" });
    return refuse(DROP_MIRROR_PORT_RX);
  }
  const fault = fields.fault();
  if (fault === FAULT_VLAN || fault === FAULT_LLC || (fault !== FAULT_NONE && snapshot.dropMalformed)) {
    const cut = fault === FAULT_VLAN || fault === FAULT_LLC;
    const allow = cut ? undefined : advice.keepMalformed();
    say?.({ step: "parse", text: `bad header: ${FAULTS[fault]}`, verdict: "refused", ...(allow && { allow }) });
    return refuse(FAULT_DROPS[fault]!);
  }
  if (say)
    say({ step: "parse", text: fault === FAULT_NONE ? "ok" : `bad header: ${FAULTS[fault]}, switched all the same` });
  if (fields.sourceIsGroup()) {
    say?.({ step: "ingress", text: `port ${port.name}: the source is a group address`, verdict: "not admitted" });
    return refuse(DROP_SRC_MAC_IS_MULTICAST);
  }
  const group = fields.destinationIsGroup();
  if (group && fields.destinationIsReserved()) {
    say?.({ step: "ingress", text: "a link-local protocol's address (01:80:c2:00:00:0x)", verdict: "not forwarded" });
    return refuse(DROP_DMAC_IS_RESERVED);
  }
  const vid = fields.outerVid();
  const vlan = admit(port, vid);
  if (vlan < 0) return notAdmitted(port, vid, say);
  say?.({ step: "ingress", text: `port ${port.name}, ${vlanText(port.vlan)}: ${inVlan(vid, vlan)}` });

  const source: MacRef = { vlan, ...fields.source() };
  if (group) {
    const effects = learn(source, port, snapshot, say);
    say?.({ step: "lookup", text: "group address: every port of the VLAN but the one it came from" });
    return { actions: flood(fields, snapshot, port, vid, vlan, say), effects, source };
  }
  const destination: MacRef = { vlan, ...fields.destination() };
  if (source.high === destination.high && source.low === destination.low) {
    say?.({ step: "ingress", text: "source and destination are the same address", verdict: "not admitted" });
    return refuse(DROP_SRC_MAC_IS_DMAC);
  }
  const effects = learn(source, port, snapshot, say);
  const known = snapshot.macs.portOf(vlan, destination.high, destination.low);
  // A station that was heard there before the port became a mirror's is not there any more.
  const target = snapshot.mirrors.outputPorts.has(known) ? undefined : snapshot.port(known);
  const actions =
    target === undefined
      ? unknown(fields, snapshot, port, vid, destination, say)
      : toPort(fields, port, target, vid, destination, say);
  return { actions, effects, source, destination };
}

/** VLAN of a frame received here, −1 = refused. A tag on an access port is refused, its own VLAN's too, as in OVS. */
function admit(port: SnapshotPort, vid: number): number {
  if (vid <= 0) return nativeVlan(port.vlan);
  if (port.vlan === undefined || port.vlan.mode === "access") return -1;
  return carries(port.vlan, vid) ? vid : -1;
}

function notAdmitted(port: SnapshotPort, vid: number, say: Say | undefined): Decision {
  if (say) {
    const what = vid > 0 ? `the frame carries tag ${vid}` : "the frame has no tag, and the port no native VLAN";
    const text = `port ${port.name}, ${vlanText(port.vlan)}: ${what}`;
    say({ step: "ingress", text, verdict: "not admitted", allow: advice.admit(port, vid) });
  }
  return refuse(vid > 0 ? DROP_INGRESS_VLAN_FILTER : DROP_VLAN_TAG_MISMATCH);
}

/** The source's entry, brought up to date. An all-zero address is nobody's. */
function learn(source: MacRef, port: SnapshotPort, snapshot: Snapshot, say: Say | undefined): readonly Effect[] {
  if (snapshot.mirrors.rspanVlans.has(source.vlan)) return NO_EFFECTS;
  if (source.high === 0 && source.low === 0) return NO_EFFECTS;
  const from = snapshot.macs.portOf(source.vlan, source.high, source.low);
  if (from === port.no) return NO_EFFECTS;
  if (!snapshot.macs.wouldLearn(source.vlan, source.high, source.low, port.no)) {
    say?.({ step: "learning", text: `${macText(source)} is not learned: port ${port.name} has all it may have` });
    return NO_EFFECTS;
  }
  if (say) {
    const was = snapshot.port(from);
    const how = was ? `moves from port ${was.name} to ${port.name}` : `is learned on port ${port.name}`;
    say({ step: "learning", text: `${macText(source)} ${how}` });
  }
  return [{ kind: "learn", at: source, port: port.no, from }];
}

function unknown(
  fields: FieldReader,
  snapshot: Snapshot,
  port: SnapshotPort,
  vid: number,
  destination: MacRef,
  say: Say | undefined,
): ActionBlock {
  const { vlan } = destination;
  say?.({ step: "lookup", text: `${macText(destination)} is not known${inWords(vlan)}: every other port of the VLAN` });
  return flood(fields, snapshot, port, vid, vlan, say);
}

function toPort(
  fields: FieldReader,
  port: SnapshotPort,
  target: SnapshotPort,
  vid: number,
  destination: MacRef,
  say: Say | undefined,
): ActionBlock {
  const { vlan } = destination;
  const where = (): string => `${macText(destination)} was learned on port ${target.name}${inWords(vlan)}`;
  if (target.no === port.no) {
    say?.({ step: "lookup", text: `${where()}, where the frame came from`, verdict: "already there" });
    return drop(DROP_PORT_LOOPBACK_FILTER);
  }
  say?.({ step: "lookup", text: where() });
  const output = carries(target.vlan, vlan) ? outputTo(fields, target, vid, vlan) : undefined;
  if (output === undefined) {
    const text = `port ${target.name}, ${vlanText(target.vlan)}: ${notCarried(target, vlan)}`;
    say?.({ step: "egress", text, verdict: "not sent", allow: advice.carry(target, vlan) });
    return drop(DROP_EGRESS_VLAN_FILTER);
  }
  say?.({ step: "egress", text: outputText(output, target) });
  return forward([output]);
}

function flood(
  fields: FieldReader,
  snapshot: Snapshot,
  port: SnapshotPort,
  vid: number,
  vlan: number,
  say: Say | undefined,
): ActionBlock {
  const make = (): ActionBlock => floodNow(fields, snapshot, port, vid, vlan, say);
  // What the frame's inner tag decides is decided frame by frame, and what is to be said is said again.
  if (say !== undefined || (vid >= 0 && snapshot.isNativeSomewhere(vlan))) return make();
  return snapshot.flood(port.no, vid, make);
}

function floodNow(
  fields: FieldReader,
  snapshot: Snapshot,
  port: SnapshotPort,
  vid: number,
  vlan: number,
  say: Say | undefined,
): ActionBlock {
  const outputs: Output[] = [];
  for (const target of snapshot.floodPorts(vlan)) {
    if (target.no === port.no) continue;
    const output = outputTo(fields, target, vid, vlan);
    if (output === undefined) continue;
    outputs.push(output);
    say?.({ step: "egress", text: outputText(output, target) });
  }
  if (outputs.length > 0) return forward(outputs);
  say?.({ step: "egress", text: `no other port${inWords(vlan)} is up`, verdict: "nowhere to go" });
  return drop(DROP_PORT_LIST_IS_EMPTY);
}

/**
 * How a frame that came with tag `vid` (0 priority-tagged, −1 none) leaves by a port that carries `vlan`. Undefined: taking
 * the tag off would show a second one to a switch behind a native-untagged port, which would take it for the frame's
 * VLAN: the way out of a tenant's VLAN known as double tagging.
 */
function outputTo(fields: FieldReader, target: SnapshotPort, vid: number, vlan: number): Output | undefined {
  const tagged = leavesTagged(target.vlan, vlan);
  if (vid < 0) return tagged ? { port: target.no, tag: TAG_PUSH, tci: vlan } : { port: target.no };
  if (tagged) return vid > 0 ? { port: target.no } : { port: target.no, tag: TAG_SET_VID, tci: vlan };
  if (target.vlan?.mode === "nativeUntagged" && fields.hasInnerTag()) return undefined;
  return { port: target.no, tag: TAG_POP };
}

function inVlan(vid: number, vlan: number): string {
  if (vid > 0) return `tag ${vid}`;
  const frame = vid < 0 ? "no tag" : "priority tag only";
  return vlan === 0 ? `${frame}, the untagged domain` : `${frame}, VLAN ${vlan}`;
}

function inWords(vlan: number): string {
  return vlan === 0 ? " without a VLAN" : ` in VLAN ${vlan}`;
}

function notCarried(target: SnapshotPort, vlan: number): string {
  return carries(target.vlan, vlan)
    ? "without its tag the frame would show a second one"
    : `does not carry ${vlan === 0 ? "untagged frames" : `VLAN ${vlan}`}`;
}

function outputText(output: Output, target: SnapshotPort): string {
  const tag = output.tag ?? TAG_KEEP;
  const how =
    tag === TAG_PUSH
      ? `with tag ${output.tci}`
      : tag === TAG_POP
        ? "without its tag"
        : tag === TAG_SET_VID
          ? `with tag ${output.tci}, its priority kept`
          : "as received";
  return `port ${target.name}, ${vlanText(target.vlan)}: ${how}`;
}
