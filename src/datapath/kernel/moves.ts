/**
 * How far flows of other maps have become records (old-generation.ts), beyond the end of the process, so that nothing is taken
 * twice. One row for each of those generations, carried on into the next one's maps:
 *
 * ```
 * f64 0  generation, 0 = free    1  2 × slot, +1 while its record is being appended    2  head of the log before that
 *     3  the generation, once its counters were taken    4  the slot's port    5 …  what had been recorded of that port before
 * ```
 */
import { COUNTS } from "../../flow/totals.ts";
import { REC_PACKETS, RecordCursor, type RecordLog } from "../../shm/log.ts";

const ROWS = 32;
const ROW = 16;
const AT = 1;
const HEAD = 2;
const TAKEN = 3;
const PORT = 4;
const BEFORE = 5;

export class Moves {
  static readonly bytes = ROWS * ROW * 8;
  private readonly f64: Float64Array;
  private readonly log: RecordLog;
  private readonly recorded: Float64Array;

  /** `recorded`: by port, COUNTS each (src/flow/totals.ts). */
  constructor(buffer: ArrayBuffer, log: RecordLog, recorded: Float64Array) {
    this.f64 = new Float64Array(buffer, 0, ROWS * ROW);
    this.log = log;
    this.recorded = recorded;
  }

  /** A process that was killed in the middle of a slot left its record half made or its sum not moved. Before anybody else looks. */
  repair(): void {
    const { f64, log, recorded } = this;
    for (let row = 0; row < ROWS * ROW; row += ROW) {
      if (f64[row + AT]! % 2 === 0) continue;
      const slot = (f64[row + AT]! - 1) / 2;
      if (log.head <= f64[row + HEAD]!) {
        f64[row + AT] = slot * 2;
        continue;
      }
      const record = log.at(f64[row + HEAD]!, new RecordCursor());
      const sums = f64[row + PORT]! * COUNTS;
      for (let n = 0; n < COUNTS; n++)
        recorded[sums + n] = f64[row + BEFORE + n]! + record.f64[record.f + REC_PACKETS + n]!;
      f64[row + AT] = (slot + 1) * 2;
    }
  }

  isTaken(generation: number): boolean {
    return this.f64[this.row(generation) + TAKEN] === generation;
  }

  setTaken(generation: number): void {
    this.f64[this.row(generation) + TAKEN] = generation;
  }

  /** Slot to look at next. */
  next(generation: number): number {
    return Math.floor(this.f64[this.row(generation) + AT]! / 2);
  }

  begin(generation: number, slot: number, port: number): void {
    const { f64, log, recorded } = this;
    const row = this.row(generation);
    f64[row + HEAD] = log.head;
    f64[row + PORT] = port;
    for (let n = 0; n < COUNTS; n++) f64[row + BEFORE + n] = recorded[port * COUNTS + n]!;
    f64[row + AT] = slot * 2 + 1;
  }

  end(generation: number, slot: number): void {
    this.f64[this.row(generation) + AT] = (slot + 1) * 2;
  }

  /** It is gone. */
  forget(generation: number): void {
    const row = this.row(generation);
    this.f64.fill(0, row, row + ROW);
  }

  private row(generation: number): number {
    const { f64 } = this;
    let free = -1;
    for (let row = 0; row < ROWS * ROW; row += ROW) {
      if (f64[row] === generation) return row;
      if (f64[row] === 0 && free < 0) free = row;
    }
    if (free < 0) throw new Error(`flows of ${ROWS} other layouts wait to become records`);
    f64.fill(0, free, free + ROW);
    f64[free] = generation;
    return free;
  }
}
