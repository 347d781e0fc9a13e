/** Each counter structure, encoder → decoder: every field, by properties, in the compact and the expanded form. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { DROP_CPU_BACKLOG, DROP_REASONS, dropReason } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import type { PortInfo } from "../../src/telemetry/exporter.ts";
import { decode, type Sample } from "../sflow-decoder/decode.ts";
import * as write from "./counters.ts";
import {
  closeCounters,
  openCounters,
  SOURCE_INTERFACE,
  SOURCE_LOGICAL,
  SOURCE_PHYSICAL,
  writeHeader,
} from "./encode.ts";
import { Xdr } from "./xdr.ts";

const PORT_COUNT = 4;
const u32 = fc.integer({ min: 0, max: 0xffffffff });
const ifIndex = fc.oneof(fc.integer({ min: 1, max: 0xffffff }), fc.integer({ min: 0x1000000, max: 0xfffffffe }));
/** Counts are whole numbers below 2^53; sums of a few of them stay there. */
const count = fc.integer({ min: 0, max: 2 ** 48 });
const hex = (digits: number) =>
  fc.string({ unit: fc.constantFrom(..."0123456789abcdef"), minLength: digits, maxLength: digits });
const mac = fc.array(hex(2), { minLength: 6, maxLength: 6 }).map((parts) => parts.join(":"));
const text = fc.string({ unit: fc.constantFrom(..."aß€😀 "), maxLength: 20 });

const port = fc.record({
  no: fc.integer({ min: 0, max: PORT_COUNT - 1 }),
  name: text,
  ifIndex,
  speed: fc.maxSafeNat(),
  up: fc.boolean(),
  enabled: fc.boolean(),
  mac: fc.option(mac, { nil: undefined }),
});
type Port = typeof port extends fc.Arbitrary<infer T> ? T : never;
const info = ({ mac: address, ...rest }: Port): PortInfo => ({
  ...rest,
  bridge: "b",
  ...(address !== undefined && { mac: address }),
});

/** A snapshot of random counters. */
const snapshot = fc.array(count, { minLength: 37, maxLength: 37 }).map((values) => {
  const made = new CounterSnapshot(PORT_COUNT);
  made.values.forEach((_, n) => (made.values[n] = values[(n * 7) % values.length]!));
  return made;
});

/** One datagram with one counter sample, decoded. */
function sample(sourceClass: number, index: number, records: ((x: Xdr) => void)[]): Sample & { type: "counters" } {
  const x = new Xdr(8192);
  const samples = writeHeader(x, Uint8Array.of(192, 0, 2, 1), 0, 7, 1000);
  x.patch(samples, 1);
  const mark = openCounters(x, 9, sourceClass, index);
  for (const record of records) record(x);
  closeCounters(x, mark, records.length);
  const { datagram, error } = decode(x.bytes.slice(0, x.at));
  assert.equal(error, undefined);
  assert.equal(datagram!.samples.length, 1);
  const [only] = datagram!.samples;
  assert.ok(only?.type === "counters");
  assert.deepEqual([only.sequence, only.source], [9, { class: sourceClass, index }]);
  assert.equal(only.expanded, index > 0xffffff);
  return only;
}

const wrap32 = (value: number): number => Number(BigInt.asUintN(32, BigInt(value)));
const wrap64 = (value: number): bigint => BigInt.asUintN(64, BigInt(value));
const NOT_MEASURED = 0xffffffff;

test("generic interface, Ethernet, port name, OpenFlow port", () => {
  fc.assert(
    fc.property(port, snapshot, hex(16), (asked, counters, datapathId) => {
      const told = info(asked);
      const { records } = sample(SOURCE_INTERFACE, told.ifIndex, [
        (x) => write.writeInterface(x, told, counters),
        (x) => write.writeEthernet(x, told, counters),
        (x) => write.writePortName(x, told),
        (x) => write.writeOpenFlowPort(x, told, { datapathId, masks: 1 }),
      ]);
      const of = (counter: number): number => counters.get(told.no, counter);
      const errors = DROP_REASONS.map(({ name }) => name)
        .filter((name) => name.endsWith("_parsing") || name === "pkt_too_small" || name === "ipv6_bad_exthdr")
        .reduce((sum, name) => sum + of(C.C_DROP_REASON + dropReason(name)), 0);
      const cast = (all: number, multicast: number, broadcast: number) =>
        [of(all) - of(multicast) - of(broadcast), of(multicast), of(broadcast)].map(wrap32);
      const [inUnicast, inMulticast, inBroadcast] = cast(C.C_RX_PACKETS, C.C_RX_MULTICAST, C.C_RX_BROADCAST);
      const [outUnicast, outMulticast, outBroadcast] = cast(C.C_TX_PACKETS, C.C_TX_MULTICAST, C.C_TX_BROADCAST);
      assert.deepEqual(records, [
        {
          type: "interface",
          ifIndex: told.ifIndex,
          ifType: 6,
          ifSpeed: BigInt(told.speed),
          ifDirection: 1,
          ifStatus: (told.enabled ? 1 : 0) | (told.up ? 2 : 0),
          ifInOctets: wrap64(of(C.C_RX_BYTES) + 4 * of(C.C_RX_PACKETS)),
          ifInUcastPkts: inUnicast,
          ifInMulticastPkts: inMulticast,
          ifInBroadcastPkts: inBroadcast,
          ifInDiscards: wrap32(of(C.C_DROPPED) - errors + of(C.C_LOST_RING)),
          ifInErrors: wrap32(errors),
          ifInUnknownProtos: NOT_MEASURED,
          ifOutOctets: wrap64(of(C.C_TX_BYTES) + 4 * of(C.C_TX_PACKETS)),
          ifOutUcastPkts: outUnicast,
          ifOutMulticastPkts: outMulticast,
          ifOutBroadcastPkts: outBroadcast,
          ifOutDiscards: wrap32(of(C.C_TX_FAILED) + of(C.C_LOST_QDISC) + of(C.C_LOST_TAP)),
          ifOutErrors: NOT_MEASURED,
          ifPromiscuousMode: 1,
        },
        {
          type: "ethernet",
          alignmentErrors: NOT_MEASURED,
          fcsErrors: NOT_MEASURED,
          singleCollisionFrames: NOT_MEASURED,
          multipleCollisionFrames: NOT_MEASURED,
          sqeTestErrors: NOT_MEASURED,
          deferredTransmissions: NOT_MEASURED,
          lateCollisions: NOT_MEASURED,
          excessiveCollisions: NOT_MEASURED,
          internalMacTransmitErrors: NOT_MEASURED,
          carrierSenseErrors: NOT_MEASURED,
          frameTooLongs: NOT_MEASURED,
          internalMacReceiveErrors: wrap32(of(C.C_LOST_NIC)),
          symbolErrors: NOT_MEASURED,
        },
        { type: "portName", name: told.name },
        { type: "openFlowPort", datapathId: BigInt(`0x${datapathId}`), port: told.no },
      ]);
    }),
    { numRuns: 300 },
  );
});

