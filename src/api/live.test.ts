/** The view over a real bridge whose datapath is scripted: flows stand in real slots, rules in a real cache. */
import assert from "node:assert/strict";
import test from "node:test";
import { ScriptedDatapath, status } from "../../test/helpers/scripted-datapath.ts";
import type { BridgeConfig, PortConfig, WeirConfig } from "../config/config.ts";
import { Bridge } from "../bridge/bridge.ts";
import { BridgeView } from "../bridge/views/bridge-view.ts";
import { countDropped, createFlow, hit, splitHigh, splitLow } from "../flow/count.ts";
import { dropReason } from "../flow/disposition.ts";
import { FACT_WORDS } from "../flow/facts.ts";
import { KEY_WORDS } from "../flow/key.ts";
import { parseKey } from "../flow/parse.ts";
import { RecordLog } from "../shm/log.ts";
import { DropTable } from "../telemetry/drops.ts";
import { EventBus } from "../telemetry/events.ts";
import { buildFrame, type FrameOptions } from "../wire/builder.ts";
import { type Running, liveView } from "./live.ts";
import { Problem } from "./problem.ts";

const BOOT_MS = Date.parse("2026-11-23T00:00:00Z");

const port = (name: string, more: Partial<PortConfig> = {}): PortConfig => ({
  name,
  type: "memory",
  enabled: true,
  options: {},
  origin: "config",
  ...more,
});

const ports = [
  port("web1", { vlan: { mode: "access", tag: 100 }, owner: { tenant: "acme", vm: "web1" } }),
  port("db1", { vlan: { mode: "access", tag: 100 }, owner: { tenant: "acme", vm: "db1" } }),
  port("lab1", { vlan: { mode: "access", tag: 110 } }),
  port("uplink", { vlan: { mode: "trunk", trunks: [100, 110] } }),
];

const bridgeConfig: BridgeConfig = {
  name: "weir0",
  datapath: "auto",
  mode: "switch",
  failMode: "standalone",
  macAgingMs: 300_000,
  macTableSize: 64,
  dropMalformed: false,
  sampling: { rate: 400, header: 128 },
  ports,
};

const config: WeirConfig = {
  host: { name: "hv1", stateDir: "/nowhere" },
  api: { listen: [], socket: "/nowhere/weir.sock" },
  flows: { activeTimeoutMs: 60_000, idleTimeoutMs: 15_000, tcpEndTimeoutMs: 2000, max: 64, maxPerPort: 0.5 },
  tenants: { acme: { vlans: [100] }, globex: { vlans: [110, 111, 112] } },
  bridges: [bridgeConfig],
  exporters: [],
} as unknown as WeirConfig;

async function bed() {
  const datapath = new ScriptedDatapath();
  datapath.timeNs = 10e9;
  let nextIndex = 20_001;
  const bridge = new Bridge({
    config: bridgeConfig,
    flows: config.flows,
    datapath,
    log: RecordLog.create(64),
    boot: { unixMs: BOOT_MS, ns: 0 },
    ifIndexFor: () => nextIndex++,
  });
  await bridge.start();
  for (const entry of bridge.ports()) datapath.statuses.set(entry.no, status({ device: `veth-${entry.name}` }));
  datapath.timeNs += 2e9;
  bridge.tick(datapath.timeNs);
  const drops = new DropTable();
  let sleeps = 0;
  const onSleep: (() => void)[] = [];
  const breath = {
    breathe: async () => {},
    async sleep(ms: number) {
      sleeps++;
      datapath.timeNs += ms * 1e6;
      for (const call of onSleep) call();
    },
  };
  const view = new BridgeView({ bridge, datapathWhy: "a test", startedMs: BOOT_MS, breath });
  const running: Running = {
    version: "0.1.0",
    node: "20",
    kernel: "6",
    pid: 1,
    startedMs: BOOT_MS,
    now: () => BOOT_MS + datapath.timeNs / 1e6,
    breath,
    bridges: () => [view],
    exporters: () => [],
    events: new EventBus(),
    drops,
    config: () => ({ value: config, path: "weir.yaml", loadedMs: BOOT_MS, sha256: "00", generation: 1 }),
    problems: () => [],
    memory: () => ({ rss: 1, heapUsed: 1, shared: 1 }),
    api: () => ({ listen: [] }),
    reload: () => Promise.reject(new Problem(501, "no")),
    putPort: () => Promise.resolve(),
    patchPort: async (name, patch) => void bridge.setEnabled(name, patch.enabled),
    deletePort: () => Promise.resolve(),
    mirrors: {
      list: () => [],
      put: () => Promise.reject(new Error("no mirrors here")),
      stop: () => Promise.reject(new Error("no mirrors here")),
      capture: () => {
        throw new Error("no mirrors here");
      },
    },
  };

  const no = (name: string): number => bridge.port(name)!.no;
  const keyOf = (name: string, options: FrameOptions): { key: Uint32Array; bytes: number } => {
    const frame = buildFrame(options);
    const key = new Uint32Array(KEY_WORDS);
    parseKey(frame, 0, frame.length, frame.length, no(name), key, new Int32Array(FACT_WORDS));
    return { key, bytes: frame.length };
  };
  /** A flow as a datapath would make it: rule from the bridge, slot, counters. Returns its slot. */
  const flow = (name: string, packets: number, options: FrameOptions): number => {
    const { key, bytes } = keyOf(name, options);
    if (datapath.receive(key) === undefined) bridge.answerMisses(datapath.timeNs);
    const rule = datapath.rules.lookup(key);
    const [low, high] = [splitLow(datapath.timeNs), splitHigh(datapath.timeNs)];
    const slot = createFlow(datapath.slots, datapath.free, key, rule, datapath.rules.genOf(rule), low, high);
    for (let n = 0; n < packets; n++) hit(datapath.slots, slot, 1, bytes, bytes - 14, 0x18, low, high);
    return slot;
  };
  return {
    datapath,
    bridge,
    view,
    running,
    drops,
    live: liveView(running),
    flow,
    no,
    keyOf,
    onSleep,
    sleeps: () => sleeps,
  };
}

