/** /metrics as promtool and a strict reader of the format take it. */
import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { exporters, HOSTILE, fakeSwitch, ports } from "../../../test/helpers/fake-switch.ts";
import { needs } from "../../../test/helpers/needs.ts";
import { exposition, type Format } from "./exposition.ts";
import { METRICS } from "./families.ts";
import { metrics } from "./index.ts";

async function scrape(query = "", format: Format = "text"): Promise<{ text: string; type?: string }> {
  const accept = format === "openmetrics" ? "application/openmetrics-text;version=1.0.0,text/plain;q=0.5" : "*/*";
  const answer = await metrics(fakeSwitch(), new URLSearchParams(query), accept);
  assert.ok("text" in answer);
  return answer;
}

/** Name, labels and value of each sample line. */
function samplesOf(text: string): Map<string, number> {
  const lines = text.split("\n").filter((line) => line !== "" && !line.startsWith("#"));
  return new Map(
    lines.map((line) => {
      const match = /^([a-z_]+)(\{(?:[a-zA-Z_]+="(?:[^"\\\n]|\\[\\"n])*",?)*\})? (\S+)$/.exec(line);
      assert.ok(match, line);
      return [`${match[1]}${match[2] ?? ""}`, Number(match[3])];
    }),
  );
}

for (const query of ["", "names=ovs"])
  test(`promtool has nothing to remark (${query || "our names"})`, async (t) => {
    if (!needs(t, "promtool")) return;
    const { text, type } = await scrape(query);
    assert.equal(type, "text/plain; version=0.0.4; charset=utf-8");
    const done = spawnSync("promtool", ["check", "metrics"], { input: text, encoding: "utf8" });
    assert.deepEqual([done.status, done.stdout, done.stderr], [0, "", ""]);
  });

test("values are the switch's, labels are whole, whatever stands in a name", async () => {
  const { text } = await scrape();
  const samples = samplesOf(text);
  const web1 = ports.find(({ name }) => name === "web1")!;
  assert.equal(samples.get('weir_port_receive_packets_total{bridge="weir0",port="web1"}'), web1.rxPackets);
  const refused = 'weir_dropped_packets_total{bridge="weir0",port="web1",reason="ingress_vlan_filter",class="refused"}';
  assert.equal(samples.get(refused), 17);
  assert.equal(samples.get('weir_lost_packets_total{bridge="weir0",port="web1",where="ring"}'), 0);
  const hostile = JSON.stringify(HOSTILE).slice(1, -1);
  assert.ok(
    [...samples.keys()].some((key) => key.startsWith("weir_port_info") && key.includes('port="lab1"')),
    hostile,
  );
  const [first] = exporters;
  assert.equal(
    samples.get(`weir_exporter_records_total{exporter="${first!.name}",type="${first!.type}"}`),
    first!.records,
  );
});

test("OpenMetrics: families without _total, and its end", async () => {
  const { text, type } = await scrape("", "openmetrics");
  assert.match(type!, /^application\/openmetrics-text; version=1\.0\.0/);
  assert.ok(text.endsWith("# EOF\n"));
  assert.match(text, /# TYPE weir_port_receive_bytes counter\nweir_port_receive_bytes_total\{/);
  assert.match((await scrape()).text, /# TYPE weir_port_receive_bytes_total counter\n/);
});

test("names follow the conventions, and stand once", () => {
  const names = Object.values(METRICS).map(({ name }) => name);
  assert.equal(new Set(names).size, names.length);
  for (const { name, type, help } of Object.values(METRICS)) {
    assert.match(name, /^(weir|process|nodejs)_[a-z_]+$/);
    assert.ok(!name.endsWith("_total"), name);
    assert.ok(help.endsWith("."), `${name}: ${help}`);
    if (type === "counter") assert.doesNotMatch(name, /_info$/);
  }
});

test("escapes, digits, numbers that are none", () => {
  const family = {
    name: "weir_x",
    type: "gauge" as const,
    help: "a\\b\nc.",
    samples: [
      { labels: { a: 'q"\\\n' }, value: 2 ** 60 },
      { labels: {}, value: NaN },
      { labels: { b: "" }, value: Infinity },
    ],
  };
  assert.equal(
    exposition([family], "text"),
    '# HELP weir_x a\\\\b\\nc.\n# TYPE weir_x gauge\nweir_x{a="q\\"\\\\\\n"} 1152921504606846976\nweir_x NaN\nweir_x{b=""} +Inf\n',
  );
  assert.equal(exposition([{ ...family, samples: [] }], "text"), "\n");
});

test("other words are refused", async () => {
  await assert.rejects(scrape("names=prom"), /names: weir or ovs/);
  await assert.rejects(scrape("format=x"), /format/);
});
