/** A restart is no event: the kernel datapath forwards and counts while no process is there, and the next goes on with it. */
import assert from "node:assert/strict";
import { createSocket } from "node:dgram";
import test, { type TestContext } from "node:test";
import type { AuditJson, FlowJson } from "../../src/bridge/views/json.ts";
import { findLink } from "../../src/sys/links.ts";
import { api } from "../helpers/api.ts";
import { needs, needsRoot } from "../helpers/needs.ts";
import { pings } from "../helpers/netns-traffic.ts";
import { type Guest, guests, inside, start, tryInside, until } from "../helpers/netns.ts";
import { buildOtherLayout } from "../helpers/other-layout.ts";
import { RecordCollector } from "../helpers/record-collector.ts";
import { udpStream } from "../helpers/udp-stream.ts";
import {
  COMMAND,
  eventually,
  pause,
  startWeir,
  weirHome,
  type WeirHome,
  type WeirProcess,
} from "../helpers/weir-process.ts";
import { silence, WireWitness } from "../helpers/wire-witness.ts";

interface List<T> {
  readonly items: readonly T[];
}

const TYPES = ["netflow-v5", "netflow-v9", "ipfix"] as const;
/** Of the UDP stream. */
const STREAM = 7000;

/** One collector for each protocol, and the exporters' part of the configuration. */
async function collectors(t: TestContext) {
  const all = new Map<string, RecordCollector>();
  const exporters: object[] = [];
  for (const type of TYPES) {
    const socket = createSocket("udp4");
    await new Promise<void>((resolve) => socket.bind(0, "127.0.0.1", resolve));
    t.after(() => void socket.close());
    const collector = new RecordCollector();
    socket.on("message", (bytes) => collector.take(bytes));
    all.set(type, collector);
    exporters.push({ type, collectors: [`127.0.0.1:${socket.address().port}`] });
  }
  const packets = () => Object.fromEntries([...all].map(([type, collector]) => [type, collector.packets(STREAM)]));
  return {
    exporters,
    /** Each has records of so many packets of the stream, and no more come. */
    async settle(sent: number): Promise<void> {
      const wanted = Object.fromEntries(TYPES.map((type) => [type, sent]));
      const isThere = (): boolean => JSON.stringify(packets()) === JSON.stringify(wanted);
      await eventually(packets, isThere, `records of ${sent} datagrams`);
      await pause(700);
      assert.deepEqual(packets(), wanted, "and no more");
    },
    /** Datagrams that were sent once more. */
    again: () => [...all.values()].reduce((sum, collector) => sum + collector.again, 0),
  };
}

