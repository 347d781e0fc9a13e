/**
 * Golden datagrams: golden/*.hex, each named by what it proves: the bytes in the file, and tshark's reading of them.
 * `WEIR_WRITE_GOLDEN=1` writes the files anew; look at the difference before committing it.
 */
import assert from "node:assert/strict";
import { existsSync, readFileSync, writeFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { CONSUMED, dropReason, DROPPED } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { projectRoot } from "../../test/helpers/captures.ts";
import { needs } from "../../test/helpers/needs.ts";
import { moment, PORTS, sampleBench, sampleOf } from "../../test/helpers/samples.ts";
import type { SampleBench } from "../../test/helpers/samples.ts";
import { tsharkFrames } from "../../test/helpers/tshark.ts";
import sflow from "./index.ts";

const FOLDER = join(projectRoot, "exporters/sflow/golden");
const TAGGED = { inTci: 0x7064, outTci: 0x10c8 };

interface Golden {
  readonly make: () => SampleBench;
  readonly give: (bench: SampleBench) => void;
  /** tshark's fields, and what they have to say; several occurrences are the first's. */
  readonly tshark: Readonly<Record<string, string>>;
}

const GOLDENS: Readonly<Record<string, Golden>> = {
  "one-flow-sample-vlan-100-to-200": {
    make: () => sampleBench(sflow, { subAgent: 7 }, { resume: { sequence: 1000 } }),
    give: ({ exporter }) => exporter.samples!([sampleOf({ ...TAGGED, pool: 12_345, drops: 6 })], "b", moment(2500)),
    tshark: {
      "sflow_245.version": "5",
      "sflow_245.agent": "192.0.2.1",
      "sflow_245.sub_agent_id": "7",
      "sflow_245.sequence_number": "1000",
      "sflow_245.sysuptime": "2500",
      "sflow.flow_sample.sequence_number": "1",
      "sflow.flow_sample.index": "20001",
      "sflow.flow_sample.sampling_rate": "400",
      "sflow.flow_sample.sample_pool": "12345",
      "sflow.flow_sample.dropped_packets": "6",
      "sflow.flow_sample.input_interface": "20001",
      "sflow.flow_sample.output_interface": "0x00004e22",
      "sflow_245.header.frame_length": "146",
      "sflow_245.header.payload_stripped": "4",
      "sflow_245.vlan.in": "100",
      "sflow_245.pri.in": "3",
      "sflow_245.vlan.out": "200",
      "sflow_245.pri.out": "0",
    },
  },
  "outputs-several-refused-consumed": {
    make: () => sampleBench(sflow),
    give: ({ exporter }) =>
      exporter.samples!(
        [
          sampleOf({ outputs: 7 }),
          sampleOf({ disposition: DROPPED, reason: dropReason("acl"), outputs: 0 }),
          sampleOf({ disposition: CONSUMED, outputs: 0 }),
        ],
        "b",
        moment(0),
      ),
    tshark: {
      "sflow_245.numsamples": "3",
      "sflow.flow_sample.output_interface": "0x80000007",
    },
  },
  "expanded-for-an-ifindex-of-2-to-the-24": {
    make: () => sampleBench(sflow, {}, { ports: () => PORTS.map((port) => ({ ...port, ifIndex: 2 ** 24 + port.no })) }),
    give: ({ exporter }) => exporter.samples!([sampleOf()], "b", moment(0)),
    tshark: { "sflow_245.sampletype": "3", "sflow.flow_sample.source_id_index": String(2 ** 24 + 1) },
  },
  "agent-of-ipv6": {
    make: () => sampleBench(sflow, { agent: "2001:db8::1" }),
    give: ({ exporter }) => exporter.samples!([sampleOf()], "b", moment(0)),
    tshark: { "sflow_245.agent.v6": "2001:db8::1" },
  },
  "counters-of-a-port": {
    make: () => sampleBench(sflow, { polling: "1s" }, { ports: () => PORTS.slice(1, 2) }),
    give: ({ exporter, snapshot }) => {
      const at = 2 * C.COUNTERS_PER_PORT;
      snapshot.values[at + C.C_RX_PACKETS] = 1000;
      snapshot.values[at + C.C_RX_BYTES] = 2 ** 33;
      snapshot.values[at + C.C_RX_MULTICAST] = 10;
      exporter.counters!(snapshot, "b", moment(0));
    },
    tshark: {
      "sflow_245.sampletype": "2",
      "sflow.counters_sample.source_id_index": "20002",
      "sflow_245.ifindex": "20002",
      "sflow_245.ifspeed": "10000000000",
      "sflow_245.ifinoct": String(2 ** 33 + 4000),
      "sflow_245.ifinpkt": "990",
      "sflow_245.ifinmcast": "10",
    },
  },
  "discard-of-an-acl-two-held-back": {
    make: () => sampleBench(sflow, { profile: "full" }),
    give: ({ exporter }) => {
      const refused = { disposition: DROPPED, reason: dropReason("acl"), outputs: 0 };
      exporter.samples!([sampleOf({ ...refused, kind: "drop", drops: 2 })], "b", moment(0));
    },
    tshark: { "sflow_245.numsamples": "1" },
  },
  "host-guest-bridge-in-full": {
    make: () => sampleBench(sflow, { profile: "full", polling: "1s" }),
    give: ({ exporter, snapshot }) => {
      for (const at of [0, 1000]) exporter.counters!(snapshot, "b", moment(at));
    },
    tshark: { "sflow_245.version": "5" },
  },
};

for (const [name, { make, give, tshark }] of Object.entries(GOLDENS))
  test(`golden: ${name.replaceAll("-", " ")}`, async (t) => {
    const bench = make();
    give(bench);
    bench.exporter.flush(moment(2500));
    const made = bench.sender.sent.map((bytes) =>
      Buffer.from(bytes)
        .toString("hex")
        .replaceAll(/(.{64})/g, "$1\n")
        .trim(),
    );
    const path = join(FOLDER, `${name}.hex`);
    if (process.env.WEIR_WRITE_GOLDEN || !existsSync(path)) writeFileSync(path, `${made.join("\n\n")}\n`);
    assert.equal(`${made.join("\n\n")}\n`, readFileSync(path, "utf8"));

    if (!needs(t, "tshark")) return;
    const frames = bench.sender.sent.map((payload) =>
      buildFrame({
        ethSrc: "02:00:00:00:00:01",
        ethDst: "02:00:00:00:00:02",
        ip: { src: "192.0.2.1", dst: "192.0.2.9" },
        udp: { src: 50_000, dst: 6343 },
        payload,
      }),
    );
    const fields = ["_ws.malformed", ...Object.keys(tshark)];
    for (const row of tsharkFrames(frames, fields)) assert.equal(row[0], "", "malformed");
    const [row] = tsharkFrames(frames, fields);
    assert.deepEqual(Object.fromEntries(fields.map((field, n) => [field, row![n]])), {
      "_ws.malformed": "",
      ...tshark,
    });
  });
