/**
 * Slots on their way out of the table: waiting to be unlinked, unlinked and waiting for the grace period, quiet and
 * waiting for their last record. Bounded batches, so that neither a ring overflows nor a slice takes long.
 */
import { MAX_RETIRING } from "../shm/memory.ts";

/** What a datapath does for it (part of src/datapath/datapath.ts). */
export interface Retirer {
  /** Unlink these slots from the flow table. */
  retire(slots: readonly number[]): void;
  /** Fills `out` from index 0 with slots that no frame can touch any more; returns how many. */
  quiesced(out: number[]): number;
  /** Zeroed, generation raised, FREE, back into the ring. */
  release(slots: readonly number[]): void;
}

export class Retirement {
  private readonly retirer: Retirer;
  private readonly finish: (slot: number, reason: number) => void;
  private readonly reasonOf: Uint8Array;
  private waiting: number[] = [];
  private unlinked = 0;
  private readonly answer: number[] = [];
  private quiet: number[] = [];
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
    const room = MAX_RETIRING - this.unlinked;
    if (this.waiting.length === 0 || room <= 0) return;
    const some = this.waiting.length <= room ? this.waiting : this.waiting.slice(0, room);
    this.waiting = this.waiting.length <= room ? [] : this.waiting.slice(room);
    this.unlinked += some.length;
    this.retirer.retire(some);
  }

  private collect(): void {
    if (this.unlinked === 0) return;
    this.answer.length = 0;
    const count = this.retirer.quiesced(this.answer);
    for (let n = 0; n < count; n++) this.quiet.push(this.answer[n]!);
    this.unlinked -= count;
  }

  private finishQuiet(limit: number): number {
    const count = Math.min(limit, this.quiet.length);
    if (count <= 0) return 0;
    this.batch.length = 0;
    for (let n = 0; n < count; n++) {
      const slot = this.quiet[n]!;
      this.finish(slot, this.reasonOf[slot]!);
      this.batch.push(slot);
    }
    if (count === this.quiet.length) this.quiet.length = 0;
    else this.quiet = this.quiet.slice(count);
    this.retirer.release(this.batch);
    return count;
  }
}
