/** NetFlow v9 and IPFIX from real captures: into a decoder, tshark, nfcapd and nfacctd, against tshark's sums. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { writeFileSync } from "node:fs";
import { join } from "node:path";
import { test, type TestContext } from "node:test";
import { decode } from "../../exporters/sflow-decoder/decode.ts";
import { exporterTypes, portTypes } from "../../src/registry.gen.ts";
import { replay, type ReplayDeps } from "../../src/run/replay.ts";
import { createCaptureBatch, openCaptureFile } from "../../src/wire/capture-file.ts";
import { captures } from "../helpers/captures.ts";
import { startNfacctd, startNfcapd } from "../helpers/collectors.ts";
import { FakeSender } from "../helpers/fake-sender.ts";
import { needs } from "../helpers/needs.ts";
import { decodeV5 } from "../helpers/netflow-v5-decoder.ts";
import { outerIpv4, type OuterIpv4 } from "../helpers/outer-ipv4.ts";
import { TemplateDecoder } from "../helpers/template-decoder.ts";
import type { DecodedRecord } from "../helpers/template-decoder.ts";
import { withFolder, withFolderAsync } from "../helpers/tshark.ts";
import { udpCapture } from "../helpers/udp-capture.ts";

const COLLECTOR = "192.0.2.9:2055";

/** Replay captures with one exporter, as a configuration file sets it up. */
function run(
  type: string,
  files: readonly string[],
  collectors: readonly string[],
  options: object,
  sender?: ReplayDeps["sender"],
  sampling: object = {},
) {
  return withFolderAsync(async (folder) => {
    const config = join(folder, "weir.yaml");
    const exporter = { type, collectors, ...options };
    writeFileSync(config, JSON.stringify({ bridges: [{ name: "weir0", ports: [], sampling }], exporters: [exporter] }));
    return await replay(
      { files, netflow: [], ports: "by-mac", speed: "max", pace: sender ? 0 : 2000, config },
      { now: () => Date.now(), exporterTypes, portTypes, ...(sender && { sender }) },
    );
  });
}

async function kept(
  type: string,
  files: readonly string[],
  options: object = {},
  sampling: object = {},
): Promise<Uint8Array[]> {
  const sender = new FakeSender(COLLECTOR);
  await run(type, files, [COLLECTOR], options, () => sender, sampling);
  return sender.sent;
}

interface Sums {
  packets: number;
  octets: number;
  packets6: number;
  octets6: number;
}

let counted: OuterIpv4[] | undefined;

function truths(
  t: TestContext,
): { files: string[]; sums: Sums; frames: number; firstMs: number; lastMs: number } | undefined {
  const apps = captures(t, "apps");
  if (apps === undefined || !needs(t, "tshark", "mergecap")) return undefined;
  const files = [...apps, ...captures(t, "protocols")!].filter(isEthernet);
  counted ??= outerIpv4(files);
  const sums: Sums = { packets: 0, octets: 0, packets6: 0, octets6: 0 };
  for (const each of counted)
    for (const key of ["packets", "octets", "packets6", "octets6"] as const) sums[key] += each[key];
  return {
    files,
    sums,
    frames: counted.reduce((total, { frames }) => total + frames, 0),
    firstMs: Math.min(...counted.map(({ firstMs }) => firstMs)),
    lastMs: Math.max(...counted.map(({ lastMs }) => lastMs)),
  };
}

function isEthernet(path: string): boolean {
  const reader = openCaptureFile(path);
  reader.read(createCaptureBatch(256));
  const { error } = reader;
  reader.close();
  return error === undefined;
}

