/**
 * Maps of another layout (or size) than this process makes, left by an earlier one. New maps and programs stand beside them; each
 * port's program is replaced between two frames; after a grace period the old flows are quiet, and their counts are taken by
 * the names of the layout that stands in their `meta`.
 *
 * What a process that is killed in the middle has done stands in the new maps (moves.ts), so nothing is taken twice.
 */
import { join } from "node:path";
import type { Ledger } from "../../flow/ledger.ts";
import { COUNTS } from "../../flow/totals.ts";
import * as C from "../../shm/counters.ts";
import { REC_GEN, REC_PACKETS, REC_SLOT, REC_TOTALS, RecordCursor, RecordLog } from "../../shm/log.ts";
import { type FlowSlots, plainCounter, readCounter, SLOT_WORDS, STATE_FREE, writeCounter } from "../../shm/slots.ts";
import { gracePeriodLater } from "../../sys/bpf.ts";
import { mapMemory, type MappedMemory } from "../../sys/bpf-maps.ts";
import { closeFd, openPin } from "../../sys/bpf-pins.ts";
import { MAX_PORTS, type Rule } from "../datapath.ts";
import { LAYOUT } from "./described.ts";
import { DIRECT_PORTS } from "./layout.ts";
import type { KernelMaps } from "./maps.ts";
import { generationFolder, type Meta, readMeta, removeGeneration } from "./pins.ts";
import { KernelRules, type RuleMaps } from "./rules.ts";
import { rowsWithoutFlow } from "./tally.ts";

/** Words of a slot's fields; a slot of ours is filled from one of theirs by these names. */
const SLOT_FIELDS: Readonly<Record<string, number>> = {
  SLOT_PACKETS: 2,
  SLOT_BYTES_COUNT: 2,
  SLOT_L3_BYTES: 2,
  SLOT_LAST: 2,
  SLOT_FIRST: 2,
  SLOT_TCP_FLAGS: 1,
  SLOT_REASON: 1,
  SLOT_RULE: 1,
  SLOT_RULE_GEN: 1,
  SLOT_KEY: 20,
  SLOT_DROPPED_PACKETS: 2,
  SLOT_DROPPED_BYTES: 2,
  SLOT_CREATED: 2,
  SLOT_RECORDED: 2,
};
/** Of a record that was made of a slot of other maps: no slot here has it. */
const NO_GEN = 0xffffffff;
/** What rules are read by. */
const RULE_NUMBERS = /^(MASK_|BLOCK_|RULE_|MAX_(MASKS|RULES|BLOCKS|AWAY)$|SET_MASKS$|KEY_WORDS$)/;
/** Sections of `kept` that go on as they are. */
const CARRIED = [
  "ports",
  "cursors",
  "names",
  "recorded",
  "retired",
  "counters",
  "ended",
  "withoutFlow",
  "log",
  "move",
] as const;

export class OldGeneration {
  readonly meta: Meta;
  readonly capacity: number;
  private readonly folder: string;
  private readonly generation: number;
  private readonly theirs: Readonly<Record<string, number>>;
  private readonly mapped: MappedMemory[] = [];
  private readonly fds = new Map<string, number>();
  private readonly slots: Uint32Array;
  private readonly ledger: Float64Array;
  /** Doubles of its rows; all counts stood there once. */
  private readonly row: number;
  private maps: KernelMaps | undefined;
  private found: readonly Rule[] | undefined;

  /** Undefined: it was never whole. */
  static open(folder: string, generation: number): OldGeneration | undefined {
    const meta = readMeta(folder, generation);
    return meta && new OldGeneration(folder, generation, meta);
  }

  private constructor(folder: string, generation: number, meta: Meta) {
    this.folder = folder;
    this.generation = generation;
    this.meta = meta;
    this.theirs = meta.layout;
    this.capacity = meta.capacity;
    this.slots = new Uint32Array(this.memory("slots", this.capacity * this.theirs["SLOT_BYTES"]!));
    this.ledger = new Float64Array(this.section("ledger")!);
    this.row = meta.layout["LEDGER_COUNTS"] ?? COUNTS;
  }

  private fd(name: string): number {
    let fd = this.fds.get(name);
    if (fd === undefined) {
      fd = openPin(join(generationFolder(this.folder, this.generation), name));
      if (fd === undefined) throw new Error(`generation ${this.generation} of ${this.folder} has no map ${name}`);
      this.fds.set(name, fd);
    }
    return fd;
  }

  private memory(name: string, bytes: number, offset = 0): ArrayBuffer {
    const one = mapMemory(this.fd(name), bytes, offset);
    this.mapped.push(one);
    return one.buffer;
  }

  private section(name: string): ArrayBuffer | undefined {
    const place = this.meta.sections[name];
    return place && this.memory("kept", place[1], place[0]);
  }

