/** NetFlow v5 through the hub and real UDP sockets into real collectors: equal sums, no sequence error, sane dates. */
import assert from "node:assert/strict";
import { setTimeout as sleep } from "node:timers/promises";
import test from "node:test";
import type { TestContext } from "node:test";
import netflowV5 from "../../exporters/netflow-v5/index.ts";
import { RecordLog } from "../../src/shm/log.ts";
import type { Moment } from "../../src/telemetry/exporter.ts";
import type { Hub } from "../../src/telemetry/hub.ts";
import { freePort, startNfacctd, startNfcapd } from "../helpers/collectors.ts";
import { openHub } from "../helpers/hub.ts";
import { needs } from "../helpers/needs.ts";
import { appendRecord, TEST_BOOT_MS } from "../helpers/records.ts";
import type { TestFlow } from "../helpers/records.ts";

interface Running {
  readonly hub: Hub;
  readonly log: RecordLog;
}

/** A hub with a pace, as replay may have it. */
function startHub(t: TestContext, collectors: readonly string[], options: object = {}, pace = 2000): Running {
  const hub = openHub(t, pace);
  const log = RecordLog.create(4096);
  hub.addExporter(
    { name: "nf", type: "netflow-v5", collectors, bridges: [], options: netflowV5.schema.parse(options) },
    netflowV5,
  );
  hub.addBridge({ name: "b", log });
  return { hub, log };
}

/** Append as a sweeper would: a slice, pump, wait for room, the next slice. */
async function run({ hub, log }: Running, flows: Iterable<TestFlow>, now: (flow: TestFlow) => Moment): Promise<void> {
  let last: Moment = { uptimeMs: 0, unixMs: TEST_BOOT_MS };
  let slice = 0;
  for (const flow of flows) {
    appendRecord(log, flow);
    last = now(flow);
    if (++slice % 1000 === 0) while (hub.pump(last) > 0) await hub.writable();
  }
  assert.ok(await hub.flush(last), "everything left");
}

const at = (uptimeMs: number): Moment => ({ uptimeMs, unixMs: TEST_BOOT_MS + uptimeMs });

/** Records of all kinds, IPv6 and ARP among them; deterministic. */
function* mixture(count: number): Generator<TestFlow> {
  let seed = 12345;
  const random = (below: number): number => {
    seed = (Math.imul(seed, 1103515245) + 12345) >>> 0;
    return (seed >>> 8) % below;
  };
  for (let n = 0; n < count; n++) {
    const packets = 1 + random(1000);
    const proto = [6, 17, 1, 132][random(4)]!;
    yield {
      version: n % 50 === 0 ? 6 : n % 77 === 0 ? 0 : 4,
      src: 0x0a000000 + random(4096),
      dst: 0xc0000200 + random(250),
      proto,
      tos: random(256),
      tcpFlags: proto === 6 ? random(256) : 0,
      l4: proto === 1 ? [8, 0] : [1024 + random(60_000), 443],
      packets,
      l3Bytes: packets * (46 + random(1454)),
      firstMs: 1000 + n * 2,
      lastMs: 1000 + n * 2 + random(60_000),
      input: 20001 + random(100),
      output: 20101 + random(100),
    };
  }
}

function sums(flows: Iterable<TestFlow>): { flows: number; packets: number; bytes: number } {
  const total = { flows: 0, packets: 0, bytes: 0 };
  for (const flow of flows) {
    if (flow.version !== 4) continue;
    total.flows++;
    total.packets += flow.packets!;
    total.bytes += flow.l3Bytes!;
  }
  return total;
}

test("nfcapd and nfacctd together get 20,000 records, exactly", { timeout: 60_000 }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump", "nfacctd")) return;
  const nfcapd = await startNfcapd(t);
  const nfacctd = await startNfacctd(t);
  const running = startHub(t, [`127.0.0.1:${nfcapd.port}`, `localhost:${nfacctd.port}`], { engineId: 7 });
  await run(running, mixture(20_000), (flow) => at(flow.lastMs! + 1000));
  const expected = sums(mixture(20_000));

  const first = await nfcapd.finish();
  const { flows, packets, bytes, sequenceErrors, badPackets } = first;
  assert.deepEqual({ flows, packets, bytes }, expected);
  assert.deepEqual({ sequenceErrors, badPackets }, { sequenceErrors: 0, badPackets: 0 });
  assert.equal(first.records.length, expected.flows);
  assert.equal(first.records[0]!.engine, "0/7");
  assert.ok(Math.abs(first.firstMs! - (TEST_BOOT_MS + 1002)) < 100, new Date(first.firstMs!).toISOString());
  assert.ok(first.lastMs! <= TEST_BOOT_MS + 1000 + 40_000 + 60_000);

  const second = await nfacctd.finish();
  assert.deepEqual({ packets: second.packets, bytes: second.bytes }, { packets, bytes });
  assert.deepEqual(second.complaints, []);

  const [view] = running.hub.exporters();
  assert.equal(view!.records, expected.flows);
  assert.equal(view!.sendErrors, 0);
  assert.equal(view!.pendingPackets, 0);
  assert.equal(view!.lostRecords, 0);
});

