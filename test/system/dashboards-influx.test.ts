/**
 * Every query of every InfluxQL dashboard against a real InfluxDB 1.x, after a run of two hosts, one of which restarts:
 * it runs, it finds what the run implies, and its sums are the switches' own.
 */
import assert from "node:assert/strict";
import test, { type TestContext } from "node:test";
import type { MirrorJson, PortJson } from "../../src/bridge/views/json.ts";
import { standstill, startHost, summed, type Said } from "../helpers/dashboard-run.ts";
import { committed, expand, queried, transformed } from "../helpers/grafana.ts";
import type { Choice, DashboardJson, PanelJson, Row, TargetJson, View } from "../helpers/grafana.ts";
import { Influxd } from "../helpers/influxd.ts";
import { needs } from "../helpers/needs.ts";
import { pause, startWeir } from "../helpers/weir-process.ts";

const PPS = 3000;

/** What is chosen in each view: one of each, several, all. Each has something to show everywhere. */
const CHOICES: Readonly<Record<string, Readonly<Record<string, Choice>>>> = {
  one: {
    host: ["beta"],
    bridge: ["weir0"],
    tenant: ["globex"],
    port: ["gen.globex-lab7"],
    session: ["watch"],
    exporter: ["history"],
  },
  several: {
    host: ["alpha", "beta"],
    bridge: ["weir0"],
    tenant: ["globex", "initech"],
    port: ["gen.globex-lab7", "gen.initech-bot"],
    session: ["watch"],
    exporter: ["history", "nowhere"],
  },
  all: { host: "All", bridge: "All", tenant: "All", port: "All", session: "All", exporter: "All" },
};

interface Answers {
  readonly server: Influxd;
  readonly view: (choices: Readonly<Record<string, Choice>>) => View;
  readonly said: readonly Said[];
}

async function run(t: TestContext): Promise<Answers> {
  const server = await Influxd.start();
  t.after(() => server.stop());
  const fromMs = Date.now() - 5000;
  const exporters = [
    { name: "history", type: "influx", url: server.url, interval: "1s", top: { size: 10, interval: "1s" } },
    { name: "nowhere", type: "netflow-v5", collectors: ["127.0.0.1:9"] },
  ];
  const alpha = await startHost(t, "alpha", `${PPS}pps`, exporters);
  const beta = await startHost(t, "beta", `${PPS}pps`, exporters);
  await pause(4000);
  const said = [await standstill(alpha)];
  await alpha.weir.stop();
  alpha.weir = await startWeir(t, alpha.home);
  await pause(4000);
  said.push(await standstill(alpha), await standstill(beta));
  await alpha.weir.stop();
  await beta.weir.stop();
  const toMs = Date.now() + 1000;
  return { server, said, view: (choices) => ({ choices, fromMs, toMs, intervalMs: 2000 }) };
}

const ask = (
  { server, view }: Answers,
  board: DashboardJson,
  target: TargetJson,
  choices: Readonly<Record<string, Choice>>,
) => server.query(expand(target.query!, board, view(choices)));

/** Columns of an answer, neither time nor tags, that have no value in any row. */
function withoutValue(rows: readonly Row[], query: string): string[] {
  const labels = [...query.slice(0, query.indexOf(" FROM ")).matchAll(/AS "([^"]+)"/g)].map(([, label]) => label!);
  assert.ok(labels.length > 0, query);
  return labels.filter((label) => !rows.some((row) => row[label] !== null && row[label] !== undefined));
}

function panelOf(boards: readonly DashboardJson[], uid: string, title: string): readonly [DashboardJson, PanelJson] {
  const board = boards.find((one) => one.uid === uid)!;
  return [board, board.panels.find((panel) => panel.title === title)!];
}

