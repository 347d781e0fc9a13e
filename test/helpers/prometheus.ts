/** A real Prometheus of Debian's `prometheus` that scrapes switches once a second, stopped with the test. */
import { mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { connect, createServer } from "node:net";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { freePort } from "./collectors.ts";
import { start } from "./netns.ts";

/** Labels, and values: one of an instant, several of a range. */
export interface Series {
  readonly metric: Readonly<Record<string, string>>;
  readonly values: readonly number[];
}

export interface Prometheus {
  output(): string;
  /** At an instant (now unless said), ms; throws Prometheus' error. */
  ask(query: string, atMs?: number): Promise<Series[]>;
  range(query: string, fromMs: number, toMs: number, stepMs: number): Promise<Series[]>;
  /** Values of a label among the series of a selector. */
  labelValues(selector: string, label: string): Promise<string[]>;
}

/** A socket of a switch as a TCP port of this host. */
async function tcpOf(t: TestContext, path: string): Promise<number> {
  const server = createServer((client) => {
    const upstream = connect(path);
    client.pipe(upstream).pipe(client);
    const end = (): void => {
      client.destroy();
      upstream.destroy();
    };
    client.on("error", end);
    upstream.on("error", end);
  });
  await new Promise<void>((resolve) => server.listen(0, "127.0.0.1", resolve));
  t.after(() => server.close());
  return (server.address() as { port: number }).port;
}

/** Scrapes the switches behind these sockets; `instance` is the name of each. */
export async function startPrometheus(
  t: TestContext,
  switches: readonly { readonly name: string; readonly socket: string }[],
): Promise<Prometheus> {
  const folder = mkdtempSync(join(tmpdir(), "weir-prometheus-"));
  t.after(() => rmSync(folder, { recursive: true, force: true }));
  const config = join(folder, "prometheus.yml");
  const targets = await Promise.all(
    switches.map(async ({ name, socket }) => ({
      targets: [`127.0.0.1:${await tcpOf(t, socket)}`],
      labels: { instance: name },
    })),
  );
  const jobs = [{ job_name: "weir", static_configs: targets }];
  writeFileSync(config, JSON.stringify({ global: { scrape_interval: "1s" }, scrape_configs: jobs }));
  const port = await freePort();
  const { output } = start(
    t,
    undefined,
    "prometheus",
    `--config.file=${config}`,
    `--storage.tsdb.path=${join(folder, "tsdb")}`,
    `--web.listen-address=127.0.0.1:${port}`,
  );
  const get = async <T>(path: string, parameters: Record<string, string>): Promise<T> => {
    const url = `http://127.0.0.1:${port}/api/v1/${path}?${new URLSearchParams(parameters).toString()}`;
    const { data, error } = (await (await fetch(url)).json()) as { data: T; error?: string };
    if (error !== undefined) throw new Error(error);
    return data;
  };
  interface Result {
    readonly result: readonly {
      readonly metric: Record<string, string>;
      readonly value?: readonly [number, string];
      readonly values?: readonly (readonly [number, string])[];
    }[];
  }
  const series = ({ result }: Result): Series[] =>
    result.map(({ metric, value, values = value && [value] }) => ({
      metric,
      values: values!.map(([, text]) => Number(text)),
    }));
  return {
    output,
    ask: async (query, atMs) =>
      series(await get("query", { query, ...(atMs !== undefined && { time: String(atMs / 1000) }) })),
    range: async (query, fromMs, toMs, stepMs) =>
      series(
        await get("query_range", {
          query,
          start: String(fromMs / 1000),
          end: String(toMs / 1000),
          step: String(stepMs / 1000),
        }),
      ),
    labelValues: (selector, label) => get<string[]>(`label/${label}/values`, { "match[]": selector }),
  };
}