test("nfcapd reads each field as it was", { timeout: 30_000 }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump")) return;
  const nfcapd = await startNfcapd(t);
  const flows = [...mixture(200)].filter((flow) => flow.version === 4);
  await run(startHub(t, [`127.0.0.1:${nfcapd.port}`]), flows, (flow) => at(flow.lastMs! + 1000));
  const { records } = await nfcapd.finish();
  const dotted = (address: number): string => [24, 16, 8, 0].map((shift) => (address >>> shift) & 0xff).join(".");
  assert.deepEqual(
    records.map(({ flags: _flags, engine: _engine, ...record }) => record),
    flows.map((flow) => ({
      src: dotted(flow.src!),
      dst: dotted(flow.dst!),
      srcPort: flow.proto === 1 ? 0 : flow.l4![0],
      dstPort: flow.proto === 1 ? 0x0800 : flow.l4![1],
      proto: flow.proto,
      tos: flow.tos,
      packets: flow.packets,
      bytes: flow.l3Bytes,
      input: flow.input,
      output: flow.output,
      firstMs: TEST_BOOT_MS + flow.firstMs!,
      lastMs: TEST_BOOT_MS + flow.lastMs!,
    })),
  );
});

test("a flow of 2^33 bytes, and one of 2^41, sum exactly", { timeout: 30_000 }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump", "nfacctd")) return;
  const nfcapd = await startNfcapd(t);
  const nfacctd = await startNfacctd(t);
  const running = startHub(t, [`127.0.0.1:${nfcapd.port}`, `127.0.0.1:${nfacctd.port}`]);
  const flows = [
    { packets: 5_726_623, l3Bytes: 2 ** 33, firstMs: 1000, lastMs: 9000 },
    { packets: 2 ** 31 + 1, l3Bytes: 2 ** 41 + 12_345, firstMs: 1000, lastMs: 9000 },
  ];
  await run(running, flows, () => at(10_000));
  const expected = { packets: 5_726_623 + 2 ** 31 + 1, bytes: 2 ** 33 + 2 ** 41 + 12_345 };
  const { packets, bytes, sequenceErrors } = await nfcapd.finish();
  assert.deepEqual({ packets, bytes, sequenceErrors }, { ...expected, sequenceErrors: 0 });
  const accounted = await nfacctd.finish();
  assert.deepEqual({ packets: accounted.packets, bytes: accounted.bytes }, expected);
});

test("across the wrap of SysUptime nfcapd's dates stay within 1 s", { timeout: 30_000 }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump")) return;
  const nfcapd = await startNfcapd(t);
  const wrap = 2 ** 32;
  const flows = Array.from({ length: 300 }, (_, n) => ({
    src: n,
    firstMs: wrap - 5000 + n * 40 - 3000,
    lastMs: wrap - 5000 + n * 40,
  }));
  await run(startHub(t, [`127.0.0.1:${nfcapd.port}`]), flows, (flow) => at(flow.lastMs! + 100));
  const { records, sequenceErrors } = await nfcapd.finish();
  assert.equal(sequenceErrors, 0);
  records.forEach((record, n) => {
    assert.ok(Math.abs(record.firstMs - (TEST_BOOT_MS + flows[n]!.firstMs)) < 1000, `first of ${n}`);
    assert.ok(Math.abs(record.lastMs - (TEST_BOOT_MS + flows[n]!.lastMs)) < 1000, `last of ${n}`);
  });
});

test("over IPv6", { timeout: 30_000 }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump")) return;
  const nfcapd = await startNfcapd(t, { ipv6: true });
  await run(startHub(t, [`[::1]:${nfcapd.port}`], { source: "::1" }), mixture(500), (flow) => at(flow.lastMs!));
  const { flows, packets, bytes, sequenceErrors } = await nfcapd.finish();
  assert.deepEqual({ flows, packets, bytes, sequenceErrors }, { ...sums(mixture(500)), sequenceErrors: 0 });
});

test("one collector down: its send errors are counted, the other gets everything", { timeout: 30_000 }, async (t) => {
  if (!needs(t, "nfcapd", "nfdump")) return;
  const nfcapd = await startNfcapd(t);
  const down = await freePort();
  const running = startHub(t, [`127.0.0.1:${down}`, `127.0.0.1:${nfcapd.port}`]);
  await run(running, mixture(3000), (flow) => at(flow.lastMs!));
  await sleep(50);
  const [view] = running.hub.exporters();
  const [refused, served] = view!.collectors;
  assert.equal(view!.state, "REFUSED");
  assert.ok(refused!.sendErrors > 0 && refused!.lastError!.includes("ECONNREFUSED"), JSON.stringify(refused));
  assert.equal(served!.sendErrors, 0);
  const { flows, packets, bytes, sequenceErrors } = await nfcapd.finish();
  assert.deepEqual({ flows, packets, bytes, sequenceErrors }, { ...sums(mixture(3000)), sequenceErrors: 0 });
});
