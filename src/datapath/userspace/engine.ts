/**
 * The userspace fast path: receive, parse, look up, count, sample, execute. One engine runs in one thread (a worker, or
 * the caller's in replay and tests) and owns its flow table, rule cache and ports; what it tells the world it writes
 * into shared memory.
 *
 * A frame's way, in the order of the code: `breathe` → `receive` (parse, count rx) → `decide` (flow table, else rule
 * cache, else `miss`) → `Egress.execute` (outputs) → `settle` (disposition, flow, sample).
 */
import { countDropped, createFlow, hit, setRule, splitHigh, splitLow } from "../../flow/count.ts";
import {
  CAUSE_MISS_REFUSED,
  CAUSE_NO_FLOW,
  CAUSE_TABLE_FULL,
  CONSUMED,
  DROP_CPU_BACKLOG,
  DROP_PKT_TOO_SMALL,
  DROPPED,
  OBSERVED,
} from "../../flow/disposition.ts";
import { KEY_ETH_DST, KEY_ETH_DST_SRC, KEY_VLAN, KEY_WORDS, TCI_PRESENT, TCI_VID } from "../../flow/key.ts";
import { FACT_FAULT, FACT_L3_BYTES, FACT_L3_OFFSET, FACT_TCP_FLAGS, FACT_WORDS, parseKey } from "../../flow/parse.ts";
import { createTable, find, type FlowTable, hashKey, insert, remove } from "../../flow/table.ts";
import { type ActionBlock, disposition } from "../../pipeline/actions.ts";
import { RuleCache } from "../../pipeline/classify.ts";
import type { Port } from "../../ports/port.ts";
import * as C from "../../shm/counters.ts";
import type { FlowViews } from "../../shm/memory.ts";
import { SLOT_KEY, SLOT_RULE, SLOT_RULE_GEN, SLOT_WORDS } from "../../shm/slots.ts";
import { MAX_MASKS, MAX_PORTS, MAX_RULES, type Miss, type RuleChange } from "../datapath.ts";
import { type Attached, attachPort, refresh } from "./attached.ts";
import { Egress } from "./egress.ts";
import { createFrame, type Frame, measure } from "./frame.ts";
import { Mirrors } from "./mirror.ts";
import { Pending } from "./pending.ts";
import { Random, Sampler } from "./sampler.ts";
import { TAG_HEADROOM } from "./tags.ts";

const NONE = -1;

/** What the thread's owner decides per frame, where it is the same thread (replay, tests). May be set later. */
export interface EngineHooks {
  /** Answers a miss at once; its key is lent for the call. Absent: misses go to the ring and their frames wait. */
  resolve?: ((miss: Miss) => RuleChange) | undefined;
  /** Asked before a flow is hit. */
  due?: DueFlows | undefined;
}

/** Timeouts that are exact to the frame: a sweeper in the engine's thread (src/flow/sweep.ts). */
export interface DueFlows {
  /** The cheap question, of every frame; the time is in words. False: the flow is certainly not due. */
  mayBeDue(slot: number, nowLow: number, nowHigh: number): boolean;
  /** True: it was due and has been closed, so the frame makes a new one. */
  closeIfDue(slot: number, nowNs: number): boolean;
}

/** Frames that came by other ways than a port: parallel arrays, each frame with its port and time. */
export interface ReadFrames {
  bytes: Uint8Array;
  readonly offset: Int32Array;
  readonly captured: Int32Array;
  readonly length: Int32Array;
  readonly port: Int32Array;
  /** ns of the bridge's clock. */
  readonly timeNs: Float64Array;
}

export interface EngineOptions {
  readonly memory: FlowViews;
  /** Of the flow hash and the sampling skips. */
  readonly seed: number;
  readonly hooks?: EngineHooks;
  /** False: the ports send nowhere (replay). What becomes of a frame is decided and counted, and nothing is copied out. */
  readonly transmits?: boolean;
  /** Of the thread, ns: what copies cost is measured by it. Absent: it does not matter. */
  readonly clock?: () => number;
}

