/** weir decode: what comes in by a real socket is what it says, whatever came in. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import { setTimeout as sleep } from "node:timers/promises";
import test from "node:test";
import { exporterTypes } from "../../registry.gen.ts";
import sflow from "../../../exporters/sflow/index.ts";
import { weir } from "../../../test/helpers/cli.ts";
import { freePort } from "../../../test/helpers/collectors.ts";
import { decodeV5 } from "../../../test/helpers/netflow-v5-decoder.ts";
import { random } from "../../../test/helpers/random.ts";
import { messagesOf } from "../../../test/helpers/golden.ts";
import { TemplateDecoder } from "../../../test/helpers/template-decoder.ts";
import { moment, PORTS, sampleBench, sampleOf } from "../../../test/helpers/samples.ts";
import { dropReason, DROPPED } from "../../flow/disposition.ts";
import { TemplateReader } from "./templates.ts";
import { decodeNetflowV5 } from "./netflow-v5.ts";

/** Send datagrams to a `weir decode` with these arguments; what it printed. */
async function decoded(option: string, datagrams: readonly Uint8Array[], ...more: string[]): Promise<string> {
  const port = await freePort();
  const stop = new AbortController();
  const ran = weir(["decode", option, `127.0.0.1:${port}`, ...more], { signal: stop.signal });
  const socket = createSocket("udp4");
  await sleep(300);
  for (const datagram of datagrams)
    await new Promise<void>((resolve) => socket.send(datagram, port, "127.0.0.1", () => resolve()));
  await sleep(300);
  stop.abort();
  socket.close();
  const { code, out, err } = await ran;
  assert.equal(code, 0, err);
  return out;
}

function sflowDatagrams(): Uint8Array[] {
  const bench = sampleBench(sflow, { profile: "full", polling: "1s" });
  const refused = { disposition: DROPPED, reason: dropReason("acl"), outputs: 0 };
  bench.exporter.samples!(
    [sampleOf({ inTci: 0x1064, outTci: 0x1064 }), sampleOf(refused), sampleOf({ ...refused, kind: "drop" })],
    "b",
    moment(0),
  );
  bench.exporter.counters!(bench.snapshot, "b", moment(0));
  bench.exporter.flush(moment(0));
  return bench.sender.sent;
}

test("sflow: a line a sample", async () => {
  const out = await decoded("--sflow", [...sflowDatagrams(), Uint8Array.of(0, 0, 0, 5, 0)]);
  const lines = out.trimEnd().split("\n");
  assert.equal(
    lines[0],
    "sflow 192.0.2.1/0 #0  flow 0:20001 1:400 pool 400 drops 0  20001 > 20002  " +
      "52:54:00:00:00:01 > 52:54:00:00:00:02, udp 10.1.0.5:5000 > 10.1.0.9:53, 146 B; vlan 100",
  );
  assert.match(lines[1]!, /20001 > discarded acl {2}/);
  assert.match(lines[2]!, /discard 0:20001 discarded acl drops 0/);
  assert.match(lines[3]!, /counters 0:20001 {2}ifIndex 20001 in 0 B 0 packets .*; port web1/);
  assert.match(lines.at(-1)!, /^sflow 127\.0\.0\.1:\d+ {2}BAD at byte 4: a number needs 4 bytes, 1 are left$/);
});

test("sflow --json: one object a datagram, numbers with all their digits", async () => {
  const out = await decoded("--sflow", sflowDatagrams(), "--json");
  const objects = out
    .trimEnd()
    .split("\n")
    .map((line) => JSON.parse(line));
  assert.deepEqual(
    objects.map(({ datagram }) => datagram.sequence),
    [0, 1, 2],
  );
  assert.equal(objects[0].datagram.samples[0].records[0].header.slice(0, 12), "525400000002");
  assert.match(out, /"datapathId":90520730730497,/);
});

const NETFLOW = Buffer.from(
  "0005000100000bb8655f2b00075bcd1500000064000741900a010005c000024d0000000000034e210000000c00001267000003e8000007cf" +
    "01bbc93a001b062a0000000000000000",
  "hex",
);