const WEB = "52:54:00:00:00:01";
const DB = "52:54:00:00:00:02";
const tcp = (src: number, dst: number): FrameOptions => ({
  ethSrc: WEB,
  ethDst: DB,
  ip: { src: "10.1.0.5", dst: "10.1.0.9" },
  tcp: { src, dst },
});

test("a flow's JSON: names, VLAN of the access port, owners, output, times", async () => {
  const { live, flow } = await bed();
  flow("db1", 1, { ethSrc: DB, ethDst: WEB, ip: { src: "10.1.0.9", dst: "10.1.0.5" }, udp: { src: 53, dst: 5353 } });
  flow("web1", 3, tcp(40000, 443));
  const { items, total } = await live.flows({ sort: "-packets", limit: 1 });
  assert.equal(total, 2);
  const { id, rule, ...rest } = items[0]!;
  assert.match(id, /^weir0\/0\/[0-9a-f]+$/);
  assert.match(rule!, /^r\d+$/);
  assert.deepEqual(rest, {
    bridge: "weir0",
    port: "web1",
    ifIndex: 20_001,
    ethSrc: WEB,
    ethDst: DB,
    etherType: 0x800,
    ipSrc: "10.1.0.5",
    ipDst: "10.1.0.9",
    proto: 6,
    tos: 0,
    srcPort: 40_000,
    dstPort: 443,
    vlan: 100,
    tcpFlags: 0x18,
    packets: 3,
    bytes: 162,
    l3Bytes: 120,
    pps: 0,
    bps: 0,
    firstMs: BOOT_MS + 12_000,
    lastMs: BOOT_MS + 12_000,
    output: ["db1"],
    outputIfIndex: 20_002,
    outputOwner: { tenant: "acme", vm: "db1" },
    disposition: "forwarded",
    forwardingStatus: 64,
    owner: { tenant: "acme", vm: "web1" },
    tenant: "acme",
  });
});

test("rates of flows and the order by them", async () => {
  const { live, flow, datapath, onSleep, sleeps } = await bed();
  const quiet = flow("web1", 100, tcp(1, 80));
  const busy = flow("web1", 1, tcp(2, 80));
  onSleep.push(() => hit(datapath.slots, busy, 1000, 54_000, 40_000, 0, 0, 3));
  const { items } = await live.flows({ sort: "-bps", limit: 10 });
  assert.equal(sleeps(), 1);
  assert.deepEqual(
    items.map((item) => [item.srcPort, item.pps, item.bps]),
    [
      [2, 1000, 432_000],
      [1, 0, 0],
    ],
  );
  assert.notEqual(quiet, busy);
});

