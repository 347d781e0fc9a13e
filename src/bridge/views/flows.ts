/**
 * Flows as JSON, read from the slots where they stand. A list of the largest N looks at every slot once, in slices, and
 * makes JSON of those N only; a filter, or an order by anything but a counter, makes it of each.
 */
import { DISPOSITIONS, DROP_REASONS, DROPPED, FORWARDED, type DispositionName } from "../../flow/disposition.ts";
import { describeKey } from "../../flow/describe.ts";
import type { Owner } from "../../flow/attachment.ts";
import { BLOCK_SLOTS, usedBlocks } from "../../flow/due.ts";
import type { Outcomes } from "../../flow/outcomes.ts";
import type { Boot } from "../../flow/record.ts";
import { SLICE } from "../../flow/sweep.ts";
import { PROTO_TCP } from "../../wire/ipv4.ts";
import type { ActionBlock } from "../../pipeline/actions.ts";
import { copySessions, disposition, outputCount, outputPort } from "../../pipeline/actions.ts";
import {
  readCounter,
  SLOT_BYTES_COUNT,
  SLOT_CREATED,
  SLOT_DROPPED_BYTES,
  SLOT_DROPPED_PACKETS,
  SLOT_GEN,
  SLOT_KEY,
  SLOT_L3_BYTES,
  SLOT_LAST,
  SLOT_PACKETS,
  SLOT_REASON,
  SLOT_RULE,
  SLOT_RULE_GEN,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_LIVE,
  type FlowSlots,
} from "../../shm/slots.ts";
import type { Breath, FlowRates } from "./flow-rates.ts";
import type { FlowJson } from "./json.ts";
import { TopN } from "./top.ts";

export interface FlowPort {
  readonly name: string;
  readonly ifIndex: number;
  /** VLAN of its untagged frames; 0 = the untagged domain, −1 = it takes none. */
  readonly nativeVlan: number;
  readonly owner?: Owner;
}

/** What a flow's JSON needs of its bridge. */
export interface FlowSource {
  readonly name: string;
  readonly slots: FlowSlots;
  /** Slots in use of each block of BLOCK_SLOTS. */
  readonly inUse: Int32Array;
  readonly rates: FlowRates;
  readonly outcomes: Outcomes;
  readonly boot: Boot;
  /** false: what forwards these frames is somebody else (observe mode without a view of the outputs). */
  readonly outputKnown: boolean;
  port(no: number): FlowPort | undefined;
  /** The rule's decision, if (index, gen) is still in force. */
  rule(index: number, gen: number): ActionBlock | undefined;
  /** Names of mirror sessions by their bits. */
  mirrors(sessions: number): string[];
  /** Tenant of a flow: ingress owner, VLAN, output owner. */
  tenant(ingress: Owner | undefined, vlan: number, output: Owner | undefined): string | undefined;
}

interface Fate {
  readonly kind: DispositionName;
  readonly output: string[];
  readonly ports: readonly number[];
  /** Mirror sessions that copy its frames, one bit each. */
  readonly sessions: number;
}

/** By the rule in force; by what records will say where the rule is gone. */
function fate(source: FlowSource, at: number): Fate {
  const { u32 } = source.slots;
  const index = u32[at + SLOT_RULE]!;
  const gen = u32[at + SLOT_RULE_GEN]!;
  const nameOf = (no: number): string => source.port(no)?.name ?? `#${no}`;
  const actions = source.rule(index, gen);
  if (actions !== undefined) {
    const ports = Array.from({ length: outputCount(actions) }, (_, n) => outputPort(actions, n));
    const sessions = copySessions(actions);
    return { kind: DISPOSITIONS[disposition(actions)]!, output: ports.map(nameOf), ports, sessions };
  }
  const row = source.outcomes.find(index, gen);
  if (row < 0) {
    const refused = readCounter(source.slots.i32, at + SLOT_DROPPED_PACKETS) > 0;
    return { kind: DISPOSITIONS[refused ? DROPPED : FORWARDED]!, output: [], ports: [], sessions: 0 };
  }
  const ports = source.outcomes.outputs[row] === 1 ? [source.outcomes.outputPort[row]!] : [];
  return { kind: DISPOSITIONS[source.outcomes.disposition[row]!]!, output: ports.map(nameOf), ports, sessions: 0 };
}

