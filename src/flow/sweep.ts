/**
 * The sweeper: ages the flows of one bridge, in place, and makes their records. It runs in the control thread in slices
 * (`sweep`), reads the first cache line of a slot only, and looks (look.ts) at a block of slots when one of its flows can be due.
 *
 * A flow ends by closing its slot: state CLOSING, `retire` (the datapath unlinks it), `quiesced` (no frame can touch it
 * any more), last record, `release`. In exact mode (replay, one thread) all of that happens inside the call, and
 * `closeIfDue` before each hit makes every record what a timer without delay would have made.
 */
import type { RecordLog } from "../shm/log.ts";
import type { WordRing } from "../shm/ring.ts";
import {
  plainCounter,
  readCounter,
  SLOT_FIRST,
  SLOT_LAST,
  SLOT_PACKETS,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_CLOSING,
  STATE_LIVE,
  type FlowSlots,
} from "../shm/slots.ts";
import { END_ACTIVE, END_FORCED, END_IDLE, END_LACK_OF_RESOURCES, END_OF_FLOW } from "./disposition.ts";
import { BLOCK_SLOTS, DueBlocks } from "./due.ts";
import { Ledger } from "./ledger.ts";
import { IdleTimeouts, type SweepTimeouts } from "./idle.ts";
import { ENDED, Looks, RECORD_COST } from "./look.ts";
import type { Outcomes } from "./outcomes.ts";
import { PortEnds } from "./port-ends.ts";
import { type Boot, RecordWriter } from "./record.ts";
import { Retirement, type Retirer } from "./retire.ts";
import { tickOf, ticks } from "./ticks.ts";
import { portOf, PortTotals, sumTable } from "./totals.ts";

/** Every block with flows is looked at this often: rules idle out by what it sees. */
const LOOK_EVERY_NS = 5e9;
/**
 * A slice's work in `sweep`, and slots that are read at once by who sums or lists them: some 30 µs of compiled code, but
 * 3 ms where it has not run for long and is interpreted (slices of 16,384 took 50). Who has more to do looks at the clock,
 * and goes on.
 */
export const SLICE = 1024;

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
  /** Given where they outlive the process: the ledger's rows, and 5 doubles a port each. */
  readonly ledger?: Float64Array;
  readonly recorded?: Float64Array<ArrayBufferLike>;
  readonly retired?: Float64Array<ArrayBufferLike>;
}

export class Sweeper {
  /** Flows that are no longer in the table, by port. */
  readonly retired: PortTotals;
  readonly outcomes: Outcomes;
  private readonly slots: FlowSlots;
  private readonly free: WordRing;
  private readonly ledger: Ledger;
  private readonly exact: boolean;
  private readonly writer: RecordWriter;
  private readonly due: DueBlocks;
  private readonly looks: Looks;
  private readonly retirement: Retirement;
  private timeouts: SweepTimeouts;
  /** Where the next slice goes on. */
  private nextBlock = 0;
  private sweptNs = 0;
  private readonly ends: PortEnds;
  private nextBoot: Boot | undefined;
  private readonly idle: IdleTimeouts;
  // Before a flow has been silent, or its interval has lasted, so many ticks, it is not due.
  private silentTicks = 0;
  private activeTicks = 0;
  /** Readers that need the table to keep its flows. */
  private resting = 0;

  constructor(options: SweeperOptions) {
    const { slots, free, ports } = options;
    this.slots = slots;
    this.free = free;
    this.outcomes = options.outcomes;
    this.timeouts = options.timeouts;
    this.exact = options.exact ?? false;
    this.ledger = new Ledger(slots, options.ledger);
    this.retired = new PortTotals(ports, options.retired);
    this.writer = new RecordWriter({ ...options, ledger: this.ledger }, options.boot);
    this.due = new DueBlocks(slots, free);
    this.idle = new IdleTimeouts(options.timeouts);
    this.setTicks();
    this.ends = new PortEnds(ports, this.due.blocks);
    const { outcomes, idle, due, ends, exact } = this;
    const act = (slot: number, nowNs: number): boolean => this.act(slot, nowNs);
    const giveBack = (slot: number): void => this.giveBack(slot);
    this.looks = new Looks({ slots, outcomes, idle, due, ends, exact, act, giveBack });
    this.retirement = new Retirement(slots.capacity, this.learning(options.retirer), (slot, reason) =>
      this.finish(slot, reason),
    );
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
    this.idle.set(timeouts);
    this.setTicks();
    this.due.all();
  }