  private words(name: string, count: number): Int32Array {
    return new Int32Array(this.memory(name, count * 4));
  }

  /** The process's own state, ports and rules go on in the new maps, before anybody sees those. */
  carryOver(maps: KernelMaps): void {
    this.redoLedger();
    for (const name of CARRIED) {
      const from = this.section(name);
      const to = maps.kept.section(name);
      const isSame = name !== "log" || this.theirs["RECORD_VERSION"] === LAYOUT["RECORD_VERSION"];
      if (from && isSame && from.byteLength === to.byteLength) new Uint8Array(to).set(new Uint8Array(from));
    }
    maps.kept.moves.repair();
    const theirPorts = this.words("ports", MAX_PORTS * this.theirs["PORT_WORDS"]! * 2);
    const fields = Object.keys(LAYOUT).filter((name) => name.startsWith("P_") && name in this.theirs);
    for (const { no, ifIndex } of maps.kept.ports()) {
      for (const name of fields)
        for (let half = 0; half < 2; half++)
          maps.ports[(no * LAYOUT["PORT_WORDS"]! + LAYOUT[name]!) * 2 + half] =
            theirPorts[(no * this.theirs["PORT_WORDS"]! + this.theirs[name]!) * 2 + half]!;
      // Others are marked when their port is opened.
      if (ifIndex > 0 && ifIndex < DIRECT_PORTS) maps.directPorts[ifIndex * 2] = no;
    }
  }

  /** Rules that its flows name; none where rules are kept in another way. */
  get rules(): readonly Rule[] {
    const isSame = Object.keys(LAYOUT)
      .filter((name) => RULE_NUMBERS.test(name))
      .every((name) => LAYOUT[name] === this.theirs[name]);
    if (!isSame) return [];
    if (this.found !== undefined) return this.found;
    const rules: RuleMaps = {
      object: { map: (name) => this.fd(name) },
      settings: this.words("settings", this.theirs["SETTING_WORDS"]!),
      masks: this.words("masks", 2 * LAYOUT["MASK_ROW_WORDS"]! * (1 + LAYOUT["MAX_MASKS"]!)),
      ruleTable: this.words("rule_table", LAYOUT["MAX_RULES"]! * 2),
      blocks: this.words("blocks", LAYOUT["MAX_BLOCKS"]! * LAYOUT["BLOCK_WORDS"]!),
    };
    return (this.found = new KernelRules(rules).adopt());
  }

  /** Packets that met no rule while nobody answered. */
  get away(): { readonly flooded: number; readonly refused: number } {
    const settings = this.words("settings", this.theirs["SETTING_WORDS"]!);
    const word = (name: string): number => (settings[this.theirs[name] ?? -1] ?? 0) >>> 0;
    return { flooded: word("SET_AWAY_FLOODED"), refused: word("SET_AWAY_REFUSED") };
  }

  /** A record of the old log whose ledger row was not moved (take-over.ts). */
  private redoLedger(): void {
    const { theirs, slots } = this;
    const buffer = this.section("log");
    if (buffer === undefined || theirs["RECORD_VERSION"] !== LAYOUT["RECORD_VERSION"]) return;
    const log = new RecordLog(buffer);
    if (log.head === 0) return;
    const { f64, u32, f, w } = log.at(log.head - 1, new RecordCursor());
    const slot = u32[w + REC_SLOT]!;
    const at = slot * theirs["SLOT_WORDS"]!;
    if (slot >= this.capacity || slots[at + theirs["SLOT_GEN"]!] !== u32[w + REC_GEN] || this.isEmpty(slot)) return;
    const recorded = new Float64Array(this.section("recorded")!);
    const port = slots[at + theirs["SLOT_KEY"]!]! >>> 16;
    for (let n = 0; n < COUNTS; n++) {
      const total = f64[f + REC_TOTALS + n]!;
      if (this.said(slot, n) === total) continue;
      if (n < this.row) this.ledger[slot * this.row + n] = total;
      else writeCounter(slots, this.dropsAt(slot, n), total);
      recorded[port * COUNTS + n]! += f64[f + REC_PACKETS + n]!;
    }
  }

  /** What records have said of a flow. */
  private said(slot: number, count: number): number {
    if (count < this.row) return this.ledger[slot * this.row + count]!;
    return plainCounter(this.slots, this.dropsAt(slot, count));
  }

  private dropsAt(slot: number, count: number): number {
    return slot * this.theirs["SLOT_WORDS"]! + this.theirs["SLOT_RECORDED_DROPS"]! + (count - this.row) * 2;
  }

  private isEmpty(slot: number): boolean {
    const at = slot * this.theirs["SLOT_WORDS"]!;
    const created = at + this.theirs["SLOT_CREATED"]!;
    if (this.slots[at + this.theirs["SLOT_STATE"]!] === STATE_FREE) return true;
    return this.slots[created] === 0 && this.slots[created + 1] === 0;
  }