test("filters and orders by other keys; ids find flows; streams give all", async () => {
  const { live, flow } = await bed();
  for (let n = 0; n < 20; n++) flow("web1", n + 1, tcp(1000 + n, n % 2 ? 80 : 443));
  const found = await live.flows({ where: "dstPort=80 tenant=acme srcPort>1010", sort: "srcPort", limit: 3 });
  assert.equal(found.total, 5);
  assert.deepEqual(
    found.items.map((item) => item.srcPort),
    [1011, 1013, 1015],
  );
  await assert.rejects(live.flows({ where: "dstport=80", sort: "-bps", limit: 1 }), /dstPort/);
  await assert.rejects(live.flows({ sort: "-nosuch", limit: 1 }), Problem);
  let streamed = 0;
  for await (const batch of live.flowStream({ sort: "-bps", limit: 0 })) streamed += batch.length;
  assert.equal(streamed, 20);
  const traced = await live.trace({ flow: found.items[0]!.id });
  assert.match(traced.frame, /10\.1\.0\.5:1011 > 10\.1\.0\.9:80/);
  assert.throws(() => live.trace({ flow: "weir0/9/0" }), /no flow/);
});

test("a refused flow says why", async () => {
  const { live, flow, datapath } = await bed();
  const slot = flow("web1", 0, { ...tcp(1, 2), vlans: [{ vid: 200 }] });
  countDropped(datapath.slots, slot, 1, 60, dropReason("ingress_vlan_filter"));
  hit(datapath.slots, slot, 1, 60, 40, 0, 0, 3);
  const { items } = await live.flows({ where: "dropped", sort: "-packets", limit: 5 });
  const { vlan, output, disposition, dropReason: reason, forwardingStatus, droppedPackets } = items[0]!;
  assert.deepEqual(
    { vlan, output, disposition, reason, forwardingStatus, droppedPackets },
    {
      vlan: 200,
      output: [],
      disposition: "dropped",
      reason: "ingress_vlan_filter",
      forwardingStatus: 128,
      droppedPackets: 1,
    },
  );
});

test("ports, tenants, system: sums and rates", async () => {
  const { live, flow, view, bridge, running, no } = await bed();
  view.look(bridge.counters(), running.now());
  flow("web1", 1, tcp(1, 2));
  flow("web1", 1, { ...tcp(1, 2), vlans: [{ vid: 200 }] });
  view.look(bridge.counters(), running.now() + 1000);
  const list = await live.ports();
  const web1 = list.find((entry) => entry.name === "web1")!;
  assert.deepEqual(
    [web1.rxPackets, web1.forwarded, web1.dropped, web1.drops, web1.rxPps, web1.dropPps, web1.tenant, web1.state],
    [2, 1, 1, { ingress_vlan_filter: 1 }, 2, 1, "acme", "up"],
  );
  assert.deepEqual(web1.vlan, { mode: "access", tag: 100 });
  assert.equal(list.find((entry) => entry.name === "lab1")!.tenant, "globex", "by its VLAN");
  assert.deepEqual(list.find((entry) => entry.name === "uplink")!.vlan, { mode: "trunk", trunks: "100,110" });
  const tenants = await live.tenants();
  assert.deepEqual(
    tenants.map((tenant) => [tenant.tenant, tenant.vlans, tenant.ports, tenant.rxPackets, tenant.dropped]),
    [
      ["acme", "100", ["web1", "db1"], 2, 1],
      ["globex", "110-112", ["lab1"], 0, 0],
      [undefined, undefined, ["uplink"], 0, 0],
    ],
  );
  const system = await live.system();
  assert.deepEqual([system.state, system.problems], ["ok", []]);
  const [shown] = system.bridges;
  assert.deepEqual(
    [shown!.conserved, shown!.rxPackets, shown!.ports, shown!.rates.rxPps],
    [true, 2, { total: 4, up: 4 }, 2],
  );
  await live.patchPort("web1", { enabled: false });
  assert.equal((await live.ports()).find((entry) => entry.name === "web1")!.enabled, false);
  await assert.rejects(live.patchPort("nosuch", { enabled: false }), /no port/);
  assert.ok(no("web1") > 0);
});

test("a failed port and a refused exporter make the switch degraded, and are named", async () => {
  const { datapath, bridge, running, no } = await bed();
  datapath.statuses.set(no("db1"), status({ state: "conflict", message: "in Linux bridge br0" }));
  datapath.timeNs += 2e9;
  bridge.tick(datapath.timeNs);
  const live = liveView({
    ...running,
    exporters: () => [{ name: "nf", type: "netflow-v5", state: "REFUSED", lastError: "ECONNREFUSED" } as never],
  });
  const { state, problems } = await live.system();
  assert.equal(state, "degraded");
  assert.deepEqual(problems, ["port db1 conflict: in Linux bridge br0", "exporter nf REFUSED: ECONNREFUSED"]);
});