/** Decode every message; its sequence has no gap. */
function flowsOf(sent: readonly Uint8Array[]): { record: DecodedRecord; firstMs: number; lastMs: number }[] {
  const decoder = new TemplateDecoder();
  let expected = 0;
  return sent.flatMap((bytes) => {
    const message = decoder.decode(bytes);
    assert.equal(message.sequence, expected);
    expected += message.version === 9 ? 1 : message.records.length;
    const boot = message.unixSeconds * 1000 - message.uptimeMs;
    return message.records
      .filter(({ template }) => template.scopes === 0)
      .map((record) => {
        const { values } = record;
        const date = (absolute: number, relative: number): number =>
          message.version === 9 ? boot + Number(values[relative]) : Number(values[absolute]);
        return { record, firstMs: date(152, 22), lastMs: date(153, 21) };
      });
  });
}

for (const type of ["netflow-v9", "ipfix"])
  test(`${type}: all captures through a decoder: tshark's packets and octets of IPv4 and IPv6, every frame once`, async (t) => {
    const truth = truths(t);
    if (truth === undefined) return;
    const sums: Sums = { packets: 0, octets: 0, packets6: 0, octets6: 0 };
    let packets = 0;
    for (const { record, firstMs, lastMs } of flowsOf(await kept(type, truth.files))) {
      const { values } = record;
      packets += Number(values[2]);
      assert.ok(
        firstMs <= lastMs && firstMs >= truth.firstMs - 1 && lastMs <= truth.lastMs + 1,
        `${firstMs} ${lastMs}`,
      );
      if (values[60] === 4n) {
        sums.packets += Number(values[2]);
        sums.octets += Number(values[1]);
      } else if (values[60] === 6n) {
        sums.packets6 += Number(values[2]);
        sums.octets6 += Number(values[1]);
      }
    }
    assert.deepEqual(sums, truth.sums);
    assert.equal(packets, truth.frames);
    t.diagnostic(JSON.stringify({ ...sums, frames: packets }));
  });

test("v5, v9 and IPFIX of one run: the same IPv4 flows, dates and sums", async (t) => {
  const truth = truths(t);
  if (truth === undefined) return;
  const line = (...fields: (number | bigint)[]): string => fields.map(Number).join(" ");
  const v5 = (await kept("netflow-v5", truth.files))
    .flatMap((bytes) => decodeV5(bytes).records)
    .map(({ firstMs, lastMs, packets, octets, srcPort, dstPort, protocol, tos, input }) =>
      line(firstMs, lastMs, packets, octets, srcPort, dstPort, protocol, tos, input),
    );
  for (const type of ["netflow-v9", "ipfix"]) {
    const flows: string[] = flowsOf(await kept(type, truth.files))
      .filter(({ record }) => record.values[60] === 4n)
      .map(({ record: { values }, firstMs, lastMs }) =>
        line(firstMs, lastMs, ...[2, 1, 7, 11, 4, 5, 10].map((element) => values[element] as bigint)),
      );
    assert.deepEqual(flows, v5, type);
  }
});

/** Packets and IP total lengths of outer IPv4 in sFlow's raw headers: Ethernet, at most two tags. */
function sampledIpv4(sent: readonly Uint8Array[]): { packets: number; octets: number } {
  const sums = { packets: 0, octets: 0 };
  for (const bytes of sent)
    for (const sample of decode(bytes).datagram!.samples) {
      if (sample.type !== "flow") continue;
      const raw = sample.records.find((record) => record.type === "rawHeader")!;
      const view = new DataView(raw.header.buffer, raw.header.byteOffset, raw.header.length);
      let at = 12;
      for (let tags = 0; tags < 2 && at + 6 <= view.byteLength; tags++)
        if ([0x8100, 0x88a8, 0x9100].includes(view.getUint16(at))) at += 4;
      if (at + 22 > view.byteLength || view.getUint16(at) !== 0x0800) continue;
      const ip = at + 2;
      const headerBytes = (view.getUint8(ip) & 15) * 4;
      const length = view.getUint16(ip + 2) || raw.frameLength - raw.stripped - ip;
      if (view.getUint8(ip) >> 4 !== 4 || headerBytes < 20 || length < headerBytes) continue;
      sums.packets += sample.rate;
      sums.octets += length * sample.rate;
    }
  return sums;
}

