/**
 * Going on where a process ended that was killed, or that left on purpose: src/shm/README.md, "After a crash". The programs run
 * all the while.
 */
import { join } from "node:path";
import { Ledger } from "../../flow/ledger.ts";
import { COUNTS, portOf } from "../../flow/totals.ts";
import { claimDevice } from "../../ports/device/claim.ts";
import * as C from "../../shm/counters.ts";
import { REC_GEN, REC_PACKETS, REC_SLOT, REC_TOTALS, RecordCursor } from "../../shm/log.ts";
import {
  plainCounter,
  readCounter,
  SLOT_CREATED,
  SLOT_GEN,
  SLOT_RULE_GEN,
  SLOT_STATE,
  SLOT_WORDS,
  STATE_CLOSING,
  STATE_FREE,
  STATE_LIVE,
} from "../../shm/slots.ts";
import { gracePeriod } from "../../sys/bpf.ts";
import { deleteElement } from "../../sys/bpf-maps.ts";
import { unpin } from "../../sys/bpf-pins.ts";
import { findLink, setLink } from "../../sys/links.ts";
import { type LeftBehind, MAX_PORTS } from "../datapath.ts";
import {
  DIRECT_PORTS,
  P_FLAGS,
  P_RATE,
  PORT_WORDS,
  SET_AWAY_FLOODED,
  SET_AWAY_REFUSED,
  SET_OBSERVE,
} from "./layout.ts";
import type { KernelMaps } from "./maps.ts";
import type { KernelRules } from "./rules.ts";

const TRIES = 5;

/**
 * Put in order what an earlier process left, before anybody reads it. Undefined: nothing. Flows of maps that are replaced wait for
 * `settle` once the ports have their new programs.
 */
export function takeOver(maps: KernelMaps, rules: KernelRules, leaveUnattached: () => void): LeftBehind | undefined {
  const quiet = maps.old.map((old): LeftBehind["quiet"][number] => ({
    capacity: old.capacity,
    rules: old.rules,
    settle() {
      leaveUnattached();
      return old.settle(maps);
    },
    next: () => old.next,
    load: (slot, into, ledger) => old.load(slot, into, ledger),
    begin: (slot) => old.begin(slot),
    end: (slot) => old.end(slot),
    remove: () => old.remove(),
  }));
  if (maps.isTakenOver) return { ...goOn(maps, rules), quiet };
  const last = maps.old.at(-1);
  if (last === undefined) return undefined;
  rules.apply({ add: last.rules });
  const nextGen = last.rules.reduce((most, { gen }) => Math.max(most, gen), 0) + 1;
  return { ports: maps.kept.ports(), rules: last.rules, nextGen, away: last.away, quiet };
}

function goOn(maps: KernelMaps, rules: KernelRules): Omit<LeftBehind, "quiet"> {
  maps.kept.moves.repair();
  redoLedger(maps);
  const highest = repairSlots(maps);
  recountFlows(maps);
  const left = rules.adopt();
  const nextGen = left.reduce((most, { gen }) => Math.max(most, gen), highest) + 1;
  const { settings } = maps;
  const taken = (word: number): number => Atomics.exchange(settings, word, 0) >>> 0;
  const away = { flooded: taken(SET_AWAY_FLOODED), refused: taken(SET_AWAY_REFUSED) };
  return { ports: maps.kept.ports(), rules: left, nextGen, away };
}

/** A process that was killed between a record and its ledger row has not moved the row. */
function redoLedger({ kept, slots }: KernelMaps): void {
  const { log, recorded } = kept;
  if (log.head === 0) return;
  const { f64, u32, f, w } = log.at(log.head - 1, new RecordCursor());
  const slot = u32[w + REC_SLOT]!;
  if (slot >= slots.capacity || slots.u32[slot * SLOT_WORDS + SLOT_GEN] !== u32[w + REC_GEN]) return;
  if (slots.u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_FREE || isEmptied(slots.u32, slot)) return;
  const port = portOf(slots, slot);
  const ledger = new Ledger(slots, kept.ledger);
  for (let n = 0; n < COUNTS; n++) {
    if (ledger.get(slot, n) === f64[f + REC_TOTALS + n]) continue;
    ledger.set(slot, n, f64[f + REC_TOTALS + n]!);
    recorded[port * COUNTS + n]! += f64[f + REC_PACKETS + n]!;
  }
}

/** Its last record was made and it was zeroed: it was on its way into the ring. */
function isEmptied(u32: Uint32Array, slot: number): boolean {
  return plainCounter(u32, slot * SLOT_WORDS + SLOT_CREATED) === 0;
}

