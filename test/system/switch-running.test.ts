/** `weir run` while things happen to it: devices come and go, commands, reloads, restarts, refusals. */
import assert from "node:assert/strict";
import test from "node:test";
import type { ExporterJson, PortJson, ReloadJson, SystemJson } from "../../src/bridge/views/json.ts";
import { freePort } from "../helpers/collectors.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings } from "../helpers/netns-traffic.ts";
import { disconnect, type Guest, guests, reconnect, sh, start, until } from "../helpers/netns.ts";
import { eventually, pause, refusedWeir, startWeir, weirHome, type WeirHome } from "../helpers/weir-process.ts";

interface List<T> {
  readonly items: readonly T[];
}

const TOOLS = ["ip", "tc", "ping", "iperf3"] as const;
const access = (vlan: number): object => ({ mode: "access", tag: vlan });
const netdev = (name: string, guest: Guest, vlan: object, more: object = {}): object => ({
  name,
  type: "netdev",
  device: guest.device,
  vlan,
  ...more,
});

function portOf(weir: WeirHome, name: string): PortJson {
  return weir.json<List<PortJson>>("show", "ports", name).items[0]!;
}

function becomes(weir: WeirHome, name: string, state: string): Promise<PortJson> {
  return eventually(
    () => portOf(weir, name),
    (port) => port.state === state,
    `${name} becomes ${state}`,
  );
}

function reaches(from: Guest, to: Guest): boolean {
  return pings(from, to.ip, "-c", "2", "-W", "0.4");
}

function bridgeOf(...ports: readonly object[]): object {
  return { bridges: [{ name: "weir0", ports }] };
}

