/** A switch of fixed numbers that add up, for tests of the API and the screens; hostile names included. */
import { Problem } from "../../src/api/problem.ts";
import type { FlowQuery, SwitchView } from "../../src/api/switch.ts";
import type {
  AuditJson,
  BridgeJson,
  DropJson,
  DropsExtra,
  ExporterJson,
  FlowJson,
  LostJson,
  ReplayJson,
  MirrorJson,
  PortJson,
  SystemJson,
  TenantJson,
} from "../../src/bridge/views/json.ts";
import { compareBy } from "../../src/api/query.ts";
import { EventBus } from "../../src/telemetry/events.ts";

export const NOW = Date.parse("2026-11-23T02:14:07Z");
/** What a guest may call itself. */
export const HOSTILE = "\u001b]0;owned\u0007\u202eevil\n\u001b[2J";

const none: LostJson = { ring: 0, nic: 0, tap: 0, qdisc: 0 };

export function port(name: string, more: Partial<PortJson> = {}): PortJson {
  return {
    bridge: "weir0",
    name,
    type: "netdev",
    state: "up",
    enabled: true,
    origin: "config",
    device: `veth-${name}`,
    mtu: 1500,
    speed: 0,
    ifIndex: 20001,
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    txFailed: 0,
    forwarded: 0,
    dropped: 0,
    consumed: 0,
    observed: 0,
    pending: 0,
    drops: {},
    malformed: {},
    unattributed: {},
    lost: none,
    flows: 0,
    flowsCreated: 0,
    samplePool: 0,
    samples: 0,
    sampleDrops: 0,
    rxPps: 0,
    rxBps: 0,
    txPps: 0,
    txBps: 0,
    dropPps: 0,
    lostPps: 0,
    newFlowsPps: 0,
    ...more,
  };
}

export const ports: PortJson[] = [
  port("uplink", {
    speed: 10e9,
    ifIndex: 3,
    vlan: { mode: "trunk", trunks: "100-200" },
    rxBps: 1.21e9,
    rxPps: 148_000,
    txBps: 803e6,
    txPps: 96_000,
  }),
  port("web1", {
    vlan: { mode: "access", tag: 100 },
    owner: { tenant: "acme", vm: "web1" },
    tenant: "acme",
    rxPackets: 5000,
    forwarded: 4971,
    dropped: 17,
    consumed: 12,
    drops: { ingress_vlan_filter: 17 },
    rxBps: 402e6,
    rxPps: 51_000,
    dropPps: 212,
  }),
  port("lab1", {
    state: "absent",
    message: "no device 52:54:00:12:34:9f since 00:51",
    owner: { tenant: "globex", vm: HOSTILE },
    tenant: "globex",
  }),
];

export function flow(more: Partial<FlowJson> = {}): FlowJson {
  return {
    id: "weir0/1/81f",
    bridge: "weir0",
    port: "web1",
    ifIndex: 20001,
    vlan: 100,
    ethSrc: "52:54:00:00:00:01",
    ethDst: "52:54:00:00:00:02",
    etherType: 0x800,
    ipSrc: "10.1.0.5",
    ipDst: "192.0.2.77",
    proto: 6,
    srcPort: 443,
    dstPort: 51514,
    packets: 1_204_881,
    bytes: 1_690_000_000,
    l3Bytes: 1_673_131_666,
    pps: 18_000,
    bps: 212e6,
    firstMs: NOW - 41_000,
    lastMs: NOW - 10,
    output: ["uplink"],
    disposition: "forwarded",
    forwardingStatus: 64,
    owner: { tenant: "acme", vm: "web1" },
    tenant: "acme",
    ...more,
  };
}

