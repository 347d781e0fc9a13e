/** `weir run` between namespaces: real traffic with default offloads, VLANs that keep tenants apart, exact records. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { type TestContext } from "node:test";
import type { AuditJson, DropJson, FlowJson, PortJson, SystemJson } from "../../src/bridge/views/json.ts";
import { startNfcapd } from "../helpers/collectors.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { iperf, pings, sendFile } from "../helpers/netns-traffic.ts";
import { type Guest, guests, inside, type Running, sh, start, tryInside, until } from "../helpers/netns.ts";
import { tag, TAGGER_TOOLS, untag } from "../helpers/tagger.ts";
import { eventually, pause, startWeir, weirHome, type WeirProcess } from "../helpers/weir-process.ts";

interface List<T> {
  readonly total: number;
  readonly items: readonly T[];
}

/** Long enough that no flow ends by itself during a test. */
const FLOWS = { activeTimeout: "1h", idleTimeout: "1h", tcpEndTimeout: "1h" };
const access = (vlan: number): object => ({ mode: "access", tag: vlan });

function netdev(name: string, guest: Guest, vlan?: object, more: object = {}): object {
  return { name, type: "netdev", device: guest.device, ...(vlan && { vlan }), ...more };
}

/** tcpdump in a guest, from the moment it listens. */
async function sniff(t: TestContext, guest: Guest, ...filter: string[]): Promise<Running> {
  const dump = start(t, guest, "tcpdump", "-lnei", "eth0", ...filter);
  await until(() => dump.output().includes("listening"), "tcpdump listens");
  return dump;
}

/** An audit when nothing moves: IPv6 chatter of the guests may be on its way. */
function exactAudit(weir: WeirProcess): Promise<AuditJson> {
  const audit = (): AuditJson => weir.json<List<AuditJson>>("show", "audit").items[0]!;
  return eventually(audit, ({ ok, exact }) => ok && exact, "an exact audit");
}

function portOf(weir: WeirProcess, name: string): PortJson {
  return weir.json<List<PortJson>>("show", "ports", name).items[0]!;
}