test("sFlow at 1 in 1 of the same run: the same packets and octets of IPv4", async (t) => {
  const truth = truths(t);
  if (truth === undefined) return;
  const sent = await kept("sflow", truth.files, { polling: "0s" }, { rate: 1, header: 128 });
  const { packets, octets } = truth.sums;
  assert.deepEqual(sampledIpv4(sent), { packets, octets });
});

for (const type of ["netflow-v9", "ipfix"])
  test(`${type}: tshark decodes every message, has nothing to remark, and sums the same`, async (t) => {
    const truth = truths(t);
    if (truth === undefined) return;
    const sent = await kept(type, truth.files);
    const rows = withFolder((folder) => {
      const file = join(folder, "out.pcap");
      writeFileSync(file, udpCapture(sent, 2055));
      const fields = ["cflow.version", "cflow.packets", "cflow.octets", "_ws.expert.message"];
      const args = ["-r", file, "-n", "-d", "udp.port==2055,cflow", "-T", "fields", "-E", "separator=;"];
      const done = spawnSync("tshark", [...args, ...fields.flatMap((field) => ["-e", field])], {
        encoding: "utf8",
        maxBuffer: 1 << 28,
      });
      assert.equal(done.status, 0, done.stderr);
      return done.stdout
        .trimEnd()
        .split("\n")
        .map((row) => row.split(";"));
    });
    assert.equal(rows.length, sent.length);
    const total = { packets: 0, octets: 0 };
    const add = (text: string): number => text.split(",").reduce((sum, value) => sum + Number(value), 0);
    for (const [version, packets, octets, remark] of rows as [string, string, string, string][]) {
      assert.equal(version, type === "ipfix" ? "10" : "9");
      assert.equal(remark, "");
      total.packets += add(packets);
      total.octets += add(octets);
    }
    assert.deepEqual(total, { packets: truth.frames, octets: truth.sums.octets + truth.sums.octets6 });
  });

for (const type of ["netflow-v9", "ipfix"])
  test(
    `${type}: all captures into nfcapd and nfacctd: equal sums, no sequence error`,
    { timeout: 120_000 },
    async (t) => {
      const truth = truths(t);
      if (truth === undefined || !needs(t, "nfcapd", "nfdump", "nfacctd")) return;
      const [nfcapd, nfacctd] = [await startNfcapd(t), await startNfacctd(t)];
      const collectors = [`127.0.0.1:${nfcapd.port}`, `127.0.0.1:${nfacctd.port}`];
      await run(type, truth.files, collectors, { profile: "nfdump" });
      const dump = await nfcapd.finish();
      const six = dump.records.filter(({ src }) => src.includes(":"));
      const sum = (records: typeof six, key: "packets" | "bytes"): number =>
        records.reduce((n, flow) => n + flow[key], 0);
      assert.deepEqual(
        { packets6: sum(six, "packets"), octets6: sum(six, "bytes"), octets: dump.bytes - sum(six, "bytes") },
        { packets6: truth.sums.packets6, octets6: truth.sums.octets6, octets: truth.sums.octets },
      );
      assert.deepEqual([dump.packets, dump.sequenceErrors, dump.badPackets], [truth.frames, 0, 0]);
      assert.ok(dump.firstMs! >= truth.firstMs - 1, `first ${dump.firstMs} ${truth.firstMs}`);
      assert.ok(dump.lastMs! <= truth.lastMs + 1, `last ${dump.lastMs} ${truth.lastMs}`);
      const account = await nfacctd.finish();
      assert.equal(account.bytes, truth.sums.octets + truth.sums.octets6);
      assert.deepEqual(account.complaints, []);
      t.diagnostic(
        `${dump.flows} flows, ${dump.packets} packets, ${dump.bytes} octets; nfacctd ${account.packets} packets`,
      );
    },
  );
