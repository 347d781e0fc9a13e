/** Counter samples: when each source is told, and what of it. */
import assert from "node:assert/strict";
import test from "node:test";
import { dropReason } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import { moment, PORTS, sampleBench } from "../../test/helpers/samples.ts";
import { counters, poll } from "../../test/helpers/sflow-bench.ts";
import type { CounterSample } from "../sflow-decoder/decode.ts";
import sflow from "./index.ts";

test("counters: each source once an interval, spread over it", () => {
  const ports = Array.from({ length: 60 }, (_, n) => ({ ...PORTS[1]!, no: n + 1, ifIndex: 20001 + n }));
  const bench = sampleBench(sflow, { polling: "30s" }, { ports: () => ports });
  const snapshot = new CounterSnapshot(61);
  const perSecond: number[] = [];
  for (let second = 0; second < 300; second++) {
    const before = counters(bench).length;
    bench.exporter.counters!(snapshot, "b", moment(second * 1000));
    bench.exporter.flush(moment(second * 1000));
    perSecond.push(counters(bench).length - before);
  }
  for (const { ifIndex } of ports) {
    const sequences = counters(bench)
      .filter(({ source }) => source.index === ifIndex)
      .map(({ sequence }) => sequence);
    assert.ok(sequences.length === 10 || sequences.length === 9, "an interval may end behind the last look");
    assert.ok(sequences.every((sequence, n) => sequence === n + 1));
  }
  assert.ok(Math.max(...perSecond) <= 4, `${Math.max(...perSecond)} in one second`);
});

test("counters: polling 0 is never; a pause of the clock is made up for once", () => {
  const never = sampleBench(sflow, { polling: "0s" });
  poll(never, 100);
  assert.equal(never.sender.sent.length, 0);
  const bench = sampleBench(sflow, { polling: "10s" });
  bench.exporter.counters!(bench.snapshot, "b", moment(0));
  bench.exporter.counters!(bench.snapshot, "b", moment(1_000_000));
  bench.exporter.counters!(bench.snapshot, "b", moment(1_000_001));
  bench.exporter.counters!(bench.snapshot, "b", moment(5));
  bench.exporter.flush(moment(5));
  assert.equal(counters(bench).filter(({ source }) => source.index === 20001).length, 3);
});