  /**
   * One slice: looks at about `budget` slots' worth of work where something can be
   * due. Returns the work done; 0: nothing is due now. Exact mode does everything that is due, unless it is given a budget.
   */
  sweep(nowNs: number, budget: number = this.exact ? Infinity : SLICE): number {
    if (this.resting > 0) return 0;
    this.measureFree(nowNs);
    this.due.learn(nowNs, this.shortestNs());
    this.sweptNs = nowNs;
    let work = this.retire(budget);
    if (this.nextBoot) {
      if (this.retirement.size > 0) return work;
      this.writer.boot = this.nextBoot;
      this.nextBoot = undefined;
    }
    const { dueNs, used, blocks } = this.due;
    const { unsearched } = this.ends;
    for (let n = 0; n < blocks && work < budget; n++) {
      const block = this.nextBlock;
      this.nextBlock = block + 1 === blocks ? 0 : block + 1;
      if (used[block] === 0) {
        if (unsearched[block] === 1) this.ends.searched(block);
        continue;
      }
      if (dueNs[block]! <= nowNs || unsearched[block] === 1)
        work += this.looks.look(block, nowNs, this.timeouts, this.shortestNs());
    }
    work += this.retire(Math.max(0, budget - work));
    return work;
  }

  /**
   * Earliest time at which a flow can be due, ns; Infinity where there is none. Exact mode sweeps when the time of a
   * frame reaches it.
   */
  dueAt(nowNs: number): number {
    this.measureFree(nowNs);
    this.due.learn(nowNs, this.shortestNs());
    return this.due.earliest;
  }

  /**
   * Exact mode, before every hit, in whole ticks as `look` has them: a flow that is due never passes as one that is not.
   * (`closeIfDue` alone, with its times as doubles, was a tenth of a replay.)
   */
  mayBeDue(slot: number, nowLow: number, nowHigh: number): boolean {
    const { i32 } = this.slots;
    const at = slot * SLOT_WORDS;
    const now = tickOf(nowLow, nowHigh);
    if (((now - tickOf(i32[at + SLOT_LAST]!, i32[at + SLOT_LAST + 1]!)) | 0) >= this.silentTicks) return true;
    if (i32[at + SLOT_FIRST] === 0) return false;
    return ((now - tickOf(i32[at + SLOT_FIRST]!, i32[at + SLOT_FIRST + 1]!)) | 0) >= this.activeTicks;
  }

  /**
   * Exact mode, before a hit at `nowNs`: ends the flow if its time has passed (true: the slot is gone, make a new flow),
   * or records its interval if that has.
   */
  closeIfDue(slot: number, nowNs: number): boolean {
    const { u32 } = this.slots;
    const at = slot * SLOT_WORDS;
    const silent = nowNs - plainCounter(u32, at + SLOT_LAST);
    const { activeNs, idleNs, tcpEndNs } = this.timeouts;
    const ended = silent >= tcpEndNs && (u32[at + SLOT_TCP_FLAGS]! & ENDED) !== 0;
    if (ended || silent >= idleNs) {
      this.due.learn(nowNs, this.shortestNs());
      this.close(slot, ended ? END_OF_FLOW : END_IDLE);
      this.retirement.runAll();
      return true;
    }
    if (u32[at + SLOT_FIRST] !== 0 && nowNs - plainCounter(u32, at + SLOT_FIRST) >= activeNs)
      this.writer.interval(slot, END_ACTIVE);
    return false;
  }

  /**
   * End every flow now in the table, or `most` of them; returns how many. Their records are in the log when `closing` is 0
   * (exact: on return).
   */
  endAll(nowNs: number, reason: number = END_FORCED, most = Infinity): number {
    this.due.learn(nowNs, this.shortestNs());
    let ended = 0;
    for (let slot = 0; slot < this.slots.capacity && ended < most; slot++) {
      if (this.due.used[slot >>> 8] === 0) slot |= BLOCK_SLOTS - 1;
      else if (Atomics.load(this.slots.i32, slot * SLOT_WORDS + SLOT_STATE) === STATE_LIVE) {
        this.close(slot, reason);
        ended++;
      }
    }
    this.retire(0);
    return ended;
  }

  /**
   * The datapath goes on without this process: the interval of every flow so far, from slot `from` on, `most` of them. Returns
   * where to go on, −1: that was all.
   */
  recordAll(from: number, most: number): number {
    let records = 0;
    for (let slot = from; slot < this.slots.capacity; slot++) {
      if (records === most) return slot;
      if (this.due.used[slot >>> 8] === 0) slot |= BLOCK_SLOTS - 1;
      else if (Atomics.load(this.slots.i32, slot * SLOT_WORDS + SLOT_STATE) === STATE_LIVE) {
        this.writer.interval(slot, END_ACTIVE);
        records++;
      }
    }
    return -1;
  }

