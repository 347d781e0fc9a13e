/** netdev ports between namespaces: what a guest with its default offloads needs must go through whole. */
import assert from "node:assert/strict";
import { readFileSync } from "node:fs";
import test, { type TestContext } from "node:test";
import { forward, type Forwarder } from "../helpers/forward.ts";
import { iperf, pings, sendFile } from "../helpers/netns-traffic.ts";
import { tag, TAGGER_TOOLS } from "../helpers/tagger.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { disconnect, type Guest, guests, inside, reconnect, sh, start, tryInside, until } from "../helpers/netns.ts";

async function pair(t: TestContext, options = {}): Promise<{ a: Guest; b: Guest; forwarder: Forwarder }> {
  const [a, b] = guests(t, 2, options) as [Guest, Guest];
  const forwarder = await forward(t, [
    { type: "netdev", name: "a", options: { device: a.device } },
    { type: "netdev", name: "b", options: { device: b.device } },
  ]);
  return { a, b, forwarder };
}

test("ping, TCP with default offloads, UDP", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "iperf3", "ping")) return;
  const { a, b, forwarder } = await pair(t);
  assert.ok(pings(a, b.ip));
  assert.ok(pings(a, "2001:db8::2"));
  // Larger than the MTU: IP fragments.
  assert.ok(pings(b, a.ip, "-s", "4000"));
  await sendFile(t, a, b, b.ip, 48 << 20);
  await sendFile(t, b, a, "2001:db8::1", 8 << 20);
  const tcp = await iperf(t, a, b);
  assert.ok(tcp.sum_received.bits_per_second > 200e6, `${tcp.sum_received.bits_per_second} bit/s`);
  const counts = await forwarder.counts();
  assert.ok(counts[0]!.gso > 100, `TSO frames went through whole: ${counts[0]!.gso}`);
  assert.equal(counts[0]!.refused + counts[1]!.refused, 0);
  const udp = await iperf(t, a, b, { flags: ["-u", "-b", "50M", "-l", "1200"] });
  // What a busy machine's receiver does not read in time is its own loss, not the ports'.
  assert.ok(udp.sum.lost_percent < 10, `${udp.sum.lost_percent} % lost`);
  t.diagnostic(`TCP ${(tcp.sum_received.bits_per_second / 1e9).toFixed(2)} Gbit/s`);
  const [status] = await forwarder.status();
  assert.deepEqual([status!.state, status!.device, status!.mtu, status!.ifIndex], ["up", a.device, 1500, 0]);
});

test("a device that cannot segment gets what it can send", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "ethtool")) return;
  const { a, b, forwarder } = await pair(t);
  sh("ethtool", "-K", b.device, "tso", "off", "gso", "off", "tx", "off", "sg", "off");
  await sendFile(t, a, b, b.ip, 8 << 20);
  const counts = await forwarder.counts();
  assert.ok(counts[0]!.gso > 20, `TSO frames came in: ${counts[0]!.gso}`);
  assert.deepEqual((await forwarder.status())[1]!.lost, { ring: 0, nic: 0, tap: 0, qdisc: 0 });
});

test("jumbo frames", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping")) return;
  const { a, b } = await pair(t, { mtu: 9000 });
  assert.ok(pings(a, b.ip, "-M", "do", "-s", "8972"));
  await sendFile(t, a, b, b.ip, 16 << 20);
});

test("tags that the kernel keeps beside the frame come back into it", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "ping", "tcpdump", ...TAGGER_TOOLS)) return;
  for (const [what, tci, outer, seen] of [
    ["a tag with priority", 0x6005, {}, "802.1Q (0x8100), length 102: vlan 5, p 3, ethertype IPv4"],
    ["an S-tag", 7, { tpid: 0x88a8 }, "802.1Q-QinQ (0x88a8), length 102: vlan 7, p 0, ethertype IPv4"],
    [
      "two tags",
      7,
      { tpid: 0x88a8, inner: 9 },
      "802.1Q-QinQ (0x88a8), length 106: vlan 7, p 0, ethertype 802.1Q (0x8100), vlan 9, p 0",
    ],
  ] as const) {
    await t.test(what, async (t) => {
      const { a, b, forwarder } = await pair(t);
      tag(t, a, tci, outer);
      // What leaves towards b, seen by a stranger on the port's device.
      const dump = start(t, undefined, "tcpdump", "-lnei", b.device, "-Q", "out");
      await until(() => dump.output().includes("listening"), "tcpdump listens");
      tag(t, b, tci, outer);
      // Only one C-tag may exceed the MTU: the guests leave room for the others.
      for (const guest of [a, b]) {
        inside(guest, "ip", "route", "replace", "10.77.0.0/24", "dev", "eth0", "mtu", "1492");
        inside(guest, "sysctl", "-qw", "net.ipv6.conf.eth0.mtu=1492");
      }
      assert.ok(pings(a, b.ip), "ping");
      await until(() => dump.output().includes("ICMP echo request"), "tcpdump sees a frame");
      assert.ok(dump.output().includes(seen), `${seen} in\n${dump.output()}`);
      await dump.stop();
      await sendFile(t, a, b, b.ip, 16 << 20);
      await sendFile(t, b, a, "2001:db8::1", 4 << 20);
      const counts = await forwarder.counts();
      assert.ok(counts[0]!.gso > 50, `tagged TSO frames went through whole: ${counts[0]!.gso}`);
      assert.equal(counts[0]!.refused + counts[1]!.refused, 0);
    });
  }
});

