/** Replays of real captures, end to end: what leaves against tshark, through a decoder, nfcapd and nfacctd. */
import assert from "node:assert/strict";
import { writeFileSync } from "node:fs";
import { basename, join } from "node:path";
import { test, type TestContext } from "node:test";
import type { ReplayOptions } from "../../src/cli/deps.ts";
import { replayFailed, type ReplayResult } from "../../src/cli/render/replay.ts";
import { exporterTypes, portTypes } from "../../src/registry.gen.ts";
import { replay, type ReplayDeps } from "../../src/run/replay.ts";
import { createCaptureBatch, openCaptureFile } from "../../src/wire/capture-file.ts";
import { PCAP_HEADER_BYTES, PCAP_RECORD_BYTES, pcapHeader, writePcapRecord } from "../../src/wire/pcap.ts";
import { captures } from "../helpers/captures.ts";
import { startNfacctd, startNfcapd, freePort } from "../helpers/collectors.ts";
import { FakeSender } from "../helpers/fake-sender.ts";
import { needs } from "../helpers/needs.ts";
import { decodeV5, type V5Datagram, type V5Record } from "../helpers/netflow-v5-decoder.ts";
import { outerIpv4, type OuterIpv4 } from "../helpers/outer-ipv4.ts";
import { withFolderAsync } from "../helpers/tshark.ts";

const COLLECTOR = "192.0.2.9:2055";
const SECOND_MS = 1000;

interface Replayed {
  readonly result: ReplayResult;
  readonly sent: readonly Uint8Array[];
}

function run(options: Partial<ReplayOptions> & { files: readonly string[] }, deps: Partial<ReplayDeps> = {}) {
  return replay(
    { netflow: [], ports: "by-mac", speed: "max", pace: 0, ...options },
    { now: () => Date.now(), exporterTypes, portTypes, ...deps },
  );
}

/** A replay whose datagrams are kept. */
async function kept(files: readonly string[], options: Partial<ReplayOptions> = {}): Promise<Replayed> {
  const sender = new FakeSender(COLLECTOR);
  const result = await run({ files, netflow: [COLLECTOR], ...options }, { sender: () => sender });
  return { result, sent: sender.sent };
}

/** Records of datagrams, whose sequence has no gap. */
function recordsOf(sent: readonly Uint8Array[]): V5Record[] {
  let sequence = 0;
  return sent.map(decodeV5).flatMap((datagram: V5Datagram) => {
    assert.equal(datagram.sequence, sequence);
    sequence += datagram.count;
    return datagram.records;
  });
}

function sum<T>(items: readonly T[], of: (item: T) => number): number {
  return items.reduce((total, item) => total + of(item), 0);
}

/** Each frame is counted once, in what was received, what became of it, and in records. */
function checkBooks({ audit, packets, files, exporters, drops }: ReplayResult): void {
  assert.ok(audit.ok);
  assert.equal(audit.rx, packets);
  assert.equal(
    packets,
    sum(files, (file) => file.packets),
  );
  assert.equal(audit.rx, audit.forwarded + audit.dropped + audit.consumed);
  assert.equal(sum(Object.values(drops), Number), audit.dropped);
  for (const exporter of exporters) {
    const said = exporter.packets + sum(Object.values(exporter.notExportable), Number);
    assert.equal(said + audit.unattributed, audit.rx, "every packet is in a record");
  }
}

/** Apps and protocols as tshark counts them, without files of other link types; undefined: skipped. */
function truths(t: TestContext): OuterIpv4[] | undefined {
  const apps = captures(t, "apps");
  if (apps === undefined || !needs(t, "tshark", "mergecap")) return undefined;
  return outerIpv4([...apps, ...captures(t, "protocols")!].filter(isEthernet));
}

function isEthernet(path: string): boolean {
  const reader = openCaptureFile(path);
  reader.read(createCaptureBatch(256));
  const { error } = reader;
  reader.close();
  return error === undefined;
}