export class Engine {
  readonly rules = new RuleCache(MAX_RULES, MAX_MASKS);
  readonly table: FlowTable;
  readonly memory: FlowViews;
  private readonly hooks: EngineHooks;
  private readonly pending: Pending;
  private readonly random: Random;
  private readonly sampler: Sampler;
  /** By port number; `known` keeps those that are gone while frames of theirs wait. */
  private readonly byNo: (Attached | undefined)[] = Array.from({ length: MAX_PORTS }, () => undefined);
  private readonly known: Attached[] = [];
  private active: Attached[] = [];
  private portsInUse = 1;
  private maxFlowsPerPort = Number.MAX_SAFE_INTEGER;
  /** Counters, private until committed. */
  private readonly own = new Float64Array(MAX_PORTS * C.COUNTERS_PER_PORT);
  private readonly egress: Egress;
  private readonly mirrors: Mirrors;
  private hadTime = true;
  private isDirty = false;

  // Scratch: the frame in hand, its key, its facts.
  private readonly frame = createFrame();
  private readonly key = new Uint32Array(KEY_WORDS);
  private readonly facts = new Int32Array(FACT_WORDS);

  constructor(options: EngineOptions) {
    this.hooks = options.hooks ?? {};
    this.memory = options.memory;
    this.pending = new Pending(options.memory.misses);
    this.egress = new Egress(this.byNo, this.own, options.transmits ?? true, options.clock);
    this.mirrors = new Mirrors(options.memory, this.egress);
    this.random = new Random(options.seed);
    this.sampler = new Sampler(options.memory, this.own, this.random);
    this.table = createTable(options.memory.slots, () => this.random.next());
  }

  // ---- control: between batches -------------------------------------------------------------------------------------

  attach(no: number, port: Port): void {
    if (no < 1 || no >= MAX_PORTS) throw new RangeError(`port number ${no} is not in 1..${MAX_PORTS - 1}`);
    const entry = attachPort(no, port);
    this.byNo[no] = this.known[no] = entry;
    this.portsInUse = Math.max(this.portsInUse, no + 1);
    this.active = [...this.active.filter((one) => one.no < no), entry, ...this.active.filter((one) => one.no > no)];
    refresh(entry, this.own);
    this.isDirty = true;
  }

  /** Close the port; its counters and flows stay. */
  detach(no: number): void {
    const entry = this.byNo[no];
    if (entry === undefined) return;
    this.byNo[no] = undefined;
    this.active = this.byNo.filter((one) => one !== undefined);
    refresh(entry, this.own);
    entry.port.close();
    this.commit();
  }

  get ports(): readonly Attached[] {
    return this.active;
  }

  /** Read state, MTU and losses of every device: a few times a second. */
  refreshPorts(): void {
    for (const entry of this.active) refresh(entry, this.own);
    this.commit();
  }

  apply(change: RuleChange): void {
    this.rules.apply(change);
    for (const { port, rate, header } of change.sampling ?? []) {
      const entry = this.byNo[port];
      if (entry === undefined) continue;
      entry.rate = rate;
      entry.header = header;
      entry.skip = rate > 0 ? this.random.skip(rate) : 0;
    }
    for (const { port, up } of change.enabled ?? []) {
      const entry = this.byNo[port];
      if (entry === undefined) continue;
      entry.enabled = up;
      refresh(entry, this.own);
    }
    for (const gate of change.mirrors ?? []) this.mirrors.set(gate);
    if (change.limits !== undefined) this.maxFlowsPerPort = change.limits.maxFlowsPerPort;
    for (const { miss, refuse } of change.resume ?? []) this.resume(miss, refuse ?? 0);
  }

  /** Send a frame through actions, as the switch's own: counted where it leaves, received nowhere. */
  inject(bytes: Uint8Array, actions: ActionBlock): void {
    const { frame } = this;
    frame.bytes = new Uint8Array(TAG_HEADROOM + bytes.length);
    frame.bytes.set(bytes, TAG_HEADROOM);
    frame.offset = TAG_HEADROOM;
    frame.captured = frame.length = bytes.length;
    frame.gsoSize = frame.gsoHeaders = 0;
    frame.vnet = false;
    measure(frame, 0, 0);
    this.egress.execute(actions, frame, 0);
    this.flush();
    this.commit();
  }

