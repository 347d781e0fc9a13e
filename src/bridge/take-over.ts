/**
 * What a bridge makes of what an earlier process left in force: numbers of ports, the MAC table, the rules. The datapath
 * forwards all the while; nothing here may make it worse.
 */
import type { PortConfig } from "../config/config.ts";
import { type KeptState, type LeftBehind, MAX_PORTS, MAX_RULES, type QuietFlows } from "../datapath/datapath.ts";
import { END_FORCED } from "../flow/disposition.ts";
import { KEY_WORDS } from "../flow/key.ts";
import { Ledger } from "../flow/ledger.ts";
import { Outcomes } from "../flow/outcomes.ts";
import { type Boot, RecordWriter } from "../flow/record.ts";
import { FlowSlots, readCounter, SLOT_KEY, SLOT_LAST, SLOT_STATE, SLOT_WORDS, STATE_LIVE } from "../shm/slots.ts";
import type { PortBook } from "./port-book.ts";
import { outcomeOf, type RuleKeeper } from "./rules.ts";

/** Between two turns of others. */
const SLICE = 4096;

/**
 * Numbers go to the names that have them. A port that is not configured any more is on the bridge until the difference to the
 * configuration takes it off.
 */
export function restorePorts(book: PortBook, left: LeftBehind, wanted: ReadonlySet<string>): void {
  for (const { no, name } of left.ports) {
    const config: PortConfig = { name, type: "netdev", enabled: false, options: {}, origin: "config" };
    book.restore(no, config, !wanted.has(name));
  }
}

/** Stations from what is in force: the rules first, then every flow from the one that was silent longest. Then the rules again, as rules. */
export async function restoreRules(
  rules: RuleKeeper,
  left: LeftBehind,
  slots: FlowSlots,
  nowNs: number,
  breathe: () => Promise<unknown>,
): Promise<void> {
  const { u32, i32, capacity } = slots;
  for (const { key } of left.rules) rules.hear(key, 0);
  const flows: { readonly slot: number; readonly last: number }[] = [];
  for (let slot = 0; slot < capacity; slot++)
    if (u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE)
      flows.push({ slot, last: readCounter(i32, slot * SLOT_WORDS + SLOT_LAST) });
  flows.sort((a, b) => a.last - b.last);
  for (const [n, { slot, last }] of flows.entries()) {
    const at = slot * SLOT_WORDS + SLOT_KEY;
    rules.hear(u32.slice(at, at + KEY_WORDS), last);
    if (n % SLICE === SLICE - 1) await breathe();
  }
  rules.adopt(left, nowNs);
}

const RECORD_COST = 64;

/** Flows of memory that is replaced become records, a bounded piece at a time. */
export class Drain {
  private readonly quiet: QuietFlows;
  private readonly writer: RecordWriter;
  private readonly outcomes = new Outcomes(MAX_RULES, MAX_PORTS);
  private readonly slots = FlowSlots.create(1);
  private readonly ledger = new Ledger(this.slots);
  private isSettled = false;

  constructor(quiet: QuietFlows, kept: KeptState, boot: Boot, ifIndexOf: Uint32Array) {
    this.quiet = quiet;
    for (const { index, gen, actions } of quiet.rules) this.outcomes.set(index, gen, outcomeOf(actions), 0);
    const { slots, ledger, outcomes } = this;
    outcomes.ifIndexOf.set(ifIndexOf);
    this.writer = new RecordWriter(
      { slots, ledger, log: kept.log, outcomes, ports: MAX_PORTS, recorded: kept.recorded },
      boot,
    );
  }

  async settle(): Promise<void> {
    await this.quiet.settle();
    this.isSettled = true;
  }

  /** True: that was all, and the memory is given up. */
  step(budget: number): boolean {
    const { quiet, slots, ledger } = this;
    if (!this.isSettled) return false;
    for (let slot = quiet.next(), work = 0; work < budget; slot++, work++) {
      if (slot >= quiet.capacity) {
        quiet.remove();
        return true;
      }
      if (quiet.load(slot, slots, ledger)) {
        quiet.begin(slot);
        this.writer.final(0, END_FORCED);
        work += RECORD_COST;
      }
      quiet.end(slot);
    }
    return false;
  }
}