test("each capture by itself: the packets, octets and dates that tshark has", async (t) => {
  const all = truths(t);
  if (all === undefined) return;
  for (const truth of all) {
    const name = basename(truth.path);
    const { result, sent } = await kept([truth.path]);
    const records = recordsOf(sent);
    checkBooks(result);
    assert.equal(result.packets, truth.frames, name);
    assert.ok(result.files[0]!.complete, name);
    assert.equal(result.exporters[0]!.packets, truth.packets, `${name}: packets`);
    assert.equal(result.exporters[0]!.octets, truth.octets, `${name}: octets`);
    assert.equal(
      sum(records, (record) => record.packets),
      truth.packets,
      `${name}: packets sent`,
    );
    assert.equal(
      sum(records, (record) => record.octets),
      truth.octets,
      `${name}: octets sent`,
    );
    for (const { firstMs, lastMs } of records) {
      assert.ok(firstMs <= lastMs, name);
      assert.ok(firstMs >= truth.firstMs - SECOND_MS && lastMs <= truth.lastMs + SECOND_MS, `${name}: dates`);
    }
  }
  t.diagnostic(`${all.length} captures, ${sum(all, ({ frames }) => frames)} frames`);
});

test("all captures in one run: sums in nfcapd and nfacctd, no sequence error, dates of the captures", async (t) => {
  const all = truths(t);
  if (all === undefined || !needs(t, "nfcapd", "nfdump", "nfacctd")) return;
  const files = all.map(({ path }) => path);
  const packets = sum(all, (truth) => truth.packets);
  const octets = sum(all, (truth) => truth.octets);
  const [nfcapd, nfacctd] = [await startNfcapd(t), await startNfacctd(t)];
  const collectors = [`127.0.0.1:${nfcapd.port}`, `127.0.0.1:${nfacctd.port}`];
  const result = await run({ files, netflow: collectors, pace: 2000 });
  checkBooks(result);
  assert.equal(
    result.packets,
    sum(all, ({ frames }) => frames),
  );
  assert.deepEqual(
    result.exporters.map((exporter) => [exporter.collector, exporter.packets, exporter.octets, exporter.sendErrors]),
    collectors.map((collector) => [collector, packets, octets, 0]),
  );
  const dump = await nfcapd.finish();
  assert.equal(dump.packets, packets);
  assert.equal(dump.bytes, octets);
  assert.equal(dump.flows, result.exporters[0]!.records);
  assert.equal(dump.sequenceErrors, 0);
  assert.equal(dump.badPackets, 0);
  assert.ok(dump.firstMs! >= Math.min(...all.map(({ firstMs }) => firstMs)) - SECOND_MS);
  assert.ok(dump.lastMs! <= Math.max(...all.map(({ lastMs }) => lastMs)) + SECOND_MS);
  const account = await nfacctd.finish();
  assert.equal(account.packets, packets);
  assert.equal(account.bytes, octets);
  assert.deepEqual(account.complaints, []);
  t.diagnostic(`${packets} packets, ${octets} octets, ${dump.flows} records`);
});

test("equal input, equal datagrams, byte for byte; one port or one a MAC is no matter to sums", async (t) => {
  const files = captures(t, "apps");
  if (files === undefined) return;
  const [first, second] = [await kept(files), await kept(files)];
  assert.ok(first.sent.length > 50);
  assert.deepEqual(first.sent, second.sent);
  const single = await kept(files, { ports: "single" });
  checkBooks(single.result);
  assert.equal(single.result.ports, 1);
  for (const key of ["packets", "octets"] as const)
    assert.equal(single.result.exporters[0]![key], first.result.exporters[0]![key]);
});

test("captures that crash dissectors: each frame counted once, damage named with its place", async (t) => {
  const files = captures(t, "malformed");
  if (files === undefined) return;
  let damaged = 0;
  for (const path of files) {
    const { result, sent } = await kept([path]);
    recordsOf(sent);
    checkBooks(result);
    const [file] = result.files;
    assert.equal(file!.complete, file!.error === undefined);
    assert.equal(replayFailed(result), file!.error !== undefined);
    if (file!.error) damaged++;
  }
  const { result } = await kept(files);
  checkBooks(result);
  assert.equal(
    result.files.filter((file) => file.error !== undefined).length,
    damaged,
    "the others are read all the same",
  );
  t.diagnostic(`${files.length} captures, ${result.packets} frames, ${damaged} damaged or of another link type`);
});

// ---- captures made here ------------------------------------------------------------------------------------------

/** Ethernet, IPv4, UDP: `l3Bytes` long on the wire, of which the headers are there. */
function udp(sourcePort: number, l3Bytes: number): Uint8Array {
  const frame = new Uint8Array(42);
  frame.set([2, 0, 0, 0, 0, 2, 2, 0, 0, 0, 0, 1, 8, 0, 0x45, 0, l3Bytes >>> 8, l3Bytes & 0xff, 0, 0, 0, 0, 64, 17]);
  frame.set(
    [10, 0, 0, 1, 10, 0, 0, 2, sourcePort >>> 8, sourcePort & 0xff, 0, 53, (l3Bytes - 20) >>> 8, l3Bytes - 20],
    26,
  );
  return frame;
}