  /** Unlink the slots that the control thread retires, and answer: after this no frame can touch them. */
  serveRetire(): void {
    const { retire, quiesced, slots } = this.memory;
    for (let slot = retire.pop(); slot >= 0; slot = retire.pop()) {
      const port = slots.u32[slot * SLOT_WORDS + SLOT_KEY]! >>> 16;
      remove(this.table, slot);
      this.own[port * C.COUNTERS_PER_PORT + C.C_FLOWS]! -= 1;
      this.isDirty = true;
      if (!quiesced.push(slot)) throw new Error("the quiesced ring must hold every slot");
    }
  }

  // ---- the loop -------------------------------------------------------------------------------------------------------

  /** One batch from every port. Returns how many frames came. */
  breathe(nowNs: number): number {
    let frames = 0;
    this.egress.share.turn(nowNs, this.hadTime);
    for (const entry of this.active) {
      if (!entry.enabled) continue;
      const count = entry.port.receive(entry.batch, nowNs);
      if (count > 0) this.receive(entry, count, nowNs);
      frames += count;
    }
    this.serveRetire();
    if (frames > 0) this.flush();
    if (this.isDirty) this.commit();
    this.hadTime = frames === 0;
    return frames;
  }

  /**
   * Frames from ..< to as received by their ports, for who reads frames elsewhere than in ports (replay). Counters become
   * visible with the next `commit`. By the batch, because a time handed over in a call is boxed: 40 bytes a frame.
   */
  receiveFrames(frames: ReadFrames, from: number, to: number): void {
    const { frame, byNo } = this;
    const { offset, captured, length, port, timeNs } = frames;
    frame.bytes = frames.bytes;
    frame.gsoSize = frame.gsoHeaders = 0;
    frame.vnet = false;
    for (let n = from; n < to; n++) {
      const no = port[n]!;
      const entry = byNo[no];
      if (entry === undefined || !entry.enabled) continue;
      frame.port = no;
      frame.offset = offset[n]!;
      frame.captured = captured[n]!;
      frame.length = length[n]!;
      if (timeNs[n]! !== frame.timeNs) stampFrame(frame, timeNs[n]!);
      this.take(entry);
    }
  }

  /** When the frame in hand came. */
  get frameNs(): number {
    return this.frame.timeNs;
  }

  /** Make the private counters visible. */
  commit(): void {
    this.memory.counters.commit(this.own, this.portsInUse);
    this.isDirty = false;
  }

  private flush(): void {
    for (const entry of this.active) this.egress.flush(entry);
  }

  private receive(entry: Attached, count: number, nowNs: number): void {
    const { batch } = entry;
    const { frame } = this;
    for (let n = 0; n < count; n++) {
      frame.port = entry.no;
      frame.bytes = batch.bytes;
      frame.offset = batch.offset[n]!;
      frame.captured = batch.captured[n]!;
      frame.length = batch.length[n]!;
      const stamp = batch.timeNs[n]!;
      const at = stamp === 0 ? nowNs : stamp;
      if (at !== frame.timeNs) stampFrame(frame, at);
      frame.gsoSize = batch.gsoSize[n]!;
      frame.gsoHeaders = batch.gsoHeaders[n]!;
      frame.vnet = batch.vnet;
      this.take(entry);
    }
    this.isDirty = true;
  }