test("netflow version 5: as another decoder reads it, and in a line", async () => {
  const bytes = new Uint8Array(NETFLOW);
  const { datagram, error } = decodeNetflowV5(bytes);
  assert.equal(error, undefined);
  const [record] = datagram!.records;
  const [theirs] = decodeV5(bytes).records;
  for (const key of [
    "src",
    "dst",
    "input",
    "output",
    "packets",
    "octets",
    "srcPort",
    "dstPort",
    "tcpFlags",
    "tos",
    "firstMs",
    "lastMs",
  ] as const)
    assert.equal(record![key], theirs![key], key);
  const out = await decoded("--netflow", [bytes, bytes.slice(0, 40), Uint8Array.of(0, 9)]);
  const lines = out.trimEnd().split("\n");
  assert.match(
    lines[0]!,
    /^netflow-v5 127\.0\.0\.1:\d+ 0\/7 #100 {2}10\.1\.0\.5:443 > 192\.0\.2\.77:51514 tcp {2}12 packets 4711 octets in 1\.0 s {2}3 > 20001$/,
  );
  assert.match(lines[1]!, /BAD at byte 24: 1 records, 0 are there$/);
  assert.match(lines[2]!, /^netflow 127\.0\.0\.1:\d+ {2}BAD at byte 2: the header has 20 bytes$/);
});

test("netflow version 5: any bytes give an answer", () => {
  const next = random(2055);
  for (let n = 0; n < 20_000; n++) {
    const bytes = new Uint8Array(NETFLOW).slice(0, next() % 73);
    for (let edits = next() % 4; edits > 0 && bytes.length > 2; edits--)
      bytes[2 + (next() % (bytes.length - 2))] = next();
    const { datagram, error } = decodeNetflowV5(bytes);
    assert.ok(datagram !== undefined || error !== undefined);
    if (error) assert.ok(error.offset <= bytes.length);
  }
});

/** Messages of an exporter: flows of each family, options, interfaces. */
async function exported(type: "netflow-v9" | "ipfix"): Promise<Uint8Array[]> {
  const exporter = await exporterTypes[type]();
  const ports = PORTS.map((port) => ({ ...port, name: `port ${port.no}` }));
  const flows = [{ packets: 12, l3Bytes: 4711 }, { version: 6 as const, vlan: 0x10640000 }, { version: 0 as const }];
  return messagesOf(exporter, {
    uptimeMs: 5000,
    ports,
    options: { sampling: { rate: 10 }, ...(type === "ipfix" && { enterpriseNumber: 4711 }) },
    flows,
  });
}

