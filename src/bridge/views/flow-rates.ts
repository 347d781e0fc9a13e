/**
 * Rates of flows: the slots' counters now against those of a second or more ago. Nothing is kept until somebody asks, and
 * it is forgotten when nobody does any more. A million slots are read in slices, so that the control thread goes on.
 */
import { BLOCK_SLOTS, usedBlocks } from "../../flow/due.ts";
import { SLICE } from "../../flow/sweep.ts";
import {
  readCounter,
  SLOT_BYTES_COUNT,
  SLOT_GEN,
  SLOT_PACKETS,
  SLOT_STATE,
  SLOT_WORDS,
  STATE_LIVE,
  type FlowSlots,
} from "../../shm/slots.ts";

export interface Breath {
  /** Let others run, if this one has worked for long enough; called after each slice. */
  breathe(): Promise<void>;
  /** Wait so long, ms. */
  sleep(ms: number): Promise<void>;
}

/** Two looks are at least so far apart. */
const SPACING_NS = 1e9;
/** A look that is older tells of the past, not of now. */
const STALE_NS = 10e9;

interface Looks {
  readonly packets: Float64Array;
  readonly bytes: Float64Array;
  /** All bits of it inverted: memory that nobody has written yet is no flow's, and is not there yet. */
  readonly notGen: Uint32Array;
  readonly pps: Float32Array;
  readonly byteRate: Float32Array;
}

function emptyLooks(capacity: number): Looks {
  return {
    packets: new Float64Array(capacity),
    bytes: new Float64Array(capacity),
    notGen: new Uint32Array(capacity),
    pps: new Float32Array(capacity),
    byteRate: new Float32Array(capacity),
  };
}

export class FlowRates {
  private readonly slots: FlowSlots;
  private readonly inUse: () => Int32Array;
  private readonly breath: Breath;
  private looks: Looks | undefined;
  /** When the kept counters were read, ns. */
  private readNs = 0;
  private running: Promise<void> = Promise.resolve();

  /** `inUse`: slots in use of each block of BLOCK_SLOTS (see Sweeper); blocks without are not looked at. */
  constructor(slots: FlowSlots, inUse: () => Int32Array, breath: Breath) {
    this.slots = slots;
    this.inUse = inUse;
    this.breath = breath;
  }

  /** Bring the rates up to now. The first call, and one after a long silence, takes a second. */
  refresh(nowNs: () => number): Promise<void> {
    const done = this.running.then(() => this.renew(nowNs));
    this.running = done.catch(() => {});
    return done;
  }

  /** Nobody has asked for a while: give the memory back. */
  forget(nowNs: number): void {
    if (nowNs - this.readNs > 3 * STALE_NS) this.looks = undefined;
  }

  /** Packets per second of a slot as it is now, if its flow is still that of `gen`. */
  pps(slot: number, gen: number): number {
    const { looks } = this;
    return looks !== undefined && looks.notGen[slot] === ~gen >>> 0 ? looks.pps[slot]! : 0;
  }

  bps(slot: number, gen: number): number {
    const { looks } = this;
    return looks !== undefined && looks.notGen[slot] === ~gen >>> 0 ? looks.byteRate[slot]! * 8 : 0;
  }

  private async renew(nowNs: () => number): Promise<void> {
    const age = nowNs() - this.readNs;
    if (this.looks !== undefined && age < SPACING_NS) return;
    const isFresh = this.looks !== undefined && age <= STALE_NS;
    // Held here: `forget` may come while this waits.
    const looks = this.looks ?? emptyLooks(this.slots.capacity);
    if (!isFresh) {
      await this.read(nowNs, looks);
      await this.breath.sleep(SPACING_NS / 1e6);
    }
    await this.read(nowNs, looks);
    this.looks = looks;
  }

  private async read(nowNs: () => number, looks: Looks): Promise<void> {
    const { capacity } = this.slots;
    const startNs = nowNs();
    // Each slice is as late in this look as it was in the last.
    const seconds = (startNs - this.readNs) / 1e9;
    let slots = 0;
    for (const from of usedBlocks(this.inUse(), capacity)) {
      this.readBlock(from, Math.min(capacity, from + BLOCK_SLOTS), seconds, looks);
      slots += BLOCK_SLOTS;
      if (slots % SLICE === 0) await this.breath.breathe();
    }
    if (slots % SLICE !== 0) await this.breath.breathe();
    this.readNs = startNs;
  }

  /** A flow that was not there at the last look has done all it did since. */
  private readBlock(from: number, to: number, seconds: number, looks: Looks): void {
    const { u32, i32 } = this.slots;
    for (let slot = from; slot < to; slot++) {
      const at = slot * SLOT_WORDS;
      if (u32[at + SLOT_STATE] !== STATE_LIVE) {
        looks.pps[slot] = 0;
        looks.byteRate[slot] = 0;
        continue;
      }
      const notGen = ~u32[at + SLOT_GEN]! >>> 0;
      const packets = readCounter(i32, at + SLOT_PACKETS);
      const bytes = readCounter(i32, at + SLOT_BYTES_COUNT);
      const known = looks.notGen[slot] === notGen;
      looks.pps[slot] = (packets - (known ? looks.packets[slot]! : 0)) / seconds;
      looks.byteRate[slot] = (bytes - (known ? looks.bytes[slot]! : 0)) / seconds;
      looks.packets[slot] = packets;
      looks.bytes[slot] = bytes;
      looks.notGen[slot] = notGen;
    }
  }
}