test(
  "three guests, two tenants: everything passes whole, and every packet is in a record",
  { timeout: 90_000 },
  async (t) => {
    if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "iperf3", "tcpdump", "nfcapd", "nfdump")) return;
    const collector = await startNfcapd(t);
    const [a, b, c] = guests(t, 3, { mtu: 9000, net: 91 }) as [Guest, Guest, Guest];
    sh("ip", "addr", "add", "10.91.0.99/24", "dev", a.device);
    const home = weirHome(t);
    home.write({
      flows: FLOWS,
      tenants: { acme: { vlans: [100] }, globex: { vlans: [200] } },
      bridges: [
        {
          name: "weir0",
          ports: [
            netdev("a", a, access(100), { owner: { tenant: "acme", vm: "web" }, takeOver: true }),
            netdev("b", b, access(100)),
            netdev("c", c, access(200)),
            { name: "later", type: "netdev", device: "wnotthere0" },
          ],
        },
      ],
      exporters: [{ name: "nf", type: "netflow-v5", collectors: [`127.0.0.1:${collector.port}`] }],
    });
    const weir = await startWeir(t, home);
    const stranger = await sniff(t, c, "ether", "src", a.mac, "or", "ether", "src", b.mac);

    await t.test("ping, jumbo frames, fragments, IPv6", () => {
      assert.ok(pings(a, b.ip));
      assert.ok(pings(a, "2001:db8::2"));
      assert.ok(pings(a, b.ip, "-M", "do", "-s", "8972"));
      assert.ok(pings(b, a.ip, "-s", "20000"));
    });

    await t.test("a file over TCP, both ways; iperf3; UDP", async (t) => {
      await sendFile(t, a, b, b.ip, 32 << 20);
      await sendFile(t, b, a, "2001:db8::1", 8 << 20);
      const tcp = await iperf(t, a, b);
      const { bytes, bits_per_second: rate } = tcp.sum_received;
      t.diagnostic(`TCP ${(rate / 1e9).toFixed(2)} Gbit/s, ${(bytes / 1e6).toFixed(0)} MB`);
      assert.ok(bytes > 100e6, `${bytes} bytes`);
      const lost = (): object[] => ["a", "b"].map((port) => portOf(weir, port).lost);
      const before = lost();
      const udp = await iperf(t, a, b, { flags: ["-u", "-b", "20M", "-l", "1200"] });
      // What a busy machine's receiver does not read in time is its own loss, not the switch's.
      assert.ok(udp.sum.lost_percent < 10, `${udp.sum.lost_percent} % lost`);
      assert.deepEqual(lost(), before);
      const flows = weir.json<List<FlowJson>>("show", "flows", "--where", "port=a proto=tcp dstPort=5201");
      const most = flows.items.reduce((sum, flow) => Math.max(sum, flow.l3Bytes), 0);
      assert.ok(most > bytes && most < bytes * 1.1, `${most} l3 bytes counted, ${bytes} received`);
      for (const flow of flows.items) assert.deepEqual([flow.tenant, flow.vlan, flow.output], ["acme", 100, ["b"]]);
    });

    await t.test("VLAN 200 saw and reached nothing of VLAN 100", async () => {
      assert.ok(!tries(c, a.ip) && !tries(a, c.ip) && !tries(c, "2001:db8::1"));
      tryInside(a, "ping", "-q", "-b", "-I", "eth0", "-c", "3", "-i", "0.1", "-W", "0.2", "255.255.255.255");
      // And alone in its VLAN it reaches nobody at all: refused, with a record.
      tryInside(c, "ping", "-q", "-b", "-I", "eth0", "-c", "1", "-W", "0.2", "255.255.255.255");
      await pause(100);
      await stranger.stop();
      assert.match(stranger.output(), /^0 packets captured/m);
    });

    await t.test("a frame larger than the output's MTU is refused by name", async () => {
      sh("ip", "link", "set", b.device, "mtu", "1500");
      await eventually(
        () => portOf(weir, "b").mtu,
        (mtu) => mtu === 1500,
        "the port's new MTU",
      );
      await pause(600);
      assert.ok(!tries(a, b.ip, "-M", "do", "-s", "4000"));
      assert.ok(pings(a, b.ip, "-M", "do", "-s", "1472"));
      await dropped(weir, "a", "pkt_too_big", 2);
      sh("ip", "link", "set", b.device, "mtu", "9000");
      await eventually(
        () => portOf(weir, "b").mtu,
        (mtu) => mtu === 9000,
        "the old MTU",
      );
    });

    await t.test("the host behind a port says nothing", async (t) => {
      const mac = readFileSync(`/sys/class/net/${a.device}/address`, "utf8").trim();
      const dump = await sniff(t, a, "ether", "src", mac);
      assert.ok(!tries(a, "10.91.0.99"), "no ARP");
      inside(a, "ip", "neigh", "replace", "10.91.0.99", "lladdr", mac, "dev", "eth0");
      assert.ok(!tries(a, "10.91.0.99"), "no ICMP");
      const connect = `require("net").connect(81, "10.91.0.99").on("error", (e) => console.log(e.code)); setTimeout(() => process.exit(), 500)`;
      assert.equal(tryInside(a, process.execPath, "-e", connect).output, "", "no RST");
      await dump.stop();
      assert.match(dump.output(), /^0 packets captured/m);
    });

    await t.test("the audit is exact, the status healthy although a configured device is not there", async () => {
      const audit = await exactAudit(weir);
      assert.equal(audit.rx, audit.forwarded + audit.dropped + audit.consumed);
      assert.equal(audit.inFlight, 0);
      const rx = ["a", "b", "c"].map((name) => portOf(weir, name)).reduce((sum, { rxPackets }) => sum + rxPackets, 0);
      assert.ok(rx >= audit.rx && rx < audit.rx + 20, `${rx} by ports, ${audit.rx} audited`);
      assert.equal(portOf(weir, "later").state, "absent");
      const { status, stdout } = weir.run("status");
      assert.equal(status, 0, stdout);
      assert.match(stdout, /4 ports: 3 up, 1 absent/);
    });

    await t.test("SIGTERM sends a record of every flow", async () => {
      const table = weir.ok("show", "flows", "--json", "--limit", "0").trimEnd().split("\n");
      const flows = table.map((line) => JSON.parse(line) as FlowJson).filter(({ etherType }) => etherType === 0x800);
      assert.equal(await weir.stop(), 0, weir.said());
      const { packets, bytes, sequenceErrors, badPackets, records } = await collector.finish();
      const sum = (key: "packets" | "l3Bytes"): number => flows.reduce((total, flow) => total + flow[key], 0);
      assert.deepEqual(
        { packets, bytes, sequenceErrors, badPackets },
        { packets: sum("packets"), bytes: sum("l3Bytes"), sequenceErrors: 0, badPackets: 0 },
      );
      t.diagnostic(`${records.length} records, ${packets} packets, ${bytes} bytes at nfcapd`);
      assert.ok(
        records.some(({ output }) => output === 0),
        "refused flows have no output",
      );
    });
    assert.equal(weir.run("status").status, 3);
    assert.ok(!sh("tc", "qdisc", "show", "dev", a.device).includes("clsact"), "devices are given back");
  },
);

/** `weir show drops` comes to say so. */
async function dropped(weir: WeirProcess, port: string, reason: string, packets: number): Promise<void> {
  const drops = (): readonly DropJson[] => weir.json<List<DropJson>>("show", "drops", "--since", "start").items;
  const says = (drop: DropJson): boolean => drop.port === port && drop.reason === reason && drop.packets >= packets;
  await eventually(drops, (items) => items.some(says), `${packets} packets of ${port}: ${reason}`);
}

