/**
 * The sweeper: ages the flows of one bridge, in place, and makes their records. It runs in the control thread in slices
 * (`sweep`), reads the first cache line of a slot only, and looks at a block of slots when one of its flows can be due.
 *
 * A flow ends by closing its slot: state CLOSING, `retire` (the datapath unlinks it), `quiesced` (no frame can touch it
 * any more), last record, `release`. In exact mode (replay, one thread) all of that happens inside the call, and
 * `closeIfDue` before each hit makes every record what a timer without delay would have made.
 */
import type { RecordLog } from "../shm/log.ts";
import type { WordRing } from "../shm/ring.ts";
import {
  FLAG_ENDED,
  readCounter,
  SLOT_FIRST,
  SLOT_LAST,
  SLOT_PACKETS,
  SLOT_RULE,
  SLOT_RULE_GEN,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_CLOSING,
  STATE_LIVE,
  STATE_RETURNED,
  type FlowSlots,
} from "../shm/slots.ts";
import { END_ACTIVE, END_FORCED, END_IDLE, END_LACK_OF_RESOURCES, END_OF_FLOW } from "./disposition.ts";
import { BLOCK_SLOTS, DueBlocks } from "./due.ts";
import type { Outcomes } from "./outcomes.ts";
import { type Boot, RecordWriter, TCP_FIN_RST } from "./record.ts";
import { Retirement, type Retirer } from "./retire.ts";
import { COUNTS, portOf, PortTotals, sumTable } from "./totals.ts";

const TWO_32 = 4294967296;
const ENDED = TCP_FIN_RST | FLAG_ENDED;
/** Every block with flows is looked at this often: rules idle out by what it sees. */
const LOOK_EVERY_NS = 5e9;
/** No block is looked at more often than this, unless exact. */
const LOOK_AGAIN_NS = 100e6;
/** Work of a slice, in slots looked at, that making one record costs. */
const RECORD_COST = 32;
/** Below this share of free slots the idle timeout of one-packet flows shrinks; below half of it, everybody's. */
const SCARCE = 0.25;
/** The idle timeout never shrinks below this share of itself. */
const SHRINK_LIMIT = 1 / 32;

export interface SweepTimeouts {
  readonly activeNs: number;
  readonly idleNs: number;
  readonly tcpEndNs: number;
}

export interface SweeperOptions {
  readonly slots: FlowSlots;
  /** Slots nobody uses; the datapath pops, only `release` pushes. */
  readonly free: WordRing;
  readonly retirer: Retirer;
  readonly log: RecordLog;
  readonly outcomes: Outcomes;
  /** Port numbers are below this. */
  readonly ports: number;
  readonly timeouts: SweepTimeouts;
  readonly boot: Boot;
  /** One thread, virtual time: `quiesced` answers at once. */
  readonly exact?: boolean;
  /** 5 doubles a slot; given where it outlives the process. */
  readonly ledger?: Float64Array;
}

export class Sweeper {
  /** Flows that are no longer in the table, by port. */
  readonly retired: PortTotals;
  readonly outcomes: Outcomes;
  private readonly slots: FlowSlots;
  private readonly free: WordRing;
  private readonly ledger: Float64Array;
  private readonly exact: boolean;
  private readonly writer: RecordWriter;
  private readonly due: DueBlocks;
  private readonly retirement: Retirement;
  private timeouts: SweepTimeouts;
  /** Where the next slice goes on. */
  private nextBlock = 0;
  private sweptNs = 0;
  /** Flow end reason by port that is being emptied; blocks that still have to be searched for such ports. */
  private readonly endingPort: Uint8Array;
  private readonly unsearched: Uint8Array;
  private unsearchedLeft = 0;
  private readonly closingOf: Int32Array;
  private nextBoot: Boot | undefined;
  // Idle timeouts in force, of flows with one packet and of the others.
  private idleOne = 0;
  private idleMany = 0;

