/** Stations that move between ports, told once a second: a loop moves one thousands of times. */
import { macText } from "../pipeline/fields.ts";
import type { MacRef } from "../pipeline/normal.ts";

interface Move {
  readonly mac: string;
  readonly vlan: number;
  /** Port numbers of the newest move. */
  readonly from: number;
  readonly to: number;
  /** Moves since it was last told. */
  readonly count: number;
}

/** For people: what moved to which port. */
export interface Told {
  readonly message: string;
  readonly port?: string;
  readonly fields: Readonly<Record<string, string | number>>;
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

  /** At most once a second: a sentence a station, and how many moves of other stations are not told. */
  take(nowNs: number, nameOf: (port: number) => string): Told[] {
    if (this.moves.size === 0 || nowNs - this.toldNs < EVERY_NS) return [];
    const told = [...this.moves.values()].map(({ mac, vlan, from, to, count }): Told => {
      const where = vlan === 0 ? "" : ` in VLAN ${vlan}`;
      const often = count === 1 ? "" : `, ${count} times`;
      const message = `${mac} moved from ${nameOf(from)} to ${nameOf(to)}${where}${often}`;
      return { message, port: nameOf(to), fields: { mac, vlan, from: nameOf(from), to: nameOf(to), count } };
    });
    if (this.others > 0)
      told.push({ message: `${this.others} moves of other stations`, fields: { count: this.others } });
    this.moves = new Map();
    this.others = 0;
    this.toldNs = nowNs;
    return told;
  }
}
