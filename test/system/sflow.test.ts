/**
 * Replays of real captures as sFlow, into real sfcapd and sfacctd, and under tshark's eyes: nothing malformed, nothing
 * unknown, and their sums are ours.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { decode } from "../../exporters/sflow-decoder/decode.ts";
import type { FlowSample } from "../../exporters/sflow-decoder/decode.ts";
import { exporterTypes, portTypes } from "../../src/registry.gen.ts";
import { replay } from "../../src/run/replay.ts";
import sflow from "../../exporters/sflow/index.ts";
import { udpSender } from "../../src/telemetry/sender.ts";
import { openCaptureFile } from "../../src/wire/capture-file.ts";
import { buildFrame } from "../../src/wire/builder.ts";
import { captures } from "../helpers/captures.ts";
import { startSfacctd, startSfcapd } from "../helpers/collectors.ts";
import { FakeSender } from "../helpers/fake-sender.ts";
import { needs } from "../helpers/needs.ts";
import { moment, sampleBench, sampleOf } from "../helpers/samples.ts";
import { lintSflow } from "../helpers/sflow-lint.ts";
import { tsharkFields, tsharkFrames, withFolder, withFolderAsync } from "../helpers/tshark.ts";

const RATE = 2;
const ETHERNET_BYTES = 14;
const TYPE_AT = 12;

/** Every capture of Ethernet frames, the damaged ones too. */
function files(t: TestContext): string[] | undefined {
  const apps = captures(t, "apps");
  if (apps === undefined) return undefined;
  return [...apps, ...captures(t, "protocols")!, ...captures(t, "malformed")!].filter((path) => {
    const reader = openCaptureFile(path);
    reader.close();
    return reader.error === undefined;
  });
}

async function run(
  paths: readonly string[],
  collectors: readonly string[],
  profile: string,
  sender?: FakeSender,
  rate = RATE,
) {
  return withFolderAsync(async (folder) => {
    const config = join(folder, "weir.yaml");
    const exporter = { type: "sflow", collectors, profile, polling: "30s" };
    writeFileSync(
      config,
      JSON.stringify({
        bridges: [{ name: "b", sampling: { rate } }],
        exporters: [exporter],
        host: { stateDir: folder },
      }),
    );
    return replay(
      { files: paths, netflow: [], ports: "by-mac", speed: "max", pace: sender ? 0 : 2000, config },
      { now: () => Date.now(), exporterTypes, portTypes, ...(sender && { sender: () => sender }) },
    );
  });
}

/** Flow samples of datagrams, whose sequence has no gap. */
function samplesOf(sent: readonly Uint8Array[]): FlowSample[] {
  return sent.flatMap((bytes, n) => {
    const { datagram, error } = decode(bytes);
    assert.equal(error, undefined);
    assert.equal(datagram!.sequence, n);
    return datagram!.samples.filter((sample) => sample.type === "flow");
  });
}

test("sfcapd and sfacctd take a replay of every capture, and their sums are ours", { timeout: 300_000 }, async (t) => {
  const paths = files(t);
  if (paths === undefined || !needs(t, "sfcapd", "nfdump", "sfacctd")) return;
  const sfcapd = await startSfcapd(t);
  const sfacctd = await startSfacctd(t);
  const result = await run(paths, [`127.0.0.1:${sfcapd.port}`, `127.0.0.1:${sfacctd.port}`], "standard");
  // The same replay gives the same datagrams: read by us, they say what the collectors had to find.
  const sender = new FakeSender("192.0.2.9:6343");
  const again = await run(paths, ["192.0.2.9"], "standard", sender);
  const samples = samplesOf(sender.sent);
  const [exporter] = result.exporters;
  assert.equal(exporter!.records, samples.length);
  assert.equal(exporter!.records, again.exporters[0]!.records);
  assert.equal(exporter!.sendErrors, 0);
  assert.ok(samples.length > result.packets / RATE / 1.1, "one in two");

  const first = await sfcapd.finish();
  const second = await sfacctd.finish();
  const { flows, packets, bytes, sequenceErrors, badPackets } = first;
  assert.deepEqual(
    { flows, packets, bytes, sequenceErrors, badPackets },
    { flows: samples.length, packets: exporter!.packets, bytes: exporter!.octets, sequenceErrors: 0, badPackets: 0 },
  );
  // sfacctd counts what it takes for IP only, and multiplies by what the pool has grown: its sums are tested below.
  assert.deepEqual(second.complaints, []);
  assert.ok(second.packets > 0);
});

/** sfacctd 1.7.7 takes for IP what has its Ethertype behind at most one tag, and a fixed header's bytes; no more is asked. */
function isIpToSfacctd(header: Uint8Array): boolean {
  const view = new DataView(header.buffer, header.byteOffset, header.byteLength);
  if (header.length < ETHERNET_BYTES) return false;
  const isTagged = view.getUint16(TYPE_AT) === 0x8100;
  const at = ETHERNET_BYTES + (isTagged ? 4 : 0);
  if (header.length < at) return false;
  const type = view.getUint16(at - 2);
  return (type === 0x0800 && header.length >= at + 20) || (type === 0x86dd && header.length >= at + 40);
}