for (const type of ["netflow-v9", "ipfix"] as const) {
  test(`${type}: every value as another decoder reads it`, async () => {
    const [ours, theirs] = [new TemplateReader(), new TemplateDecoder()];
    let compared = 0;
    for (const bytes of await exported(type)) {
      const { datagram, error } = ours.decode(bytes, "192.0.2.1:9");
      assert.equal(error, undefined);
      const other = theirs.decode(bytes);
      const { version, sequence, domain } = datagram!;
      assert.deepEqual([version, sequence, domain], [other.version, other.sequence, other.domain]);
      assert.equal(datagram!.unixMs, other.unixSeconds * 1000);
      assert.deepEqual(
        datagram!.templates.map(({ id, scopes, fields }) => [id, scopes, fields.map((field) => field.bytes)]),
        other.templates.map(({ id, scopes, fields }) => [id, scopes, fields.map(({ length }) => length)]),
      );
      assert.equal(datagram!.records.length, other.records.length);
      datagram!.records.forEach(({ values }, n) => {
        const told = Object.values(values);
        // The other decoder knows numbers only: texts and addresses are compared in the lines below.
        const { template, values: numbers } = other.records[n]!;
        template.fields.forEach(({ element, pen, length }, field) => {
          const value = told[field]!;
          if (typeof value === "string" || value instanceof Uint8Array) return;
          const key = pen === 0 ? String(element) : `${pen}/${element}`;
          const isAlone = template.fields.filter((one) => one.element === element && one.pen === pen).length === 1;
          if (isAlone) assert.equal(BigInt(value), numbers[key], `${key}, ${length} bytes`);
          compared++;
        });
      });
    }
    assert.ok(compared > 80, String(compared));
  });

  test(`${type}: a line a record, options and templates too`, async () => {
    const messages = await exported(type);
    const out = await decoded(type === "ipfix" ? "--ipfix" : "--netflow", messages);
    const lines = out.trimEnd().split("\n");
    const head = type === "ipfix" ? "ipfix" : "netflow-v9";
    assert.ok(
      lines.every((line) => line.startsWith(`${head} 127.0.0.1:`)),
      out,
    );
    assert.match(out, /domain 1 #\d+ {2}template \d+: .*octetDeltaCount packetDeltaCount/);
    assert.match(out, /options template \d+: /);
    assert.match(out, /options .*samplingInterval 10\n/);
    assert.match(out, /interfaceName port 1, interfaceDescription /);
    assert.match(out, / {2}10\.\S+:\d+ > 10\.\S+:\d+ udp {2}12 packets 4711 octets in \d+\.\d s {2}\d+ > \d+ {2}idle/);
    assert.match(out, / {2}\[[0-9a-f:]+\]:\d+ > \[[0-9a-f:]+\]:\d+ udp .*vlanId 100/);
    // Records before their templates are named, not guessed.
    const late = await decoded(type === "ipfix" ? "--ipfix" : "--netflow", [messages.at(-1)!]);
    assert.match(late, /records of template \d+, which was not seen yet/);
    const [first] = (await decoded("--netflow", messages, "--json")).split("\n");
    assert.ok(JSON.parse(first!).datagram.templates.length > 3);
  });

  test(`${type}: any bytes give an answer`, async () => {
    const seeds = await exported(type);
    const next = random(4739);
    const reader = new TemplateReader();
    for (let n = 0; n < 20_000; n++) {
      const bytes = seeds[n % seeds.length]!.slice();
      for (let edits = next() % 5; edits > 0; edits--) bytes[2 + (next() % (bytes.length - 2))] = next();
      const cut = next() % 4 === 0 ? bytes.slice(0, next() % bytes.length) : bytes;
      const { datagram, error } = reader.decode(cut, `192.0.2.${n % 7}:1`);
      assert.ok(datagram !== undefined || error !== undefined);
      if (error) assert.ok(error.offset <= cut.length, error.message);
    }
  });
}

test("templates that promise much cost little", () => {
  const reader = new TemplateReader();
  const set = (id: number, ...words: number[]): number[] => [id, 4 + 2 * words.length, ...words];
  const message = (...sets: number[][]): Uint8Array => {
    const words = [10, 16 + 2 * sets.flat().length, 0, 1, 0, 0, 0, 1, ...sets.flat()];
    const bytes = new Uint8Array(2 * words.length);
    words.forEach((word, n) => new DataView(bytes.buffer).setUint16(2 * n, word));
    return bytes;
  };
  const empty = Array.from({ length: 511 }, () => [4, 0]).flat();
  const told = reader.decode(
    message(set(2, 256, 512, ...empty, 4, 1), set(256, ...Array.from({ length: 20_000 }, () => 0))),
    "x",
  );
  assert.match(told.error!.message, /more than 65536 values/);
  assert.ok(told.datagram!.records.length <= 128);
  assert.match(reader.decode(message(set(2, 257, 1, 4, 0), set(257, 1)), "x").error!.message, /without bytes/);
  assert.match(reader.decode(message(set(2, 258, 60_000, 4, 1)), "x").error!.message, /60000 fields/);
  assert.match(reader.decode(message(set(9, 1)), "x").error!.message, /set id 9/);
});

test("where it cannot listen it says why", async () => {
  assert.match((await weir(["decode"])).err, /nothing to listen on/);
  assert.match((await weir(["decode", "--sflow", "six"])).err, /--sflow six: write :PORT or ADDRESS:PORT/);
  assert.match((await weir(["decode", "--sflow", "192.0.2.1:6343"])).err, /no address of this host/);
});