  constructor(options: SweeperOptions) {
    const { slots, free, ports } = options;
    this.slots = slots;
    this.free = free;
    this.outcomes = options.outcomes;
    this.timeouts = options.timeouts;
    this.exact = options.exact ?? false;
    this.ledger = options.ledger ?? new Float64Array(slots.capacity * COUNTS);
    this.retired = new PortTotals(ports);
    this.writer = new RecordWriter({ ...options, ledger: this.ledger }, options.boot);
    this.due = new DueBlocks(slots, free);
    this.endingPort = new Uint8Array(ports);
    this.closingOf = new Int32Array(ports);
    this.unsearched = new Uint8Array(this.due.blocks);
    this.retirement = new Retirement(slots.capacity, options.retirer, (slot, reason) => this.finish(slot, reason));
  }

  get boot(): Boot {
    return this.writer.boot;
  }

  /** Everything that records have said, by port. */
  get recorded(): PortTotals {
    return this.writer.recorded;
  }

  /** Flows that end but have no last record yet. 0 after `endAll`: everything is in the log. */
  get closing(): number {
    return this.retirement.size;
  }

  setTimeouts(timeouts: SweepTimeouts): void {
    this.timeouts = timeouts;
    this.due.all();
  }

  /**
   * One slice: looks at about `budget` slots' worth of work (65,536 take less than a millisecond) where something can be
   * due. Returns the work done; 0: nothing is due now. Exact mode does everything that is due.
   */
  sweep(nowNs: number, sliceBudget = 65536): number {
    const budget = this.exact ? Infinity : sliceBudget;
    this.due.learn(nowNs, this.shortestNs());
    this.sweptNs = nowNs;
    let work = this.retirement.run(Math.ceil(budget / RECORD_COST)) * RECORD_COST;
    if (this.nextBoot) {
      if (this.retirement.size > 0) return work;
      this.writer.boot = this.nextBoot;
      this.nextBoot = undefined;
    }
    const scarce = this.measureFree();
    const { dueNs, used, blocks } = this.due;
    for (let n = 0; n < blocks && work < budget; n++) {
      const block = this.nextBlock;
      this.nextBlock = block + 1 === blocks ? 0 : block + 1;
      if (used[block] === 0) {
        if (this.unsearched[block] === 1) this.searched(block);
        continue;
      }
      // Under pressure a block is due sooner than it knew: look again at each whenever the sweep comes by.
      if (dueNs[block]! <= nowNs || scarce || this.unsearched[block] === 1) work += this.look(block, nowNs);
    }
    work += this.retirement.run(Math.ceil(Math.max(0, budget - work) / RECORD_COST)) * RECORD_COST;
    return work;
  }

  /**
   * Earliest time at which a flow can be due, ns; Infinity where there is none. Exact mode sweeps when the time of a
   * frame reaches it.
   */
  dueAt(nowNs: number): number {
    this.due.learn(nowNs, this.shortestNs());
    if (this.free.size < this.slots.capacity * SCARCE) return Math.min(this.due.earliest, this.sweptNs + LOOK_AGAIN_NS);
    return this.due.earliest;
  }

  /**
   * Exact mode, before a hit at `nowNs`: ends the flow if its time has passed (true: the slot is gone, make a new flow),
   * or records its interval if that has.
   */
  closeIfDue(slot: number, nowNs: number): boolean {
    const { u32 } = this.slots;
    const at = slot * SLOT_WORDS;
    const last = u32[at + SLOT_LAST + 1]! * TWO_32 + u32[at + SLOT_LAST]!;
    const silent = nowNs - last;
    const { activeNs, idleNs, tcpEndNs } = this.timeouts;
    const ended = silent >= tcpEndNs && (u32[at + SLOT_TCP_FLAGS]! & ENDED) !== 0;
    if (ended || silent >= idleNs) {
      this.due.learn(nowNs, this.shortestNs());
      this.close(slot, ended ? END_OF_FLOW : END_IDLE);
      this.retirement.run(Infinity);
      return true;
    }
    const low = u32[at + SLOT_FIRST]!;
    if (low !== 0 && nowNs - (u32[at + SLOT_FIRST + 1]! * TWO_32 + low) >= activeNs)
      this.writer.interval(slot, END_ACTIVE);
    return false;
  }

