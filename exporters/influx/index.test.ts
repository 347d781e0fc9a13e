import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import { join } from "node:path";
import test from "node:test";
import { exporterConformance } from "../../test/conformance/exporter.ts";
import { projectRoot } from "../../test/helpers/captures.ts";
import { C_FLOWS, C_RX_PACKETS, CounterSnapshot } from "../../src/shm/counters.ts";
import influx from "./index.ts";
import { escapeTag, integerField, point, stringField } from "./line.ts";
import { TenantSums } from "./rows.ts";
import { SCHEMA } from "./schema.ts";
import { Top } from "./top.ts";
import { refusedPoints } from "./writer.ts";

exporterConformance("influx", influx, { url: "http://127.0.0.1:8086" });

test("the URL holds no password", () => {
  assert.ok(!influx.schema.safeParse({ url: "http://me:secret@host:8086" }).success);
  assert.ok(influx.schema.safeParse({ url: "https://[::1]:8086/influx" }).success);
});

test("line protocol: what users write cannot begin a tag, a field or a point", () => {
  assert.equal(escapeTag("a b,c=d"), "a\\ b\\,c\\=d");
  assert.equal(escapeTag("a\nb\\"), "a\\ b/");
  assert.equal(escapeTag("Zürich 東"), "Zürich\\ 東");
  assert.equal(stringField('say "x"\\\n'), '"say \\"x\\"\\\\ "');
});

test("line protocol: integers to 2^63 - 1, and no field for what is no number", () => {
  assert.equal(integerField(Number.MAX_SAFE_INTEGER), "9007199254740991i");
  assert.equal(integerField(2 ** 60), "1152921504606846976i");
  assert.equal(integerField(2 ** 64), "9223372036854775807i");
  assert.equal(point("m", { a: "", b: undefined }, { x: NaN }, 5), undefined);
  assert.equal(point("m", { a: "1" }, { x: 1.9, y: "s" }, 5.5), 'm,a=1 x=1i,y="s" 5');
});

test("what a server refuses for good is counted, what it may take later is not", () => {
  const answer = (status: number, body: string) => ({ status, reason: "", body });
  assert.equal(refusedPoints(answer(400, '{"error":"partial write: x dropped=3"}'), 10), 3);
  assert.equal(refusedPoints(answer(400, "unable to parse 'a'\nunable to parse 'b'"), 10), 2);
  assert.equal(refusedPoints(answer(400, "what?"), 10), 10);
  assert.equal(refusedPoints(answer(422, "failure writing points: dropped=1"), 10), 1);
  assert.equal(refusedPoints(answer(401, "unauthorized"), 10), undefined);
  assert.equal(refusedPoints(answer(503, "dropped=1"), 10), undefined);
});

test("the top of 100,000 keys is in it, never told too low, and too high by what it says at most", () => {
  const top = new Top();
  const truth = new Map<string, number>();
  const add = (key: string, bytes: number): void => {
    truth.set(key, (truth.get(key) ?? 0) + bytes);
    top.add(key, bytes, 1);
  };
  for (let n = 0; n < 100_000; n++) {
    add(`mouse ${n}`, 100);
    if (n % 10 === 0) add(`elephant ${n % 30}`, 10_000);
  }
  const found = top.take(3);
  assert.deepEqual(found.map(({ key }) => key).sort(), ["elephant 0", "elephant 10", "elephant 20"]);
  for (const { key, bytes, error } of found) {
    assert.ok(bytes >= truth.get(key)! && bytes - error <= truth.get(key)!, key);
  }
});

test("a tenant has what its ports counted while they were its own", () => {
  const snapshot = new CounterSnapshot(2);
  const count = (rx: number, flows: number): void => {
    snapshot.values[snapshot.values.length / 2 + C_RX_PACKETS] = rx;
    snapshot.values[snapshot.values.length / 2 + C_FLOWS] = flows;
  };
  const port = { no: 1, name: "p", bridge: "b", ifIndex: 1, speed: 0, up: true };
  const sums = new TenantSums();
  const row = (tenant: string) => {
    const { rx_packets, flows } = sums.row(tenant, [port], snapshot, 0);
    return [rx_packets, flows];
  };
  count(1000, 5);
  assert.deepEqual(row("acme"), [1000, 5]);
  count(1010, 4);
  assert.deepEqual(row("globex"), [10, 4], "its past stays with acme");
  count(3, 1);
  assert.deepEqual(row("globex"), [13, 1], "a port made anew begins at 0");
  assert.deepEqual(row("acme"), [1000, 1], "and comes back without what it counted elsewhere");
});

test("README lists every measurement and field", () => {
  const readme = readFileSync(join(projectRoot, "exporters/influx/README.md"), "utf8");
  for (const [name, { fields }] of Object.entries(SCHEMA)) {
    assert.ok(readme.includes(`\`${name}\``), name);
    for (const field of Object.keys(fields)) assert.ok(readme.includes(`\`${field}\``), `${name}.${field}`);
  }
});
