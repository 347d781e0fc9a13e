/** A restart is no event: the kernel datapath forwards and counts while no process is there, and the next goes on with it. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import test, { type TestContext } from "node:test";
import type { AuditJson, FlowJson } from "../../src/bridge/views/json.ts";
import { findLink } from "../../src/sys/links.ts";
import { decodeV5, type V5Datagram } from "../helpers/netflow-v5-decoder.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings } from "../helpers/netns-traffic.ts";
import { type Guest, guests, inside, start, tryInside, until } from "../helpers/netns.ts";
import { buildOtherLayout } from "../helpers/other-layout.ts";
import { udpStream } from "../helpers/udp-stream.ts";
import { eventually, pause, startWeir, weirHome, type WeirHome, type WeirProcess } from "../helpers/weir-process.ts";

interface List<T> {
  readonly items: readonly T[];
}

/** NetFlow v5 as it arrives; a datagram with an engine and sequence that was there already counts once. */
async function collector(
  t: TestContext,
): Promise<{ port: number; datagrams: V5Datagram[]; packets(port: number): number }> {
  const socket = createSocket("udp4");
  await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
  t.after(() => void socket.close());
  const seen = new Map<string, V5Datagram>();
  const datagrams: V5Datagram[] = [];
  socket.on("message", (bytes) => {
    const datagram = decodeV5(bytes);
    const name = `${datagram.engineType}/${datagram.engineId} ${datagram.sequence}`;
    const before = seen.get(name);
    if (before) assert.deepEqual(before.records, datagram.records, `two datagrams called ${name}`);
    else {
      seen.set(name, datagram);
      datagrams.push(datagram);
    }
  });
  const packets = (port: number): number =>
    datagrams.flatMap(({ records }) => records).reduce((sum, one) => sum + (one.dstPort === port ? one.packets : 0), 0);
  return { port: socket.address().port, datagrams, packets };
}

const bridge = (members: readonly Guest[], more: object = {}): object => ({
  name: "w",
  datapath: "kernel",
  ports: members.map(({ device }, n) => ({ name: `p${n + 1}`, type: "netdev", device })),
  ...more,
});

async function killed(weir: WeirProcess): Promise<void> {
  weir.signal("SIGKILL");
  await weir.ended;
}

const flowsTo = (home: WeirHome, port: number): readonly FlowJson[] =>
  home.json<List<FlowJson>>("show", "flows", "--where", `dstPort=${port}`).items;