/**
 * Every slot is in the ring, or in use: those that were on their way back go back after a grace period (a program may just
 * have taken one); flows that were being closed live on, and end by their silence. Returns the highest generation of a rule
 * that a flow names.
 */
function repairSlots({ slots, free, kept }: KernelMaps): number {
  const { u32, i32, capacity } = slots;
  const ledger = new Ledger(slots, kept.ledger);
  const inRing = new Uint8Array(capacity);
  const head = free.head;
  for (let n = 0, size = free.size + ((free.head - head) | 0); n < size; n++) inRing[free.taken(head + n)] = 1;
  const lost: number[] = [];
  let highest = 0;
  for (let slot = 0; slot < capacity; slot++) {
    if (inRing[slot] === 1) continue;
    const at = slot * SLOT_WORDS;
    const state = Atomics.load(i32, at + SLOT_STATE);
    if (state === STATE_FREE) lost.push(slot);
    else if (state === STATE_CLOSING && isEmptied(u32, slot)) {
      ledger.clear(slot);
      Atomics.store(i32, at + SLOT_STATE, STATE_FREE);
      lost.push(slot);
    } else {
      // Unlinked already or not: its key may lead to a newer flow by now. Both counts stay exact.
      if (state === STATE_CLOSING) Atomics.store(i32, at + SLOT_STATE, STATE_LIVE);
      if (u32[at + SLOT_RULE_GEN]! > highest) highest = u32[at + SLOT_RULE_GEN]!;
    }
  }
  if (lost.length === 0) return highest;
  gracePeriod();
  for (const slot of lost) {
    if (Atomics.load(i32, slot * SLOT_WORDS + SLOT_STATE) !== STATE_FREE) continue;
    ledger.clear(slot);
    free.push(slot);
  }
  return highest;
}

/** Flows by port: a flow that was being closed may be counted or not. Programs make flows meanwhile; then it is done again. */
function recountFlows({ slots, counters }: KernelMaps): void {
  const made = (): number => {
    let sum = 0;
    for (let port = 0; port < MAX_PORTS; port++)
      sum += readCounter(counters, (port * C.COUNTERS_PER_PORT + C.C_FLOWS_CREATED) * 2);
    return sum;
  };
  for (let tries = 0; tries < TRIES; tries++) {
    const before = made();
    const live = new Int32Array(MAX_PORTS);
    for (let slot = 0; slot < slots.capacity; slot++)
      if (slots.u32[slot * SLOT_WORDS + SLOT_STATE] === STATE_LIVE) live[portOf(slots, slot)]!++;
    const off = live.map((count, port) => count - counters[(port * C.COUNTERS_PER_PORT + C.C_FLOWS) * 2]!);
    if (made() !== before && tries < TRIES - 1) continue;
    off.forEach((count, port) => {
      if (count !== 0) Atomics.add(counters, (port * C.COUNTERS_PER_PORT + C.C_FLOWS) * 2, count);
    });
    return;
  }
}

/** A port of an earlier process that is not wanted any more: its device goes back to the host. */
export function leavePort(maps: KernelMaps, links: string, no: number): void {
  const port = maps.kept.ports().find((one) => one.no === no);
  maps.ports[(no * PORT_WORDS + P_FLAGS) * 2] = 0;
  maps.ports[(no * PORT_WORDS + P_RATE) * 2] = 0;
  for (const way of ["in", "out"]) unpin(join(links, `${no}-${way}`));
  if (port === undefined || port.ifIndex === 0) return;
  unmarkDevice(maps, port.ifIndex, no);
  maps.kept.setDevice(no, 0, "");
  giveBack(port.ifIndex, maps.settings[SET_OBSERVE] === 1);
}

/** The program takes frames of this device for nobody's. */
export function unmarkDevice(maps: KernelMaps, ifIndex: number, no: number): void {
  if (ifIndex >= DIRECT_PORTS)
    deleteElement(maps.object.map("port_of"), new Uint8Array(Uint32Array.of(ifIndex).buffer));
  else Atomics.compareExchange(maps.directPorts, ifIndex * 2, no, 0);
}

/** What a port changed about its device, put back. One that is gone took it along; who only looked on changed nothing. */
export function giveBack(ifIndex: number, isObserved: boolean): void {
  const link = findLink(ifIndex);
  if (link === undefined || isObserved) return;
  setLink(link, { promiscuous: false });
  claimDevice(link)?.release();
}
