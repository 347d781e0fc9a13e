import assert from "node:assert/strict";
import { test } from "node:test";
import { host, registries } from "../../test/helpers/registries.ts";
import { loadText } from "./load.ts";
import { planReload } from "./plan.ts";

const load = async (text: string) => (await loadText(text, "weir.yaml", registries, host)).config;
const base = `
flows: { idleTimeout: 15s }
tenants: { acme: { vlans: [100-109] } }
bridges:
  - name: weir0
    ports:
      - { name: db1, type: netdev, device: a, vlan: { mode: access, tag: 100 } }
      - { name: web1, type: netdev, device: b }
      - { name: gone, type: netdev, device: c }
exporters:
  - { type: netflow-v5, collectors: [c1] }
  - { type: influx, url: u }
`;

test("nothing to change", async () => {
  const plan = planReload(await load(base), await load(base));
  assert.deepEqual(plan.lines, [{ op: "=", path: "", text: "3 ports, 2 exporters untouched" }]);
  assert.deepEqual([plan.bridges, plan.ports, plan.exporters, plan.settings, plan.restart], [[], [], [], [], []]);
});

test("the difference, in words and as facts", async () => {
  const plan = planReload(
    await load(base),
    await load(`
host: { stateDir: /srv/weir }
flows: { idleTimeout: 20s, max: 1024 }
tenants: { acme: { vlans: [100-109] }, globex: { vlans: [110] } }
bridges:
  - name: weir0
    macAging: 10m
    sampling: { rate: 0 }
    ports:
      - { name: db1, type: netdev, device: a, vlan: { mode: trunk, trunks: [100, 200] }, owner: { vm: db1 } }
      - { name: web1, type: netdev, device: b2 }
      - { name: web2, type: netdev, match: { mac: "52:54:00:12:34:60" } }
exporters:
  - { type: netflow-v5, collectors: [c1, c2] }
  - { type: influx, url: u }
`),
  );
  assert.deepEqual(
    plan.lines.map(({ op, path, text, note }) => [op, path, text, note ?? ""].join(" | ")),
    [
      "~ | host.stateDir | /var/lib/weir -> /srv/weir | at the next start; until then as it is",
      "~ | flows.idleTimeout | 15s -> 20s | ",
      "~ | flows.max | 262144 -> 1024 | at the next start; until then as it is",
      "+ | tenants.globex | { vlans 110 } | ",
      "~ | bridges.weir0.macAging | 5m -> 10m | ",
      "~ | bridges.weir0.sampling | { rate 400, header 128 } -> { rate 0, header 128 } | ",
      "- | ports.gone | netdev c | its flows end, their records are sent",
      "~ | ports.db1.vlan | access 100 -> trunk 100,200 | flows of db1 re-evaluated, counters go on",
      "~ | ports.db1.owner | none -> { vm db1 } | from now on; counters go on",
      "~ | ports.web1.options | { device b, takeOver false } -> { device b2, takeOver false } | web1 is attached again, counters go on",
      "+ | ports.web2 | netdev 52:54:00:12:34:60 | waits for its device",
      "~ | exporters.netflow-v5.collectors | c1:2055 -> c1:2055,c2:2055 | opened again, its sequence goes on",
      "= |  | 1 exporter untouched | ",
    ],
  );
  assert.deepEqual(
    plan.ports.map(({ op, bridge, name, keys }) => [op, bridge, name, ...keys]),
    [
      ["-", "weir0", "gone"],
      ["~", "weir0", "db1", "vlan", "owner"],
      ["~", "weir0", "web1", "options"],
      ["+", "weir0", "web2"],
    ],
  );
  assert.deepEqual(plan.restart, ["host.stateDir", "flows.max"]);
});

test("bridges come and go; with several, a port's path names its bridge", async () => {
  const two = base.replace(
    "exporters:",
    "  - { name: weir1, ports: [{ name: x, type: netdev, device: d }] }\nexporters:",
  );
  const plan = planReload(await load(base), await load(two));
  assert.deepEqual(
    plan.lines.map(({ op, path, text }) => `${op} ${path} ${text}`),
    ["+ bridges.weir1 1 port", "+ weir1.ports.x netdev d", "=  3 ports, 2 exporters untouched"],
  );
  const back = planReload(await load(two), await load(base));
  assert.deepEqual(
    back.bridges.map(({ op, name }) => op + name),
    ["-weir1"],
  );
  assert.deepEqual(
    back.ports.map(({ op, name }) => op + name),
    ["-x"],
  );
});
