/** A hub with the influx exporter, in real time, whose counters grow; and a real server for it. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import { setTimeout as sleep } from "node:timers/promises";
import influx from "../../exporters/influx/index.ts";
import { C_DROP_REASON, C_RX_BYTES, C_RX_PACKETS, CounterSnapshot } from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { Hub } from "../../src/telemetry/hub.ts";
import { Influxd, type InfluxdOptions } from "./influxd.ts";

export interface Bed {
  readonly hub: Hub;
  readonly log: RecordLog;
  readonly counters: CounterSnapshot;
  /** Ticks of real time for `ms`, the counters growing. */
  run(ms: number): Promise<void>;
  flush(): Promise<boolean>;
}

export function bed(url: string, stateDir: string, options: object = {}): Bed {
  const counters = new CounterSnapshot(3);
  const log = RecordLog.create(262_144);
  const bootMs = Date.now();
  const port = { no: 1, name: "p 1,=\\", bridge: "b", ifIndex: 20001, speed: 1e9, up: true, owner: { tenant: "acme" } };
  const hub = new Hub({
    state: { get: () => undefined, set: () => {} },
    port: () => port,
    ports: () => [port],
    agentAddress: "192.0.2.1",
    stateDir,
    log: () => {},
    now: () => Date.now(),
  });
  const spec = { name: "influx", type: "influx", collectors: [], bridges: [] };
  hub.addExporter({ ...spec, options: influx.schema.parse({ url, interval: "1s", ...options }) }, influx);
  hub.addBridge({ name: "b", log, counters: () => counters });
  const now = () => ({ uptimeMs: Date.now() - bootMs, unixMs: Date.now() });
  return {
    hub,
    log,
    counters,
    async run(ms) {
      for (const end = Date.now() + ms; Date.now() < end; await sleep(50)) {
        counters.values[1 * (counters.values.length / 3) + C_RX_PACKETS]! += 10;
        counters.values[1 * (counters.values.length / 3) + C_RX_BYTES]! += 1000;
        counters.values[1 * (counters.values.length / 3) + C_DROP_REASON + 1]! += 1;
        hub.tick(now());
      }
    },
    flush: () => hub.flush(now(), 10_000),
  };
}

export async function withServer(
  work: (server: Influxd, stateDir: string) => Promise<void>,
  options: InfluxdOptions = {},
): Promise<void> {
  const stateDir = mkdtempSync(join(tmpdir(), "weir-influx-"));
  const server = await Influxd.start(options);
  try {
    await work(server, stateDir);
  } finally {
    await server.stop();
    rmSync(stateDir, { recursive: true, force: true });
  }
}