interface Made {
  readonly ms: number;
  readonly port?: number;
  readonly l3Bytes?: number;
}

function pcap(packets: readonly Made[]): Uint8Array {
  const file = new Uint8Array(PCAP_HEADER_BYTES + packets.length * (PCAP_RECORD_BYTES + 42));
  file.set(pcapHeader());
  let at = PCAP_HEADER_BYTES;
  for (const { ms, port = 1000, l3Bytes = 60 } of packets) {
    const micros = (ms % 1000) * 1000;
    at = writePcapRecord(file, at, Math.floor(ms / 1000), micros, udp(port, l3Bytes), 0, 42, l3Bytes + 14);
  }
  return file;
}

async function made(packets: readonly Made[], options: Partial<ReplayOptions> = {}): Promise<Replayed> {
  return withFolderAsync(async (folder) => {
    const path = join(folder, "made.pcap");
    writeFileSync(path, pcap(packets));
    return kept([path], options);
  });
}

const BASE_MS = 1_700_000_000_250;

/** 10 packets a second. */
const steady = (count: number): Made[] => Array.from({ length: count }, (_, n) => ({ ms: BASE_MS + n * 100 }));

test("active timeout: records of a long flow adjoin and do not overlap", async () => {
  await withFolderAsync(async (folder) => {
    const path = join(folder, "long.pcap");
    const config = join(folder, "weir.yaml");
    writeFileSync(path, pcap(steady(200)));
    writeFileSync(config, "flows: { activeTimeout: 3s }\nbridges: [{ name: weir0 }]\n");
    const { result, sent } = await kept([path], { config });
    checkBooks(result);
    const records = recordsOf(sent);
    // 3.0 s hold the packets 0 … 29; the one at 3.0 s is the first of the next.
    assert.deepEqual(
      records.map(({ packets, firstMs, lastMs }) => [packets, firstMs - BASE_MS, lastMs - BASE_MS]),
      [0, 3, 6, 9, 12, 15, 18].map((from) => {
        const packets = from === 18 ? 20 : 30;
        return [packets, from * 1000, from * 1000 + (packets - 1) * 100];
      }),
    );
    assert.equal(result.flows, 1);
  });
});

test("idle timeout: a flow that pauses becomes two, dated by their own packets", async () => {
  const { result, sent } = await made([{ ms: BASE_MS }, { ms: BASE_MS + 14_999 }, { ms: BASE_MS + 30_000 }]);
  assert.deepEqual(
    recordsOf(sent).map(({ packets, firstMs, lastMs }) => [packets, firstMs - BASE_MS, lastMs - BASE_MS]),
    [
      [2, 0, 14_999],
      [1, 30_000, 30_000],
    ],
  );
  assert.equal(result.flows, 2);
});

test("a clock that jumps: an epoch ends, the sequence goes on; one that stutters counts as now", async () => {
  const day = 86_400_000;
  const times = [0, 100, -800, 150, 100 - 60_000, 25 * day - 60_000 + 100, 25 * day - 59_000, 49 * day - 59_000];
  const { result, sent } = await made(times.map((ms) => ({ ms: BASE_MS + ms })));
  checkBooks(result);
  assert.deepEqual(
    recordsOf(sent).map(({ packets, firstMs, lastMs }) => [packets, firstMs - BASE_MS, lastMs - BASE_MS]),
    [
      [4, 0, 150],
      [1, 100 - 60_000, 100 - 60_000],
      [2, 25 * day - 60_000 + 100, 25 * day - 59_000],
      [1, 49 * day - 59_000, 49 * day - 59_000],
    ],
  );
});

test("years from 1970 to 2037 in one run, µs exact within an epoch", async () => {
  const years = [0, 400_000_000_000, 1_900_000_000_000, 2_140_000_000_000, 1000];
  const { result, sent } = await made(years.flatMap((ms) => [{ ms }, { ms: ms + 1 }]));
  checkBooks(result);
  assert.deepEqual(
    recordsOf(sent).map(({ packets, firstMs, lastMs }) => [packets, firstMs, lastMs]),
    years.map((ms) => [2, ms, ms + 1]),
  );
});

