/** Reading the kernel datapath's counters: stripes summed, and what the process counted itself added. */
import * as C from "../../shm/counters.ts";
import { readCounter } from "../../shm/slots.ts";
import { allKeys, lookupElement } from "../../sys/bpf-maps.ts";
import type { Unattributed } from "../datapath.ts";
import {
  S_FORWARDED,
  S_FORWARDED_BYTES,
  S_RX_BYTES,
  S_RX_PACKETS,
  S_SAMPLE_POOL,
  S_TX_BYTES,
  S_TX_PACKETS,
  STRIPE_WORDS,
} from "./layout.ts";
import type { KernelMaps } from "./maps.ts";

/** Counter in the snapshot ← word of a stripe. What was received is read last, so that it is never below its parts. */
const STRIPED = [
  [C.C_TX_PACKETS, S_TX_PACKETS],
  [C.C_TX_BYTES, S_TX_BYTES],
  [C.C_FORWARDED, S_FORWARDED],
  [C.C_FORWARDED_BYTES, S_FORWARDED_BYTES],
  [C.C_SAMPLE_POOL, S_SAMPLE_POOL],
  [C.C_RX_PACKETS, S_RX_PACKETS],
  [C.C_RX_BYTES, S_RX_BYTES],
] as const;

/** Fill the counters of ports 1 ..< `ports` from the maps, and from `own`. */
export function readCounters(
  maps: KernelMaps,
  own: Float64Array,
  ports: number,
  pending: (port: number, which: 0 | 1) => number,
  out: C.CounterSnapshot,
): void {
  const { values } = out;
  for (let port = 1; port < ports; port++) {
    const base = port * C.COUNTERS_PER_PORT;
    for (let n = 0; n < C.COUNTERS_PER_PORT; n++)
      values[base + n] = readCounter(maps.counters, (base + n) * 2) + own[base + n]!;
    values[base + C.C_PENDING] = pending(port, 0);
    values[base + C.C_PENDING_BYTES] = pending(port, 1);
    for (const [counter, word] of STRIPED) {
      let sum = own[base + counter]!;
      for (let cpu = 0; cpu < maps.cpus; cpu++)
        sum += readCounter(maps.stripes, ((port * maps.cpus + cpu) * STRIPE_WORDS + word) * 2);
      values[base + counter] = sum;
    }
  }
}

const ROW_BYTES = 24;
const MAX_ROWS = 4096;

/** Rows of the program's table, added to what the process counted. */
export function readUnattributed(maps: KernelMaps, own: readonly Unattributed[]): Unattributed[] {
  const map = maps.object.map("without_flow");
  const rows = new Map<number, Unattributed>();
  const add = (row: Unattributed): void => {
    const at = (row.port << 16) | row.vlan;
    const known = rows.get(at);
    rows.set(at, {
      ...row,
      packets: row.packets + (known?.packets ?? 0),
      bytes: row.bytes + (known?.bytes ?? 0),
      l3Bytes: row.l3Bytes + (known?.l3Bytes ?? 0),
    });
  };
  own.forEach(add);
  for (const row of rowsWithoutFlow(map)) add(row);
  return [...rows.values()];
}

/** Rows of a program's table `without_flow`, each once, though the program adds some meanwhile. */
export function* rowsWithoutFlow(map: number): Generator<Unattributed> {
  const value = new BigUint64Array(ROW_BYTES / 8);
  const seen = new Set<number>();
  for (const key of allKeys(map, 4, MAX_ROWS * 2)) {
    const number = new Uint32Array(key.buffer)[0]!;
    if (seen.has(number) || !lookupElement(map, key, new Uint8Array(value.buffer))) continue;
    seen.add(number);
    const [packets, bytes, l3Bytes] = Array.from(value, Number) as [number, number, number];
    if (packets > 0) yield { port: number >>> 16, vlan: number & 0xffff, packets, bytes, l3Bytes };
  }
}
