/** Stations that move between ports, told once a second: a loop moves one thousands of times. */
import { macText } from "../pipeline/fields.ts";
import type { MacRef } from "../pipeline/normal.ts";

export interface Move {
  readonly mac: string;
  readonly vlan: number;
  /** Port numbers of the newest move. */
  readonly from: number;
  readonly to: number;
  /** Moves since it was last told. */
  readonly count: number;
}

const EVERY_NS = 1e9;
/** Stations told of in one second. */
const STATIONS = 32;

export class MacMoves {
  private moves = new Map<string, Move>();
  private others = 0;
  private toldNs = -Infinity;

  note(at: MacRef, from: number, to: number): void {
    const mac = macText(at);
    const name = `${at.vlan} ${mac}`;
    const known = this.moves.get(name);
    if (known === undefined && this.moves.size >= STATIONS) {
      this.others++;
      return;
    }
    this.moves.set(name, { mac, vlan: at.vlan, from, to, count: (known?.count ?? 0) + 1 });
  }

  /** At most once a second: what moved, and how many moves of other stations are not told. */
  take(nowNs: number): { readonly moves: readonly Move[]; readonly others: number } | undefined {
    if (this.moves.size === 0 || nowNs - this.toldNs < EVERY_NS) return undefined;
    const told = { moves: [...this.moves.values()], others: this.others };
    this.moves = new Map();
    this.others = 0;
    this.toldNs = nowNs;
    return told;
  }
}