export const flows: FlowJson[] = [
  flow(),
  flow({
    id: "weir0/1/820",
    port: "uplink",
    srcPort: 51514,
    dstPort: 443,
    ipSrc: "192.0.2.77",
    ipDst: "10.1.0.5",
    output: ["web1"],
    bps: 3.1e6,
  }),
  flow({
    id: "weir0/2/7",
    etherType: 0x806,
    proto: undefined as never,
    srcPort: undefined as never,
    dstPort: undefined as never,
    packets: 3,
    bytes: 126,
    l3Bytes: 0,
    output: ["a", "b"],
    bps: 0,
  }),
  flow({
    id: "weir0/2/8",
    port: "db1",
    vlan: 200,
    output: [],
    disposition: "dropped",
    dropReason: "ingress_vlan_filter",
    forwardingStatus: 128,
    packets: 12_704,
    bps: 71_000,
  }),
];

const rates = {
  rxPps: 5012,
  rxBps: 31.4e6,
  txPps: 4971,
  txBps: 31e6,
  forwardedPps: 4971,
  droppedPps: 29,
  refusedPps: 29,
  consumedPps: 12,
  lostPps: 0,
  newFlowsPps: 57,
};

export const bridge: BridgeJson = {
  name: "weir0",
  mode: "switch",
  datapath: "userspace",
  datapathWhy: "no root: no kernel datapath",
  state: "forwarding",
  upMs: 12_000,
  ports: { total: 3, up: 2, absent: 1 },
  flows: 842,
  maxFlows: 262_144,
  rules: 40,
  macs: 12,
  macTableSize: 8192,
  generation: 41,
  rxPackets: 60_144,
  rxBytes: 47_100_000,
  forwarded: 59_652,
  dropped: 348,
  consumed: 144,
  observed: 0,
  pending: 0,
  unattributed: {},
  lost: { ...none, tap: 88, nic: 14 },
  conserved: true,
  rates,
};

export const system: SystemJson = {
  at: new Date(NOW).toISOString(),
  version: "0.1.0",
  node: "20.20.2",
  kernel: "6.18.0",
  host: { name: "hv1" },
  pid: 4242,
  startedMs: NOW - 12_000,
  upMs: 12_000,
  state: "ok",
  problems: [],
  config: { path: "/etc/weir/weir.yaml", loadedMs: NOW - 12_000, sha256: "9f3c".padEnd(64, "0"), generation: 41 },
  memory: { rss: 100e6, heapUsed: 20e6, shared: 60e6 },
  api: { socket: "/run/weir/weir.sock", listen: [] },
  bridges: [bridge],
  exporters: [{ name: "netflow-v5", type: "netflow-v5", state: "sending" }],
};

const tenant = (name: string | undefined, rxBps: number): TenantJson => ({
  ...(name === undefined ? {} : { tenant: name }),
  ports: name === undefined ? ["uplink"] : [`${name}-1`],
  rxPackets: 1000,
  rxBytes: 100_000,
  txPackets: 900,
  txBytes: 90_000,
  forwarded: 990,
  dropped: 10,
  consumed: 0,
  lost: none,
  unattributed: {},
  flows: 12,
  rxPps: 100,
  rxBps,
  txPps: 90,
  txBps: rxBps / 2,
  dropPps: name === "globex" ? 21 : 0,
  lostPps: 0,
  newFlowsPps: 5,
});

export const tenants: TenantJson[] = [
  tenant("acme", 61e6),
  tenant("globex", 29e6),
  tenant("initech", 6e6),
  tenant("hooli", 4e6),
];

export const drops: { items: DropJson[] } & DropsExtra = {
  items: [
    {
      bridge: "weir0",
      port: "db1",
      owner: { tenant: "acme", vm: "db1" },
      tenant: "acme",
      reason: "ingress_vlan_filter",
      sflow: 265,
      class: "refused",
      packets: 12_704,
      pps: 212,
      totalPackets: 21_190,
      lastMs: NOW,
      text: "frames tagged 200; access port db1 carries only VLAN 100",
      last: "52:54:00:aa:10:02 > ff:ff:ff:ff:ff:ff, vlan 200, ARP who-has 10.2.0.1 tell 10.2.0.9",
      trace: "--flow weir0/2/81f",
    },
  ],
  windowMs: 60_000,
  lost: [
    {
      bridge: "weir0",
      port: "db1",
      where: "tap",
      packets: 88,
      totalPackets: 88,
      lastMs: NOW - 4100,
      text: "vnet8 tx_dropped: the guest empties its receive queue too slowly",
    },
  ],
  expected: { packets: 311, reasons: 2 },
};