test("kill -9 under load, and again: nothing is lost, every frame is recorded once", { timeout: 60_000 }, async (t) => {
  if (!needsRoot(t) || !needs(t, "ip", "ping", "iperf3")) return;
  const [a, b] = guests(t, 2, { net: 61 }) as [Guest, Guest];
  const nf = await collector(t);
  const home = weirHome(t);
  home.write({
    flows: { activeTimeout: "1s", idleTimeout: "15s" },
    bridges: [bridge([a, b])],
    exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${nf.port}`] }],
  });
  let weir = await startWeir(t, home, { keep: true });
  assert.ok(pings(a, b.ip));
  const stream = await udpStream(t, a, b);
  const server = start(t, b, "iperf3", "-s", "-1", "--forceflush");
  await until(() => server.output().includes("listening"), "iperf3 listens");
  const client = start(t, a, "iperf3", "-c", b.ip, "-t", "7", "-J", "-b", "300M");
  await pause(1500);

  const before = flowsTo(weir, 7000)[0]!;
  await killed(weir);
  await pause(1000);
  weir = await startWeir(t, home, { keep: true });
  const after = await eventually(
    () => flowsTo(weir, 7000)[0],
    (flow) => flow !== undefined,
    "the flow is there",
  );
  assert.equal(after!.id, before.id, "the same flow goes on");
  assert.ok(after!.packets > before.packets + 500);
  await pause(300);
  await killed(weir);
  weir = await startWeir(t, home, { keep: true });
  // Those that end by themselves hand on no less.
  await weir.stop();
  weir = await startWeir(t, home, { keep: true });

  const { sent, lost, twice } = await stream.end();
  assert.deepEqual(lost, [], `of ${sent}`);
  assert.equal(twice, 0);
  assert.equal(await client.ended, 0, client.output());
  const { end } = JSON.parse(client.output());
  assert.ok(sent > 3000, `${sent}`);
  const audit = weir.json<List<AuditJson>>("show", "audit").items[0]!;
  assert.ok(audit.ok, JSON.stringify(audit));
  await eventually(
    () => nf.packets(7000),
    (packets) => packets === sent,
    `records of ${sent} datagrams`,
  );
  await pause(700);
  assert.equal(nf.packets(7000), sent, "and no more");
  t.diagnostic(
    `${sent} datagrams, ${(end.sum_sent.bits_per_second / 1e6).toFixed(0)} Mbit/s of TCP with ${end.sum_sent.retransmits} retransmits`,
  );

  weir.signal("SIGKILL");
  await weir.ended;
  const detached = home.run("detach", "--state-dir", home.stateDir);
  assert.match(detached.stdout, /^w {2}ended; 2 ports given back/, detached.stderr);
  assert.equal(findLink(a.device)!.stats.rxPackets > 0, true);
  assert.equal(tryInside(a, "ping", "-q", "-c", "1", "-W", "1", b.ip).status === 0, false, "nothing is forwarded");
  assert.equal(home.run("detach", "--state-dir", home.stateDir).stdout, "nothing forwards without a process\n");
});

test(
  "while no process is there, failMode decides what a frame without a rule meets; weir status says so",
  { timeout: 60_000 },
  async (t) => {
    if (!needsRoot(t) || !needs(t, "ip", "ping")) return;
    const [a, b, c] = guests(t, 3, { net: 62 }) as [Guest, Guest, Guest];
    const home = weirHome(t);
    const config = (failMode: string): object => ({
      bridges: [
        {
          name: "w",
          datapath: "kernel",
          failMode,
          ports: [a, b, c].map(({ device }, n) => ({
            name: `p${n + 1}`,
            type: "netdev",
            device,
            vlan: { mode: "access", tag: n === 2 ? 20 : 10 },
          })),
        },
      ],
    });
    const ask = (): { status: number | null; stdout: string } => home.run("status");
    const AWAY_MS = 3500;
    home.write(config("standalone"));
    let weir = await startWeir(t, home, { keep: true });
    await killed(weir);
    await pause(AWAY_MS);
    const before = Number(inside(c, "cat", "/sys/class/net/eth0/statistics/rx_packets"));
    assert.ok(pings(a, b.ip), "two that never spoke find each other");
    assert.equal(tryInside(a, "ping", "-q", "-c", "1", "-W", "1", c.ip).status === 0, false, "in their VLAN only");
    assert.equal(Number(inside(c, "cat", "/sys/class/net/eth0/statistics/rx_packets")), before);
    let { status, stdout } = ask();
    assert.equal(status, 3);
    assert.match(
      stdout,
      /^no weir process\. Its kernel datapath still forwards w \(3 ports\) by rules of \d\d:\d\d:\d\d; .*\n\([\d,]+ so far; 0 refused\), counts are kept/m,
    );
    assert.match(stdout, /flooded in their VLAN[^]*systemctl start weir[^]*weir detach/);

    home.write(config("secure"));
    weir = await startWeir(t, home, { keep: true });
    const audit = weir.json<List<AuditJson>>("show", "audit").items[0]!;
    assert.ok(audit.ok, JSON.stringify(audit));
    const flooded = weir.json<List<FlowJson>>("show", "flows", "--where", `ipSrc=${a.ip} proto=icmp`).items;
    assert.ok(
      flooded.some(({ packets }) => packets >= 3),
      "what was flooded is in flows",
    );
    assert.equal(await weir.stop(), 0);
    // One that ended by itself is away at once.
    inside(a, "ip", "neigh", "flush", "all");
    assert.equal(tryInside(a, "ping", "-q", "-c", "1", "-W", "1", "10.62.0.77").status === 0, false);
    ({ status, stdout } = ask());
    assert.equal(status, 3);
    const json = JSON.parse(home.run("status", "--json").stdout);
    assert.deepEqual(
      json.forwarding
        .filter(({ stateDir }: { stateDir: string }) => stateDir === home.stateDir)
        .map(({ bridge: name, failMode }: { bridge: string; failMode: string }) => [name, failMode]),
      [["w", "secure"]],
    );
    assert.match(stdout, /dropped\n\(cpu_backlog, \d+ so far\)/);
  },
);

test(
  "another version with another layout takes over, and back: nothing is lost, every frame is recorded once",
  { timeout: 90_000 },
  async (t) => {
    if (!needsRoot(t) || !needs(t, "ip", "ping", "iperf3", "clang-14")) return;
    const command = await buildOtherLayout();
    assert.ok(command !== undefined);
    const [a, b] = guests(t, 2, { net: 63 }) as [Guest, Guest];
    const nf = await collector(t);
    const home = weirHome(t);
    home.write({
      flows: { activeTimeout: "1s", idleTimeout: "15s", max: 20_000 },
      bridges: [bridge([a, b])],
      exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${nf.port}`] }],
    });
    let weir = await startWeir(t, home, { keep: true });
    assert.ok(pings(a, b.ip));
    const stream = await udpStream(t, a, b);
    const server = start(t, b, "iperf3", "-s", "-1", "--forceflush");
    await until(() => server.output().includes("listening"), "iperf3 listens");
    const client = start(t, a, "iperf3", "-c", b.ip, "-t", "6", "-J", "-b", "300M");
    await pause(1500);
    await killed(weir);
    for (const next of [{ command }, {}, { command }]) {
      await pause(500);
      weir = await startWeir(t, home, { keep: true, ...next });
      await eventually(
        () => flowsTo(weir, 7000),
        (flows) => flows.length === 1,
        "the flow is there",
      );
      const audit = weir.json<List<AuditJson>>("show", "audit").items[0]!;
      assert.ok(audit.ok, JSON.stringify(audit));
      await killed(weir);
    }
    // Another size of the table is another layout, too.
    home.write({
      flows: { activeTimeout: "1s", idleTimeout: "15s", max: 30_000 },
      bridges: [bridge([a, b])],
      exporters: [{ type: "netflow-v5", collectors: [`127.0.0.1:${nf.port}`] }],
    });
    weir = await startWeir(t, home, { keep: true, command });
    const { sent, lost, twice } = await stream.end();
    assert.deepEqual(lost, [], `of ${sent}`);
    assert.equal(twice, 0);
    assert.equal(await client.ended, 0, client.output());
    await eventually(
      () => nf.packets(7000),
      (packets) => packets === sent,
      `records of ${sent} datagrams`,
    );
    await pause(700);
    assert.equal(nf.packets(7000), sent, "and no more");
    const { end } = JSON.parse(client.output());
    t.diagnostic(
      `${sent} datagrams, ${(end.sum_sent.bits_per_second / 1e6).toFixed(0)} Mbit/s of TCP with ${end.sum_sent.retransmits} retransmits`,
    );
  },
);