  /**
   * End every flow that came in by this port, in the slices that follow (exact: now). The port receives nothing more:
   * flows made later are not meant. `ending(port)` tells when the last record is written.
   */
  endPort(port: number, nowNs: number, reason: number = END_FORCED): void {
    this.due.learn(nowNs, this.shortestNs());
    this.ends.begin(port, reason, this.due.used);
    if (this.exact) this.sweep(nowNs);
  }

  /** After `endPort`: flows of this port are still being searched for, or wait for their last record. */
  ending(port: number): boolean {
    return this.ends.pending(port);
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

  /**
   * How many slots of each block of BLOCK_SLOTS are in use: who looks for flows has no need to look where it says 0. Of this
   * moment; the array itself goes on changing.
   */
  blocksInUse(): Int32Array {
    this.due.learn(this.sweptNs, this.shortestNs());
    return this.due.used;
  }

  /** Sums of the flows in the table, by port; `unrecorded`: only what no record has said yet. */
  table(out: PortTotals, unrecorded = false): PortTotals {
    return sumTable(this.slots, out.clear(), this.blocksInUse(), unrecorded ? this.ledger : undefined);
  }

  /**
   * The same in slices, because a million flows take 40 to 80 ms. The sweep rests until it is done, so that
   * no flow moves from the table into records in between (what is ordered, `endAll`, still does; `recorded` tells).
   */
  async unrecorded(out: PortTotals, breathe: () => Promise<void>): Promise<PortTotals> {
    const { slots, due, ledger } = this;
    due.learn(this.sweptNs, this.shortestNs());
    out.clear();
    this.resting++;
    try {
      for (let from = 0; from < slots.capacity; from += SLICE) {
        sumTable(slots, out, due.used, ledger, from, Math.min(slots.capacity, from + SLICE));
        await breathe();
      }
    } finally {
      this.resting--;
    }
    return out;
  }

  /** A flow made or hit now cannot be due sooner than this. (Exact: `closeIfDue` sees a FIN's end in time.) */
  private shortestNs(): number {
    const { activeNs, tcpEndNs } = this.timeouts;
    return Math.min(activeNs, this.idle.one, LOOK_EVERY_NS, this.exact ? Infinity : tcpEndNs);
  }

  /** Every block may be due sooner than it knew when timeouts shrink. */
  private measureFree(nowNs: number): void {
    if (this.idle.measure(this.free.size / this.slots.capacity, nowNs)) this.due.all();
  }

  private setTicks(): void {
    const { activeNs, idleNs, tcpEndNs } = this.timeouts;
    this.silentTicks = ticks(Math.min(idleNs, tcpEndNs));
    this.activeTicks = ticks(activeNs);
  }

  /** A plain look found a flow that may be due: exact reads decide. True: it was closed, or its interval recorded. */
  private act(slot: number, nowNs: number): boolean {
    const { i32, u32 } = this.slots;
    const at = slot * SLOT_WORDS;
    const one = i32[at + SLOT_PACKETS] === 1 && i32[at + SLOT_PACKETS + 1] === 0;
    const { activeNs, idleNs, tcpEndNs } = this.timeouts;
    const silent = nowNs - readCounter(i32, at + SLOT_LAST);
    const ordered = this.ends.reason[portOf(this.slots, slot)]!;
    if (silent >= tcpEndNs && (Atomics.load(i32, at + SLOT_TCP_FLAGS) & ENDED) !== 0) this.close(slot, END_OF_FLOW);
    else if (silent >= idleNs) this.close(slot, END_IDLE);
    else if (silent >= (one ? this.idle.one : this.idle.many)) this.close(slot, END_LACK_OF_RESOURCES);
    else if (ordered !== 0) this.close(slot, ordered);
    else if (Atomics.load(i32, at + SLOT_FIRST) !== 0 && nowNs - plainCounter(u32, at + SLOT_FIRST) >= activeNs)
      this.writer.interval(slot, END_ACTIVE);
    else return false;
    return true;
  }

  /** Move flows that end one step on, as far as the budget goes. Returns the work done. */
  private retire(budget: number): number {
    const finished = this.exact ? this.retirement.runAll() : this.retirement.run(Math.ceil(budget / RECORD_COST));
    return finished * RECORD_COST;
  }

  /** The retirer, and `due` told of what it releases. */
  private learning(retirer: Retirer): Retirer {
    return {
      retire: (slots) => retirer.retire(slots),
      quiesced: (out) => retirer.quiesced(out),
      release: (slots) => {
        retirer.release(slots);
        for (const slot of slots) this.ledger.clear(slot);
        this.due.released();
      },
    };
  }

  private close(slot: number, reason: number): void {
    Atomics.store(this.slots.i32, slot * SLOT_WORDS + SLOT_STATE, STATE_CLOSING);
    this.ends.closed(portOf(this.slots, slot));
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
    if (reason !== 0) this.ends.recorded(port);
    this.due.freed(slot);
  }
}
