/**
 * A running switch whose InfluxDB is killed in the middle of writing and stays away: it forwards as before, its memory
 * stays bounded, and afterwards nothing is missing but what is counted as lost. `WEIR_INFLUX_AWAY_MS=60000` for a minute,
 * `WEIR_INFLUX_RATE=5Mpps` for as fast as it goes.
 */
import assert from "node:assert/strict";
import test from "node:test";
import type { ExporterJson, PortJson, SystemJson } from "../../src/bridge/views/json.ts";
import { standstill, startHost } from "../helpers/dashboard-run.ts";
import { Influxd } from "../helpers/influxd.ts";
import { needs } from "../helpers/needs.ts";
import { pause } from "../helpers/weir-process.ts";

const AWAY_MS = Number(process.env.WEIR_INFLUX_AWAY_MS ?? 5000);
const RATE = process.env.WEIR_INFLUX_RATE ?? "5kpps";
const BEFORE_MS = Math.min(AWAY_MS, 15_000);
/** So long no spool of 64 KiB lasts. */
const LONG_MS = 40_000;
const MEMORY_MIB = 64;

test(
  "influx: killed under load: forwarding goes on, sums are whole, losses are counted",
  { timeout: 240_000 },
  async (t) => {
    if (!needs(t, "/usr/bin/influxd")) return;
    const server = await Influxd.start();
    t.after(() => server.stop());
    const common = { type: "influx", url: server.url, interval: "1s", timeout: "2s" };
    const host = await startHost(t, "alpha", RATE, [
      { ...common, name: "whole" },
      { ...common, name: "small", database: "small", spool: "64KiB" },
    ]);
    const { weir } = host;
    const received = (): number =>
      weir.json<{ items: PortJson[] }>("show", "ports").items.reduce((sum, { forwarded }) => sum + forwarded, 0);
    const exporter = (name: string): ExporterJson =>
      weir.json<{ items: ExporterJson[] }>("show", "exporters").items.find((one) => one.name === name)!;
    const rss = (): number => weir.json<SystemJson>("show", "system").memory.rss / 2 ** 20;
    const rate = async (ms: number): Promise<number> => {
      const [from, at] = [received(), performance.now()];
      await pause(ms);
      return ((received() - from) / (performance.now() - at)) * 1000;
    };
    for (let n = 0; n < 100 && exporter("whole").state !== "sending"; n++) await pause(200);

    const before = await rate(BEFORE_MS);
    const memory = rss();
    await server.down("SIGKILL");
    const during = await rate(AWAY_MS);
    const grown = rss() - memory;
    const [away, small] = [exporter("whole"), exporter("small")];
    t.diagnostic(
      `forwarded ${before.toFixed(0)} packets a second before, ${during.toFixed(0)} while it was away for ${AWAY_MS / 1000} s`,
    );
    t.diagnostic(
      `memory ${memory.toFixed(0)} MiB, ${grown.toFixed(1)} MiB more; ${away.detail!.join("; ")}; small: ${small.detail!.join("; ")}`,
    );
    // Ports that send at a rate of their own make up for a pause: only a switch that stands still falls so far behind.
    assert.ok(during > 0.5 * before, `${during} of ${before}`);
    assert.ok(grown < MEMORY_MIB, `${grown} MiB`);
    assert.match(away.state, /REFUSED|FAILING/);
    assert.match(away.detail!.join(), /nothing lost yet/);
    if (AWAY_MS >= LONG_MS) assert.match(small.detail!.join(), /[1-9]\d* points lost/);

    await server.up();
    for (let n = 0; n < 200 && exporter("whole").state !== "sending"; n++) await pause(300);
    for (let n = 0; n < 200 && exporter("small").state !== "sending"; n++) await pause(300);
    const { ports } = await standstill(host);
    await weir.stop();
    const sum = async (field: string, database?: string): Promise<unknown> => {
      const inner = `SELECT non_negative_difference(${field}) AS d FROM weir_port GROUP BY *`;
      return (await server.query(`SELECT sum(d) FROM (${inner})`, database))[0]?.sum;
    };
    const own = (value: (port: PortJson) => number): number => ports.reduce((all, port) => all + value(port), 0);
    assert.equal(
      await sum("rx_packets"),
      own((port) => port.rxPackets),
    );
    assert.equal(
      await sum("tx_bytes"),
      own((port) => port.txBytes),
    );
    // What the small spool dropped is missing in time, not in the sum: counters go on. The zeros at the beginning were taken before.
    assert.equal(
      await sum("rx_packets", "small"),
      own((port) => port.rxPackets),
    );
    const lost = await server.query("SELECT last(points_lost) AS n FROM weir_influx", "small");
    if (AWAY_MS >= LONG_MS) assert.ok(Number(lost[0]!.n) > 0, "a dashboard shows the loss");
  },
);
