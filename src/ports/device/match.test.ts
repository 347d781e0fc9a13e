import assert from "node:assert/strict";
import test from "node:test";
import type { Link } from "../../sys/links.ts";
import { guard, type HostState } from "./guards.ts";
import { expandTemplate, matchDevices } from "./match.ts";

function link(index: number, name: string, more: Partial<Link> = {}): Link {
  const stats = { rxPackets: 0, txPackets: 0, rxBytes: 0, txBytes: 0, txDropped: 0, rxMissed: 0, rxFifo: 0 };
  const state = { mtu: 1500, parent: 0, ethernet: true, master: 0, masterKind: "", up: true, running: true };
  return { index, name, mac: `02:00:00:00:00:0${index}`, ...state, kind: "veth", physical: false, stats, ...more };
}

const tap = link(7, "vnet3", { kind: "tun", mac: "fe:54:00:12:34:56" });
const inner = link(5, "guest", { mac: "52:54:00:12:34:56" });
const devices = [link(2, "eth1"), inner, tap, link(8, "vnet12", { kind: "tun" }), link(9, "vnetx.1")];
const names = (found: readonly { name: string }[]): string[] => found.map(({ name }) => name);

test("a device is meant by its name, a pattern, or its address; libvirt's tap comes first", () => {
  assert.deepEqual(names(matchDevices({ device: "eth1" }, devices)), ["eth1"]);
  assert.deepEqual(names(matchDevices({ device: "vnet*" }, devices)), ["vnet3", "vnet12", "vnetx.1"]);
  assert.deepEqual(names(matchDevices({ device: "vnet?" }, devices)), ["vnet3"]);
  assert.deepEqual(names(matchDevices({ device: "vnetx?1" }, devices)), ["vnetx.1"]);
  assert.deepEqual(names(matchDevices({ device: "vnetx.*" }, [link(1, "vnetxy1")])), []);
  assert.deepEqual(names(matchDevices({ mac: "52:54:00:12:34:56" }, devices)), ["vnet3", "guest"]);
  assert.deepEqual(names(matchDevices({ mac: "52:54:00:12:34:56", device: "guest" }, devices)), ["guest"]);
  // fe:… is libvirt's convention for taps: a veth with such an address is not the guest's.
  const veth = link(3, "other", { mac: "fe:54:00:12:34:56" });
  assert.deepEqual(names(matchDevices({ mac: "52:54:00:12:34:56" }, [veth])), []);
});

test("a template makes ports of what no other entry claims", () => {
  const template = { name: "{device}", match: { device: "vnet*" } };
  const web1 = { name: "web1", match: { mac: "52:54:00:12:34:56" } };
  const made = expandTemplate(template, [template, web1], devices);
  assert.deepEqual(
    made.map(({ name, device }) => [name, device]),
    [
      ["vnet12", "vnet12"],
      ["vnetx.1", "vnetx.1"],
    ],
  );
  const prefixed = expandTemplate({ name: "vm-{device}", match: { device: "guest" } }, [], devices);
  assert.equal(prefixed[0]!.name, "vm-guest");
});

const host = (more: Partial<HostState>): HostState => ({
  links: [link(4, "br0", { kind: "bridge" }), ...devices],
  addresses: [],
  defaultRoutes: new Set(),
  ...more,
});

test("the guards' words", () => {
  const eth1 = devices[0]!;
  assert.equal(guard(eth1, host({}), false), undefined);
  const address = { index: 2, family: 4 as const, text: "192.0.2.10/24", linkLocal: false };
  const cutOff =
    "as a switch port this host is cut off. Move the address to a port of type internal, or set takeOver: true";
  const both = host({ addresses: [address], defaultRoutes: new Set([2]) });
  assert.equal(guard(eth1, both, false), `eth1 has 192.0.2.10/24 and the default route; ${cutOff}`);
  assert.equal(guard(eth1, host({ addresses: [address] }), false), `eth1 has 192.0.2.10/24; ${cutOff}`);
  assert.equal(guard(eth1, both, true), undefined);
  const local = host({ addresses: [{ ...address, text: "fe80::1/64", linkLocal: true }] });
  assert.equal(guard(eth1, local, false), undefined);
  const member = { ...tap, master: 4, masterKind: "bridge" };
  const twice =
    "vnet3 is in Linux bridge br0; two switches would forward its frames twice. ip link set vnet3 nomaster, or mode: observe";
  assert.equal(guard(member, host({}), false), twice);
  // What two switches do to a frame, no option makes right.
  assert.equal(guard(member, host({}), true), twice);
  const slave = { ...eth1, master: 4, masterKind: "bond" };
  assert.match(guard(slave, host({}), false)!, /^eth1 is a member of bond br0\. Use br0 as the port instead$/);
});
