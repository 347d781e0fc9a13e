/**
 * Slots on their way out of the table: waiting to be unlinked, unlinked and waiting for the grace period, quiet and
 * waiting for their last record. Bounded batches, so that neither a ring overflows nor a slice takes long.
 */
import { MAX_RETIRING } from "../shm/memory.ts";

/** What a datapath does for it (part of src/datapath/datapath.ts). */
export interface Retirer {
  /** Unlink these slots from the flow table. The list is lent for the call. */
  retire(slots: readonly number[]): void;
  /** Fills `out` from index 0 with slots that no frame can touch any more; returns how many. */
  quiesced(out: number[]): number;
  /** Zeroed, generation raised, FREE, back into the ring. */
  release(slots: readonly number[]): void;
}

/** Numbers in the order they came. Taking some from the front moves none of the others: millions are taken a few at a time. */
class SlotQueue {
  private slots: number[] = [];
  private from = 0;

  get length(): number {
    return this.slots.length - this.from;
  }

  push(slot: number): void {
    this.slots.push(slot);
  }

  /** The first `count` into `out`, in place of what it held. */
  take(count: number, out: number[]): void {
    out.length = 0;
    const to = this.from + Math.min(count, this.length);
    for (; this.from < to; this.from++) out.push(this.slots[this.from]!);
    if (this.from === this.slots.length) this.slots.length = 0;
    else if (this.from * 2 > this.slots.length) this.slots = this.slots.slice(this.from);
    else return;
    this.from = 0;
  }
}

export class Retirement {
  private readonly retirer: Retirer;
  private readonly finish: (slot: number, reason: number) => void;
  private readonly reasonOf: Uint8Array;
  private readonly waiting = new SlotQueue();
  private unlinked = 0;
  private readonly quiet = new SlotQueue();
  private readonly batch: number[] = [];

  constructor(capacity: number, retirer: Retirer, finish: (slot: number, reason: number) => void) {
    this.retirer = retirer;
    this.finish = finish;
    this.reasonOf = new Uint8Array(capacity);
  }

  /** Slots that have no last record yet. */
  get size(): number {
    return this.waiting.length + this.unlinked + this.quiet.length;
  }

  add(slot: number, reason: number): void {
    this.reasonOf[slot] = reason;
    this.waiting.push(slot);
  }

  /** A slot that was never linked. */
  addQuiet(slot: number): void {
    this.reasonOf[slot] = 0;
    this.quiet.push(slot);
  }

  /** Move everything one step on, and finish up to `limit` slots. Returns how many were finished. */
  run(limit: number): number {
    this.unlink();
    this.collect();
    return this.finishQuiet(limit);
  }

  /** Exact mode: finish everything now. */
  runAll(): number {
    let finished = 0;
    while (this.size > 0) {
      finished += this.run(Infinity);
      if (this.unlinked > 0 && this.waiting.length === 0)
        throw new Error("exact mode needs a datapath whose quiesced() answers at once");
    }
    return finished;
  }

  private unlink(): void {
    const { waiting, batch } = this;
    const count = Math.min(waiting.length, MAX_RETIRING - this.unlinked);
    if (count <= 0) return;
    waiting.take(count, batch);
    this.unlinked += count;
    this.retirer.retire(batch);
  }

  private collect(): void {
    if (this.unlinked === 0) return;
    this.batch.length = 0;
    const count = this.retirer.quiesced(this.batch);
    for (let n = 0; n < count; n++) this.quiet.push(this.batch[n]!);
    this.unlinked -= count;
  }

  private finishQuiet(limit: number): number {
    const { quiet, batch } = this;
    if (limit <= 0 || quiet.length === 0) return 0;
    quiet.take(limit, batch);
    for (const slot of batch) this.finish(slot, this.reasonOf[slot]!);
    this.retirer.release(batch);
    return batch.length;
  }
}