const STATUS: Readonly<Record<DispositionName, number>> = { forwarded: 64, dropped: 128, consumed: 192, observed: 64 };

function unixMs(source: FlowSource, ns: number): number {
  return Math.round(source.boot.unixMs + (ns - source.boot.ns) / 1e6);
}

/** bridge/generation/slot: the same words that `findFlow` takes. */
export function flowId(bridge: string, gen: number, slot: number): string {
  return `${bridge}/${gen}/${slot.toString(16)}`;
}

/** The slot of a live flow by its id; −1 when it is gone or never was. */
export function findFlow(source: FlowSource, id: string): number {
  const match = /^(.{1,64})\/(\d{1,10})\/([0-9a-f]{1,8})$/.exec(id);
  if (match === null || match[1] !== source.name) return -1;
  const slot = Number.parseInt(match[3]!, 16);
  const at = slot * SLOT_WORDS;
  if (slot >= source.slots.capacity || source.slots.u32[at + SLOT_STATE] !== STATE_LIVE) return -1;
  return source.slots.u32[at + SLOT_GEN] === Number(match[2]) ? slot : -1;
}

/** The flow in a slot that is live now. */
export function flowJson(source: FlowSource, slot: number): FlowJson {
  const { u32, i32 } = source.slots;
  const at = slot * SLOT_WORDS;
  const gen = u32[at + SLOT_GEN]!;
  const { port: no, llc: _llc, igmpType, ...fields } = describeKey(u32, at + SLOT_KEY);
  const { kind, output, ports, sessions } = fate(source, at);
  const ingress = source.port(no);
  const egress = ports.length === 1 ? source.port(ports[0]!) : undefined;
  const reason = u32[at + SLOT_REASON]!;
  const droppedPackets = readCounter(i32, at + SLOT_DROPPED_PACKETS);
  // The VLAN that the bridge put it in: the tag's, or the port's own for frames without one (or with a priority tag).
  const vlan = fields.vlan || (ingress?.nativeVlan ?? 0);
  const tenant = source.tenant(ingress?.owner, vlan, egress?.owner);
  const dropped = kind === "dropped" ? DROP_REASONS[reason] : undefined;
  return {
    id: flowId(source.name, gen, slot),
    bridge: source.name,
    port: ingress?.name ?? `#${no}`,
    ifIndex: ingress?.ifIndex ?? 0,
    ...fields,
    ...(vlan > 0 && { vlan }),
    ...(igmpType !== undefined && { icmpType: igmpType }),
    ...(fields.proto === PROTO_TCP && { tcpFlags: u32[at + SLOT_TCP_FLAGS]! }),
    packets: readCounter(i32, at + SLOT_PACKETS),
    bytes: readCounter(i32, at + SLOT_BYTES_COUNT),
    l3Bytes: readCounter(i32, at + SLOT_L3_BYTES),
    ...(droppedPackets > 0 && { droppedPackets, droppedBytes: readCounter(i32, at + SLOT_DROPPED_BYTES) }),
    pps: Math.round(source.rates.pps(slot, gen)),
    bps: Math.round(source.rates.bps(slot, gen)),
    firstMs: unixMs(source, readCounter(i32, at + SLOT_CREATED)),
    lastMs: unixMs(source, readCounter(i32, at + SLOT_LAST)),
    output,
    ...(egress !== undefined && { outputIfIndex: egress.ifIndex }),
    ...(egress?.owner !== undefined && { outputOwner: egress.owner }),
    ...(!source.outputKnown && { outputKnown: false }),
    disposition: kind,
    ...(dropped !== undefined && { dropReason: dropped.name }),
    forwardingStatus: dropped?.forwardingStatus ?? STATUS[kind],
    ...(ingress?.owner !== undefined && { owner: ingress.owner }),
    ...(tenant !== undefined && { tenant }),
    ...(u32[at + SLOT_RULE_GEN]! > 0 && { rule: `r${u32[at + SLOT_RULE]!}` }),
    ...(sessions !== 0 && { mirrors: source.mirrors(sessions) }),
  };
}

