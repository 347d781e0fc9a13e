/** `weir run` and the host it runs on: its own interface, taps for VMs, devices that a pattern names; an end under load. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test from "node:test";
import type { AuditJson, FlowJson, PortJson } from "../../src/bridge/views/json.ts";
import { libc } from "../../src/sys/libc.ts";
import { findLink } from "../../src/sys/links.ts";
import { openTap } from "../../src/sys/tun.ts";
import { startNfcapd } from "../helpers/collectors.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings, sendFile } from "../helpers/netns-traffic.ts";
import { disconnect, type Guest, guests, inside, reconnect, start, tryInside, until } from "../helpers/netns.ts";
import { eventually, pause, startWeir, weirHome } from "../helpers/weir-process.ts";

interface List<T> {
  readonly items: readonly T[];
}

const access = (vlan: number): object => ({ mode: "access", tag: vlan });

test("the host by an internal port, a VM by a tap, guests by a pattern", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "/dev/net/tun")) return;
  const [a, b] = guests(t, 2, { net: 96 }) as [Guest, Guest];
  const home = weirHome(t);
  const [host, vm] = [`wi${process.pid.toString(36)}`, `wt${process.pid.toString(36)}`];
  const addresses = ["10.96.0.100/24", "2001:db8::100/64"];
  home.write({
    bridges: [
      {
        name: "weir0",
        ports: [
          { name: "a", type: "netdev", device: a.device, vlan: access(100) },
          { name: host, type: "internal", vlan: access(100), addresses },
          { name: vm, type: "tap", vlan: access(100), owner: { tenant: "acme", vm: "one" } },
          { name: "{device}", type: "netdev", match: { device: `${a.device.slice(0, -1)}*` }, vlan: access(999) },
        ],
      },
    ],
  });
  const weir = await startWeir(t, home);
  const ports = (): readonly PortJson[] => weir.json<List<PortJson>>("show", "ports").items;
  const names = (): string[] => ports().map(({ name }) => name);

  await t.test("the host and a guest, both ways", async (t) => {
    assert.ok(pings(a, "10.96.0.100") && pings(a, "2001:db8::100"));
    assert.ok(!pings(b, "10.96.0.100", "-c", "1", "-W", "0.3"), "VLAN 999 does not reach the host");
    await sendFile(t, a, undefined, "10.96.0.100", 16 << 20);
    await sendFile(t, undefined, a, a.ip, 16 << 20);
    const flows = weir.json<List<FlowJson>>("show", "flows", "--where", `port=${host} proto=tcp`).items;
    assert.ok(flows.some(({ output, packets }) => output.join() === "a" && packets > 100));
  });

  await t.test("a tap waits for its VM, which then hears its VLAN", async (t) => {
    const state = (): PortJson => ports().find(({ name }) => name === vm)!;
    assert.deepEqual([state().state, state().message], ["down", `no VM has opened ${vm}`]);
    const fd = openTap(vm);
    t.after(() => libc().close(fd));
    await eventually(state, ({ state }) => state === "up", "the VM is there");
    tryInside(a, "ping", "-c", "1", "-W", "0.3", "10.96.0.50");
    tryInside(b, "ping", "-c", "1", "-W", "0.3", "10.96.0.51");
    const buffer = new Uint8Array(70_000);
    const asked = new Set<number>();
    // A virtio-net header of 10 bytes, Ethernet, ARP: the last byte of the address that is asked for.
    while (libc().read(fd, buffer, buffer.length) > 0) if (buffer[22] === 8 && buffer[23] === 6) asked.add(buffer[51]!);
    assert.deepEqual([...asked], [50]);
  });

  await t.test(
    "a pattern's ports come and go with their devices; one with an entry of its own is left out",
    async () => {
      assert.deepEqual(names().sort(), ["a", b.device, host, vm].sort());
      disconnect(b);
      await eventually(names, (all) => !all.includes(b.device), "the port ends with its device");
      reconnect(b);
      await eventually(
        ports,
        (all) => all.some(({ name, state }) => name === b.device && state === "up"),
        "it is back",
      );
      assert.equal(weir.run("status").status, 0);
    },
  );

  assert.equal(await weir.stop(), 0, weir.said());
  assert.equal(findLink(host), undefined);
  assert.equal(findLink(vm), undefined);
});

/** IPv4 packets that reached a guest (RFC 4293 ipSystemStatsInReceives), none of them on its loopback. */
function received(guest: Guest): number {
  const lines = inside(guest, "cat", "/proc/net/snmp")
    .split("\n")
    .filter((line) => line.startsWith("Ip:"));
  const [keys, values] = lines.map((line) => line.split(" ")) as [string[], string[]];
  return Number(values[keys.indexOf("InReceives")]);
}

test(
  "an end under load: what the guests' kernels received is what the collector got, to the packet",
  { timeout: 60_000 },
  async (t) => {
    if (!needsRoot(t) || !needs(t, "ip", "tc", "iperf3", "ethtool", "nfcapd", "nfdump")) return;
    const collector = await startNfcapd(t);
    const [a, b] = guests(t, 2, { net: 97 }) as [Guest, Guest];
    // One packet is one frame is one count: for the kernels' counters; Weir counts wire packets in any case.
    for (const guest of [a, b]) inside(guest, "ethtool", "-K", "eth0", "tso", "off", "gso", "off", "gro", "off");
    const home = weirHome(t);
    home.write({
      // Records in the middle of flows too.
      flows: { activeTimeout: "1s", idleTimeout: "2s", tcpEndTimeout: "1s" },
      bridges: [{ name: "weir0", ports: [a, b].map(({ device }, n) => ({ name: "ab"[n], type: "netdev", device })) }],
      exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${collector.port}`] }],
    });
    const weir = await startWeir(t, home);
    const server = start(t, b, "iperf3", "-s", "--forceflush");
    await until(() => server.output().includes("listening"), "iperf3 listens");
    start(t, a, "iperf3", "-c", b.ip, "-t", "30", "-b", "60M", "-P", "4");
    await pause(500);
    start(t, a, "ping", "-q", "-f", "-i", "0.002", b.ip);
    await pause(3000);
    const audit = weir.json<List<AuditJson>>("show", "audit").items[0]!;
    assert.ok(audit.ok && audit.rx > 10_000, JSON.stringify(audit));
    assert.equal(await weir.stop(), 0, weir.said());
    const [atA, atB] = [received(a), received(b)];
    const { records, sequenceErrors, badPackets } = await collector.finish();
    const sum = (src: string, dst: string): number =>
      records.reduce((total, one) => total + (one.src === src && one.dst === dst ? one.packets : 0), 0);
    t.diagnostic(`${records.length} records; a received ${atA}, b ${atB} packets`);
    assert.deepEqual({ sequenceErrors, badPackets }, { sequenceErrors: 0, badPackets: 0 });
    assert.deepEqual([sum(b.ip, a.ip), sum(a.ip, b.ip)], [atA, atB]);
    const { exporters } = JSON.parse(readFileSync(`${home.stateDir}/identity.json`, "utf8")) as {
      exporters: Record<string, { sequence: number }>;
    };
    const [kept] = Object.values(exporters);
    assert.equal(kept?.sequence, records.length, `the next process goes on from here: ${JSON.stringify(exporters)}`);
  },
);