export const exporters: ExporterJson[] = [
  {
    name: "netflow-v5",
    type: "netflow-v5",
    to: ["127.0.0.1:2055"],
    state: "sending",
    datagrams: 102_114,
    sendErrors: 0,
    records: 3_063_402,
    packets: 181_402_118,
    octets: 141_882_310_406,
    basis: "l3",
    pendingPackets: 0,
    pendingRecords: 0,
    notExportable: { ipv6: 402_331, nonIp: 5202 },
    notExportableRecords: { ipv6: 12, nonIp: 3 },
    lostRecords: 0,
    lostPackets: 0,
    collectors: [{ collector: "127.0.0.1:2055", queued: 0, datagrams: 102_114, bytes: 1, sendErrors: 0 }],
    detail: ["engine 0/1", "next sequence 3,063,402"],
  },
];

export const audit: AuditJson = {
  bridge: "weir0",
  datapath: "kernel",
  at: new Date(NOW).toISOString(),
  ok: true,
  exact: true,
  rx: 184_220_911,
  inFlight: 0,
  forwarded: 184_190_317,
  dropped: 30_402,
  drops: { ingress_vlan_filter: 21_190, port_loopback_filter: 9_150, pkt_too_small: 62 },
  consumed: 192,
  observed: 0,
  pending: 0,
  dispositionsOk: true,
  inRecords: 181_809_651,
  inTable: 2_411_006,
  unattributed: 254,
  causes: { noFlow: 254 },
  flowsOk: true,
  exporters: [
    {
      name: "netflow-v5",
      packets: 181_402_118,
      notExportable: { ipv6: 402_331, nonIp: 5202 },
      pending: 0,
      lost: 0,
      ok: true,
    },
  ],
  lost: { ring: 0, nic: 14, tap: 88, qdisc: 0 },
};

export interface FakeSwitch extends SwitchView {
  readonly calls: unknown[];
}