test("counters of a port, of its bridge, its VM and the host, so that a collector joins them", () => {
  const bench = sampleBench(sflow, { profile: "full", polling: "10s" });
  const values: [number, number][] = [
    [C.C_RX_PACKETS, 1000],
    [C.C_RX_BYTES, 100_000],
    [C.C_RX_MULTICAST, 10],
    [C.C_RX_BROADCAST, 5],
    [C.C_TX_PACKETS, 2 ** 32 + 100],
    [C.C_TX_BYTES, 2 ** 40],
    [C.C_TX_MULTICAST, 20],
    [C.C_TX_BROADCAST, 30],
    [C.C_DROPPED, 50],
    [C.C_DROP_REASON + dropReason("pkt_too_small"), 8],
    [C.C_LOST_RING, 3],
    [C.C_LOST_NIC, 4],
    [C.C_TX_FAILED, 1],
    [C.C_LOST_TAP, 2],
    [C.C_MISSES, 40],
    [C.C_FLOWS, 6],
  ];
  for (const [counter, value] of values) bench.snapshot.values[2 * C.COUNTERS_PER_PORT + counter] = value;
  poll(bench, 11);
  const find = (sourceClass: number, index?: number): CounterSample =>
    counters(bench).find(({ source }) => source.class === sourceClass && (index ?? source.index) === source.index)!;
  const port = find(0, 20002);
  assert.deepEqual(port.records, [
    {
      type: "interface",
      ifIndex: 20002,
      ifType: 6,
      ifSpeed: 10_000_000_000n,
      ifDirection: 1,
      ifStatus: 3,
      ifInOctets: 104_000n,
      ifInUcastPkts: 985,
      ifInMulticastPkts: 10,
      ifInBroadcastPkts: 5,
      ifInDiscards: 45,
      ifInErrors: 8,
      ifInUnknownProtos: 0xffffffff,
      ifOutOctets: 2n ** 40n + 4n * (2n ** 32n + 100n),
      ifOutUcastPkts: 50,
      ifOutMulticastPkts: 20,
      ifOutBroadcastPkts: 30,
      ifOutDiscards: 3,
      ifOutErrors: 0xffffffff,
      ifPromiscuousMode: 1,
    },
    {
      type: "ethernet",
      alignmentErrors: 0xffffffff,
      fcsErrors: 0xffffffff,
      singleCollisionFrames: 0xffffffff,
      multipleCollisionFrames: 0xffffffff,
      sqeTestErrors: 0xffffffff,
      deferredTransmissions: 0xffffffff,
      lateCollisions: 0xffffffff,
      excessiveCollisions: 0xffffffff,
      internalMacTransmitErrors: 0xffffffff,
      carrierSenseErrors: 0xffffffff,
      frameTooLongs: 0xffffffff,
      internalMacReceiveErrors: 4,
      symbolErrors: 0xffffffff,
    },
    { type: "portName", name: "web2" },
    { type: "openFlowPort", datapathId: 0x0000525400000001n, port: 2 },
  ]);
  const down = find(0, 3).records[0]!;
  assert.ok(down.type === "interface" && down.ifStatus === 0 && down.ifSpeed === 400_000_000_000n);
  assert.deepEqual(find(3).source, { class: 3, index: 20001 });
  assert.deepEqual(find(3).records, [
    { type: "host", hostname: "web", uuid: "00112233-4455-6677-8899-aabbccddeeff", machine: 0, os: 0, osRelease: "" },
    { type: "parent", containerType: 2, containerIndex: 1 },
    {
      type: "virtualNetwork",
      bytesIn: 2n ** 40n,
      packetsIn: 100,
      errorsIn: 0xffffffff,
      dropsIn: 3,
      bytesOut: 100_000n,
      packetsOut: 1000,
      errorsOut: 0xffffffff,
      dropsOut: 53,
    },
    {
      type: "adapters",
      adapters: [
        { ifIndex: 20001, macs: ["52:54:00:00:00:01"] },
        { ifIndex: 20002, macs: ["52:54:00:00:00:02"] },
      ],
    },
  ]);
  assert.deepEqual(find(2, 1).records, [
    {
      type: "host",
      hostname: "hv1",
      uuid: "01234567-89ab-cdef-0123-456789abcdef",
      machine: 3,
      os: 2,
      osRelease: "6.1.0",
    },
    { type: "virtualNode", mhz: 2400, cpus: 8, memory: 2n ** 36n, memoryFree: 2n ** 35n, domains: 1 },
    { type: "adapters", adapters: [{ ifIndex: 3, macs: ["02:00:00:00:00:03"] }] },
  ]);
  const bridge = counters(bench).find(({ records }) => records[0]?.type === "ovsDatapath")!;
  assert.ok(bridge.source.class === 2 && bridge.source.index >= 1000);
  assert.deepEqual(bridge.records, [
    { type: "ovsDatapath", hits: 960, misses: 40, lost: 0, maskHits: 0xffffffff, flows: 6, masks: 5 },
  ]);
});

test("a VM without a UUID gets one that is its own and stays", () => {
  const ports = ["a", "b"].map((vm, n) => ({ ...PORTS[0]!, no: n + 1, ifIndex: 20001 + n, owner: { vm } }));
  const ids = [1, 2].map(() => {
    const bench = sampleBench(sflow, { profile: "full", polling: "5s" }, { ports: () => ports });
    poll(bench, 6);
    const hosts = counters(bench).filter(({ source }) => source.class === 3);
    return hosts.map(
      ({ source, records }) => [source.index, records[0]!.type === "host" ? records[0]!.uuid : ""] as const,
    );
  });
  const [first, again] = ids.map((each) => new Map(each));
  assert.deepEqual(first, again);
  assert.equal(new Set(first!.values()).size, 2);
  for (const uuid of first!.values())
    assert.match(uuid, /^[0-9a-f]{8}-[0-9a-f]{4}-8[0-9a-f]{3}-8[0-9a-f]{3}-[0-9a-f]{12}$/);
});