test("MACs and rules", async () => {
  const { live, flow } = await bed();
  flow("web1", 1, tcp(1, 2));
  const macs = await live.macs();
  assert.deepEqual(
    macs.map(({ vlan, mac, port, tenant }) => ({ vlan, mac, port, tenant })),
    [{ vlan: 100, mac: WEB, port: "web1", tenant: "acme" }],
  );
  const [rule] = await live.rules();
  assert.equal(rule!.disposition, "forwarded");
  assert.equal(rule!.flows, 1);
  assert.ok(rule!.lookedAt.includes("ethDst"));
  assert.match(rule!.match, /port=web1/);
  assert.deepEqual(rule!.output, ["db1", "uplink"]);
});

test("drops: sentences, the last frame, expected ones apart, and how to trace", async () => {
  const { live, flow, drops, bridge, datapath, no } = await bed();
  const now = (): { uptimeMs: number; unixMs: number } => ({
    uptimeMs: datapath.timeNs / 1e6,
    unixMs: BOOT_MS + datapath.timeNs / 1e6,
  });
  drops.counters(bridge.counters(), "weir0", now());
  const frame = buildFrame({ ...tcp(1, 2), vlans: [{ vid: 200 }] });
  flow("web1", 0, { ...tcp(1, 2), vlans: [{ vid: 200 }] });
  flow("web1", 0, { ethSrc: WEB, ethDst: "01:80:c2:00:00:00", etherType: 0x88cc, payload: 46 });
  drops.notice(
    {
      kind: "drop",
      port: no("web1"),
      reason: dropReason("ingress_vlan_filter"),
      data: frame,
      wireLength: frame.length,
      timeNs: datapath.timeNs,
      slot: 0xffffffff,
      gen: 0,
    } as never,
    "weir0",
    now(),
  );
  datapath.timeNs += 1e9;
  drops.counters(bridge.counters(), "weir0", now());
  const found = await live.drops({ since: 60_000, all: false });
  assert.deepEqual(found.expected, { packets: 1, reasons: 1 });
  const [row] = found.items;
  assert.deepEqual([found.items.length, row!.port, row!.packets, row!.tenant], [1, "web1", 1, "acme"]);
  assert.equal(row!.text, "frames tagged 200; access port web1 carries only VLAN 100");
  assert.match(row!.last!, /vlan 200/);
  assert.match(row!.trace!, /^--port web1 [0-9a-f]+$/);
  // What it says to trace can be traced, and agrees.
  const [, hex] = /([0-9a-f]{28,})$/.exec(row!.trace!)!;
  const traced = await live.trace({ port: "web1", frame: hex! });
  assert.deepEqual([traced.disposition, traced.dropReason], ["dropped", "ingress_vlan_filter"]);
  assert.equal((await live.drops({ since: "start", all: true })).items.length, 2);
});

test("trace: invented fields are named, known stations are used, advice is given, nothing changes", async () => {
  const { live, flow, bridge, datapath, keyOf } = await bed();
  flow("db1", 1, { ethSrc: DB, ethDst: WEB, ip: { src: "10.1.0.9", dst: "10.1.0.5" }, udp: { src: 53, dst: 5353 } });
  const before = [datapath.changes.length, bridge.macStats().entries];
  const traced = await live.trace({ port: "web1", match: "ipSrc=10.1.0.5 ipDst=10.1.0.9 proto=tcp dstPort=443" });
  assert.deepEqual([traced.disposition, traced.output], ["forwarded", ["db1"]]);
  assert.ok(traced.invented.includes("ethSrc") && !traced.invented.includes("ethDst"), String(traced.invented));
  const refused = await live.trace({ port: "web1", match: "vlan=200 ipSrc=10.2.0.9 proto=icmp" });
  assert.equal(refused.dropReason, "ingress_vlan_filter");
  assert.equal(refused.sflow, 265);
  assert.match(refused.toAllow!, /vlan: .*200.* on port web1/);
  assert.ok(refused.wouldMake.some((text) => text.includes("sample 1 in 400")));
  assert.deepEqual([datapath.changes.length, bridge.macStats().entries], before);
  assert.throws(() => live.trace({ port: "web1", match: "vlan>1" }), Problem);
  assert.throws(() => live.trace({ port: "nosuch", match: "vlan=1" }), /no port/);
  assert.throws(() => live.trace({ port: "web1", frame: "ff" }), Problem);
  assert.throws(() => live.trace({ port: "web1", frame: "zz" }), Problem);
  assert.ok(keyOf("web1", tcp(1, 2)).bytes > 0);
});

test("audit", async () => {
  const { live, flow } = await bed();
  flow("web1", 0, tcp(1, 2));
  const [audit] = await live.audit();
  // The scripted datapath counts every frame as unattributed, and the flow of this test has no packets.
  assert.deepEqual([audit!.ok, audit!.exact, audit!.rx, audit!.forwarded, audit!.unattributed], [true, true, 1, 1, 1]);
});