test("the host's stack is silent on a port's device, and gets it back", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "tcpdump")) return;
  const [a, b] = guests(t, 2) as [Guest, Guest];
  // The host has an address on the device: takeOver says that this is meant.
  sh("ip", "addr", "add", "10.77.0.99/24", "dev", a.device);
  assert.ok(pings(a, "10.77.0.99"), "the host answers before");
  const ipv6 = `/proc/sys/net/ipv6/conf/${a.device}/disable_ipv6`;
  assert.equal(readFileSync(ipv6, "utf8").trim(), "0");
  const forwarder = await forward(t, [
    { type: "netdev", name: "a", options: { device: a.device, takeOver: true } },
    { type: "netdev", name: "b", options: { device: b.device } },
  ]);
  inside(a, "ip", "neigh", "flush", "all");
  const dump = start(t, a, "tcpdump", "-lnei", "eth0", "-Q", "in");
  await until(() => dump.output().includes("listening"), "tcpdump listens");
  assert.ok(!pings(a, "10.77.0.99"), "no ARP, no ICMP from the host");
  // With its MAC known, a connection to the host's address meets silence, not a reset.
  const mac = readFileSync(`/sys/class/net/${a.device}/address`, "utf8").trim();
  inside(a, "ip", "neigh", "replace", "10.77.0.99", "lladdr", mac, "dev", "eth0");
  const connect = `require("net").connect(81, "10.77.0.99").on("error", (e) => console.log(e.code)); setTimeout(() => process.exit(), 700)`;
  assert.equal(tryInside(a, process.execPath, "-e", connect).output, "");
  assert.ok(pings(a, b.ip), "the guests reach each other");
  assert.equal(readFileSync(ipv6, "utf8").trim(), "1");
  await dump.stop();
  assert.ok(dump.output().includes(b.mac), dump.output());
  assert.ok(!dump.output().includes(`${mac} >`), `the host said something:\n${dump.output()}`);
  await forwarder.stop();
  assert.equal(readFileSync(ipv6, "utf8").trim(), "0");
  assert.doesNotMatch(sh("tc", "qdisc", "show", "dev", a.device), /clsact/);
  assert.ok(pings(a, "10.77.0.99"), "the host answers after");
});

test("a device that goes and comes back; one that another bridge takes", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping")) return;
  const { a, b, forwarder } = await pair(t);
  const flood = start(t, b, "ping", "-q", "-f", "-W", "1", a.ip);
  const state = async (n: number): Promise<string> => (await forwarder.status())[n]!.state;
  const becomes = async (n: number, wanted: string): Promise<void> => {
    for (let tries = 0; (await state(n)) !== wanted; tries++) {
      if (tries === 100) assert.fail(`port ${n} is ${await state(n)}, not ${wanted}`);
      await new Promise((resolve) => setTimeout(resolve, 50));
    }
  };
  for (let round = 0; round < 3; round++) {
    disconnect(a);
    await becomes(0, "absent");
    assert.match((await forwarder.status())[0]!.message!, /waiting for device/);
    reconnect(a);
    await becomes(0, "up");
    assert.ok(pings(b, a.ip), `round ${round}`);
  }
  flood.child.kill("SIGINT");
  const bridge = `wb${a.device.slice(2)}`.slice(0, 15);
  sh("ip", "link", "add", bridge, "type", "bridge");
  t.after(() => tryHost("ip", "link", "del", bridge));
  sh("ip", "link", "set", a.device, "master", bridge);
  await becomes(0, "conflict");
  const [status] = await forwarder.status();
  assert.equal(
    status!.message,
    `${a.device} is in Linux bridge ${bridge}; two switches would forward its frames twice. ` +
      `ip link set ${a.device} nomaster, or mode: observe`,
  );
  assert.ok(!pings(b, a.ip), "nothing is forwarded");
  sh("ip", "link", "set", a.device, "nomaster");
  await becomes(0, "up");
  assert.ok(pings(b, a.ip));
  sh("ip", "link", "set", a.device, "down");
  await becomes(0, "down");
  sh("ip", "link", "set", a.device, "up");
  await becomes(0, "up");
  assert.ok(pings(b, a.ip));
});

function tryHost(...command: string[]): void {
  try {
    sh(...command);
  } catch {
    // Gone already.
  }
}

test("frames that the rings cannot hold are counted, never passed cut", async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping")) return;
  const { a, b, forwarder } = await pair(t);
  // A guest with BIG TCP makes IPv6 frames of more than 64 KiB; the peer of a veth must allow it too.
  const set = tryInside(a, "ip", "link", "set", "eth0", "gso_max_size", "150000");
  if (set.status !== 0) return t.skip("this ip knows no gso_max_size");
  await sendFile(t, a, b, "2001:db8::2", 8 << 20);
  const [status] = await forwarder.status();
  assert.ok(status!.lost.ring > 0, JSON.stringify(status!.lost));
});
