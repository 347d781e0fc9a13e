/** Observe mode beside a real Linux bridge: what it carries is counted, and nothing of it is touched. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import test, { type TestContext } from "node:test";
import type { AuditJson, FlowJson, PortJson } from "../../src/bridge/views/json.ts";
import { findLink } from "../../src/sys/links.ts";
import { api } from "../helpers/api.ts";
import { bpfObjects, isThere } from "../helpers/bpf-objects.ts";
import { startNfcapd } from "../helpers/collectors.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings, sendFile } from "../helpers/netns-traffic.ts";
import { disconnect, type Guest, guests, reconnect, sh, start, until } from "../helpers/netns.ts";
import { RecordCollector } from "../helpers/record-collector.ts";
import { udpStream } from "../helpers/udp-stream.ts";
import {
  COMMAND,
  eventually,
  pause,
  refusedWeir,
  startWeir,
  weirHome,
  type WeirHome,
} from "../helpers/weir-process.ts";
import { silence, WireWitness } from "../helpers/wire-witness.ts";

const STREAM = 7000;

interface List<T> {
  readonly items: readonly T[];
}

/** A Linux bridge with the host's ends of these guests; goes after the test. */
function linuxBridge(t: TestContext, members: readonly Guest[]): string {
  const bridge = `wb${members[0]!.device.slice(2)}`;
  t.after(() => findLink(bridge) && sh("ip", "link", "del", bridge));
  sh("ip", "link", "add", bridge, "type", "bridge", "mcast_snooping", "0");
  sh("ip", "link", "set", bridge, "up");
  for (const { device } of members) sh("ip", "link", "set", device, "master", bridge);
  return bridge;
}

const received = (guest: Guest): number => findLink(guest.device)!.stats.rxPackets;
const ports = (home: WeirHome): readonly PortJson[] => home.json<List<PortJson>>("show", "ports").items;
const port = (home: WeirHome, name: string): PortJson => ports(home).find((one) => one.name === name)!;

