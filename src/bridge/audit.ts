/**
 * Does every frame that came in stand in the books just once? Read in this order: port counters (R1), flows (S), port
 * counters again (R2). Frames keep arriving meanwhile, so S lies between them:
 *
 *   received − unattributed − waiting, at R1   ≤   in records + in the table   ≤   the same, at R2
 *   received, at R1                            ≤   Σ dispositions + waiting, at R2   ≤   received, at R2
 *
 * and where R1 = R2 all are equalities. Dispositions lag behind where a datapath's programs count a frame when it comes
 * and again when it is decided (the kernel's, on each processor); one that commits its counters whole is always equal.
 */
import { DROP_REASONS, UNATTRIBUTED_CAUSES } from "../flow/disposition.ts";
import type { Sweeper } from "../flow/sweep.ts";
import { COUNT_PACKETS, PortTotals } from "../flow/totals.ts";
import * as C from "../shm/counters.ts";
import type { CounterSnapshot } from "../shm/counters.ts";

export interface Audit {
  readonly ok: boolean;
  /** Nothing arrived while it was read: the sums are equal, not only within the frames in flight. */
  readonly exact: boolean;
  readonly rx: number;
  /** Frames that arrived while it was read. */
  readonly inFlight: number;
  readonly forwarded: number;
  readonly dropped: number;
  /** Dropped packets by reason, without zeros. */
  readonly drops: Readonly<Record<string, number>>;
  readonly consumed: number;
  readonly observed: number;
  /** Received, waiting for a rule. */
  readonly pending: number;
  readonly dispositionsOk: boolean;
  readonly inRecords: number;
  readonly inTable: number;
  readonly unattributed: number;
  readonly causes: Readonly<Record<string, number>>;
  readonly flowsOk: boolean;
  /** Outside the sum. */
  readonly lost: { readonly ring: number; readonly nic: number; readonly tap: number; readonly qdisc: number };
  /** Ports whose own sum does not hold. */
  readonly failing: readonly { readonly port: number; readonly term: "dispositions" | "flows"; readonly off: number }[];
}

export interface AuditSource {
  counters(out: CounterSnapshot): CounterSnapshot;
  readonly sweeper: Pick<Sweeper, "recorded" | "table" | "unrecorded">;
  readonly ports: number;
}

/**
 * A batch in the datapath's hands has touched flows and not yet committed its counters: look again so often, leaving the
 * processor to it for a millisecond in between.
 */
const PATIENCE = 250;
/** A frame between its two counts is done in a microsecond: so often it is asked for a moment without one. */
const PATIENCE_FOR_WHOLE = 8;
const clock = new Int32Array(new SharedArrayBuffer(4));

/** At once: replay, tests, a small table. */
export function audit(source: AuditSource): Audit {
  const before = source.counters(new C.CounterSnapshot(source.ports));
  return compare(source, before, source.sweeper.table(new PortTotals(source.ports), true));
}

/** The same while the switch goes on between slices: more frames are in flight. */
export async function auditInSlices(source: AuditSource, breathe: () => Promise<void>): Promise<Audit> {
  const { sweeper, ports } = source;
  const before = source.counters(new C.CounterSnapshot(ports));
  const recorded = sweeper.recorded.total(COUNT_PACKETS);
  const unrecorded = await sweeper.unrecorded(new PortTotals(ports), breathe);
  // Flows were ended by order meanwhile, and may stand in both.
  if (sweeper.recorded.total(COUNT_PACKETS) !== recorded) return audit(source);
  return compare(source, before, unrecorded);
}