  /** Parse and count the frame in hand as received, then decide it. */
  private take(entry: Attached): void {
    const { frame, key, facts, own } = this;
    const { base } = entry;
    const isWhole = parseKey(frame.bytes, frame.offset, frame.captured, frame.length, frame.port, key, facts);
    measure(frame, facts[FACT_L3_BYTES]!, facts[FACT_L3_OFFSET]!);
    own[base + C.C_RX_PACKETS]! += frame.packets;
    own[base + C.C_RX_BYTES]! += frame.wireBytes;
    if (!isWhole) {
      this.refuse(entry, DROP_PKT_TOO_SMALL, CAUSE_NO_FLOW);
      return;
    }
    if ((key[KEY_ETH_DST]! & 0x01000000) !== 0) {
      const isBroadcast = key[KEY_ETH_DST] === 0xffffffff && key[KEY_ETH_DST_SRC]! >>> 16 === 0xffff;
      own[base + (isBroadcast ? C.C_RX_BROADCAST : C.C_RX_MULTICAST)]! += frame.packets;
    }
    const fault = facts[FACT_FAULT]!;
    if (fault !== 0) own[base + C.C_FAULT + fault]! += frame.packets;
    this.decide(entry);
  }

  /** Find or make the flow of the frame in hand, execute its rule, settle. Its key is parsed, its reception counted. */
  private decide(entry: Attached): void {
    const { key, table, rules, frame } = this;
    const { u32 } = this.memory.slots;
    const hash = hashKey(table, key);
    let slot = find(table, key, hash);
    const { due } = this.hooks;
    if (slot >= 0 && due !== undefined && due.mayBeDue(slot, frame.timeLow, frame.timeHigh))
      if (due.closeIfDue(slot, frame.timeNs)) slot = NONE;
    let rule = slot >= 0 ? u32[slot * SLOT_WORDS + SLOT_RULE]! : 0;
    if (slot < 0 || rules.genByIndex[rule] !== u32[slot * SLOT_WORDS + SLOT_RULE_GEN]) {
      rule = rules.lookup(key);
      if (rule >= 0) this.own[entry.base + C.C_RULE_HITS]! += 1;
      else rule = this.miss(entry);
      if (rule < 0) return;
      const gen = rules.genByIndex[rule]!;
      if (slot < 0) slot = this.create(entry, hash, rule, gen);
      else setRule(this.memory.slots, slot, rule, gen);
    }
    const actions = rules.actionsByIndex[rule]!;
    const reason = this.egress.execute(actions, frame, key[KEY_VLAN]! >>> 16);
    if (actions[0]! >>> 24 !== 0) this.mirrors.execute(actions, frame, reason);
    this.settle(entry, actions, reason, slot);
  }

  /** A slot for the key in hand, or -1: the table is full, or the port has its share. */
  private create(entry: Attached, hash: number, rule: number, gen: number): number {
    const { own, memory } = this;
    if (own[entry.base + C.C_FLOWS]! >= this.maxFlowsPerPort) return NONE;
    const { timeLow, timeHigh } = this.frame;
    const slot = createFlow(memory.slots, memory.free, this.key, rule, gen, timeLow, timeHigh);
    if (slot < 0) return NONE;
    insert(this.table, slot, hash);
    own[entry.base + C.C_FLOWS]! += 1;
    own[entry.base + C.C_FLOWS_CREATED]! += 1;
    return slot;
  }

  /** Count what became of the frame in hand: the port's disposition, the flow, perhaps a sample or a notice. */
  private settle(entry: Attached, actions: ActionBlock, reason: number, slot: number): void {
    const { frame, memory } = this;
    const what = reason !== 0 ? DROPPED : disposition(actions);
    this.countDisposition(entry.base, what, reason);
    if (slot >= 0) {
      const { packets, wireBytes, l3Bytes, timeLow, timeHigh } = frame;
      if (reason !== 0) countDropped(memory.slots, slot, packets, wireBytes, reason);
      hit(memory.slots, slot, packets, wireBytes, l3Bytes, this.facts[FACT_TCP_FLAGS]!, timeLow, timeHigh);
    } else this.unattributed(entry.base, CAUSE_TABLE_FULL);
    this.look(entry, what, reason, actions, slot);
  }

  /** Let the sampler see what became of the frame in hand. */
  private look(entry: Attached, what: number, reason: number, actions: ActionBlock | undefined, slot: number): void {
    const { sampler, frame, key } = this;
    const inTci = key[KEY_VLAN]! >>> 16;
    if (entry.rate > 0) sampler.sample(entry, frame, what, reason, actions, slot, inTci, this.egress.outTci);
    if (reason !== 0) sampler.notice(entry, frame, reason, slot, inTci);
  }