for (const datapath of ["userspace", "kernel"] as const)
  test(
    `${datapath}: members of a Linux bridge: all frames counted, all frames untouched`,
    { timeout: 60_000 },
    async (t) => {
      if (!needsRoot(t) || !needs(t, "ip", "tc", "ping", "nfcapd", "nfdump")) return;
      const [a, b, c] = guests(t, 3, { net: 98 }) as [Guest, Guest, Guest];
      const bridge = linuxBridge(t, [a, b]);
      const nfcapd = await startNfcapd(t);
      const home = weirHome(t);
      home.write({
        flows: { activeTimeout: "1s" },
        bridges: [{ name: "look", datapath, mode: "observe", members: bridge, sampling: { rate: 10 } }],
        exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${nfcapd.port}`] }],
      });
      const weir = await startWeir(t, home);
      // Both counts of one moment: no frame came in between.
      const { device: before, counted } = await eventually(
        () => ({ device: received(a), counted: port(weir, a.device).rxPackets, after: received(a) }),
        ({ device, after }) => device === after,
        "a quiet moment",
      );

      await t.test("every frame that a member receives is in the counts, and in a flow", async () => {
        assert.ok(pings(a, b.ip, "-c", "50", "-i", "0.01"));
        const audit = await eventually(
          () => weir.json<List<AuditJson>>("show", "audit").items[0]!,
          () => port(weir, a.device).rxPackets - counted === received(a) - before,
          `${a.device} counts what the kernel counts`,
        );
        assert.ok(audit.ok && audit.observed === audit.rx, JSON.stringify(audit));
        assert.ok(received(a) - before >= 50);
        const flows = weir.json<List<FlowJson>>("show", "flows", "--where", `ipSrc=${a.ip} proto=icmp`).items;
        assert.deepEqual(
          flows.map(({ disposition, output, outputKnown }) => ({ disposition, output, outputKnown })),
          [{ disposition: "observed", output: [], outputKnown: false }],
        );
        assert.equal(flows[0]!.packets, 50);
      });

      await t.test("TCP at full speed and large pings arrive whole", async (t) => {
        await sendFile(t, a, b, b.ip, 32 << 20);
        assert.ok(pings(b, a.ip, "-s", "8000"));
      });

      await t.test("a device that joins the bridge is a port, one that leaves it is none", async () => {
        const names = (): string[] => ports(weir).map(({ name }) => name);
        assert.ok(!names().includes(c.device));
        sh("ip", "link", "set", c.device, "master", bridge);
        await eventually(names, (all) => all.includes(c.device), "it joins");
        await eventually(
          () => port(weir, c.device).state,
          (state) => state === "up",
          "it is up",
        );
        assert.ok(pings(c, a.ip));
        await eventually(
          () => port(weir, c.device).rxPackets,
          (count) => count >= 3,
          "it is counted",
        );
        sh("ip", "link", "set", c.device, "nomaster");
        await eventually(names, (all) => !all.includes(c.device), "it leaves");
        disconnect(b);
        await eventually(names, (all) => !all.includes(b.device), "a member that is gone");
        reconnect(b);
        sh("ip", "link", "set", b.device, "master", bridge);
        await eventually(names, (all) => all.includes(b.device), "and is back");
        assert.ok(pings(a, b.ip));
      });

      await t.test("the end changes nothing, and the collector has it all", async () => {
        await pause(200);
        const sums = ports(weir).reduce((sum, one) => sum + one.observed, 0);
        assert.ok(sums > 1000);
        assert.equal(await weir.stop(), 0);
        assert.ok(pings(a, b.ip));
        await pause(300);
        const { records } = await nfcapd.finish();
        const icmp = records.filter(({ proto, src }) => proto === 1 && src === a.ip);
        assert.ok(icmp.reduce((sum, { packets }) => sum + packets, 0) >= 50);
      });
    },
  );

test(
  "kernel: killed, it counts on beside the bridge; the next goes on with that, weir detach takes it away",
  { timeout: 60_000 },
  async (t) => {
    if (!needsRoot(t) || !needs(t, "ip", "ping", "bpftool")) return;
    const [a, b] = guests(t, 2, { net: 96 }) as [Guest, Guest];
    const bridge = linuxBridge(t, [a, b]);
    silence(a, b);
    for (const device of [bridge, a.device, b.device]) sh("sysctl", "-qw", `net.ipv6.conf.${device}.disable_ipv6=1`);
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    t.after(() => void socket.close());
    const collector = new RecordCollector();
    socket.on("message", (bytes) => collector.take(bytes));
    const home = weirHome(t);
    home.write({
      flows: { activeTimeout: "1s", idleTimeout: "15s" },
      bridges: [{ name: "look", datapath: "kernel", mode: "observe", members: bridge }],
      exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${socket.address().port}`] }],
    });
    let weir = await startWeir(t, home, { keep: true });
    assert.ok(pings(a, b.ip));
    const wire = new WireWitness(a, b);
    const stream = await udpStream(t, a, b, { port: STREAM });
    const flow = async (packets: number): Promise<FlowJson> => {
      for (const until = performance.now() + 8000; performance.now() < until; await pause(20)) {
        const path = `flows?where=${encodeURIComponent(`dstPort=${STREAM}`)}`;
        const [one] = (await api<List<FlowJson>>(home.socket, "GET", path)).items;
        if (one !== undefined && one.packets > packets) return one;
      }
      throw new Error(`no more than ${packets} packets of the stream`);
    };
    const first = await flow(100);
    for (const signal of ["SIGKILL", "SIGTERM"] as const) {
      const { packets } = await flow(0);
      const before = received(a);
      weir.signal(signal);
      await weir.ended;
      await until(() => received(a) > before + 200, "frames go on");
      weir = await startWeir(t, home, { keep: true });
      assert.equal((await flow(packets + 200)).id, first.id, "the same flow");
    }
    const { sent, lost, twice } = await stream.end();
    assert.deepEqual([lost, twice], [[], 0], `of ${sent}`);
    await wire.settle();
    await eventually(
      () => collector.packets(STREAM),
      (packets) => packets === sent,
      `records of ${sent} datagrams`,
    );
    const audit = weir.json<List<AuditJson>>("show", "audit").items[0]!;
    assert.ok(audit.ok, JSON.stringify(audit));

    const ours = [...bpfObjects(weir.child.pid)];
    assert.ok(ours.filter((one) => one.startsWith("link")).length >= 2, "a program on each");
    weir.signal("SIGKILL");
    await weir.ended;
    assert.ok(ours.filter((one) => one.startsWith("link")).every(isThere));
    const detached = home.run("detach", "--state-dir", home.stateDir);
    assert.match(detached.stdout, /^look {2}ended/, detached.stderr);
    await eventually(
      () => ours.filter(isThere),
      (left) => left.length === 0,
      "bpftool shows none of it",
    );
    assert.ok(pings(a, b.ip), "the bridge was never ours");
  },
);