test("dashboards of InfluxDB: every panel and variable, on a real server", { timeout: 120_000 }, async (t) => {
  if (!needs(t, "/usr/bin/influxd")) return;
  const answers = await run(t);
  const { server, view, said } = answers;
  const boards = committed("influx");
  const alphas = said.filter(({ host }) => host === "alpha");
  assert.equal(boards.length, 7);

  for (const [how, choices] of Object.entries(CHOICES))
    await t.test(`${how}: every panel's query has a value in every column`, async () => {
      for (const board of boards)
        for (const panel of board.panels) {
          const tables: Row[][] = [];
          for (const target of panel.targets ?? []) {
            const query = expand(target.query!, board, view(choices));
            const rows = await server.query(query).catch((error: Error) => assert.fail(`${error.message}: ${query}`));
            assert.deepEqual(withoutValue(rows, query), [], `${board.uid} "${panel.title}": ${query}`);
            tables.push(rows);
          }
          if (panel.type === "table") assert.ok(transformed(tables, panel).length > 0, panel.title);
        }
    });

  await t.test("every variable's query lists the run's names, and only those of what is chosen before it", async () => {
    const expected: Record<string, string[]> = {
      host: ["alpha", "beta"],
      bridge: ["weir0"],
      tenant: ["acme", "globex", "hooli", "initech", "wonka"],
      port: said[0]!.ports.map(({ name }) => name).sort(),
      session: ["watch"],
      exporter: ["history", "nowhere"],
    };
    for (const board of boards)
      for (const { name, query } of queried(board)) {
        const list = async (choices: Readonly<Record<string, Choice>>): Promise<unknown[]> =>
          (await server.query(expand(query as string, board, view(choices)))).map(({ value }) => value).sort();
        assert.deepEqual(await list(CHOICES.all!), expected[name], `${board.uid} ${name}`);
        if (name === "port")
          assert.deepEqual(
            await list({ ...CHOICES.all, tenant: ["globex"] }),
            expected.port!.filter((port) => port.startsWith("gen.globex-")),
          );
      }
  });

  const tableOf = async (uid: string, title: string): Promise<Row[]> => {
    const [board, panel] = panelOf(boards, uid, title);
    const tables: Row[][] = [];
    for (const target of panel.targets!) tables.push(await ask(answers, board, target, CHOICES.all!));
    return transformed(tables, panel);
  };
  /** A table's rows by a key, one column, added up. */
  const by = (rows: readonly Row[], key: readonly string[], of: string): [string, number][] =>
    sorted(
      summed(
        rows,
        (row) => key.map((name) => row[name]).join(" "),
        (row) => Number(row[of]),
      ),
    );

  await t.test("tenants: sums are the switches' own, over the restart", async () => {
    const items = said.flatMap(({ tenants }) => tenants).filter(({ tenant }) => tenant !== undefined);
    const own = (value: (item: (typeof items)[number]) => number) =>
      sorted(summed(items, ({ tenant }) => tenant!, value));
    const shown = await tableOf("weir-influx-tenants", "Totals");
    assert.deepEqual(
      by(shown, ["Tenant"], "Received"),
      own((x) => x.rxBytes),
    );
    assert.deepEqual(
      by(shown, ["Tenant"], "Sent"),
      own((x) => x.txBytes),
    );
    assert.deepEqual(
      by(shown, ["Tenant"], "Received packets"),
      own((x) => x.rxPackets),
    );
    assert.deepEqual(
      by(shown, ["Tenant"], "Dropped packets"),
      own((x) => x.dropped),
    );
  });

  await t.test("ports and drops: sums are the switches' own, over the restart", async () => {
    const items = said.flatMap(({ host, ports }) => ports.map((port) => ({ host, port })));
    const own = (value: (port: PortJson) => number) =>
      sorted(
        summed(
          items,
          ({ host, port }) => `${host} ${port.name}`,
          ({ port }) => value(port),
        ),
      );
    const ports = await tableOf("weir-influx-ports", "In this range");
    assert.deepEqual(
      by(ports, ["Host", "Port"], "Received"),
      own((x) => x.rxBytes),
    );
    assert.deepEqual(
      by(ports, ["Host", "Port"], "Sent packets"),
      own((x) => x.txPackets),
    );
    assert.deepEqual(
      by(ports, ["Host", "Port"], "Dropped"),
      own((x) => x.dropped),
    );
    const reasons = items
      .flatMap(({ host, port }) =>
        Object.entries(port.drops).map(([reason, n]) => [`${host} ${port.name} ${reason}`, n] as const),
      )
      .filter(([, n]) => n > 0);
    const drops = await tableOf("weir-influx-drops", "By port and reason");
    assert.deepEqual(
      by(drops, ["Host", "Port", "Reason"], "Packets"),
      sorted(
        summed(
          reasons,
          ([key]) => key,
          ([, n]) => n,
        ),
      ),
    );
  });

  await t.test("mirrors: sums are the switches' own", async () => {
    const items = said.flatMap(({ host, mirrors }) => mirrors.map((mirror) => ({ host, mirror })));
    const own = (value: (mirror: MirrorJson) => number) =>
      sorted(
        summed(
          items,
          ({ host, mirror }) => `${host} ${mirror.name}`,
          ({ mirror }) => value(mirror),
        ),
      );
    const shown = await tableOf("weir-influx-mirrors", "Totals");
    assert.deepEqual(
      by(shown, ["Host", "Session"], "Selected"),
      own((x) => x.matched),
    );
    assert.deepEqual(
      by(shown, ["Host", "Session"], "Sent"),
      own((x) => x.sent),
    );
  });

  await t.test("no rate jumps at the restart, and the area under the curve is the counter", async () => {
    const [board, panel] = panelOf(boards, "weir-influx-overview", "Received packets");
    const rows = await ask(answers, board, panel.targets![0]!, { ...CHOICES.all, host: ["alpha"] });
    const rates = rows.map(({ received }) => Number(received ?? 0));
    const highest = Math.max(...rates);
    assert.ok(highest > PPS / 2, `${highest} of ${PPS} packets a second: ${rates.join(" ")}`);
    const own = alphas.flatMap(({ ports }) => ports).reduce((sum, { rxPackets }) => sum + rxPackets, 0);
    // Reckoned again from the rows: each row's own rate, their means in each bucket, and nothing between the rows is lost or new.
    const [, field] = /non_negative_derivative\("(\w+)"/.exec(panel.targets![0]!.query!)!;
    const [, measurement] = /FROM "(\w+)" WHERE/.exec(panel.targets![0]!.query!)!;
    const source = `FROM "${measurement}" WHERE host = 'alpha' GROUP BY *`;
    const series = new Map<string, Row[]>();
    for (const row of await answers.server.query(`SELECT "${field}" AS n ${source}`)) {
      const key = JSON.stringify({ ...row, time: 0, n: 0 });
      series.set(key, [...(series.get(key) ?? []), row]);
    }
    const expected = new Map<number, number>();
    let grown = 0;
    for (const points of series.values()) {
      const buckets = new Map<number, number[]>();
      for (let at = 1; at < points.length; at++) {
        const [before, now] = [points[at - 1]!, points[at]!].map(({ time, n }) => ({ ms: Number(time), n: Number(n) }));
        if (now!.n < before!.n) continue;
        grown += now!.n - before!.n;
        const bucket = Math.floor(now!.ms / 2000) * 2000;
        const rate = ((now!.n - before!.n) * 1000) / (now!.ms - before!.ms);
        buckets.set(bucket, [...(buckets.get(bucket) ?? []), rate]);
      }
      for (const [bucket, own] of buckets)
        expected.set(bucket, (expected.get(bucket) ?? 0) + own.reduce((sum, rate) => sum + rate, 0) / own.length);
    }
    for (const { time, received } of rows)
      assert.ok(
        Math.abs(Number(received ?? 0) - (expected.get(Number(time)) ?? 0)) < 0.01,
        `${String(time)}: ${received}`,
      );
    assert.equal(grown, own, "all that was counted, and nothing twice");
  });

  await t.test(
    "top talkers: keys' sums are the rows', largest first, and no more than all that was recorded",
    async () => {
      const [board, panel] = panelOf(boards, "weir-influx-talkers", "Sources");
      const raw = await ask(answers, board, panel.targets![0]!, CHOICES.all!);
      const shown = transformed([raw], panel);
      const own = summed(
        raw,
        ({ key }) => String(key),
        ({ bytes }) => Number(bytes),
      );
      assert.ok(shown.length > 5 && shown.length <= 25);
      for (const { Source, Bytes } of shown) assert.equal(Bytes, own.get(String(Source)), String(Source));
      const bytes = shown.map(({ Bytes }) => Number(Bytes));
      assert.deepEqual(
        bytes,
        bytes.toSorted((a, b) => b - a),
      );
      const all = await server.query("SELECT sum(total_bytes) AS n FROM weir_top WHERE dim = 'src' AND rank = '01'");
      const told = await server.query(
        "SELECT sum(octets) AS n FROM (SELECT last(octets) AS octets FROM weir_exporter WHERE exporter = 'history' GROUP BY host)",
      );
      assert.ok(bytes.reduce((sum, one) => sum + one, 0) <= Number(all[0]!.n));
      assert.ok(Number(told[0]!.n) > 0);
      const [, share] = panelOf(boards, "weir-influx-talkers", "Share of the ten largest");
      for (const target of share.targets!)
        for (const row of await ask(answers, board, target, CHOICES.all!))
          for (const [name, value] of Object.entries(row))
            if (name !== "time") assert.ok(Number(value) > 0 && Number(value) <= 1, `${name}: ${String(value)}`);
    },
  );
});

const sorted = (map: Map<string, number>): [string, number][] => [...map].sort(([a], [b]) => (a < b ? -1 : 1));