/** Sort keys that are read from the slot itself, without making JSON. */
const QUICK: Readonly<Record<string, (source: FlowSource, slot: number) => number>> = {
  packets: (source, slot) => readCounter(source.slots.i32, slot * SLOT_WORDS + SLOT_PACKETS),
  bytes: (source, slot) => readCounter(source.slots.i32, slot * SLOT_WORDS + SLOT_BYTES_COUNT),
  l3Bytes: (source, slot) => readCounter(source.slots.i32, slot * SLOT_WORDS + SLOT_L3_BYTES),
  firstMs: (source, slot) => readCounter(source.slots.i32, slot * SLOT_WORDS + SLOT_CREATED),
  lastMs: (source, slot) => readCounter(source.slots.i32, slot * SLOT_WORDS + SLOT_LAST),
  pps: (source, slot) => source.rates.pps(slot, source.slots.u32[slot * SLOT_WORDS + SLOT_GEN]!),
  bps: (source, slot) => source.rates.bps(slot, source.slots.u32[slot * SLOT_WORDS + SLOT_GEN]!),
};

export interface FlowChoice {
  readonly matches?: (flow: FlowJson) => boolean;
  /** A key, "-" first for largest first. */
  readonly sort: string;
  readonly limit: number;
  /** Order by a key that is not a counter. */
  compare(sort: string): (a: unknown, b: unknown) => number;
}

/** The first `limit` of the flows that match, in order, and how many match. */
export interface FlowList {
  readonly items: FlowJson[];
  readonly total: number;
}

/** Work done in one go, in JSONs of a flow: about a millisecond. */
const JSON_SLICE = 256;
/** What a filter, a counter that is looked at, and a block of slots take of that. */
const FILTER_WORK = 1 / 10;
const COUNTER_WORK = 1 / 32;
const BLOCK_WORK = 8;

interface Candidate {
  readonly source: FlowSource;
  readonly slot: number;
  readonly gen: number;
  readonly value: number;
  readonly json: FlowJson | undefined;
}

/** One list that is being made. */
class Picker {
  readonly needsJson: boolean;
  total = 0;
  private readonly choice: FlowChoice;
  private readonly quick: ((source: FlowSource, slot: number) => number) | undefined;
  private readonly down: boolean;
  private readonly best: TopN<Candidate>;

  constructor(choice: FlowChoice) {
    const { sort, limit } = choice;
    this.choice = choice;
    this.down = sort.startsWith("-");
    this.quick = QUICK[sort.replace(/^-/, "")];
    this.needsJson = choice.matches !== undefined || this.quick === undefined;
    const inOrder = choice.compare(sort);
    this.best = new TopN<Candidate>(
      limit,
      this.quick === undefined
        ? (a, b) => inOrder(a.json, b.json)
        : (a, b) => (this.down ? b.value - a.value : a.value - b.value),
    );
  }

  /** `json`: of the flow, where `needsJson` says so. */
  offer(source: FlowSource, slot: number, json: FlowJson | undefined): void {
    const { matches } = this.choice;
    if (matches !== undefined && !matches(json!)) return;
    this.total++;
    const value = this.quick?.(source, slot) ?? 0;
    // Most of a million are not among the best: nothing is made for them.
    const { least } = this.best;
    if (this.quick !== undefined && least !== undefined && (this.down ? value <= least.value : value >= least.value))
      return;
    this.best.offer({ source, slot, gen: source.slots.u32[slot * SLOT_WORDS + SLOT_GEN]!, value, json });
  }

