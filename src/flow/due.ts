/**
 * When the sweep must look where. Slots stand in blocks of 256; each block has the earliest time at which one of its
 * flows can be due. A block without flows is never looked at: new flows are learned from the ring of free slots, whose
 * taken entries the sweeper, its only pusher, can still read.
 */
import type { WordRing } from "../shm/ring.ts";
import { readCounter, SLOT_LAST, SLOT_STATE, SLOT_WORDS, STATE_LIVE, type FlowSlots } from "../shm/slots.ts";

export const BLOCK_SHIFT = 8;
export const BLOCK_SLOTS = 1 << BLOCK_SHIFT;

/** First slots of the blocks that have slots in use, between two slots that are borders of blocks. */
export function* usedBlocks(used: Int32Array, to: number, from = 0): Generator<number> {
  for (let first = from; first < to; first += BLOCK_SLOTS) if (used[first / BLOCK_SLOTS] !== 0) yield first;
}

export class DueBlocks {
  readonly blocks: number;
  /** Earliest time at which a flow of the block may be due, ns; Infinity: it has none. */
  readonly dueNs: Float64Array;
  /** Slots of the block that are not in the ring of free ones. */
  readonly used: Int32Array;
  private readonly slots: FlowSlots;
  private readonly free: WordRing;
  /** Ring positions below this one are known here. */
  private seen: number;
  private earliestNs = Infinity;
  private stale = false;

  constructor(slots: FlowSlots, free: WordRing) {
    this.blocks = Math.ceil(slots.capacity / BLOCK_SLOTS);
    this.dueNs = new Float64Array(this.blocks).fill(Infinity);
    this.used = new Int32Array(this.blocks);
    this.slots = slots;
    this.free = free;
    // A table that already has flows (take-over): whatever the ring does not hold. What is popped from here on is new,
    // and `learn` will meet it.
    this.seen = free.head;
    if (free.size === slots.capacity) return;
    const inRing = new Uint8Array(slots.capacity);
    for (let n = 0, size = free.size + ((free.head - this.seen) | 0); n < size; n++)
      inRing[free.taken(this.seen + n)] = 1;
    for (let slot = 0; slot < slots.capacity; slot++) {
      if (inRing[slot] === 1) continue;
      const block = slot >>> BLOCK_SHIFT;
      this.used[block]!++;
      this.dueNs[block] = 0;
      this.earliestNs = 0;
    }
  }

  /**
   * Learn the flows made since the last call: none is due before `shortestNs` after its last frame. Must run before
   * anything is pushed into the ring.
   */
  learn(nowNs: number, shortestNs: number): void {
    const head = this.free.head;
    for (let position = this.seen; position !== head; position = (position + 1) | 0) {
      const slot = this.free.taken(position);
      const block = slot >>> BLOCK_SHIFT;
      const at = slot * SLOT_WORDS;
      const live = this.slots.u32[at + SLOT_STATE] === STATE_LIVE;
      const due = (live ? Math.min(nowNs, readCounter(this.slots.i32, at + SLOT_LAST)) : nowNs) + shortestNs;
      this.used[block]!++;
      if (due < this.dueNs[block]!) this.dueNs[block] = due;
      if (due < this.earliestNs) this.earliestNs = due;
    }
    this.seen = head;
  }

  /**
   * Slots were given back, right after `learn`. A datapath in the same thread puts them before the ring's head, which goes
   * back by so many: none of them is new.
   */
  released(): void {
    const { head } = this.free;
    if (((head - this.seen) | 0) < 0) this.seen = head;
  }

  /** A block was looked at: nothing in it is due before `dueNs`. */
  set(block: number, dueNs: number): void {
    this.dueNs[block] = this.used[block] === 0 ? Infinity : dueNs;
    this.stale = true;
  }

  /** A slot is about to go back into the ring. */
  freed(slot: number): void {
    const block = slot >>> BLOCK_SHIFT;
    if (--this.used[block]! > 0) return;
    this.dueNs[block] = Infinity;
    this.stale = true;
  }

  /** Look at every block that has flows as soon as possible. */
  all(): void {
    this.stale = true;
    for (let block = 0; block < this.blocks; block++) if (this.used[block]! > 0) this.dueNs[block] = 0;
  }

  /** Earliest time at which anything may be due. */
  get earliest(): number {
    if (this.stale) {
      let earliest = Infinity;
      for (let block = 0; block < this.blocks; block++)
        if (this.dueNs[block]! < earliest) earliest = this.dueNs[block]!;
      this.earliestNs = earliest;
      this.stale = false;
    }
    return this.earliestNs;
  }
}
