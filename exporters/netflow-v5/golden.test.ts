/**
 * Golden datagrams: golden/*.hex, each named by what it proves. They are checked against three readers: the bytes in the
 * file, the decoder of test/helpers (written from Cisco's tables), and tshark's.
 * `WEIR_WRITE_GOLDEN=1` writes the files anew; look at the difference before committing it.
 */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import { existsSync, mkdtempSync, readFileSync, rmSync, writeFileSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import test from "node:test";
import { CONSUMED, DROPPED, OBSERVED } from "../../src/flow/disposition.ts";
import { RecordBatch, RecordLog } from "../../src/shm/log.ts";
import type { ExporterEnv } from "../../src/telemetry/exporter.ts";
import { projectRoot } from "../../test/helpers/captures.ts";
import { FakeSender } from "../../test/helpers/fake-sender.ts";
import { needs } from "../../test/helpers/needs.ts";
import { decodeV5 } from "../../test/helpers/netflow-v5-decoder.ts";
import { appendRecord, TEST_BOOT_MS } from "../../test/helpers/records.ts";
import type { TestFlow } from "../../test/helpers/records.ts";
import netflowV5 from "./index.ts";

interface Golden {
  readonly options?: object;
  readonly sequence?: number;
  readonly uptimeMs: number;
  readonly flows: readonly TestFlow[];
}

const TCP: TestFlow = {
  src: 0x0a010005,
  dst: 0xc000024d,
  proto: 6,
  tos: 0x2a,
  l4: [443, 51514],
  tcpFlags: 0x1b,
  packets: 12,
  l3Bytes: 4711,
  firstMs: 1000.9,
  lastMs: 1999.9,
};

const GOLDENS: Record<string, Golden> = {
  "one-tcp-flow": { uptimeMs: 2500.4, flows: [TCP], options: { engineType: 3, engineId: 7 }, sequence: 1_000_000 },
  "icmp-type-and-code-in-the-destination-port": {
    uptimeMs: 2500,
    flows: [
      { proto: 1, l4: [8, 0] },
      { proto: 1, l4: [3, 13] },
      { proto: 2, l4: [0x16, 0] },
    ],
  },
  "output-of-dropped-consumed-flooded-observed": {
    uptimeMs: 2500,
    flows: [
      { disposition: DROPPED, output: 0, outputs: 0 },
      { disposition: DROPPED, output: 20002, outputs: 1 },
      { disposition: CONSUMED, output: 0, outputs: 0 },
      { output: 0, outputs: 3 },
      { disposition: OBSERVED, output: 20002, outputs: 1 },
      { disposition: OBSERVED, output: 0, outputs: 0 },
      { input: 70000, output: 65535, outputs: 1 },
      { input: 65534, output: 65534, outputs: 1 },
    ],
  },
  "no-ports-without-a-transport-header": { uptimeMs: 2500, flows: [{ proto: 6, tcpFlags: 0 }, { proto: 89 }] },
  "a-flow-of-2-to-the-33-bytes-is-three-records": {
    uptimeMs: 2500,
    flows: [{ ...TCP, packets: 6_000_001, l3Bytes: 2 ** 33 }],
  },
  "uptime-wraps-after-49-days": {
    uptimeMs: 2 ** 32 + 200,
    flows: [
      { ...TCP, firstMs: 2 ** 32 - 5000, lastMs: 2 ** 32 - 1 },
      { ...TCP, firstMs: 2 ** 32 - 1, lastMs: 2 ** 32 + 200 },
    ],
  },
  "uptime-is-not-below-a-last-of-the-future": { uptimeMs: 1500, flows: [TCP] },
  "sampled-source-random": { uptimeMs: 2500, flows: [TCP], options: { sampling: { rate: 400, mode: "random" } } },
  "sampled-source-akvorado": {
    uptimeMs: 2500,
    flows: [TCP],
    options: { profile: "akvorado", sampling: { rate: 400, mode: "random" } },
  },
};

function datagramsOf(golden: Golden): Uint8Array[] {
  const log = RecordLog.create(64);
  for (const flow of golden.flows) appendRecord(log, flow);
  const sender = new FakeSender();
  const env: ExporterEnv = {
    name: "netflow-v5",
    collectors: [sender],
    port: () => undefined,
    ports: () => [],
    resume: { sequence: golden.sequence ?? 0 },
    sent: () => {},
    agentAddress: "192.0.2.1",
    log: () => {},
  };
  const exporter = netflowV5.open(netflowV5.schema.parse(golden.options ?? {}), env);
  const now = { uptimeMs: golden.uptimeMs, unixMs: TEST_BOOT_MS + golden.uptimeMs };
  exporter.records!(new RecordBatch(log, 0, log.head), "b", now);
  exporter.flush(now);
  return sender.sent;
}

function toHex(bytes: Uint8Array): string {
  const words = Buffer.from(bytes)
    .toString("hex")
    .match(/.{1,8}/g)!;
  const lines: string[] = [];
  for (let at = 0; at < words.length;) {
    const length = at === 0 ? 6 : 12; // the header, then a record a line
    lines.push(words.slice(at, at + length).join(" "));
    at += length;
  }
  return `${lines.join("\n")}\n`;
}

const folder = join(projectRoot, "exporters/netflow-v5/golden");

for (const [name, golden] of Object.entries(GOLDENS)) {
  test(`golden: ${name}`, () => {
    const datagrams = datagramsOf(golden);
    assert.equal(datagrams.length, 1);
    decodeV5(datagrams[0]!);
    const file = join(folder, `${name}.hex`);
    if (process.env.WEIR_WRITE_GOLDEN) writeFileSync(file, toHex(datagrams[0]!));
    assert.ok(existsSync(file), `${file} is missing`);
    assert.equal(toHex(datagrams[0]!), readFileSync(file, "utf8"));
  });
}

test("tshark reads in the golden datagrams what the decoder reads", (t) => {
  if (!needs(t, "tshark")) return;
  const datagrams = Object.values(GOLDENS).flatMap(datagramsOf);
  const temporary = mkdtempSync(join(tmpdir(), "weir-golden-"));
  t.after(() => rmSync(temporary, { recursive: true, force: true }));
  const file = join(temporary, "golden.pcap");
  writeFileSync(file, capture(datagrams));
  const fields = {
    sysuptime: "sysUptime",
    sequence: "sequence",
    engine_type: "engineType",
    engine_id: "engineId",
    samplingmode: "samplingMode",
    samplerate: "samplingRate",
    srcaddr: "src",
    dstaddr: "dst",
    inputint: "input",
    outputint: "output",
    packets: "packets",
    octets: "octets",
    srcport: "srcPort",
    dstport: "dstPort",
    tcpflags: "tcpFlags",
    protocol: "protocol",
    tos: "tos",
    timestart: "first",
    timeend: "last",
  };
  const args = Object.keys(fields).flatMap((field) => ["-e", `cflow.${field}`]);
  const run = spawnSync(
    "tshark",
    ["-r", file, "-d", "udp.port==2055,cflow", "-T", "fields", "-E", "separator=;", ...args],
    {
      encoding: "utf8",
    },
  );
  assert.equal(run.status, 0, run.stderr);
  const lines = run.stdout.trim().split("\n");
  assert.equal(lines.length, datagrams.length);
  lines.forEach((line, n) => {
    const mine = decodeV5(datagrams[n]!);
    const theirs = line.split(";");
    Object.values(fields).forEach((field, column) => {
      const values =
        field in mine
          ? [mine[field as keyof typeof mine]]
          : mine.records.map((record) => record[field as keyof typeof record]);
      const read = theirs[column]!.split(",").map(plain);
      assert.deepEqual(read, values.map(String), `${Object.keys(GOLDENS)[n]}: ${field}`);
    });
  });
});

/** tshark's way to write numbers: 0x1b, and 2.500000000 s. */
function plain(text: string): string {
  if (text.startsWith("0x")) return String(parseInt(text, 16));
  return text.includes(".") && text.split(".").length === 2 ? String(Math.round(Number(text) * 1000)) : text;
}

/** A pcap file of Ethernet frames with UDP to port 2055; checksums 0. */
function capture(payloads: readonly Uint8Array[]): Buffer {
  const head = Buffer.alloc(24);
  head.writeUInt32LE(0xa1b2c3d4, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65535, 16);
  head.writeUInt32LE(1, 20);
  const frames = payloads.map((payload) => {
    const frame = Buffer.alloc(42 + payload.length);
    frame.writeUInt16BE(0x0800, 12);
    frame[14] = 0x45;
    frame.writeUInt16BE(28 + payload.length, 16);
    frame[22] = 64;
    frame[23] = 17;
    frame.writeUInt32BE(0x7f000001, 26);
    frame.writeUInt32BE(0x7f000001, 30);
    frame.writeUInt16BE(2055, 34);
    frame.writeUInt16BE(2055, 36);
    frame.writeUInt16BE(8 + payload.length, 38);
    frame.set(payload, 42);
    const packet = Buffer.alloc(16);
    packet.writeUInt32LE(frame.length, 8);
    packet.writeUInt32LE(frame.length, 12);
    return Buffer.concat([packet, frame]);
  });
  return Buffer.concat([head, ...frames]);
}