/** What goes on all the while, and its judgement. */
async function traffic(t: TestContext, home: WeirHome, a: Guest, b: Guest) {
  const wire = new WireWitness(a, b);
  const stream = await udpStream(t, a, b, { port: STREAM });
  const server = start(t, b, "iperf3", "-s", "-1", "--forceflush");
  await until(() => server.output().includes("listening"), "iperf3 listens");
  const client = start(t, a, "iperf3", "-c", b.ip, "-t", "120", "-b", "300M", "--forceflush");
  const received = (): number => Number(inside(b, "cat", "/sys/class/net/eth0/statistics/rx_packets"));
  return {
    /** Frames arrive now. */
    async goesOn(): Promise<void> {
      const before = received();
      await until(() => received() > before + 300, "frames arrive");
    },
    /** Nothing was lost nor doubled. Returns how many datagrams there were. */
    async end(): Promise<number> {
      const { sent, lost, twice } = await stream.end();
      assert.equal(client.child.exitCode, null, client.output());
      client.child.kill("SIGINT");
      await Promise.all([client.ended, server.ended]);
      const { packets, refusedBefore, retransmits } = await wire.settle().catch((error: Error) => {
        for (const what of ["ports", "drops", "rules"]) t.diagnostic(home.run("show", what, "--json").stdout);
        throw error;
      });
      assert.deepEqual(lost, [], `of ${sent}`);
      assert.equal(twice, 0);
      // What was sent again although every frame arrived was refused before the switch, or sent too early.
      t.diagnostic(
        `${sent} datagrams; ${packets} frames, each taken as it was given; ${refusedBefore} more refused before the switch; ` +
          `TCP at ${/([\d.]+ [GM]bits\/sec).*sender/.exec(client.output())?.[1]}, ${retransmits.again} segments again, ${retransmits.needless} of them needlessly`,
      );
      return sent;
    },
  };
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

const stream = async (home: WeirHome): Promise<FlowJson | undefined> =>
  (await api<List<FlowJson>>(home.socket, "GET", `flows?where=${encodeURIComponent(`dstPort=${STREAM}`)}`)).items[0];

async function audited(home: WeirHome): Promise<void> {
  const { items } = await api<List<AuditJson>>(home.socket, "GET", "audit");
  assert.ok(items[0]!.ok, JSON.stringify(items));
}

/** The stream's flow with so many packets. */
async function counted(home: WeirHome, packets: number): Promise<FlowJson> {
  for (const from = performance.now(); ; await pause(20)) {
    const flow = await stream(home);
    if (flow !== undefined && flow.packets > packets) return flow;
    if (performance.now() - from > 8000)
      throw new Error(`${packets} packets of the stream, and more: ${flow?.packets}`);
  }
}

/** Starts that are killed after these parts of the time that one takes. */
async function killedStarts(
  t: TestContext,
  home: WeirHome,
  parts: readonly number[],
  { wholeMs, command = COMMAND }: { readonly wholeMs: number; readonly command?: string },
): Promise<void> {
  for (const part of parts) {
    const weir = start(t, undefined, process.execPath, command, "run", "--config", home.config);
    await pause(wholeMs * part);
    assert.equal(weir.child.exitCode, null, weir.output());
    weir.child.kill("SIGKILL");
    await weir.ended;
  }
}

async function timed<T>(work: Promise<T>): Promise<[T, number]> {
  const from = performance.now();
  return [await work, performance.now() - from];
}

test(
  "kill -9 under load, at any moment: nothing is lost, every frame is recorded once",
  { timeout: 90_000 },
  async (t) => {
    if (!needsRoot(t) || !needs(t, "ip", "ping", "iperf3")) return;
    const [a, b] = guests(t, 2, { net: 61 }) as [Guest, Guest];
    silence(a, b);
    const told = await collectors(t);
    const home = weirHome(t);
    home.write({
      flows: { activeTimeout: "1s", idleTimeout: "15s" },
      bridges: [bridge([a, b])],
      exporters: told.exporters,
    });
    let weir = await startWeir(t, home, { keep: true });
    assert.ok(pings(a, b.ip), "two that were just attached find each other");
    const load = await traffic(t, home, a, b);
    const before = await counted(home, 100);

    await killed(weir);
    await load.goesOn();
    let wholeMs: number;
    [weir, wholeMs] = await timed(startWeir(t, home, { keep: true }));
    const after = await counted(home, before.packets + 200);
    assert.equal(after.id, before.id, "the same flow goes on");
    await killed(weir);
    // In the middle of a start: reading what is there, adopting it, putting programs in the place of others.
    await killedStarts(t, home, [0.4, 0.5, 0.6, 0.7, 0.8, 0.9], { wholeMs });
    await load.goesOn();
    weir = await startWeir(t, home, { keep: true });
    await audited(home);
    // Those that end by themselves hand on no less; nor those that are killed on their way out.
    const [, wayOutMs] = await timed(weir.stop());
    for (const part of [0.3, 0.7]) {
      weir = await startWeir(t, home, { keep: true });
      weir.signal("SIGTERM");
      await pause(wayOutMs * part);
      await killed(weir);
    }
    await load.goesOn();
    weir = await startWeir(t, home, { keep: true });
    assert.equal((await counted(home, after.packets)).id, before.id, "the same flow after all of them");

    const sent = await load.end();
    assert.ok(sent > 3000, `${sent}`);
    await audited(home);
    await told.settle(sent);
    t.diagnostic(`${told.again()} datagrams of records came again`);

    weir.signal("SIGKILL");
    await weir.ended;
    const detached = home.run("detach", "--state-dir", home.stateDir);
    assert.match(detached.stdout, /^w {2}ended; 2 ports given back/, detached.stderr);
    assert.equal(findLink(a.device)!.stats.rxPackets > 0, true);
    assert.equal(tryInside(a, "ping", "-q", "-c", "1", "-W", "1", b.ip).status === 0, false, "nothing is forwarded");
    assert.equal(home.run("detach", "--state-dir", home.stateDir).stdout, "nothing forwards without a process\n");
  },
);

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
    const other = await buildOtherLayout();
    assert.ok(other !== undefined);
    const [a, b] = guests(t, 2, { net: 63 }) as [Guest, Guest];
    silence(a, b);
    const told = await collectors(t);
    const home = weirHome(t);
    const config = (max: number): object => ({
      flows: { activeTimeout: "1s", idleTimeout: "15s", max },
      bridges: [bridge([a, b])],
      exporters: told.exporters,
    });
    home.write(config(20_000));
    let weir = await startWeir(t, home, { keep: true });
    assert.ok(pings(a, b.ip), "two that were just attached find each other");
    const load = await traffic(t, home, a, b);
    await counted(home, 100);
    await killed(weir);
    let wholeMs = 0;
    for (const command of [other, COMMAND]) {
      [weir, wholeMs] = await timed(startWeir(t, home, { keep: true, command }));
      await counted(home, 100);
      await audited(home);
      await killed(weir);
    }
    // A generation that is half made, ports of which some have the new programs, flows that are being moved.
    await killedStarts(t, home, [0.6, 0.75, 0.9], { wholeMs, command: other });
    await load.goesOn();
    weir = await startWeir(t, home, { keep: true });
    await killed(weir);
    // Another size of the table is another layout, too.
    home.write(config(30_000));
    weir = await startWeir(t, home, { keep: true, command: other });
    await counted(home, 100);
    const sent = await load.end();
    await audited(home);
    await told.settle(sent);
  },
);