/** One short try that may fail. */
function tries(from: Guest, to: string, ...more: string[]): boolean {
  return pings(from, to, "-c", "2", "-W", "0.4", ...more);
}

test("VLANs in every mode, changed while it runs", { timeout: 90_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "tcpdump", ...TAGGER_TOOLS)) return;
  const [a, b, c] = guests(t, 3, { net: 92 }) as [Guest, Guest, Guest];
  const home = weirHome(t);
  const config = (...vlans: readonly [object?, object?, object?]): object => ({
    bridges: [{ name: "weir0", ports: [netdev("a", a, vlans[0]), netdev("b", b, vlans[1]), netdev("c", c, vlans[2])] }],
  });
  home.write(config(access(10), access(10), access(20)));
  const weir = await startWeir(t, home);
  const trunk = (...trunks: number[]): object => ({ mode: "trunk", trunks });

  assert.ok(tries(a, b.ip), "access 10, access 10");
  assert.ok(!tries(a, c.ip), "access 10, access 20");
  weir.reload(config(access(10), access(20), access(20)));
  assert.ok(!tries(a, b.ip), "after a reload: access 10, access 20");
  assert.ok(tries(b, c.ip), "and 20, 20");
  weir.reload(config(undefined, undefined, access(20)));
  assert.ok(tries(a, b.ip) && !tries(a, c.ip), "no VLAN at all");

  // b tags with 10.
  tag(t, b, 10);
  weir.reload(config(access(10), trunk(10, 20), access(20)));
  assert.ok(tries(a, b.ip) && tries(b, a.ip), "access 10, trunk with tag 10");
  assert.ok(!tries(b, c.ip), "tag 10 is not in 20");
  await sendFile(t, a, b, b.ip, 4 << 20);
  weir.reload(config(access(10), access(10), access(20)));
  assert.ok(!tries(b, a.ip), "a tag on an access port");
  weir.reload(config(access(10), trunk(20), access(20)));
  assert.ok(!tries(b, a.ip), "a tag that the trunk does not carry");
  await dropped(weir, "b", "ingress_vlan_filter", 4);

  weir.reload(config(access(10), { mode: "nativeTagged", tag: 10, trunks: [10, 20] }, access(20)));
  assert.ok(tries(a, b.ip), "native tagged: the native VLAN goes out tagged");
  untag(b);
  const tagged = await sniff(t, b, "vlan", "10");
  assert.ok(!tries(a, b.ip));
  // What comes in without a tag is in the native VLAN all the same.
  const native = await sniff(t, a, "ether", "src", b.mac);
  tries(b, a.ip);
  await until(() => native.output().includes(`${b.mac} >`), "untagged into the native VLAN");
  await tagged.stop();
  assert.match(tagged.output(), /vlan 10, p 0, ethertype/);

  weir.reload(config(access(10), { mode: "nativeUntagged", tag: 10, trunks: [10, 20] }, access(20)));
  assert.ok(tries(a, b.ip) && tries(b, a.ip), "native untagged: the native VLAN without a tag");
  assert.ok(!tries(b, c.ip));
  tag(t, b, 20);
  assert.ok(tries(b, c.ip) && tries(c, b.ip) && !tries(b, a.ip), "native untagged: another VLAN with its tag");

  // Priority tags: VID 0, the frame belongs to the port's VLAN.
  tag(t, b, 0xa000, { untagged: true });
  weir.reload(config(access(10), access(10), access(20)));
  assert.ok(tries(b, a.ip) && tries(a, b.ip), "priority-tagged frames on an access port");
  weir.reload(config(access(10), trunk(10), access(20)));
  assert.ok(!tries(b, a.ip), "a trunk has no VLAN for them");
  await dropped(weir, "b", "vlan_tag_mismatch", 1);

  // Two tags: the outer one says the VLAN, the inner one is the guests' own.
  for (const guest of [b, c]) {
    tag(t, guest, 7, { tpid: 0x8100, inner: 9 });
    inside(guest, "ip", "route", "replace", "10.92.0.0/24", "dev", "eth0", "mtu", "1492");
  }
  weir.reload(config(access(10), trunk(7), trunk(7)));
  assert.ok(tries(b, c.ip), "QinQ by the outer tag");
  const [flow] = weir.json<List<FlowJson>>("show", "flows", "--where", "port=b proto=1 vlan=7").items;
  assert.deepEqual([flow?.vlan, flow?.innerVlan, flow?.output], [7, 9, ["c"]]);
  weir.reload(config(access(10), trunk(9), trunk(9)));
  assert.ok(!tries(b, c.ip), "and not by the inner one");

  await exactAudit(weir);
  const system = weir.json<SystemJson>("status");
  assert.deepEqual([system.state, system.problems], ["ok", []]);
  assert.equal(await weir.stop(), 0);
});