  /** The best, in order. */
  get candidates(): Candidate[] {
    return this.best.sorted();
  }
}

/** JSON of flows as they are now, each once whoever shows it. */
class Shown {
  /** How many were made. */
  made = 0;
  private readonly known = new Map<FlowSource, Map<number, { gen: number; json: FlowJson }>>();

  /** A flow that ended since it was chosen is shown as it was, or not at all where its slot is another's. */
  of({ source, slot, gen, json }: Candidate): FlowJson | undefined {
    const at = slot * SLOT_WORDS;
    const { u32 } = source.slots;
    if (u32[at + SLOT_GEN] !== gen || u32[at + SLOT_STATE] !== STATE_LIVE) return json;
    let ofSource = this.known.get(source);
    if (ofSource === undefined) this.known.set(source, (ofSource = new Map()));
    let found = ofSource.get(slot);
    if (found?.gen !== gen) {
      this.made++;
      ofSource.set(slot, (found = { gen, json: flowJson(source, slot) }));
    }
    return found.json;
  }
}

/**
 * A list for each choice, in one pass over the slots in use, in slices: JSON of a flow is made once, whoever filters it, and
 * once more where it is shown; lists that show one flow share its object.
 *
 * A profile of 200 clients that see the same, beside forwarding, had more time here than in all they were sent: 65,536
 * slots that no flow had were read, a cache miss each, in slices whose wakes took the processor from the forwarding thread.
 * Of 200 different filters it had most in JSON of one flow made again for each list that showed it.
 */
export async function topFlows(
  sources: readonly FlowSource[],
  choices: readonly FlowChoice[],
  breath: Breath,
): Promise<FlowList[]> {
  const pickers = choices.map((choice) => new Picker(choice));
  const needsJson = pickers.some((picker) => picker.needsJson);
  const unit = pickers.length * (needsJson ? FILTER_WORK : COUNTER_WORK) + (needsJson ? 1 : 0);
  let work = 0;
  for (const source of sources) {
    const { u32, capacity } = source.slots;
    for (const from of usedBlocks(source.inUse, capacity)) {
      work += BLOCK_WORK;
      const to = Math.min(capacity, from + BLOCK_SLOTS);
      for (let slot = from; slot < to; slot++) {
        if (u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE) {
          const json = needsJson ? flowJson(source, slot) : undefined;
          for (const picker of pickers) picker.offer(source, slot, json);
          work += unit;
        }
        if (work < JSON_SLICE) continue;
        work = 0;
        await breath.breathe();
      }
    }
  }
  const shown = new Shown();
  const lists: FlowList[] = [];
  for (const picker of pickers) {
    const items = picker.candidates.flatMap((candidate) => shown.of(candidate) ?? []);
    lists.push({ items, total: picker.total });
    if (shown.made < JSON_SLICE) continue;
    shown.made = 0;
    await breath.breathe();
  }
  return lists;
}

/** All flows that match, in slices. */
export async function* streamFlows(
  sources: readonly FlowSource[],
  matches: ((flow: FlowJson) => boolean) | undefined,
  breath: Breath,
): AsyncIterable<FlowJson[]> {
  for (const source of sources)
    for (let from = 0; from < source.slots.capacity; from += SLICE) {
      let batch: FlowJson[] = [];
      for (const slot of live(source, from, SLICE)) {
        const flow = flowJson(source, slot);
        if (matches === undefined || matches(flow)) batch.push(flow);
        if (batch.length < JSON_SLICE) continue;
        yield batch;
        batch = [];
      }
      if (batch.length > 0) yield batch;
      await breath.breathe();
    }
}

function* live({ slots: { u32, capacity }, inUse }: FlowSource, from: number, count: number): Generator<number> {
  const to = Math.min(capacity, from + count);
  for (const first of usedBlocks(inUse, to, from))
    for (let slot = first; slot < Math.min(to, first + BLOCK_SLOTS); slot++)
      if (u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE) yield slot;
}
