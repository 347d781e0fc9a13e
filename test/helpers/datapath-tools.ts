/** Reading a datapath in tests: its flows, its samples, its counters, and whether they add up. */
import assert from "node:assert/strict";
import { MAX_PORTS, type Datapath, type RuleChange } from "../../src/datapath/datapath.ts";
import * as C from "../../src/shm/counters.ts";
import { readSample, type Sample } from "../../src/shm/samples.ts";
import {
  plainCounter,
  SLOT_BYTES_COUNT,
  SLOT_DROPPED_PACKETS,
  SLOT_KEY,
  SLOT_L3_BYTES,
  SLOT_PACKETS,
  SLOT_REASON,
  SLOT_STATE,
  SLOT_TCP_FLAGS,
  SLOT_WORDS,
  STATE_FREE,
} from "../../src/shm/slots.ts";

export interface FlowCounts {
  readonly packets: number;
  readonly bytes: number;
  readonly l3Bytes: number;
  readonly droppedPackets: number;
  readonly reason: number;
  readonly tcpFlags: number;
}

/** Counts of every flow that is not free, of one port or of all. */
export function flows({ slots: { u32, capacity } }: Datapath, port?: number): FlowCounts[] {
  const found: FlowCounts[] = [];
  for (let at = 0; at < capacity * SLOT_WORDS; at += SLOT_WORDS) {
    if (u32[at + SLOT_STATE] === STATE_FREE) continue;
    if (port !== undefined && u32[at + SLOT_KEY]! >>> 16 !== port) continue;
    found.push({
      packets: plainCounter(u32, at + SLOT_PACKETS),
      bytes: plainCounter(u32, at + SLOT_BYTES_COUNT),
      l3Bytes: plainCounter(u32, at + SLOT_L3_BYTES),
      droppedPackets: plainCounter(u32, at + SLOT_DROPPED_PACKETS),
      reason: u32[at + SLOT_REASON]!,
      tcpFlags: u32[at + SLOT_TCP_FLAGS]!,
    });
  }
  return found;
}

/** Empty a ring of samples or notices. */
export function samplesOf(ring: Datapath["samples"]): Sample[] {
  const samples: Sample[] = [];
  for (let at = ring.peek(); at >= 0; at = ring.peek()) {
    samples.push(readSample(ring, at));
    ring.release();
  }
  return samples;
}

export interface Tools {
  program(change: RuleChange): void;
  counter(port: number, counter: number): number;
  /** [port, VLAN, packets], sorted. */
  unattributed(): [number, number, number][];
  /** rx = Σ dispositions + pending, and Σ live flows + unattributed + pending = rx, for a port whose flows still live. */
  conserved(port: number): void;
}

export function toolsFor(datapath: Datapath): Tools {
  const snapshot = new C.CounterSnapshot(MAX_PORTS);
  const counter = (port: number, which: number): number => datapath.counters(snapshot).get(port, which);
  return {
    counter,
    program: (change) => void datapath.program(change),
    unattributed: () =>
      datapath
        .unattributed()
        .map((row): [number, number, number] => [row.port, row.vlan, row.packets])
        .toSorted((a, b) => a[0] - b[0] || a[1] - b[1]),
    conserved(port) {
      const rx = counter(port, C.C_RX_PACKETS);
      const parts = [C.C_FORWARDED, C.C_DROPPED, C.C_CONSUMED, C.C_OBSERVED, C.C_PENDING];
      const settled = parts.reduce((sum, which) => sum + snapshot.get(port, which), 0);
      assert.equal(settled, rx, "rx = Σ dispositions");
      const inFlows = flows(datapath, port).reduce((sum, flow) => sum + flow.packets, 0);
      const without = snapshot.sum(port, C.C_UNATTRIBUTED, C.MAX_CAUSES);
      assert.equal(inFlows + without + snapshot.get(port, C.C_PENDING), rx, "Σ flows + unattributed = rx");
      const reasons = snapshot.sum(port, C.C_DROP_REASON, C.MAX_DROP_REASONS);
      assert.equal(reasons, snapshot.get(port, C.C_DROPPED), "Σ reasons = dropped");
    },
  };
}
