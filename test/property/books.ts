/**
 * The books of a bridge, held against each other: every frame that came in stands once in the counters, once in a flow
 * or among those without one, and once in the log or in what no record has said yet. Reads memory, trusts no sum.
 */
import assert from "node:assert/strict";
import type { Bridge } from "../../src/bridge/bridge.ts";
import { MAX_PORTS, type Datapath } from "../../src/datapath/datapath.ts";
import { COUNT_BYTES, COUNT_PACKETS, PortTotals } from "../../src/flow/totals.ts";
import * as C from "../../src/shm/counters.ts";
import { RecordCursor } from "../../src/shm/log.ts";
import * as S from "../../src/shm/slots.ts";

/** Sums of one port. */
interface Sums {
  packets: number;
  bytes: number;
  droppedPackets: number;
}

const zero = (): Sums => ({ packets: 0, bytes: 0, droppedPackets: 0 });

export class Books {
  readonly snapshot = new C.CounterSnapshot(MAX_PORTS);
  private readonly bridge: Bridge;
  private readonly datapath: Datapath;
  private readonly logged = new Map<number, Sums>();
  private readonly cursor = new RecordCursor();
  private readonly totals = new PortTotals(MAX_PORTS);
  private read = 0;

  constructor(bridge: Bridge) {
    this.bridge = bridge;
    this.datapath = bridge.datapath;
  }

  /** Read what the log has got since: call it often enough that the log does not overrun. */
  readLog(): void {
    const { log } = this.bridge;
    assert.ok(log.oldest <= this.read, "the log is larger than what one step writes");
    for (; this.read < log.head; this.read++) {
      const record = log.at(this.read, this.cursor);
      const port = record.key(0) >>> 16;
      const sums = this.logged.get(port) ?? zero();
      this.logged.set(port, sums);
      assert.ok(record.packets >= 0 && record.bytes >= 0 && record.l3Bytes >= 0, "a record counts upwards");
      assert.ok(record.droppedPackets <= record.packets, "no more refused than came");
      assert.ok(record.firstMs <= record.lastMs, "an interval begins before it ends");
      sums.packets += record.packets;
      sums.bytes += record.bytes;
      sums.droppedPackets += record.droppedPackets;
    }
  }

  /** Flows that are in the table or on their way out of it, by port. */
  private inSlots(): Map<number, Sums & { flows: number }> {
    const { u32, capacity } = this.datapath.slots;
    const found = new Map<number, Sums & { flows: number }>();
    let used = 0;
    for (let at = 0; at < capacity * S.SLOT_WORDS; at += S.SLOT_WORDS) {
      if (u32[at + S.SLOT_STATE] === S.STATE_FREE) continue;
      used++;
      const port = u32[at + S.SLOT_KEY]! >>> 16;
      const sums = found.get(port) ?? { ...zero(), flows: 0 };
      found.set(port, sums);
      sums.flows++;
      sums.packets += S.plainCounter(u32, at + S.SLOT_PACKETS);
      sums.bytes += S.plainCounter(u32, at + S.SLOT_BYTES_COUNT);
      sums.droppedPackets += S.plainCounter(u32, at + S.SLOT_DROPPED_PACKETS);
      const l3 = S.plainCounter(u32, at + S.SLOT_L3_BYTES);
      assert.ok(l3 >= 0 && l3 < 2 ** 48, `l3Bytes of a flow is ${l3}`);
    }
    assert.equal(used + this.datapath.free.size, capacity, "each slot is used or free");
    return found;
  }

  /** All of it, exactly, for the ports given; nothing may be arriving. Returns the snapshot it read. */
  check(ports: Iterable<number>): C.CounterSnapshot {
    this.readLog();
    const { bridge, snapshot } = this;
    this.datapath.counters(snapshot);
    const slots = this.inSlots();
    const rows = this.datapath.unattributed();
    bridge.sweeper.table(this.totals, true);
    for (const port of ports) {
      const get = (counter: number): number => snapshot.get(port, counter);
      const about = (what: string): string => `port ${port}: ${what}`;
      for (const [n, unit] of ["packets", "bytes"].entries()) {
        const parts = [C.C_FORWARDED, C.C_DROPPED, C.C_CONSUMED, C.C_OBSERVED, C.C_PENDING];
        const settled = parts.reduce((sum, part) => sum + get(part + n), 0);
        assert.equal(settled, get(C.C_RX_PACKETS + n), about(`Σ dispositions + pending = rx, ${unit}`));
      }
      const reasons = snapshot.sum(port, C.C_DROP_REASON, C.MAX_DROP_REASONS);
      assert.equal(reasons, get(C.C_DROPPED), about("Σ reasons = dropped"));

      const live = slots.get(port) ?? { ...zero(), flows: 0 };
      const { retired, recorded } = bridge.sweeper;
      const without = snapshot.sum(port, C.C_UNATTRIBUTED, C.MAX_CAUSES);
      const withoutBytes = snapshot.sum(port, C.C_UNATTRIBUTED_BYTES, C.MAX_CAUSES);
      const inFlows = live.packets + retired.get(port, COUNT_PACKETS);
      const bytesInFlows = live.bytes + retired.get(port, COUNT_BYTES);
      assert.equal(inFlows + without + get(C.C_PENDING), get(C.C_RX_PACKETS), about("Σ flows + unattributed = rx"));
      assert.equal(bytesInFlows + withoutBytes + get(C.C_PENDING_BYTES), get(C.C_RX_BYTES), about("… in bytes"));
      const mine = rows.filter((row) => row.port === port);
      assert.equal(sum(mine, "packets"), without, about("unattributed by VLAN = by cause"));
      assert.equal(sum(mine, "bytes"), withoutBytes, about("… in bytes"));

      const log = this.logged.get(port) ?? zero();
      assert.equal(log.packets, recorded.get(port, COUNT_PACKETS), about("Σ log = recorded"));
      assert.equal(log.bytes, recorded.get(port, COUNT_BYTES), about("… in bytes"));
      const unrecorded = this.totals.get(port, COUNT_PACKETS);
      assert.equal(log.packets + unrecorded, inFlows, about("Σ records + not yet recorded = Σ flows"));
      assert.equal(log.bytes + this.totals.get(port, COUNT_BYTES), bytesInFlows, about("… in bytes"));
    }
    const audit = bridge.audit();
    assert.ok(audit.ok && audit.exact, `audit: ${JSON.stringify(audit.failing)}`);
    return snapshot;
  }

  /** After `stop`: everything is in the log, every slot is back. */
  checkEnd(ports: Iterable<number>): void {
    const all = [...ports];
    const snapshot = this.check(all);
    assert.equal(this.datapath.free.size, this.datapath.slots.capacity, "every slot is back in the ring");
    for (const port of all) {
      const log = this.logged.get(port) ?? zero();
      const without = snapshot.sum(port, C.C_UNATTRIBUTED, C.MAX_CAUSES);
      assert.equal(snapshot.get(port, C.C_PENDING), 0, `port ${port}: no frame waits`);
      assert.equal(snapshot.get(port, C.C_FLOWS), 0, `port ${port}: no flow is counted`);
      assert.equal(
        log.packets + without,
        snapshot.get(port, C.C_RX_PACKETS),
        `port ${port}: Σ log + unattributed = rx`,
      );
    }
  }
}

function sum<Key extends string>(rows: readonly Readonly<Record<Key, number>>[], key: Key): number {
  return rows.reduce((total, row) => total + row[key], 0);
}
