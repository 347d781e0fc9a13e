/**
 * sFlow version 5 datagrams to typed objects. Written from the specification; it shares nothing with any encoder and
 * depends on nothing.
 *
 * ```ts
 * import { decode } from "sflow-decoder";
 * const { datagram, error } = decode(bytes);
 * ```
 *
 * Numbers of 64 bits are bigints; structures that the catalogue (*-structures.ts) does not have are kept as bytes. Input
 * may be anything: what is wrong comes back as `error` with its offset, beside whatever stood before it. Nothing is
 * read past an end, time and memory are bounded by the length of the input, and it never throws.
 */
import { Cursor, Fault } from "./cursor.ts";
import { COUNTER_STRUCTURES } from "./counter-structures.ts";
import type { CounterRecord } from "./counter-structures.ts";
import { FLOW_STRUCTURES } from "./flow-structures.ts";
import type { FlowRecord } from "./flow-structures.ts";

export type { CounterRecord } from "./counter-structures.ts";
export type { UnknownRecord } from "./fields.ts";
export type { FlowRecord } from "./flow-structures.ts";

export interface Decoded {
  /** Absent: not even the header could be read. With an error: the samples before it. */
  readonly datagram?: Datagram;
  readonly error?: { readonly offset: number; readonly message: string };
}

export interface Datagram {
  readonly version: 5;
  /** IPv4 or IPv6; "" = unknown. */
  readonly agent: string;
  readonly subAgent: number;
  readonly sequence: number;
  readonly uptimeMs: number;
  readonly samples: readonly Sample[];
}

export type Sample = FlowSample | CounterSample | DiscardSample | UnknownSample;

/** Class: 0 interface (ifIndex), 1 VLAN, 2 physical entity, 3 logical entity. */
export interface Source {
  readonly class: number;
  readonly index: number;
}

/** What a flow sample says of input or output. */
export type Interface =
  | { readonly kind: "port"; readonly ifIndex: number }
  | { readonly kind: "unknown" }
  /** The packet begins or ends in the agent itself. */
  | { readonly kind: "internal" }
  | { readonly kind: "discarded"; readonly reason: number }
  /** `count` 0: not known how many. */
  | { readonly kind: "several"; readonly count: number };

export interface FlowSample {
  readonly type: "flow";
  readonly expanded: boolean;
  readonly sequence: number;
  readonly source: Source;
  readonly rate: number;
  readonly pool: number;
  readonly drops: number;
  readonly input: Interface;
  readonly output: Interface;
  readonly records: readonly FlowRecord[];
}

export interface CounterSample {
  readonly type: "counters";
  readonly expanded: boolean;
  readonly sequence: number;
  readonly source: Source;
  readonly records: readonly CounterRecord[];
}

/** A discarded packet (sFlow Dropped Packet Notification Structures). */
export interface DiscardSample {
  readonly type: "discard";
  readonly sequence: number;
  readonly source: Source;
  readonly drops: number;
  /** ifIndex, 0 = unknown. */
  readonly input: number;
  readonly output: number;
  readonly reason: number;
  readonly records: readonly FlowRecord[];
}

export interface UnknownSample {
  readonly type: "unknown";
  readonly enterprise: number;
  readonly format: number;
  readonly bytes: Uint8Array;
}

const VERSION = 5;
/** A tag and a length. */
const LEAST_STRUCTURE = 8;
const FORMAT_BITS = 12;
const INTERNAL = 0x3fffffff;

export function decode(bytes: Uint8Array): Decoded {
  const cursor = new Cursor(bytes);
  const samples: Sample[] = [];
  let datagram: Datagram | undefined;
  try {
    const version = cursor.u32();
    if (version !== VERSION) throw new Fault(0, `version ${version} is not ${VERSION}`);
    const agent = cursor.address();
    const [subAgent, sequence, uptimeMs] = [cursor.u32(), cursor.u32(), cursor.u32()];
    datagram = { version: VERSION, agent, subAgent, sequence, uptimeMs, samples };
    const count = cursor.count(LEAST_STRUCTURE, "samples");
    for (let n = 0; n < count; n++) samples.push(readSample(cursor));
    return { datagram };
  } catch (error) {
    if (!(error instanceof Fault)) throw error;
    return { ...(datagram && { datagram }), error: { offset: error.offset, message: error.message } };
  }
}

function readSample(cursor: Cursor): Sample {
  const tag = cursor.u32();
  const enterprise = tag >>> FORMAT_BITS;
  const format = tag & 0xfff;
  const body = cursor.part(cursor.u32(), "a sample");
  if (enterprise === 0) {
    if (format === 1 || format === 3) return readFlow(body, format === 3);
    if (format === 2 || format === 4) return readCounters(body, format === 4);
    if (format === 5) return readDiscard(body);
  }
  return { type: "unknown", enterprise, format, bytes: rest(body) };
}

function readFlow(c: Cursor, expanded: boolean): FlowSample {
  const sequence = c.u32();
  const source = readSource(c, expanded);
  const [rate, pool, drops] = [c.u32(), c.u32(), c.u32()];
  const [input, output] = [readInterface(c, expanded), readInterface(c, expanded)];
  const records = readRecords<FlowRecord>(c, FLOW_STRUCTURES);
  return { type: "flow", expanded, sequence, source, rate, pool, drops, input, output, records };
}

function readCounters(c: Cursor, expanded: boolean): CounterSample {
  const sequence = c.u32();
  const source = readSource(c, expanded);
  return { type: "counters", expanded, sequence, source, records: readRecords<CounterRecord>(c, COUNTER_STRUCTURES) };
}

function readDiscard(c: Cursor): DiscardSample {
  const sequence = c.u32();
  const source = readSource(c, true);
  const [drops, input, output, reason] = [c.u32(), c.u32(), c.u32(), c.u32()];
  const records = readRecords<FlowRecord>(c, FLOW_STRUCTURES);
  return { type: "discard", sequence, source, drops, input, output, reason, records };
}

function readSource(c: Cursor, expanded: boolean): Source {
  if (expanded) return { class: c.u32(), index: c.u32() };
  const word = c.u32();
  return { class: word >>> 24, index: word & 0xffffff };
}

function readInterface(c: Cursor, expanded: boolean): Interface {
  const at = c.at;
  let format: number;
  let value: number;
  if (expanded) [format, value] = [c.u32(), c.u32()];
  else {
    const word = c.u32();
    format = word >>> 30;
    value = word & 0x3fffffff;
  }
  if (format === 0) {
    if (value === INTERNAL || value === 0xffffffff) return { kind: "internal" };
    return value === 0 ? { kind: "unknown" } : { kind: "port", ifIndex: value };
  }
  if (format === 1) return { kind: "discarded", reason: value };
  if (format === 2) return { kind: "several", count: value };
  throw new Fault(at, `interface format ${format} is not 0, 1 or 2`);
}

type Catalogue = Readonly<Record<number, { readonly read: (cursor: Cursor) => unknown }>>;

function readRecords<Record>(c: Cursor, catalogue: Catalogue): Record[] {
  return c.list(LEAST_STRUCTURE, "records", () => {
    const tag = c.u32();
    const body = c.part(c.u32(), "a record");
    const known = catalogue[tag];
    if (known !== undefined) return known.read(body) as Record;
    return { type: "unknown", enterprise: tag >>> FORMAT_BITS, format: tag & 0xfff, bytes: rest(body) } as Record;
  });
}

function rest(c: Cursor): Uint8Array {
  return c.bytes.slice(c.at, c.end);
}
