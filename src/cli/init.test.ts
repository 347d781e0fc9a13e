import assert from "node:assert/strict";
import { spawnSync } from "node:child_process";
import test from "node:test";
import { parse } from "yaml";
import { weir } from "../../test/helpers/cli.ts";
import { needs, needsRoot } from "../../test/helpers/needs.ts";
import { toYaml, vlanEntry } from "./init.ts";

test("the VLANs of a bridge port in Weir's words", () => {
  const entry = (...vlans: { vlan: number; vlanEnd?: number; flags?: string[] }[]) => vlanEntry({ ifname: "x", vlans });
  assert.equal(entry({ vlan: 100, flags: ["PVID", "Egress Untagged"] }), "{ mode: access, tag: 100 }");
  assert.equal(entry({ vlan: 100 }, { vlan: 200, vlanEnd: 299 }), "{ mode: trunk, trunks: [100, 200-299] }");
  assert.equal(
    entry({ vlan: 1, flags: ["PVID", "Egress Untagged"] }, { vlan: 5 }),
    "{ mode: nativeUntagged, tag: 1, trunks: [5] }",
  );
  assert.equal(entry({ vlan: 1, flags: ["PVID"] }, { vlan: 5 }), "{ mode: nativeTagged, tag: 1, trunks: [5] }");
  assert.equal(vlanEntry(undefined), undefined);
});

test("names that YAML would read as something else stay text", () => {
  const link = (ifname: string) => ({ ifname, ifindex: 1 });
  const text = toYaml({ bridge: link("br0"), members: [link("no"), link("0123"), link('a"b')], vlans: [] });
  const names = parse(text).bridges[0].ports.map((port: { name: unknown }) => port.name);
  assert.deepEqual(names, ["no", "0123", 'a"b']);
});

test("a real Linux bridge", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "bridge")) return;
  const id = process.pid % 100_000;
  const br = `wib${id}`;
  const ip = (...args: string[]): void => {
    const ran = spawnSync("ip", args, { encoding: "utf8" });
    assert.equal(ran.status, 0, ran.stderr);
  };
  t.after(() => {
    spawnSync("ip", ["link", "del", br]);
    spawnSync("ip", ["link", "del", `wia${id}`]);
  });
  ip("link", "add", br, "type", "bridge", "ageing_time", "12000");
  const filters = spawnSync("ip", ["link", "set", br, "type", "bridge", "vlan_filtering", "1"]).status === 0;
  ip("link", "add", `wia${id}`, "type", "veth", "peer", "name", `wic${id}`);
  ip("link", "set", `wia${id}`, "master", br);
  if (filters) assert.equal(spawnSync("bridge", ["vlan", "add", "vid", "200-210", "dev", `wia${id}`]).status, 0);
  else t.diagnostic("this kernel's bridge knows no VLANs: they are checked from text only");
  const { code, out, err } = await weir(["init", "--from", br]);
  assert.equal(code, 0, err);
  const [bridge] = parse(out).bridges;
  assert.equal(bridge.macAging, "120s");
  const [port] = bridge.ports;
  assert.deepEqual([port.name, port.device, port.type], [`wia${id}`, `wia${id}`, "netdev"]);
  if (filters) assert.deepEqual(port.vlan, { mode: "nativeUntagged", tag: 1, trunks: ["200-210"] });
  assert.equal((await weir(["init", "--from", `wia${id}`])).code, 2);
  assert.equal((await weir(["init", "--from", "nosuch0"])).code, 2);
  assert.equal((await weir(["init", "--from", "-x"])).code, 2);
});