test("devices that come, go and are taken; ports by command; restarts", { timeout: 90_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, ...TOOLS)) return;
  const [a, b, c] = guests(t, 3, { net: 93 }) as [Guest, Guest, Guest];
  const home = weirHome(t);
  const nobody = await freePort();
  home.write({
    ...bridgeOf(netdev("a", a, access(10)), netdev("b", b, access(10))),
    flows: { idleTimeout: "1s", activeTimeout: "1s" },
    exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${nobody}`] }],
  });
  let weir = await startWeir(t, home);
  assert.ok(reaches(a, b));

  await t.test("a port is disabled and enabled", async () => {
    assert.match(weir.ok("port", "disable", "b"), /^b +disabled/);
    assert.ok(!reaches(a, b));
    assert.match(weir.ok("show", "ports"), /^b +disabled/m);
    assert.match(weir.ok("port", "enable", "b"), /^b +up/);
    assert.ok(reaches(a, b));
    weir.ok("port", "disable", "b", "--for", "1s");
    assert.ok(!reaches(a, b));
    await eventually(
      () => portOf(weir, "b").enabled,
      (enabled) => enabled,
      "enabled again",
    );
    assert.ok(reaches(a, b));
  });

  await t.test("a device that goes is waited for, and counters go on", async () => {
    const before = portOf(weir, "b");
    disconnect(b);
    const gone = await becomes(weir, "b", "absent");
    assert.equal(gone.message, `waiting for device ${b.device}`);
    assert.equal(gone.rxPackets, before.rxPackets);
    reconnect(b);
    const back = await becomes(weir, "b", "up");
    assert.equal(back.ifIndex, before.ifIndex);
    assert.ok(reaches(a, b));
    assert.ok(portOf(weir, "b").rxPackets > before.rxPackets);
  });

  await t.test("a device that another bridge takes is a conflict, and degrades", async (t) => {
    const bridge = `wb${b.device.slice(2)}`.slice(0, 15);
    sh("ip", "link", "add", bridge, "type", "bridge");
    t.after(() => sh("ip", "link", "del", bridge));
    sh("ip", "link", "set", b.device, "master", bridge);
    const taken = await becomes(weir, "b", "conflict");
    assert.match(taken.message!, new RegExp(`^${b.device} is in Linux bridge ${bridge}; `));
    const { status, stdout } = weir.run("status");
    assert.equal(status, 1);
    assert.match(stdout, /DEGRADED.*port b/);
    sh("ip", "link", "set", b.device, "nomaster");
    await becomes(weir, "b", "up");
    assert.ok(reaches(a, b));
  });

  await t.test("a port by command, before its device is there", async () => {
    disconnect(c);
    assert.match(
      weir.ok("port", "add", "c", "--device", c.device, "--vlan", "10", "--owner", "tenant=acme,vm=c"),
      /absent/,
    );
    reconnect(c);
    await becomes(weir, "c", "up");
    assert.ok(reaches(a, c));
    assert.deepEqual(portOf(weir, "c").owner, { tenant: "acme", vm: "c" });
    assert.equal(weir.run("port", "del", "a").status, 1);
    assert.match(weir.run("port", "del", "a").stderr, /was not added at run time/);
  });

  await t.test("a device that is a port already is refused as another", () => {
    const { status, stderr } = weir.run("port", "add", "twice", "--device", a.device);
    assert.equal(status, 1);
    assert.match(stderr, new RegExp(`port twice: ${a.device} is the device of bridges\\[0\\]\\.ports\\[0\\] already`));
    assert.equal(weir.run("show", "ports", "twice").status, 1);
  });

  await t.test("a collector that is down costs counted send errors, nothing else", async () => {
    const exporter = await eventually(
      () => weir.json<List<ExporterJson>>("show", "exporters").items[0]!,
      (one) => one.sendErrors > 0,
      "send errors",
    );
    assert.ok(exporter.records > 0);
    assert.ok(reaches(a, b));
  });

  await t.test("a second process on the same state is refused, and disturbs nothing", () => {
    const { status, stderr } = refusedWeir(home);
    assert.equal(status, 1, stderr);
    assert.match(stderr, new RegExp(`${home.stateDir}.*${weir.child.pid}`));
    assert.ok(reaches(a, b));
  });

  await t.test("another process with a state of its own does not get the devices", async (t) => {
    const other = weirHome(t);
    other.write(bridgeOf(netdev("x", a, access(10)), netdev("y", b, access(10))));
    const second = await startWeir(t, other);
    const taken = await becomes(second, "x", "conflict");
    assert.match(taken.message!, new RegExp(`^${a.device} is already a port`));
    assert.equal(second.run("status").status, 1);
    assert.ok(reaches(a, b));
    assert.equal(await second.stop(), 0);
    assert.match(sh("tc", "filter", "show", "dev", a.device, "ingress"), /bpf/, "still kept from the host's stack");
  });

  await t.test("a restart keeps ifIndexes and added ports; the last is removed", async () => {
    const before = ["a", "b", "c"].map((name) => portOf(weir, name).ifIndex);
    assert.equal(new Set(before).size, 3);
    assert.equal(await weir.stop(), 0, weir.said());
    assert.equal(weir.run("status").status, 3);
    weir = await startWeir(t, home);
    assert.deepEqual(
      ["a", "b", "c"].map((name) => portOf(weir, name).ifIndex),
      before,
    );
    assert.ok(reaches(a, c));
    assert.match(weir.ok("port", "del", "c"), /^c +removed/);
    assert.ok(!reaches(a, c));
    assert.equal(weir.run("show", "ports", "c").status, 1);
  });

  await t.test("kill -9: the next start takes over", async () => {
    weir.signal("SIGKILL");
    assert.equal(await weir.ended, null);
    weir = await startWeir(t, home);
    assert.ok(reaches(a, b));
    assert.equal(await weir.stop(), 0, weir.said());
    // As if it had never been killed.
    assert.doesNotMatch(sh("tc", "qdisc", "show", "dev", a.device), /clsact/);
    assert.equal(sh("sysctl", "-n", `net.ipv6.conf.${a.device}.disable_ipv6`).trim(), "0");
  });
});

test("reloads leave what they do not name alone", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, ...TOOLS)) return;
  const [a, b, c] = guests(t, 3, { net: 94 }) as [Guest, Guest, Guest];
  const home = weirHome(t);
  const config = (vlan: number): object =>
    bridgeOf(netdev("a", a, access(10)), netdev("b", b, access(10)), netdev("c", c, access(vlan)));
  home.write(config(20));
  const weir = await startWeir(t, home);
  const server = start(t, b, "iperf3", "-s", "-1", "--forceflush");
  await until(() => server.output().includes("listening"), "iperf3 listens");
  const client = start(t, a, "iperf3", "-c", b.ip, "-t", "9", "-b", "300M", "-i", "0.2", "-J");
  const stream = (): { id: string; packets: number } =>
    weir.json<List<any>>("show", "flows", "--where", "port=a proto=tcp dstPort=5201", "--sort", "-packets").items[0];
  const first = await eventually(stream, (flow) => flow?.packets > 1000, "the stream runs");
  const counted = portOf(weir, "a");

  const plan = weir.json<ReloadJson>("reload", "--dry-run");
  assert.ok(
    plan.plan.every(({ op }) => op === "="),
    JSON.stringify(plan),
  );
  home.write(config(10));
  assert.match(weir.ok("reload", "--dry-run"), /~ ports\.c\.vlan +access 20 -> access 10/);
  assert.ok(!reaches(a, c));
  weir.ok("reload");
  assert.ok(reaches(a, c), "the change is in force");

  // The same by SIGHUP.
  home.write(config(30));
  weir.signal("SIGHUP");
  await eventually(
    () => portOf(weir, "c").vlan?.tag,
    (tag) => tag === 30,
    "SIGHUP reloads",
  );
  assert.ok(!reaches(a, c));

  // Files that cannot be used change nothing.
  const { generation } = weir.json<SystemJson>("status").config!;
  for (const [text, said] of [
    ["bridges: [{ name: weir0, ports: [{ name: x", /weir\.yaml/],
    [JSON.stringify(bridgeOf(netdev("a", a, access(5000)))), /vlan\.tag: 5000 is not a VLAN id \(1\.\.4094\)/],
  ] as const) {
    home.write(text);
    const { status, stderr } = weir.run("reload");
    assert.equal(status, 2, stderr);
    assert.match(stderr, said);
    assert.equal(weir.run("check", home.config).status, 2);
  }
  assert.equal(weir.json<SystemJson>("status").config!.generation, generation);
  assert.equal(portOf(weir, "c").vlan?.tag, 30);

  // A trial goes back, unless it is kept.
  home.write(config(10));
  assert.match(weir.ok("reload", "--try", "1s"), /goes back in 1\.0 s/);
  assert.ok(reaches(a, c));
  await eventually(
    () => portOf(weir, "c").vlan?.tag,
    (tag) => tag === 30,
    "the trial is over",
  );
  assert.ok(!reaches(a, c));
  assert.equal(weir.run("reload", "--keep").status, 1);
  weir.ok("reload", "--try", "2s");
  weir.ok("reload", "--keep");

  const last = stream();
  assert.equal(last.id, first.id, "the flow is the same");
  assert.ok(last.packets > first.packets);
  assert.ok(portOf(weir, "a").rxPackets > counted.rxPackets);
  assert.equal(await client.ended, 0, client.output());
  const { intervals } = JSON.parse(client.output());
  const rates: number[] = intervals.map(({ sum }: any) => sum.bits_per_second);
  t.diagnostic(`stream ${rates.map((rate) => (rate / 1e6).toFixed(0)).join(" ")} Mbit/s`);
  assert.ok(
    rates.every((rate, n) => n === 0 || rate > 0 || (rates[n - 1] ?? 1) > 0),
    "never silent for 0.4 s",
  );
  await pause(2000);
  assert.equal(portOf(weir, "c").vlan?.tag, 10, "kept");
  assert.equal(await weir.stop(), 0);
});

test("what must not be a port is refused before anything is touched", { timeout: 30_000 }, (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc")) return;
  const [a, b, c] = guests(t, 3, { net: 95 }) as [Guest, Guest, Guest];
  const home = weirHome(t);
  const bridge = `wb${b.device.slice(2)}`.slice(0, 15);
  sh("ip", "link", "add", bridge, "type", "bridge");
  t.after(() => sh("ip", "link", "del", bridge));
  sh("ip", "link", "set", b.device, "master", bridge);
  sh("ip", "addr", "add", "192.0.2.10/24", "dev", a.device);
  sh("ip", "route", "add", "default", "dev", a.device, "metric", "4242");
  home.write(bridgeOf(netdev("c", c, access(10)), netdev("b", b, access(10)), netdev("a", a, access(10))));
  const { status, stdout, stderr } = refusedWeir(home);
  assert.equal(status, 2, stderr);
  assert.equal(stdout, "");
  assert.ok(
    stderr.includes(
      `bridges[0].ports[2]: ${a.device} has 192.0.2.10/24 and the default route; as a switch port this host is cut off. ` +
        `Move the address to a port of type internal, or set takeOver: true`,
    ),
    stderr,
  );
  assert.ok(
    stderr.includes(
      `bridges[0].ports[1]: ${b.device} is in Linux bridge ${bridge}; two switches would forward its frames twice. ` +
        `ip link set ${b.device} nomaster, or mode: observe`,
    ),
    stderr,
  );
  for (const { device } of [a, b, c]) assert.doesNotMatch(sh("tc", "qdisc", "show", "dev", device), /clsact/);
});