  /** End every flow now in the table. Their records are in the log when `closing` is 0 (exact: on return). */
  endAll(nowNs: number, reason: number = END_FORCED): void {
    this.due.learn(nowNs, this.shortestNs());
    for (let slot = 0; slot < this.slots.capacity; slot++) {
      if (this.due.used[slot >>> 8] === 0) slot |= BLOCK_SLOTS - 1;
      else if (Atomics.load(this.slots.i32, slot * SLOT_WORDS + SLOT_STATE) === STATE_LIVE) this.close(slot, reason);
    }
    this.retirement.run(this.exact ? Infinity : 0);
  }

  /**
   * End every flow that came in by this port, in the slices that follow (exact: now). The port receives nothing more:
   * flows made later are not meant. `ending(port)` tells when the last record is written.
   */
  endPort(port: number, nowNs: number, reason: number = END_FORCED): void {
    this.due.learn(nowNs, this.shortestNs());
    this.endingPort[port] = reason;
    this.unsearchedLeft = 0;
    for (let block = 0; block < this.due.blocks; block++) {
      this.unsearched[block] = this.due.used[block] === 0 ? 0 : 1;
      this.unsearchedLeft += this.unsearched[block]!;
    }
    if (this.unsearchedLeft === 0) this.endingPort.fill(0);
    if (this.exact) this.sweep(nowNs);
  }

  /** After `endPort`: flows of this port are still being searched for, or wait for their last record. */
  ending(port: number): boolean {
    return this.endingPort[port] !== 0 || this.closingOf[port]! > 0;
  }

  /**
   * Time jumped: every flow ends at the old time, then `boot` holds. Unless exact, the switch happens in a later slice,
   * when the old flows have their records.
   */
  newEpoch(oldNs: number, boot: Boot): void {
    this.endAll(oldNs, END_FORCED);
    this.nextBoot = boot;
    if (this.exact) this.sweep(oldNs);
  }

  /** For the API, never per packet: every flow in the table. Counters are read with src/shm/slots.ts. */
  forEachLive(visit: (slot: number) => void): void {
    const { u32, capacity } = this.slots;
    for (let slot = 0; slot < capacity; slot++) if (u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE) visit(slot);
  }

  /** Sums of the flows in the table, by port; `unrecorded`: only what no record has said yet. */
  table(out: PortTotals, unrecorded = false): PortTotals {
    return sumTable(this.slots, out, unrecorded ? this.ledger : undefined);
  }

  /** A flow made or hit now cannot be due sooner than this. (Exact: `closeIfDue` sees a FIN's end in time.) */
  private shortestNs(): number {
    const { activeNs, idleNs, tcpEndNs } = this.timeouts;
    return Math.min(activeNs, idleNs, LOOK_EVERY_NS, this.exact ? Infinity : tcpEndNs);
  }

  /** Sets the idle timeouts in force; true when slots are scarce. */
  private measureFree(): boolean {
    const { idleNs } = this.timeouts;
    const share = this.free.size / this.slots.capacity;
    const shrink = (part: number): number => idleNs * Math.max(SHRINK_LIMIT, Math.min(1, share / part));
    this.idleOne = shrink(SCARCE);
    this.idleMany = shrink(SCARCE / 2);
    return share < SCARCE;
  }

