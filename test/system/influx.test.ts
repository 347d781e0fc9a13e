/** The exporter against a real InfluxDB 1.x: values, series, and a server that is away or killed. */
import assert from "node:assert/strict";
import test from "node:test";
import { C_DROP_REASON, C_RX_BYTES, C_RX_PACKETS } from "../../src/shm/counters.ts";
import { bed, withServer } from "../helpers/influx-bed.ts";
import { hasInfluxd, type Influxd } from "../helpers/influxd.ts";
import { appendRecord } from "../helpers/records.ts";

const AWAY_MS = Number(process.env.WEIR_INFLUX_AWAY_MS ?? 5000);
const skip = hasInfluxd || process.env.CI ? false : "influxd is not installed (Debian: influxdb)";

/** What the differences that a dashboard draws add up to. */
async function sumOfDifferences(server: Influxd, field: string, measurement: string): Promise<unknown> {
  const inner = `SELECT non_negative_difference(${field}) AS d FROM ${measurement}`;
  return (await server.query(`SELECT sum(d) FROM (${inner})`))[0]?.sum;
}

test("influx: makes its database; values, and sums of differences, are the counters", { skip }, () =>
  withServer(async (server, stateDir) => {
    const { hub, counters, run, flush } = bed(server.url, stateDir, { retention: "7d" });
    await run(3500);
    assert.ok(await flush());
    const [port] = await server.query("SELECT last(rx_packets) AS n, port FROM weir_port");
    assert.equal(port!.n, counters.get(1, C_RX_PACKETS));
    assert.equal(port!.port, "p 1,=/");
    const [tenant] = await server.query("SELECT last(rx_bytes) AS n FROM weir_tenant WHERE tenant='acme'");
    assert.equal(tenant!.n, counters.get(1, C_RX_BYTES));
    const [drop] = await server.query("SELECT last(packets) AS n FROM weir_drop WHERE reason='ingress_vlan_filter'");
    assert.equal(drop!.n, counters.get(1, C_DROP_REASON + 1));
    assert.equal(await sumOfDifferences(server, "rx_packets", "weir_port"), counters.get(1, C_RX_PACKETS));
    assert.ok((await server.query("SHOW RETENTION POLICIES")).some(({ name }) => name === "weir"));
    await hub.close();
  }),
);

test("influx: 100,000 random flows leave the series where 100 left them", { skip }, () =>
  withServer(async (server, stateDir) => {
    const { hub, log, run, flush } = bed(server.url, stateDir, { top: { interval: "1s" } });
    const flows = (count: number): void => {
      for (let n = 0; n < count; n++)
        appendRecord(log, {
          src: n,
          l4: [n % 60_000, 443 + (n % 1000)],
          packets: 1,
          bytes: 100 + (n % 50),
          l3Bytes: 86,
        });
    };
    const cardinality = async (): Promise<unknown> =>
      Object.values((await server.query("SHOW SERIES CARDINALITY"))[0]!)[0];
    flows(100);
    await run(2500);
    await flush();
    const before = await cardinality();
    assert.ok(Number(before) > 10);
    flows(100_000);
    await run(2500);
    await flush();
    assert.equal(await cardinality(), before);
    await hub.close();
  }),
);

test("influx: away for a while and killed: afterwards nothing is missing", { skip }, () =>
  withServer(async (server, stateDir) => {
    const { hub, counters, run, flush } = bed(server.url, stateDir);
    await run(2000);
    await server.down("SIGKILL");
    await run(AWAY_MS);
    const [away] = hub.exporters();
    assert.equal(away!.state, "REFUSED");
    assert.ok(
      away!.detail.some((line) => /^spool .* nothing lost yet$/.test(line)),
      away!.detail.join("\n"),
    );
    await server.up();
    for (let n = 0; n < 35 && hub.exporters()[0]!.state === "REFUSED"; n++) await run(1000);
    await run(500);
    assert.ok(await flush());
    assert.equal(await sumOfDifferences(server, "rx_packets", "weir_port"), counters.get(1, C_RX_PACKETS));
    const points = await server.query("SELECT count(rx_packets) AS n FROM weir_port");
    assert.ok(Number(points[0]!.n) >= (2000 + AWAY_MS) / 1000, "every interval has its row");
    await hub.close();
  }),
);

test("influx: what a stopped switch could not send, the next one does", { skip }, () =>
  withServer(async (server, stateDir) => {
    await server.down();
    const first = bed(server.url, stateDir);
    await first.run(2500);
    await first.flush();
    await first.hub.close();
    await server.up();
    const second = bed(server.url, stateDir);
    for (let n = 0; n < 20 && second.hub.exporters()[0]!.state !== "sending"; n++) await second.run(500);
    await second.flush();
    const [row] = await server.query("SELECT max(rx_packets) AS n FROM weir_port");
    assert.equal(row!.n, first.counters.get(1, C_RX_PACKETS));
    await second.hub.close();
  }),
);
