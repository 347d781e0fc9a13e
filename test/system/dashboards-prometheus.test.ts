/** Every expression of every PromQL dashboard against a real Prometheus that scrapes two hosts with the demo's traffic. */
import assert from "node:assert/strict";
import test from "node:test";
import { standstill, startHost, summed } from "../helpers/dashboard-run.ts";
import { committed, expand, queried, transformed } from "../helpers/grafana.ts";
import type { Choice, DashboardJson, PanelJson, Row, View } from "../helpers/grafana.ts";
import { needs } from "../helpers/needs.ts";
import { startPrometheus, type Series } from "../helpers/prometheus.ts";
import { pause } from "../helpers/weir-process.ts";

const ALL = { host: "All", bridge: "All", tenant: "All", port: "All", session: "All", exporter: "All" } as const;
const CHOICES: Readonly<Record<string, Readonly<Record<string, Choice>>>> = {
  one: {
    host: ["beta"],
    bridge: ["weir0"],
    tenant: ["globex"],
    port: ["gen.globex-lab7"],
    session: ["watch"],
    exporter: ["nowhere"],
  },
  several: {
    host: ["alpha", "beta"],
    bridge: ["weir0"],
    tenant: ["globex", "initech"],
    port: ["gen.globex-lab7", "gen.initech-bot"],
    session: ["watch"],
    exporter: ["nowhere"],
  },
  all: ALL,
};

/** As Grafana makes a table of an instant answer; `name` of its values is "Value", of several queries "Value #A". */
const tableOf = (series: readonly Series[], name: string): Row[] =>
  series.map(({ metric, values }) => ({ Time: 0, ...metric, [name]: values[0] }));

test("dashboards of Prometheus: every panel and variable, on a real server", { timeout: 120_000 }, async (t) => {
  if (!needs(t, "prometheus")) return;
  const exporters = [{ name: "nowhere", type: "netflow-v5", collectors: ["127.0.0.1:9"] }];
  const hosts = [await startHost(t, "alpha", "3000pps", exporters), await startHost(t, "beta", "3000pps", exporters)];
  const prometheus = await startPrometheus(
    t,
    hosts.map(({ name, home }) => ({ name, socket: home.socket })),
  );
  const fromMs = Date.now();
  for (let tries = 0; ; tries++) {
    const [up] = await prometheus.ask("sum(up)").catch(() => []);
    if (up?.values[0] === 2) break;
    assert.ok(tries < 150, prometheus.output().slice(-2000));
    await pause(200);
  }
  await pause(7000);
  const toMs = Date.now();
  const said = [await standstill(hosts[0]!), await standstill(hosts[1]!)];
  const boards = committed("prometheus");
  assert.equal(boards.length, 6);
  const view = (choices: Readonly<Record<string, Choice>>): View => ({ choices, fromMs, toMs, intervalMs: 1000 });

  const answer = async (board: DashboardJson, panel: PanelJson, choices: Readonly<Record<string, Choice>>) => {
    const answers: Row[][] = [];
    for (const { expr, instant, refId } of panel.targets ?? []) {
      const query = expand(expr!, board, view(choices));
      const asked = instant ? prometheus.ask(query, toMs) : prometheus.range(query, fromMs, toMs, 1000);
      const series = await asked.catch((error: Error) => assert.fail(`${error.message}: ${query}`));
      const values = series.flatMap(({ values }) => values).filter((value) => !Number.isNaN(value));
      assert.ok(values.length > 0, `${board.uid} "${panel.title}" has nothing: ${query}`);
      answers.push(tableOf(series, panel.targets!.length > 1 ? `Value #${refId}` : "Value"));
    }
    return panel.type === "table" ? transformed(answers, panel) : [];
  };

  for (const [how, choices] of Object.entries(CHOICES))
    await t.test(`${how}: every panel's expression has a value`, async () => {
      for (const board of boards)
        for (const panel of board.panels) {
          const rows = await answer(board, panel, choices);
          assert.ok(panel.type !== "table" || rows.length > 0, panel.title);
        }
    });

  await t.test("every variable lists the run's names, and only those of what is chosen before it", async () => {
    const ports = said[0]!.ports.map(({ name }) => name).sort();
    const expected: Record<string, string[]> = {
      host: ["alpha", "beta"],
      bridge: ["weir0"],
      tenant: ["acme", "globex", "hooli", "initech", "wonka"],
      port: ports,
      session: ["watch"],
      exporter: ["nowhere"],
    };
    for (const board of boards)
      for (const { name, query } of queried(board)) {
        const list = async (choices: Readonly<Record<string, Choice>>): Promise<string[]> => {
          const text = expand((query as { query: string }).query, board, view(choices));
          const [, selector, label] = /^label_values\((.*), (\w+)\)$/.exec(text)!;
          return (await prometheus.labelValues(selector!, label!)).sort();
        };
        assert.deepEqual(await list(ALL), expected[name], `${board.uid} ${name}`);
        if (name === "port")
          assert.deepEqual(
            await list({ ...ALL, tenant: ["globex"] }),
            ports.filter((port) => port.startsWith("gen.globex-")),
          );
      }
  });

  await t.test(
    "totals are near the switches' own: Prometheus extrapolates, and did not see the beginning",
    async () => {
      const board = boards.find(({ uid }) => uid === "weir-prometheus-ports")!;
      const rows = await answer(
        board,
        board.panels.find(({ title }) => title === "Totals")!,
        ALL,
      );
      const shown = summed(
        rows,
        ({ Host, Port }) => `${String(Host)} ${String(Port)}`,
        (row) => Number(row["Received packets"]),
      );
      const own = said.flatMap(({ host, ports }) =>
        ports.map((port) => [`${host} ${port.name}`, port.rxPackets] as const),
      );
      assert.equal(shown.size, own.length);
      const [sum, all] = [[...shown.values()], own.map(([, packets]) => packets)].map((list) =>
        list.reduce((a, b) => a + b, 0),
      );
      assert.ok(sum! > 0.5 * all! && sum! < 1.2 * all!, `${sum} of ${all}`);
    },
  );
});