test("host, adapters, parent, virtual node, virtual network, Open vSwitch datapath", () => {
  const MACHINES = { ia32: 2, x64: 3, arm64: 10, riscv64: 1 };
  const host = fc.record({
    name: text,
    id: hex(32),
    arch: fc.constantFrom(...Object.keys(MACHINES)),
    release: text,
    cpus: u32,
    mhz: u32,
    total: fc.maxSafeNat(),
    free: fc.maxSafeNat(),
  });
  fc.assert(
    fc.property(
      host,
      fc.array(port, { maxLength: 8 }),
      snapshot,
      u32,
      ifIndex,
      u32,
      (facts, asked, counters, guests, index, masks) => {
        const { total, free, ...rest } = facts;
        const told = asked.map(info);
        const known = told.filter((one) => one.mac !== undefined);
        const machine = { ...rest, memory: () => ({ total, free }) };
        const counted = told.map((one) => ({ port: one, snapshot: counters }));
        const { records } = sample(SOURCE_LOGICAL, index, [
          (x) => write.writeHost(x, machine),
          (x) => write.writeGuest(x, rest.name, rest.id),
          (x) => write.writeParent(x),
          (x) => write.writeVirtualNode(x, machine, guests),
          (x) => write.writeVirtualNet(x, counted),
          (x) => write.writeDatapath(x, { datapathId: "0", masks }, counters),
          ...(known.length > 0 ? [(x: Xdr) => void assert.ok(write.writeAdapters(x, told))] : []),
        ]);
        const id = rest.id.replace(/^(.{8})(.{4})(.{4})(.{4})/, "$1-$2-$3-$4-");
        const sum = (...wanted: number[]): number =>
          told.reduce((all, { no }) => wanted.reduce((part, counter) => part + counters.get(no, counter), all), 0);
        const whole = (counter: number): number =>
          Array.from({ length: PORT_COUNT }, (_, no) => counters.get(no, counter)).reduce((a, b) => a + b, 0);
        const name = fits(rest.name, 64);
        assert.deepEqual(records, [
          {
            type: "host",
            hostname: name,
            uuid: id,
            machine: MACHINES[rest.arch as keyof typeof MACHINES],
            os: 2,
            osRelease: fits(rest.release, 32),
          },
          { type: "host", hostname: name, uuid: id, machine: 0, os: 0, osRelease: "" },
          { type: "parent", containerType: SOURCE_PHYSICAL, containerIndex: 1 },
          {
            type: "virtualNode",
            mhz: rest.mhz,
            cpus: rest.cpus,
            memory: BigInt(total),
            memoryFree: BigInt(free),
            domains: guests,
          },
          {
            type: "virtualNetwork",
            bytesIn: wrap64(sum(C.C_TX_BYTES)),
            packetsIn: wrap32(sum(C.C_TX_PACKETS)),
            errorsIn: NOT_MEASURED,
            dropsIn: wrap32(sum(C.C_TX_FAILED, C.C_LOST_QDISC, C.C_LOST_TAP)),
            bytesOut: wrap64(sum(C.C_RX_BYTES)),
            packetsOut: wrap32(sum(C.C_RX_PACKETS)),
            errorsOut: NOT_MEASURED,
            dropsOut: wrap32(sum(C.C_DROPPED, C.C_LOST_RING)),
          },
          {
            type: "ovsDatapath",
            hits: wrap32(whole(C.C_RX_PACKETS) - whole(C.C_MISSES)),
            misses: wrap32(whole(C.C_MISSES)),
            lost: wrap32(whole(C.C_DROP_REASON + DROP_CPU_BACKLOG)),
            maskHits: NOT_MEASURED,
            flows: wrap32(whole(C.C_FLOWS)),
            masks,
          },
          ...(known.length > 0
            ? [{ type: "adapters", adapters: known.map((one) => ({ ifIndex: one.ifIndex, macs: [one.mac] })) }]
            : []),
        ]);
      },
    ),
    { numRuns: 300 },
  );
});

/** The whole characters of a text that fit into `limit` bytes of UTF-8. */
function fits(whole: string, limit: number): string {
  let bytes = 0;
  let fitting = "";
  for (const character of whole) {
    bytes += Buffer.byteLength(character);
    if (bytes > limit) break;
    fitting += character;
  }
  return fitting;
}