test("a lone device, both ways; what would count twice is refused", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "tc", "ping")) return;
  const [a, b] = guests(t, 2, { net: 99 }) as [Guest, Guest];
  const bridge = linuxBridge(t, [a, b]);
  const home = weirHome(t);
  const refused = (bridge: object): string => {
    home.write({ bridges: [{ name: "look", mode: "observe", ...bridge }] });
    const { status, stderr } = refusedWeir(home);
    assert.equal(status, 2, stderr);
    return stderr;
  };
  const netdev = (device: string, more: object = {}): object => ({ name: device, type: "netdev", device, ...more });
  assert.match(
    refused({ ports: [netdev(bridge), netdev(a.device)] }),
    new RegExp(`${bridge} stands on ${a.device}.*would count twice`),
  );
  assert.match(refused({ members: bridge, ports: [netdev(bridge)] }), /would count twice/);
  assert.match(refused({ mode: "switch", members: bridge }), /mode: observe/);
  assert.match(
    refused({ mode: "switch", ports: [netdev(a.device, { direction: "both" })] }),
    /direction: both is for mode: observe/,
  );

  for (const datapath of ["userspace", "kernel"] as const) {
    const lone = { name: "look", datapath, mode: "observe", ports: [netdev(a.device, { direction: "both" })] };
    home.write({ bridges: [lone] });
    const weir = await startWeir(t, home);
    assert.ok(pings(a, b.ip, "-c", "20", "-i", "0.01"));
    const icmp = (): readonly FlowJson[] =>
      weir.json<List<FlowJson>>("show", "flows", "--where", "proto=icmp", "--sort", "ipSrc").items;
    const flows = await eventually(icmp, (all) => all.length === 2, "both directions of one device");
    assert.deepEqual(
      flows.map(({ ipSrc, packets, port }) => [ipSrc, packets, port]),
      [
        [a.ip, 20, a.device],
        [b.ip, 20, a.device],
      ],
    );
    assert.equal(await weir.stop(), 0);
  }
});

test("weir observe needs no file", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "ping", "unshare")) return;
  const [a, b] = guests(t, 2, { net: 97 }) as [Guest, Guest];
  const bridge = linuxBridge(t, [a, b]);
  const home = weirHome(t);
  // Its state and socket are the host's: it gets folders of its own in their place.
  const script = 'mount -t tmpfs none /run && mount -t tmpfs none /var/lib && exec "$@"';
  const command = [process.execPath, COMMAND, "observe", bridge];
  const observer = start(t, undefined, "unshare", "-m", "sh", "-c", script, "sh", ...command);
  const api = `unix:/proc/${observer.child.pid}/root/run/weir/weir.sock`;
  const ask = (...args: string[]): string => home.run("--api", api, ...args).stdout;
  await until(() => ask("show", "ports").includes(`${b.device}  up`), "it observes", 15_000).catch((error: Error) => {
    throw new Error(`${error.message}\n${observer.output()}`);
  });
  assert.ok(pings(a, b.ip, "-c", "5"));
  await until(() => ask("show", "flows").includes("observed"), "flows are there");
  assert.match(ask("status"), new RegExp(`^${bridge}\\s+observing`));
  assert.equal(await observer.stop(), 0);
});
