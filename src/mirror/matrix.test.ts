/** The mirror suite (test/conformance/mirror.ts) on the userspace datapath, and what needs its virtual time. */
import assert from "node:assert/strict";
import { test } from "node:test";
import ipfix from "../../exporters/ipfix/index.ts";
import netflowV5 from "../../exporters/netflow-v5/index.ts";
import netflowV9 from "../../exporters/netflow-v9/index.ts";
import sflow from "../../exporters/sflow/index.ts";
import { access, frame, hex, MAC, runMirrorSuite, trunk } from "../../test/conformance/mirror.ts";
import { LocalBed } from "../../test/helpers/local-bed.ts";
import { erspan, localHarness, MirrorBed } from "../../test/helpers/mirror-bed.ts";
import { sampleBench } from "../../test/helpers/samples.ts";
import { RecordBatch } from "../shm/log.ts";
import { readSample } from "../shm/samples.ts";
import type { PortInfo } from "../telemetry/exporter.ts";

runMirrorSuite({ name: "userspace", create: async () => localHarness() });

test("limits: snaplen, 1 in N, a ceiling, packets", async (t) => {
  const bed = new LocalBed();
  const beds = new MirrorBed(localHarness(bed));
  t.after(() => beds.close());
  await bed.configure({ a: undefined, b: undefined, mon: undefined });
  const cut = beds.start("cut", { snaplen: 20, select: { ports: ["a"] } });
  beds.start("tenth", { sample: 10, select: { ports: ["a"] } });
  const slowly = { limit: { pps: 1000, bps: 0, durationMs: 0, packets: 0 }, select: { ports: ["a"] } };
  beds.start("slow span", { ...slowly, outputs: [{ type: "span", port: "mon" }] });
  beds.start("slow erspan", { ...slowly, outputs: [erspan()] });
  beds.start("slow", { limit: { pps: 1000, bps: 0, durationMs: 0, packets: 0 }, select: { ports: ["a"] } });
  beds.start("five", { limit: { pps: 0, bps: 0, durationMs: 0, packets: 5 }, select: { ports: ["a"] } });
  // 20,000 frames a second for 3 s.
  for (let n = 0; n < 60_000; n++) {
    bed.nowNs += 50_000;
    bed.channels.get("a")!.inject(frame(1, MAC(2)));
    while (bed.datapath.step(bed.nowNs) > 0);
    if (n % 100 === 0) {
      for (const channel of bed.channels.values()) channel.take();
      beds.keeper.tick(0);
    }
  }
  beds.keeper.tick(0);
  assert.equal(
    cut.frames.every(({ data, length }) => data.length === 20 && length === 82),
    true,
  );
  const tenth = beds.json("tenth");
  assert.deepEqual([tenth.sent, tenth.sampledOut], [6000, 54_000]);
  for (const name of ["slow", "slow span", "slow erspan"]) {
    const slow = beds.json(name);
    assert.ok(Math.abs(slow.sent - 3000) <= 150, `${name}: ${slow.sent} in 3 s`);
    assert.equal(slow.sent + slow.rateDropped, 60_000);
    if (name !== "slow") assert.equal(slow.outputs[0]!.sent, slow.sent, name);
  }
  assert.equal(beds.tunnels.packets.length, beds.json("slow erspan").sent);
  const five = beds.json("five");
  assert.deepEqual([five.sent, five.state, five.message], [5, "ended", "5 packets were copied"]);
});

/** Every protocol that tells flows or samples, with collectors that keep what they get. */
function openExporters(ports: () => readonly PortInfo[]) {
  const types = { "netflow-v5": netflowV5, "netflow-v9": netflowV9, ipfix, sflow };
  return Object.entries(types).map(([name, type]) => ({ name, ...sampleBench(type, {}, { ports }) }));
}

test("with every kind of mirror on, counters, flows, samples and what exporters send are what they are without", async () => {
  const run = async (mirrors: boolean) => {
    const bed = new LocalBed({ bridge: { sampling: { rate: 4, header: 64 } } });
    const beds = new MirrorBed(localHarness(bed));
    await bed.configure({ a: access(10), b: access(10), t: trunk(10, 500), mon: access(77), far: trunk(500) });
    if (mirrors) {
      const select = { all: true };
      beds.start("s", { outputs: [{ type: "span", port: "mon" }], select });
      beds.start("r", { outputs: [{ type: "rspan", vlan: 500, stacked: true }], select });
      beds.start("t", { outputs: [erspan(), erspan({ erspanType: "III", session: 8 })], select });
      beds.start("c", { select });
    }
    const ports = [...bed.bridge.ports()].map(({ no, name }, n) => {
      return { no, name, bridge: "weir0", ifIndex: 20_001 + n, speed: 0, up: true, mac: `52:54:00:00:00:0${n}` };
    });
    const exporters = openExporters(() => ports);
    const moment = () => ({ uptimeMs: bed.nowNs / 1e6, unixMs: bed.nowNs / 1e6 });
    const samples: string[] = [];
    for (let n = 0; n < 400; n++) {
      bed.nowNs += 1e6;
      const tagged = n % 3 === 2;
      await beds.send(
        ["a", "b", "t"][n % 3]!,
        frame(1 + (n % 3), MAC(1 + ((n >> 2) % 5)), tagged ? [{ vid: 10, pcp: 3 }] : []),
      );
      await beds.send("a", frame(1, MAC(2), [{ vid: 9 }]));
      const { samples: ring } = bed.datapath;
      for (let at = ring.peek(); at >= 0; at = ring.peek()) {
        samples.push(hex(ring.u8.slice(at, at + ring.peekLength)));
        for (const { exporter } of exporters) exporter.samples?.([readSample(ring, at)], "weir0", moment());
        ring.release();
      }
    }
    const counters = [...bed.bridge.ports()].map(({ no }) =>
      Array.from({ length: 64 }, (_, counter) => bed.bridge.counters().get(no, counter)),
    );
    const copies = beds.tunnels.packets.length;
    await beds.close();
    await bed.bridge.stop();
    const { log } = bed;
    for (const { exporter } of exporters) {
      exporter.counters?.(bed.bridge.counters(), "weir0", moment());
      exporter.records?.(new RecordBatch(log, 0, log.head), "weir0", moment());
      exporter.tick(moment());
      exporter.flush(moment());
    }
    const sent = Object.fromEntries(exporters.map(({ name, sender }) => [name, sender.sent.map(hex)]));
    return { copies, told: { samples, counters, sent, records: hex(new Uint8Array(log.buffer as ArrayBuffer)) } };
  };
  const [without, mirrored] = [await run(false), await run(true)];
  assert.ok(without.told.samples.length > 100 && without.told.records.includes("1"));
  for (const [name, datagrams] of Object.entries(without.told.sent)) assert.ok(datagrams.length > 0, name);
  assert.deepEqual([without.copies, mirrored.copies > 500], [0, true]);
  assert.deepEqual(mirrored.told, without.told);
});