function compare(source: AuditSource, before: CounterSnapshot, unrecorded: PortTotals): Audit {
  const { ports, sweeper } = source;
  const after = new C.CounterSnapshot(ports);
  const flows = (port: number): number =>
    sweeper.recorded.get(port, COUNT_PACKETS) + unrecorded.get(port, COUNT_PACKETS);
  const arrived = (port: number): number => after.get(port, C.C_RX_PACKETS) - before.get(port, C.C_RX_PACKETS);
  const undecided = (port: number): number => after.get(port, C.C_RX_PACKETS) - dispositions(after, port);
  const fits = (tries: number): boolean => {
    for (let port = 0; port < ports; port++) {
      if (flows(port) > attributed(after, port)) return false;
      if (tries < PATIENCE_FOR_WHOLE ? undecided(port) !== 0 : undecided(port) > arrived(port)) return false;
    }
    return true;
  };
  source.counters(after);
  for (let tries = 0; tries < PATIENCE && !fits(tries); tries++) {
    Atomics.wait(clock, 0, 0, 1);
    source.counters(after);
  }

  const failing: { port: number; term: "dispositions" | "flows"; off: number }[] = [];
  for (let port = 0; port < ports; port++) {
    const off = undecided(port);
    if (off < 0 || off > arrived(port)) failing.push({ port, term: "dispositions", off });
    const low = attributed(before, port) - flows(port);
    const high = flows(port) - attributed(after, port);
    if (low > 0) failing.push({ port, term: "flows", off: low });
    else if (high > 0) failing.push({ port, term: "flows", off: -high });
  }
  const total = (counter: number): number => sum(ports, (port) => after.get(port, counter));
  const rx = total(C.C_RX_PACKETS);
  const inFlight = rx - sum(ports, (port) => before.get(port, C.C_RX_PACKETS));
  const dispositionsOk = !failing.some((one) => one.term === "dispositions");
  const flowsOk = !failing.some((one) => one.term === "flows");
  const attributedBefore = sum(ports, (port) => attributed(before, port));
  const attributedAfter = sum(ports, (port) => attributed(after, port));
  return {
    ok: dispositionsOk && flowsOk,
    exact: inFlight === 0 && attributedBefore === attributedAfter,
    rx,
    inFlight,
    forwarded: total(C.C_FORWARDED),
    dropped: total(C.C_DROPPED),
    drops: named(
      DROP_REASONS.map((reason) => reason.name),
      (n) => total(C.C_DROP_REASON + n),
    ),
    consumed: total(C.C_CONSUMED),
    observed: total(C.C_OBSERVED),
    pending: total(C.C_PENDING),
    dispositionsOk,
    inRecords: sum(ports, (port) => sweeper.recorded.get(port, COUNT_PACKETS)),
    inTable: sum(ports, (port) => unrecorded.get(port, COUNT_PACKETS)),
    unattributed: sum(ports, (port) => unattributed(after, port)),
    causes: named(UNATTRIBUTED_CAUSES, (n) => total(C.C_UNATTRIBUTED + n)),
    flowsOk,
    lost: {
      ring: total(C.C_LOST_RING),
      nic: total(C.C_LOST_NIC),
      tap: total(C.C_LOST_TAP),
      qdisc: total(C.C_LOST_QDISC),
    },
    failing,
  };
}

function dispositions(snapshot: CounterSnapshot, port: number): number {
  const get = (counter: number): number => snapshot.get(port, counter);
  return get(C.C_FORWARDED) + get(C.C_DROPPED) + get(C.C_CONSUMED) + get(C.C_OBSERVED) + get(C.C_PENDING);
}

function unattributed(snapshot: CounterSnapshot, port: number): number {
  return snapshot.sum(port, C.C_UNATTRIBUTED, C.MAX_CAUSES);
}

/** Frames of a port that must stand in flows. */
function attributed(snapshot: CounterSnapshot, port: number): number {
  return snapshot.get(port, C.C_RX_PACKETS) - snapshot.get(port, C.C_PENDING) - unattributed(snapshot, port);
}

function sum(ports: number, of: (port: number) => number): number {
  let total = 0;
  for (let port = 0; port < ports; port++) total += of(port);
  return total;
}

function named(names: readonly string[], value: (n: number) => number): Record<string, number> {
  const found: Record<string, number> = {};
  names.forEach((name, n) => {
    const count = value(n);
    if (count !== 0) found[name] = count;
  });
  return found;
}
