/** A process that is killed: whatever it had written down by then, collectors get every record once. */
import assert from "node:assert/strict";
import test from "node:test";
import ipfix from "../../exporters/ipfix/index.ts";
import netflowV5 from "../../exporters/netflow-v5/index.ts";
import netflowV9 from "../../exporters/netflow-v9/index.ts";
import { FakeSender } from "../../test/helpers/fake-sender.ts";
import { RecordCollector } from "../../test/helpers/record-collector.ts";
import { appendRecord, TEST_BOOT_MS } from "../../test/helpers/records.ts";
import type { Cursor } from "../shm/cursors.ts";
import { RecordLog } from "../shm/log.ts";
import type { ExporterType, Moment, PortInfo } from "./exporter.ts";
import { Hub } from "./hub.ts";

const at = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

/** What outlives a process, and how many datagrams had left when it stood so. */
interface Kept {
  readonly cursor: Cursor | undefined;
  readonly sequence: unknown;
  readonly left: number;
}

/** A process with this log that finds `before`; every state that it leaves behind on its way is in `states`. */
function live(type: ExporterType, log: RecordLog, before?: Kept) {
  const sender = new FakeSender();
  const states: Kept[] = [];
  const ports: PortInfo[] = [];
  let now: Kept = before ?? { cursor: undefined, sequence: undefined, left: 0 };
  const keep = (more: Partial<Kept>): void => void states.push((now = { ...now, ...more, left: sender.sent.length }));
  const hub = new Hub({
    state: { get: () => now.sequence, set: (_name, value) => keep({ sequence: value }) },
    port: () => undefined,
    ports: () => ports,
    agentAddress: "192.0.2.1",
    log: () => {},
    now: () => 5000,
    sender: () => sender,
  });
  const cursors = { read: () => now.cursor, write: (_name: string, cursor: Cursor) => keep({ cursor }) };
  hub.addBridge({ name: "b", log, cursors });
  const options = type.schema.parse({});
  hub.addExporter({ name: "nf", type: "nf", collectors: ["192.0.2.9"], bridges: [], options }, type);
  return { hub, sender, states, ports };
}

for (const [name, type] of Object.entries({ "NetFlow v5": netflowV5, "NetFlow v9": netflowV9, IPFIX: ipfix }))
  test(`${name}: killed at any moment: each record reaches the collector, and none under two sequences`, () => {
    const log = RecordLog.create(1024);
    let packets = 0;
    const first = live(type, log);
    for (let round = 0; round < 12; round++) {
      // What is said of ports goes between the records.
      if (round % 3 === 1)
        first.ports.push({ no: round, name: `p${round}`, bridge: "b", ifIndex: 100 + round, speed: 0, up: true });
      for (let n = 0; n <= round % 4; n++) {
        appendRecord(log, { packets: ++packets });
        first.hub.pump(at(round * 1000));
      }
      first.hub.tick(at(round * 1000 + 600));
    }
    const total = (packets * (packets + 1)) / 2;
    assert.ok(first.states.length > 30 && first.sender.sent.length >= 12);
    first.states.forEach((state, n) => {
      // Datagrams that left while it stood so are with the collector, or not yet.
      const upTo = first.states[n + 1]?.left ?? first.sender.sent.length;
      for (let left = state.left; left <= upTo; left++) {
        const next = live(type, log, state);
        next.ports.push(...first.ports);
        next.hub.pump(at(20_000));
        next.hub.tick(at(21_000));
        const collector = new RecordCollector();
        for (const datagram of [...first.sender.sent.slice(0, left), ...next.sender.sent]) collector.take(datagram);
        assert.equal(collector.packets(), total, JSON.stringify({ state, left }));
      }
    });
  });