/** Packets and octets that sfacctd has to find in a replay of these at 1 in 1. */
async function ipOf(paths: readonly string[]): Promise<{ packets: number; bytes: number }> {
  const sender = new FakeSender("192.0.2.9:6343");
  await run(paths, ["192.0.2.9"], "pmacct", sender, 1);
  const lengths = samplesOf(sender.sent).flatMap(({ records }) =>
    records.flatMap((record) =>
      record.type === "rawHeader" && isIpToSfacctd(record.header) ? [record.frameLength] : [],
    ),
  );
  return { packets: lengths.length, bytes: lengths.reduce((sum, one) => sum + one, 0) };
}

test(
  "sfacctd at 1 in 1: of every capture the IP frames and octets, of the sound ones what tshark counts",
  { timeout: 300_000 },
  async (t) => {
    const paths = files(t);
    if (paths === undefined || !needs(t, "sfacctd", "tshark", "mergecap")) return;
    const sfacctd = await startSfacctd(t);
    const { exporters, packets } = await run(paths, [`127.0.0.1:${sfacctd.port}`], "pmacct", undefined, 1);
    assert.equal(exporters[0]!.records, packets);
    const collected = await sfacctd.finish();
    assert.deepEqual(collected.complaints, []);
    assert.deepEqual({ packets: collected.packets, bytes: collected.bytes }, await ipOf(paths));

    const sound = paths.filter((path) => !path.includes("malformed"));
    const rows = withFolder((folder) => {
      const all = join(folder, "all.pcapng");
      assert.equal(spawnSync("mergecap", ["-a", "-w", all, ...sound]).status, 0);
      return tsharkFields(all, ["frame.len", "frame.protocols"]);
    });
    const isIp = /^eth:(ethertype:|vlan:|ieee8021ad:){0,3}ipv?6?(:|$)/;
    const lengths = rows.filter(([, protocols]) => isIp.test(protocols!)).map(([length]) => Number(length) + 4);
    const expected = { packets: lengths.length, bytes: lengths.reduce((sum, one) => sum + one, 0) };
    assert.ok(expected.packets < rows.length && expected.packets > 0.9 * rows.length);
    assert.deepEqual(await ipOf(sound), expected);
  },
);

test("sfacctd adds up what was sampled", { timeout: 60_000 }, async (t) => {
  if (!needs(t, "sfacctd")) return;
  const sfacctd = await startSfacctd(t);
  const sender = udpSender({ host: "127.0.0.1", port: sfacctd.port }, { now: Date.now, pace: 2000, queue: 4096 });
  t.after(() => sender.close());
  const { exporter } = sampleBench(sflow, {}, { collectors: [sender] });
  // sfacctd does not take the rate's word: it multiplies by what the pool has grown.
  let pool = 0;
  for (let n = 0; n < 20_000; n++) {
    const rate = [1, 10, 400][n % 3]!;
    pool += rate;
    exporter.samples!([sampleOf({ pool, rate, wireLength: 142 + (n % 1300) })], "b", moment(n));
    if (n % 1000 === 0) await sender.writable();
  }
  exporter.flush(moment(20_000));
  assert.ok(await sender.drain(20_000));
  const { packets, octets, records } = exporter.status();
  assert.equal(records, 20_000);
  const collected = await sfacctd.finish();
  assert.deepEqual({ packets: collected.packets, bytes: collected.bytes }, { packets, bytes: octets });
  assert.deepEqual(collected.complaints, []);
});

for (const profile of ["standard", "full"])
  test(
    `tshark reads a replay of every capture, profile ${profile}: nothing malformed`,
    { timeout: 300_000 },
    async (t) => {
      const paths = files(t);
      if (paths === undefined || !needs(t, "tshark")) return;
      const sender = new FakeSender("192.0.2.9:6343");
      await run(paths, ["192.0.2.9"], profile, sender);
      assert.deepEqual(
        sender.sent.flatMap((bytes) => lintSflow(bytes, profile)),
        [],
      );
      const frames = sender.sent.map((payload) =>
        buildFrame({
          ethSrc: "02:00:00:00:00:01",
          ethDst: "02:00:00:00:00:02",
          ip: { src: "192.0.2.1", dst: "192.0.2.9" },
          udp: { src: 50_000, dst: 6343 },
          payload,
        }),
      );
      const fields = [
        "sflow_245.version",
        "sflow_245.sequence_number",
        "sflow_245.numsamples",
        "_ws.malformed",
        "_ws.expert.message",
      ];
      // What is inside a sampled header is somebody else's, damaged on purpose now and then.
      const rows = tsharkFrames(frames, fields, ["sflow.enable_dissection:FALSE"]);
      const expected = sender.sent.map((bytes) => {
        const { datagram } = decode(bytes);
        return ["5", String(datagram!.sequence), String(datagram!.samples.length), "", ""];
      });
      assert.deepEqual(rows, expected);
      t.diagnostic(`${rows.length} datagrams`);
    },
  );