/** `more` replaces methods. Writes are noted in `calls`. */
export function fakeSwitch(more: Partial<SwitchView> = {}): FakeSwitch {
  const calls: unknown[] = [];
  return {
    calls,
    events: new EventBus(),
    system: () => system,
    bridges: () => [bridge],
    ports: () => ports,
    tenants: () => tenants,
    macs: () => [{ bridge: "weir0", vlan: 100, mac: "52:54:00:00:00:01", port: "web1", ageMs: 3000 }],
    rules: () => [
      {
        bridge: "weir0",
        id: "r17",
        lookedAt: ["port", "vlan"],
        match: "port=db1 vlan=200",
        disposition: "dropped",
        dropReason: "ingress_vlan_filter",
        output: [],
        gen: 3,
      },
    ],
    drops: () => drops,
    exporters: () => exporters,
    audit: () => [audit],
    config: () => ({ host: { name: "hv1" }, api: { tokens: [{ name: "noc", token: "sesame" }] } }),
    async flows(query: FlowQuery) {
      calls.push(query);
      return { items: flows.toSorted(compareBy(query.sort)).slice(0, query.limit), total: 12_345 };
    },
    chooseFlows: ({ sort, limit }) => ({ sort, limit, compare: compareBy }),
    flowLists: async (choices) =>
      choices.map(({ matches = () => true, sort, limit }) => {
        const found = flows.filter(matches).toSorted(compareBy(sort));
        return { items: found.slice(0, limit), total: found.length };
      }),
    async *flowStream() {
      for (let n = 0; n < 100; n++) yield flows;
    },
    trace(request) {
      calls.push(request);
      return {
        bridge: "weir0",
        port: request.port ?? "web1",
        frame: "52:54:00:aa:10:02 > (unknown)  vlan 200  ipv4 10.2.0.9 > 10.2.0.1  icmp echo request",
        invented: ["ethDst"],
        steps: [
          { name: "parse", text: "ok: ethernet, 802.1Q, ipv4, icmp" },
          { name: "ingress", text: "port db1, access VLAN 100: the frame carries tag 200", verdict: "not admitted" },
        ],
        disposition: "dropped",
        dropReason: "ingress_vlan_filter",
        sflow: 265,
        forwardingStatus: 128,
        output: [],
        lookedAt: ["port", "vlan"],
        rule: "r17 covers every frame with this port and tag",
        wouldMake: ["one flow weir0/db1 vlan 200", "record: netflow-v5 output 0"],
        toAllow: "vlan: { mode: trunk, trunks: [100, 200] } on port db1",
      };
    },
    async reload(request) {
      calls.push(request);
      return {
        path: "/etc/weir/weir.yaml",
        generation: 41,
        dryRun: request.dryRun ?? false,
        plan: [
          {
            op: "~",
            path: "ports.db1.vlan",
            text: "access 100 -> trunk 100,200",
            note: "flows of db1 re-evaluated, counters go on",
          },
          { op: "=", path: "", text: "12 ports, 3 exporters untouched" },
        ],
        applied: !request.dryRun,
        failed: [],
      };
    },
    async putPort(name, entry) {
      calls.push({ name, entry });
      return port(name);
    },
    async patchPort(name, patch) {
      calls.push({ name, patch });
      if (name !== "web1") throw new Problem(404, `there is no port ${name}`);
      return port(name, { enabled: patch.enabled });
    },
    async deletePort(name) {
      calls.push({ name });
    },
    mirrors: () => [mirror],
    async putMirror(name, entry, caller) {
      calls.push({ name, entry, caller });
      return { ...mirror, name, ...caller };
    },
    async deleteMirror(name) {
      calls.push({ name });
      return { ...mirror, name, state: "ended" };
    },
    async *capture() {
      yield Uint8Array.of(0x0a, 0x0d, 0x0d, 0x0a);
    },
    ...more,
  };
}

export const mirror: MirrorJson = {
  bridge: "weir0",
  name: "debug-web1",
  origin: "cli",
  startedBy: "anna",
  startedMs: 1_795_000_000_000,
  endsMs: 1_795_000_600_000,
  state: "running",
  select: { ports: ["web1"], direction: "both", dropped: "include" },
  outputs: [{ kind: "span", target: "mon0", state: "running", sent: 90, bytes: 9000, failed: 0, queueDropped: 0 }],
  sample: 1,
  limit: { pps: 10_000, bps: 100_000_000 },
  ports: ["web1"],
  matched: 100,
  sent: 90,
  bytesBefore: 10_000,
  bytesAfter: 9000,
  sampledOut: 0,
  rateDropped: 10,
  queueDropped: 0,
  failed: 0,
};

export const replayed: ReplayJson = {
  files: [
    { path: "a.pcapng", packets: 1000, bytes: 640_000, complete: true },
    {
      path: "cut.pcap",
      packets: 10,
      bytes: 1000,
      complete: false,
      error: { offset: 1234, message: "a packet of 96 bytes ends after 12" },
    },
  ],
  packets: 1010,
  bytes: 641_000,
  l3Bytes: 626_860,
  malformed: 3,
  flows: 57,
  records: 60,
  ports: 5,
  durationMs: 250,
  exporters: [
    {
      name: "netflow-v5",
      type: "netflow-v5",
      collector: "127.0.0.1:2055",
      records: 60,
      datagrams: 2,
      packets: 900,
      octets: 600_000,
      sendErrors: 0,
      notExportable: { ipv6: 100, nonIp: 10 },
    },
  ],
  drops: { pkt_too_small: 10 },
  audit: { ok: true, rx: 1010, forwarded: 1000, dropped: 10, consumed: 0, unattributed: 10 },
};