  // ---- quiet flows ------------------------------------------------------------------------------------------------------

  /** Its programs are on no port any more: when this resolves none runs, and what they counted is in the new maps. */
  async settle(maps: KernelMaps): Promise<void> {
    this.maps = maps;
    await gracePeriodLater();
    const { moves } = maps.kept;
    if (moves.isTaken(this.generation)) return;
    this.takeCounters(maps);
    moves.setTaken(this.generation);
  }

  /** Where to go on. */
  get next(): number {
    return this.maps!.kept.moves.next(this.generation);
  }

  load(slot: number, into: FlowSlots, ledger: Ledger): boolean {
    if (this.isEmpty(slot)) return false;
    const at = slot * this.theirs["SLOT_WORDS"]!;
    into.u32.fill(0, 0, SLOT_WORDS);
    for (const [name, words] of Object.entries(SLOT_FIELDS))
      for (let n = 0; n < words; n++) into.u32[LAYOUT[name]! + n] = this.slots[at + this.theirs[name]! + n]!;
    into.u32[LAYOUT["SLOT_GEN"]!] = NO_GEN;
    for (let n = 0; n < COUNTS; n++) ledger.set(0, n, this.said(slot, n));
    return true;
  }

  begin(slot: number): void {
    const port = this.slots[slot * this.theirs["SLOT_WORDS"]! + this.theirs["SLOT_KEY"]!]! >>> 16;
    this.maps!.kept.moves.begin(this.generation, slot, port);
  }

  end(slot: number): void {
    this.maps!.kept.moves.end(this.generation, slot);
  }

  remove(): void {
    for (const one of this.mapped) one.release();
    for (const fd of this.fds.values()) closeFd(fd);
    removeGeneration(this.folder, this.generation);
    this.maps?.kept.moves.forget(this.generation);
  }

  private takeCounters({ kept }: KernelMaps): void {
    const { theirs } = this;
    // Reckoned first, then written in one go: killed in between, the next process would take some again.
    const inUse = kept.ports().reduce((most, { no }) => Math.max(most, no), 0) + 1;
    const own = kept.counters.slice(0, inUse * C.COUNTERS_PER_PORT);
    const ended = kept.ended.slice(0, inUse * 2);
    const counters = this.words("counters", MAX_PORTS * theirs["COUNTERS_PER_PORT"]! * 2);
    const { cpus } = this.meta;
    const stripes = this.words("stripes", MAX_PORTS * cpus * theirs["STRIPE_WORDS"]! * 2);
    const ups = this.words("ups", MAX_PORTS * theirs["UP_WORDS"]! * 2);
    const striped = Object.keys(theirs).filter((name) => name.startsWith("S_") && name !== "S_SKIP");
    const ranges: Readonly<Record<string, number>> = {
      C_DROP_REASON: C.MAX_DROP_REASONS,
      C_FAULT: C.MAX_FAULTS,
      C_UNATTRIBUTED: C.MAX_CAUSES,
      C_UNATTRIBUTED_BYTES: C.MAX_CAUSES,
    };
    // Flows that are there, and frames that wait, are not sums.
    const plain = Object.keys(theirs).filter((name) => /^C_(?!FLOWS$|PENDING)/.test(name) && name in LAYOUT);
    for (const { no } of kept.ports()) {
      const base = no * C.COUNTERS_PER_PORT;
      for (const name of plain)
        for (let n = 0; n < (ranges[name] ?? 1); n++)
          own[base + LAYOUT[name]! + n]! += readCounter(
            counters,
            (no * theirs["COUNTERS_PER_PORT"]! + theirs[name]! + n) * 2,
          );
      for (const name of striped) {
        const counter = LAYOUT[`C_${name.slice(2)}`];
        if (counter === undefined) continue;
        for (let cpu = 0; cpu < cpus; cpu++)
          own[base + counter]! += readCounter(
            stripes,
            ((no * cpus + cpu) * theirs["STRIPE_WORDS"]! + theirs[name]!) * 2,
          );
      }
      // Frames that went up from there come back here.
      const up = (name: string): number => readCounter(ups, (no * theirs["UP_WORDS"]! + theirs[name]!) * 2);
      ended[no * 2]! -= up("UP_SENT") - up("UP_BACK");
      ended[no * 2 + 1]! -= up("UP_SENT_BYTES") - up("UP_BACK_BYTES");
    }
    const withoutFlow = [...rowsWithoutFlow(this.fd("without_flow"))];
    kept.counters.set(own);
    kept.ended.set(ended);
    for (const { port, vlan, packets, bytes, l3Bytes } of withoutFlow)
      kept.withoutFlow.add(port, vlan, packets, bytes, l3Bytes);
  }
}