test("a flow of more than 2^33 octets sums exactly", async () => {
  const count = Math.ceil(2 ** 33 / 65_535) + 3;
  const packets = Array.from({ length: count }, () => ({ ms: BASE_MS, l3Bytes: 65_535 }));
  const { result, sent } = await made(packets);
  const records = recordsOf(sent);
  assert.equal(
    sum(records, (record) => record.octets),
    count * 65_535,
  );
  assert.equal(
    sum(records, (record) => record.packets),
    count,
  );
  assert.equal(result.l3Bytes, count * 65_535);
  assert.equal(result.bytes, count * 65_549);
  assert.equal(result.flows, 1);
});

test("a file that is cut: everything before is exported, the place is named, the next file is read", async () => {
  await withFolderAsync(async (folder) => {
    const [cut, whole] = [join(folder, "cut.pcap"), join(folder, "whole.pcap")];
    const bytes = pcap(steady(10));
    writeFileSync(cut, bytes.subarray(0, bytes.length - 5));
    writeFileSync(whole, bytes);
    const { result, sent } = await kept([cut, whole]);
    checkBooks(result);
    assert.equal(
      sum(recordsOf(sent), (record) => record.packets),
      19,
    );
    const record = PCAP_RECORD_BYTES + 42;
    assert.deepEqual(result.files, [
      {
        path: cut,
        packets: 9,
        bytes: 9 * 74,
        complete: false,
        error: { offset: PCAP_HEADER_BYTES + 9 * record, message: result.files[0]!.error!.message },
      },
      { path: whole, packets: 10, bytes: 740, complete: true },
    ]);
    assert.match(result.files[0]!.error!.message, /ends inside a packet/);
    assert.ok(replayFailed(result));
  });
});

test("another link type is refused by name; a missing file, before anything is sent", async () => {
  await withFolderAsync(async (folder) => {
    const wifi = join(folder, "wifi.pcap");
    writeFileSync(wifi, Buffer.concat([pcapHeader({ linktype: 105 }), pcap(steady(1)).subarray(PCAP_HEADER_BYTES)]));
    const { result } = await kept([wifi]);
    assert.match(result.files[0]!.error!.message, /IEEE802_11/);
    assert.equal(result.packets, 0);
    assert.ok(result.audit.ok && replayFailed(result));
    await assert.rejects(kept([wifi, join(folder, "none.pcap")]), /none\.pcap: no such file/);
    await assert.rejects(kept([folder]), /is a folder/);
  });
});

test("a collector that is not there: counted for it, and the other gets everything", async (t) => {
  if (!needs(t, "nfcapd", "nfdump")) return;
  const nfcapd = await startNfcapd(t);
  await withFolderAsync(async (folder) => {
    const path = join(folder, "many.pcap");
    writeFileSync(path, pcap(Array.from({ length: 3000 }, (_, n) => ({ ms: BASE_MS + n, port: 1024 + n }))));
    const netflow = [`127.0.0.1:${await freePort()}`, `127.0.0.1:${nfcapd.port}`];
    const result = await run({ files: [path], netflow, pace: 2000 });
    const [gone, there] = result.exporters;
    assert.equal(gone!.datagrams, 100);
    assert.equal(gone!.sendErrors, 100);
    assert.equal(there!.sendErrors, 0);
    assert.ok(replayFailed(result));
  });
  const { packets, sequenceErrors } = await nfcapd.finish();
  assert.deepEqual({ packets, sequenceErrors }, { packets: 3000, sequenceErrors: 0 });
});

test("speed: a factor keeps the capture's pauses, and its dates", async () => {
  const began = performance.now();
  const { sent } = await made(steady(20), { speed: "10" });
  const took = performance.now() - began;
  assert.ok(took >= 180 && took < 5000, `${took} ms for 1.9 s at ten times the speed`);
  const [record] = recordsOf(sent);
  assert.deepEqual([record!.firstMs, record!.lastMs], [BASE_MS, BASE_MS + 1900]);
});

test("a capture of more MACs than ports: the rest shares one", async () => {
  await withFolderAsync(async (folder) => {
    const path = join(folder, "macs.pcap");
    const bytes = pcap(Array.from({ length: 400 }, (_, n) => ({ ms: BASE_MS + n })));
    const size = PCAP_RECORD_BYTES + 42;
    for (let n = 0; n < 400; n++) bytes[PCAP_HEADER_BYTES + n * size + PCAP_RECORD_BYTES + 10] = n >>> 8;
    for (let n = 0; n < 400; n++) bytes[PCAP_HEADER_BYTES + n * size + PCAP_RECORD_BYTES + 11] = n & 0xff;
    writeFileSync(path, bytes);
    const { result } = await kept([path]);
    checkBooks(result);
    assert.equal(result.ports, 257);
  });
});
