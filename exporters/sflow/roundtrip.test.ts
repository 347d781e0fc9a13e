/** Encoder → decoder: whatever is put in comes out, by properties. The two were written apart, from the specification. */
import assert from "node:assert/strict";
import test from "node:test";
import fc from "fast-check";
import { CONSUMED, DROP_REASONS, DROPPED, FORWARDED, OBSERVED } from "../../src/flow/disposition.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import type { PortInfo } from "../../src/telemetry/exporter.ts";
import { moment, PORTS, sampleBench, sampleOf } from "../../test/helpers/samples.ts";
import { decode } from "../sflow-decoder/decode.ts";
import type { Sample } from "../sflow-decoder/decode.ts";
import sflow from "./index.ts";

const u32 = fc.integer({ min: 0, max: 0xffffffff });
const ifIndex = fc.oneof(fc.integer({ min: 1, max: 70_000 }), fc.integer({ min: 1, max: 0xfffffffe }));
const tci = fc.integer({ min: 0, max: 0xffff });
/** The DEI bit says "a tag is present" (src/flow/key.ts). */
const vlan = (value: number): [number, number] => ((value & 0x1000) === 0 ? [0, 0] : [value & 0xfff, value >>> 13]);

const sample = fc.record({
  kind: fc.constantFrom("flow" as const, "drop" as const),
  rate: fc.integer({ min: 1, max: 1e9 }),
  pool: fc.maxSafeNat(),
  drops: fc.maxSafeNat(),
  wireLength: fc.integer({ min: 14, max: 65_550 }),
  disposition: fc.constantFrom(FORWARDED, DROPPED, CONSUMED, OBSERVED),
  reason: fc.integer({ min: 1, max: DROP_REASONS.length - 1 }),
  outputs: fc.integer({ min: 0, max: 1023 }),
  inTci: tci,
  outTci: tci,
  data: fc.uint8Array({ maxLength: 512 }),
});

function sent(bench: ReturnType<typeof sampleBench>): Sample[] {
  return bench.sender.sent.flatMap((bytes) => {
    const { datagram, error } = decode(bytes);
    assert.equal(error, undefined);
    return datagram!.samples;
  });
}

test("flow samples and discards come back as they went in", () => {
  fc.assert(
    fc.property(fc.array(sample, { minLength: 1, maxLength: 20 }), ifIndex, ifIndex, (facts, from, to) => {
      const ports: PortInfo[] = [
        { ...PORTS[0]!, no: 1, ifIndex: from },
        { ...PORTS[0]!, no: 2, ifIndex: to },
      ];
      const bench = sampleBench(sflow, { profile: "full", discardLimit: 1000 }, { ports: () => ports });
      bench.exporter.samples!(facts.map(sampleOf), "b", moment(0));
      bench.exporter.flush(moment(0));
      const back = sent(bench);
      assert.equal(back.length, facts.length);
      facts.forEach((fact, n) => {
        const told = back[n]!;
        assert.ok(told.type === "flow" || told.type === "discard");
        assert.equal(told.source.index, from);
        assert.equal(told.drops, fact.drops % 2 ** 32);
        const [raw, tags] = told.records;
        const header = fact.data.slice(0, fact.wireLength);
        assert.deepEqual(raw, {
          type: "rawHeader",
          protocol: 1,
          frameLength: fact.wireLength + 4,
          stripped: 4,
          header,
        });
        const [[sourceVlan, sourcePriority], [destinationVlan, destinationPriority]] = [fact.inTci, fact.outTci].map(
          vlan,
        ) as [[number, number], [number, number]];
        assert.deepEqual(tags, { type: "switch", sourceVlan, sourcePriority, destinationVlan, destinationPriority });
        const { sflow: code } = DROP_REASONS[fact.reason]!;
        if (told.type === "discard") {
          assert.deepEqual([told.input, told.output, told.reason], [from, 0, code]);
          return;
        }
        assert.deepEqual([told.rate, told.pool], [fact.rate, fact.pool % 2 ** 32]);
        assert.deepEqual(told.input, { kind: "port", ifIndex: from });
        const expected =
          fact.disposition === DROPPED
            ? { kind: "discarded", reason: code }
            : fact.disposition === CONSUMED
              ? { kind: "internal" }
              : fact.outputs === 0
                ? { kind: "unknown" }
                : fact.outputs === 1
                  ? { kind: "port", ifIndex: to }
                  : { kind: "several", count: fact.outputs };
        // The compact form's "internal" is a number that an ifIndex of 30 bits may be; the expanded form is chosen then.
        if (to !== 0x3fffffff) assert.deepEqual(told.output, expected);
      });
    }),
    { numRuns: 500 },
  );
});

test("counters of ports, guests, bridge and host come back as they went in", () => {
  const text = fc.string({ unit: "grapheme", maxLength: 40 });
  const port = fc.record({ name: text, ifIndex, speed: fc.maxSafeNat(), up: fc.boolean(), vm: fc.option(text) });
  const ports = fc.uniqueArray(port, { selector: (each) => each.ifIndex, minLength: 1, maxLength: 6 });
  fc.assert(
    fc.property(ports, fc.array(u32, { minLength: 20, maxLength: 20 }), text, (wanted, values, host) => {
      const infos = wanted.map(({ vm, ...each }, n): PortInfo => ({
        ...each,
        no: n + 1,
        bridge: "b",
        mac: "02:00:00:00:00:01",
        ...(vm !== null && { owner: { vm } }),
      }));
      const { host: base } = hostOf();
      const bench = sampleBench(
        sflow,
        { profile: "full", polling: "1s" },
        { ports: () => infos, host: { ...base, name: host } },
      );
      const snapshot = new CounterSnapshot(8);
      snapshot.values.forEach((_, n) => (snapshot.values[n] = values[n % 20]!));
      for (const at of [0, 1000]) bench.exporter.counters!(snapshot, "b", moment(at));
      bench.exporter.flush(moment(1000));
      const records = sent(bench).flatMap((each) => (each.type === "counters" ? each.records : []));
      for (const { name, ifIndex: index, speed, up } of infos) {
        assert.ok(records.some((each) => each.type === "portName" && each.name === name));
        assert.ok(
          records.some(
            (each) =>
              each.type === "interface" &&
              each.ifIndex === index &&
              each.ifSpeed === BigInt(speed) &&
              each.ifStatus === (up ? 3 : 1),
          ),
        );
      }
      const hosts = records.flatMap((each) => (each.type === "host" ? each.hostname : []));
      assert.ok(hosts.some((name) => host.startsWith(name)));
      for (const { vm } of wanted)
        if (vm !== null)
          assert.ok(
            hosts.some((name) => vm.startsWith(name)),
            vm,
          );
      const known = new Set([
        "interface",
        "ethernet",
        "openFlowPort",
        "portName",
        "host",
        "adapters",
        "parent",
        "virtualNode",
        "virtualNetwork",
        "ovsDatapath",
      ]);
      for (const { type } of records) assert.ok(known.has(type), type);
    }),
    { numRuns: 200 },
  );
});

function hostOf() {
  return {
    host: { name: "", id: "00", arch: "x64", release: "6.1", cpus: 1, mhz: 1, memory: () => ({ total: 1, free: 1 }) },
  };
}
