/**
 * sFlow version 5 on the wire. Words of 4 bytes, big endian; `[n]` a length or count that is filled in later.
 *
 * ```
 * DATAGRAM   5 | address type 1, 2 | agent address 4 or 16 bytes | sub-agent | sequence | uptime ms | [samples] | samples …
 * SAMPLE     tag | [length] | body
 *   1 flow               sequence | class << 24, index | rate | pool | drops | input | output | [records] | records …
 *   2 counters           sequence | class << 24, index | [records] | records …
 *   3 flow, expanded     sequence | class | index | rate | pool | drops | format | input | format | output | [records] | …
 *   4 counters, expanded sequence | class | index | [records] | records …
 *   5 discarded packet   sequence | class | index | drops | input | output | reason | [records] | records …
 * RECORD     tag | [length] | body
 *   1    raw header      1 (Ethernet) | frame length with FCS | 4 stripped | [length] header, padded
 *   1001 switch          VLAN in | priority in | VLAN out | priority out
 * ```
 *
 * An interface is 2 bits of format and 30 of value where compact: 0 ifIndex, 1 discarded and why, 2 how many outputs.
 *
 * Sources: sflow.org "sFlow Version 5" (July 2004) section 5; "sFlow Dropped Packet Notification Structures" (2020).
 */
import type { Xdr } from "./xdr.ts";

export const VERSION = 5;
/** What the specification allows by default (sFlowRcvrMaximumDatagramSize). */
export const MAX_DATAGRAM = 1400;

export const SAMPLE_FLOW = 1;
export const SAMPLE_COUNTERS = 2;
export const SAMPLE_FLOW_EXPANDED = 3;
export const SAMPLE_COUNTERS_EXPANDED = 4;
export const SAMPLE_DISCARD = 5;

export const FLOW_RAW_HEADER = 1;
export const FLOW_SWITCH = 1001;

const HEADER_PROTOCOL_ETHERNET = 1;
export const FCS_BYTES = 4;

/** Classes of data sources. */
export const SOURCE_INTERFACE = 0;
export const SOURCE_PHYSICAL = 2;
export const SOURCE_LOGICAL = 3;

/** Formats of an interface. */
export const FORMAT_IFINDEX = 0;
export const FORMAT_DISCARDED = 1;
export const FORMAT_SEVERAL = 2;
/** "There is no output interface": the switch itself took the frame in. */
export const INTERNAL = 0x3fffffff;
/** Largest source index that the compact form can say; expanded samples are for ifIndexes above. */
export const MAX_COMPACT = 0xffffff;

/** A flow sample, beside the bytes of its frame. */
export interface FlowFields {
  sequence: number;
  /** Data source: the ingress interface, and input too. */
  ifIndex: number;
  rate: number;
  pool: number;
  drops: number;
  outputFormat: number;
  output: number;
}

export interface FrameFields {
  /** Bytes on the wire without FCS. */
  length: number;
  /** First bytes of the frame, and how many of them are told. */
  header: Uint8Array;
  headerBytes: number;
  /** Extended switch data is told. */
  hasVlan: boolean;
  inVlan: number;
  inPriority: number;
  outVlan: number;
  outPriority: number;
}

/** Returns where the number of samples stands, for `patch`. */
export function writeHeader(x: Xdr, agent: Uint8Array, subAgent: number, sequence: number, uptimeMs: number): number {
  x.at = 0;
  x.u32(VERSION);
  x.u32(agent.length === 4 ? 1 : 2);
  x.fixed(agent, agent.length);
  x.u32(subAgent);
  x.u32(sequence);
  x.u32(uptimeMs);
  x.u32(0);
  return x.at - 4;
}

export function headerBytes(agent: Uint8Array): number {
  return 24 + agent.length;
}

export function writeFlowSample(x: Xdr, flow: FlowFields, frame: FrameFields): void {
  const { ifIndex, outputFormat, output } = flow;
  const isWide = ifIndex > MAX_COMPACT || (output > MAX_COMPACT && !isInternal(outputFormat, output));
  const mark = x.open(isWide ? SAMPLE_FLOW_EXPANDED : SAMPLE_FLOW);
  x.u32(flow.sequence);
  if (isWide) x.u32(SOURCE_INTERFACE);
  x.u32(ifIndex);
  x.u32(flow.rate);
  x.u32(flow.pool);
  x.u32(flow.drops);
  if (isWide) {
    x.u32(FORMAT_IFINDEX);
    x.u32(ifIndex);
    x.u32(outputFormat);
    x.u32(output);
  } else {
    x.u32(ifIndex);
    x.u32(outputFormat * 0x40000000 + output);
  }
  writeFrame(x, frame);
  x.close(mark);
}

export interface DiscardFields {
  sequence: number;
  ifIndex: number;
  drops: number;
  /** Code of sFlow's registry. */
  reason: number;
}

/** Where the frame would have gone is not known: output 0. */
export function writeDiscard(x: Xdr, discard: DiscardFields, frame: FrameFields): void {
  const mark = x.open(SAMPLE_DISCARD);
  x.u32(discard.sequence);
  x.u32(SOURCE_INTERFACE);
  x.u32(discard.ifIndex);
  x.u32(discard.drops);
  x.u32(discard.ifIndex);
  x.u32(0);
  x.u32(discard.reason);
  writeFrame(x, frame);
  x.close(mark);
}

/** Begin a counter sample; records are written after it, then `closeCounters`. */
export function openCounters(x: Xdr, sequence: number, sourceClass: number, index: number): CounterMark {
  const isWide = index > MAX_COMPACT;
  const sample = x.open(isWide ? SAMPLE_COUNTERS_EXPANDED : SAMPLE_COUNTERS);
  x.u32(sequence);
  if (isWide) {
    x.u32(sourceClass);
    x.u32(index);
  } else x.u32(sourceClass * 0x1000000 + index);
  x.u32(0);
  return { sample, count: x.at - 4 };
}

export interface CounterMark {
  readonly sample: number;
  readonly count: number;
}

export function closeCounters(x: Xdr, mark: CounterMark, records: number): void {
  x.patch(mark.count, records);
  x.close(mark.sample);
}

function writeFrame(x: Xdr, frame: FrameFields): void {
  x.u32(frame.hasVlan ? 2 : 1);
  const raw = x.open(FLOW_RAW_HEADER);
  x.u32(HEADER_PROTOCOL_ETHERNET);
  x.u32(frame.length + FCS_BYTES);
  x.u32(FCS_BYTES);
  x.opaque(frame.header, frame.headerBytes);
  x.close(raw);
  if (!frame.hasVlan) return;
  const vlan = x.open(FLOW_SWITCH);
  x.u32(frame.inVlan);
  x.u32(frame.inPriority);
  x.u32(frame.outVlan);
  x.u32(frame.outPriority);
  x.close(vlan);
}

function isInternal(format: number, value: number): boolean {
  return format === FORMAT_IFINDEX && value === INTERNAL;
}
