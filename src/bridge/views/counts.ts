/** Port counters as named counts: zeros are left out. */
import { DROP_REASONS, UNATTRIBUTED_CAUSES } from "../../flow/disposition.ts";
import { FAULTS } from "../../flow/key.ts";
import * as C from "../../shm/counters.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";
import type { Counts, LostJson } from "./json.ts";

export function named(names: readonly string[], value: (n: number) => number): Counts {
  const found: Counts = {};
  names.forEach((name, n) => {
    const packets = value(n);
    if (packets > 0) found[name] = packets;
  });
  return found;
}

const REASONS = DROP_REASONS.map((reason) => reason.name);

export const drops = (counters: CounterSnapshot, port: number): Counts =>
  named(REASONS, (n) => counters.get(port, C.C_DROP_REASON + n));

export const malformed = (counters: CounterSnapshot, port: number): Counts =>
  named(FAULTS, (n) => (n === 0 ? 0 : counters.get(port, C.C_FAULT + n)));

export const unattributed = (counters: CounterSnapshot, port: number): Counts =>
  named(UNATTRIBUTED_CAUSES, (n) => counters.get(port, C.C_UNATTRIBUTED + n));

export function lost(counters: CounterSnapshot, port: number): LostJson {
  return {
    ring: counters.get(port, C.C_LOST_RING),
    nic: counters.get(port, C.C_LOST_NIC),
    tap: counters.get(port, C.C_LOST_TAP),
    qdisc: counters.get(port, C.C_LOST_QDISC),
  };
}

/** Add counts by name; `into` is changed and returned. */
export function addCounts(into: Counts, more: Counts): Counts {
  for (const [name, packets] of Object.entries(more)) into[name] = (into[name] ?? 0) + packets;
  return into;
}

export function addLost(into: LostJson, more: LostJson): LostJson {
  for (const where of ["ring", "nic", "tap", "qdisc"] as const) into[where] += more[where];
  return into;
}

export const noLost = (): LostJson => ({ ring: 0, nic: 0, tap: 0, qdisc: 0 });