  private countDisposition(base: number, what: number, reason: number): void {
    const { own, frame } = this;
    if (what === DROPPED) {
      own[base + C.C_DROPPED]! += frame.packets;
      own[base + C.C_DROPPED_BYTES]! += frame.wireBytes;
      own[base + C.C_DROP_REASON + reason]! += frame.packets;
      return;
    }
    const at = base + (what === CONSUMED ? C.C_CONSUMED : what === OBSERVED ? C.C_OBSERVED : C.C_FORWARDED);
    own[at]! += frame.packets;
    own[at + 1]! += frame.wireBytes;
  }

  private unattributed(base: number, cause: number): void {
    const { own, frame } = this;
    own[base + C.C_UNATTRIBUTED + cause]! += frame.packets;
    own[base + C.C_UNATTRIBUTED_BYTES + cause]! += frame.wireBytes;
    const tci = this.key[KEY_VLAN]! >>> 16;
    const vlan = (tci & TCI_PRESENT) === 0 || cause === CAUSE_NO_FLOW ? 0 : tci & TCI_VID;
    this.memory.unattributed.add(frame.port, vlan, frame.packets, frame.wireBytes, frame.l3Bytes);
  }

  /** Refuse the frame in hand without a flow. */
  private refuse(entry: Attached, reason: number, cause: number): void {
    this.countDisposition(entry.base, DROPPED, reason);
    this.unattributed(entry.base, cause);
    this.look(entry, DROPPED, reason, undefined, NONE);
  }

  // ---- misses -----------------------------------------------------------------------------------------------------------

  /** No rule: ask the pipeline. Returns the rule where the answer comes at once, else -1: the frame waits or is refused. */
  private miss(entry: Attached): number {
    const { key, own, frame } = this;
    own[entry.base + C.C_MISSES]! += 1;
    if (this.hooks.resolve !== undefined) {
      const change = this.hooks.resolve({ id: NONE, key });
      this.apply(change);
      const rule = this.rules.lookup(key);
      if (rule < 0) {
        const refused = change.resume?.find((one) => one.miss === NONE)?.refuse;
        this.refuse(entry, refused ?? DROP_CPU_BACKLOG, CAUSE_MISS_REFUSED);
      }
      return rule;
    }
    if (this.pending.wait(frame, key)) {
      own[entry.base + C.C_PENDING]! += frame.packets;
      own[entry.base + C.C_PENDING_BYTES]! += frame.wireBytes;
    } else this.refuse(entry, DROP_CPU_BACKLOG, CAUSE_MISS_REFUSED);
    return NONE;
  }

  /** The pipeline has answered: decide the waiting frames, or refuse them. */
  private resume(miss: number, refused: number): void {
    const { pending, frame, own } = this;
    if (!pending.isOpen(miss)) return;
    const first = pending.close(miss);
    for (let cell = first; cell >= 0;) {
      const next = pending.read(cell, frame);
      stampFrame(frame, frame.timeNs);
      const entry = this.known[frame.port]!;
      parseKey(frame.bytes, frame.offset, frame.captured, frame.length, frame.port, this.key, this.facts);
      measure(frame, this.facts[FACT_L3_BYTES]!, this.facts[FACT_L3_OFFSET]!);
      own[entry.base + C.C_PENDING]! -= frame.packets;
      own[entry.base + C.C_PENDING_BYTES]! -= frame.wireBytes;
      if (refused !== 0) this.refuse(entry, refused, CAUSE_MISS_REFUSED);
      else this.decide(entry);
      cell = next;
    }
    // Outputs may read the frames until they are flushed.
    this.flush();
    pending.releaseAll(first);
    this.isDirty = true;
  }
}

function stampFrame(frame: Frame, timeNs: number): void {
  frame.timeNs = timeNs;
  frame.timeLow = splitLow(timeNs);
  frame.timeHigh = splitHigh(timeNs);
}
