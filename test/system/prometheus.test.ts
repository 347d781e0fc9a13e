/** A real Prometheus scrapes a running switch, and its answers are the switch's own counters. */
import assert from "node:assert/strict";
import test from "node:test";
import type { PortJson, TenantJson } from "../../src/bridge/views/json.ts";
import { needs } from "../helpers/needs.ts";
import { startPrometheus } from "../helpers/prometheus.ts";
import { pause, startWeir, weirHome } from "../helpers/weir-process.ts";

interface List<T> {
  readonly items: readonly T[];
}

test("Prometheus scrapes the demo's traffic; queries give the switch's counters", { timeout: 90_000 }, async (t) => {
  if (!needs(t, "prometheus")) return;
  const home = weirHome(t);
  home.write({
    tenants: { acme: { vlans: ["100-109"] }, globex: { vlans: ["110-119"] } },
    bridges: [{ name: "weir0", ports: [{ name: "gen", type: "traffic", profile: "tenants", seed: 3, rate: "5kpps" }] }],
  });
  const weir = await startWeir(t, home);
  const prometheus = await startPrometheus(t, [{ name: "here", socket: home.socket }]);
  const ask = async (query: string): Promise<{ metric: Readonly<Record<string, string>>; value: number }[]> =>
    (await prometheus.ask(query)).map(({ metric, values: [value] }) => ({ metric, value: value! }));
  const until = async (query: string, pleases: (value: number) => boolean): Promise<number> => {
    for (let tries = 0; ; tries++) {
      const [first] = await ask(query).catch(() => []);
      if (first !== undefined && pleases(first.value)) return first.value;
      assert.ok(tries < 200, `${query}: ${JSON.stringify(first)}\n${prometheus.output().slice(-2000)}`);
      await pause(100);
    }
  };

  await until('up{job="weir"}', (value) => value === 1);
  await until("sum(rate(weir_port_receive_packets_total[10s]))", (value) => value > 1000);
  // Stop the sources: from now on counters stand still, and both must say the same.
  for (const { name } of weir.json<List<PortJson>>("show", "ports").items) weir.ok("port", "disable", name);
  await pause(300);
  const ports = weir.json<List<PortJson>>("show", "ports").items;
  const rx = ports.reduce((sum, { rxPackets }) => sum + rxPackets, 0);
  await until("sum(weir_port_receive_packets_total)", (value) => value === rx);
  assert.equal(await until("sum(weir_port_disposition_packets_total)", () => true), rx);
  const dropped = await ask("sum by (reason) (weir_dropped_packets_total)");
  const own = new Map<string, number>();
  for (const { drops } of ports) for (const [why, n] of Object.entries(drops)) own.set(why, (own.get(why) ?? 0) + n);
  assert.deepEqual(new Map(dropped.map(({ metric, value }) => [metric["reason"]!, value])), own);
  const tenants = weir.json<List<TenantJson>>("show", "tenants").items;
  for (const { metric, value } of await ask("weir_tenant_receive_bytes_total"))
    assert.equal(value, tenants.find(({ tenant }) => tenant === metric["tenant"])!.rxBytes, metric["tenant"]);
  assert.equal(await until("min(weir_bridge_conserved)", () => true), 1);
  assert.equal((await until('scrape_samples_scraped{job="weir"}', () => true)) < 2000, true, "bounded");
});