  /** Look at one block: close and record what is due, note when to come again. Returns the work done. */
  private look(block: number, nowNs: number): number {
    const { u32, i32, capacity } = this.slots;
    const { activeNs, tcpEndNs } = this.timeouts;
    const { gen, lastNs } = this.outcomes;
    const { idleOne, idleMany } = this;
    const searching = this.unsearched[block] === 1;
    const from = block * BLOCK_SLOTS;
    const to = Math.min(capacity, from + BLOCK_SLOTS);
    let due = nowNs + this.shortestNs();
    let records = 0;
    for (let slot = from, at = from * SLOT_WORDS; slot < to; slot++, at += SLOT_WORDS) {
      const state = u32[at + SLOT_STATE]!;
      if (state !== STATE_LIVE) {
        if (state === STATE_RETURNED) this.giveBack(slot);
        continue;
      }
      if (searching && this.endingPort[portOf(this.slots, slot)] !== 0) {
        this.close(slot, this.endingPort[portOf(this.slots, slot)]!);
        records++;
        continue;
      }
      const high = i32[at + SLOT_LAST + 1]!;
      // COUNTER_BUSY: it is being hit at this moment.
      if (high < 0) continue;
      const last = high * TWO_32 + u32[at + SLOT_LAST]!;
      const rule = u32[at + SLOT_RULE]!;
      if (gen[rule] === u32[at + SLOT_RULE_GEN] && last > lastNs[rule]!) lastNs[rule] = last;
      const one = u32[at + SLOT_PACKETS]! <= 1 && u32[at + SLOT_PACKETS + 1] === 0;
      let dueLast = last + (one ? idleOne : idleMany);
      if ((u32[at + SLOT_TCP_FLAGS]! & ENDED) !== 0 && last + tcpEndNs < dueLast) dueLast = last + tcpEndNs;
      const low = u32[at + SLOT_FIRST]!;
      const dueFirst = low === 0 ? Infinity : i32[at + SLOT_FIRST + 1]! * TWO_32 + low + activeNs;
      if (dueLast <= nowNs && this.closeSilent(slot, nowNs, one ? idleOne : idleMany)) records++;
      else if (dueFirst <= nowNs) {
        this.writer.interval(slot, END_ACTIVE);
        records++;
      } else due = Math.min(due, dueLast, dueFirst);
    }
    if (searching) this.searched(block);
    this.due.set(block, this.exact ? due : Math.max(due, nowNs + LOOK_AGAIN_NS));
    return BLOCK_SLOTS + records * RECORD_COST;
  }

  /** A plain look said that the flow is silent for long enough: ask again with exact reads, and close it. */
  private closeSilent(slot: number, nowNs: number, idleInForce: number): boolean {
    const at = slot * SLOT_WORDS;
    const silent = nowNs - readCounter(this.slots.i32, at + SLOT_LAST);
    const { idleNs, tcpEndNs } = this.timeouts;
    if (silent >= tcpEndNs && (Atomics.load(this.slots.i32, at + SLOT_TCP_FLAGS) & ENDED) !== 0)
      this.close(slot, END_OF_FLOW);
    else if (silent >= idleNs) this.close(slot, END_IDLE);
    else if (silent >= idleInForce) this.close(slot, END_LACK_OF_RESOURCES);
    else return false;
    return true;
  }

  private searched(block: number): void {
    this.unsearched[block] = 0;
    if (--this.unsearchedLeft === 0) this.endingPort.fill(0);
  }

  private close(slot: number, reason: number): void {
    Atomics.store(this.slots.i32, slot * SLOT_WORDS + SLOT_STATE, STATE_CLOSING);
    this.closingOf[portOf(this.slots, slot)]!++;
    this.retirement.add(slot, reason);
  }

  /** A slot that its maker did not use: it was never linked, nobody holds it. */
  private giveBack(slot: number): void {
    Atomics.store(this.slots.i32, slot * SLOT_WORDS + SLOT_STATE, STATE_CLOSING);
    this.retirement.addQuiet(slot);
  }

  /** The grace period of a closed slot is over: last record, and its totals move to `retired`. */
  private finish(slot: number, reason: number): void {
    this.due.learn(this.sweptNs, this.shortestNs());
    this.writer.final(slot, reason);
    const port = portOf(this.slots, slot);
    this.retired.add(port, this.writer.finalTotals);
    if (reason !== 0) this.closingOf[port]!--;
    this.due.freed(slot);
  }
}
