/**
 * What the API answers, as types: the JSON that `weir show --json` prints. Names, units and presence are promises to
 * users. Counters are integers with all their digits; keys that do not apply are left out; `…Ms` is Unix time in ms
 * unless it is called an age or a duration; `…Pps` and `…Bps` are packets and bits per second.
 */
import type { Owner } from "../../flow/attachment.ts";
import type { Event } from "../../telemetry/events.ts";
import type { ExporterView } from "../../telemetry/hub.ts";

export type { Owner };

/** Counters that are named by what they count: drop reasons, causes, headers. Zeros are left out. */
export type Counts = Record<string, number>;

/** What happened around the switch; never part of rx = Σ dispositions. */
export interface LostJson {
  ring: number;
  nic: number;
  tap: number;
  qdisc: number;
}

export interface FlowJson {
  /** bridge/generation/slot (hex): names one flow, and is never given to another. */
  id: string;
  bridge: string;
  port: string;
  ifIndex: number;
  vlan?: number;
  innerVlan?: number;
  pcp?: number;
  ethSrc: string;
  ethDst: string;
  etherType: number;
  ipSrc?: string;
  ipDst?: string;
  proto?: number;
  tos?: number;
  fragment?: "first" | "later";
  srcPort?: number;
  dstPort?: number;
  icmpType?: number;
  icmpCode?: number;
  arpOp?: number;
  /** Seen since the flow's last record: flags belong to intervals (src/shm/README.md). */
  tcpFlags?: number;
  tunnelId?: number;
  /** The first bad header. */
  malformed?: string;
  packets: number;
  /** Frame bytes without FCS. */
  bytes: number;
  /** IP total lengths. */
  l3Bytes: number;
  droppedPackets?: number;
  droppedBytes?: number;
  pps: number;
  bps: number;
  firstMs: number;
  lastMs: number;
  output: string[];
  outputIfIndex?: number;
  outputOwner?: Owner;
  outputKnown?: boolean;
  disposition: "forwarded" | "dropped" | "consumed" | "observed";
  dropReason?: string;
  forwardingStatus: number;
  owner?: Owner;
  tenant?: string;
  rule?: string;
  mirrors?: string[];
}

export interface VlanJson {
  mode: "access" | "trunk" | "nativeTagged" | "nativeUntagged";
  tag?: number;
  /** Ranges: "100-200,300", or "all". */
  trunks?: string;
}

export interface PortJson {
  bridge: string;
  name: string;
  type: string;
  state: string;
  /** Why it is not up, for a person. */
  message?: string;
  enabled: boolean;
  /** Administratively off until then. */
  disabledUntilMs?: number;
  origin: string;
  device?: string;
  mac?: string;
  mtu: number;
  /** bit/s, 0 = unknown. */
  speed: number;
  ifIndex: number;
  vlan?: VlanJson;
  owner?: Owner;
  tenant?: string;
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  /** Frames that were to leave here and could not: a loss of the output, never a disposition. */
  txFailed: number;
  forwarded: number;
  dropped: number;
  consumed: number;
  observed: number;
  /** In flight: received, waiting for a rule. */
  pending: number;
  drops: Counts;
  /** Packets with a bad header, by header. */
  malformed: Counts;
  unattributed: Counts;
  lost: LostJson;
  /** Mirror sessions that copy this port's frames now; and those whose copies it sends, which makes it output only. */
  mirrors?: string[];
  mirrorOutputOf?: string[];
  flows: number;
  flowsCreated: number;
  samplePool: number;
  samples: number;
  sampleDrops: number;
  /** Over the last 10 s, or since the start where that is shorter. */
  rxPps: number;
  rxBps: number;
  txPps: number;
  txBps: number;
  /** Refused, without the expected reasons. */
  dropPps: number;
  lostPps: number;
  newFlowsPps: number;
}

export interface TenantJson {
  /** Absent: the ports that belong to no tenant. */
  tenant?: string;
  vlans?: string;
  ports: string[];
  rxPackets: number;
  rxBytes: number;
  txPackets: number;
  txBytes: number;
  forwarded: number;
  dropped: number;
  consumed: number;
  lost: LostJson;
  unattributed: Counts;
  flows: number;
  rxPps: number;
  rxBps: number;
  txPps: number;
  txBps: number;
  dropPps: number;
  lostPps: number;
  newFlowsPps: number;
}

export interface MacJson {
  bridge: string;
  vlan: number;
  mac: string;
  port: string;
  ageMs: number;
  owner?: Owner;
  tenant?: string;
}

export interface RuleJson {
  bridge: string;
  id: string;
  /** Fields the decision looked at. */
  lookedAt: string[];
  /** In the words of the filter language. */
  match: string;
  disposition: string;
  dropReason?: string;
  output: string[];
  /** Generation in force. */
  gen: number;
  flows?: number;
}

export interface DropJson {
  bridge: string;
  port: string;
  owner?: Owner;
  tenant?: string;
  reason: string;
  /** sFlow's registry of drop reasons; 256 = unknown. */
  sflow: number;
  class: "expected" | "refused" | "fault";
  /** In the window that was asked for. */
  packets: number;
  pps: number;
  totalPackets: number;
  lastMs?: number;
  /** A sentence: what was refused and what would be carried. */
  text: string;
  last?: string;
  /** Arguments of `weir trace` that explain the last frame. */
  trace?: string;
}

export interface LostRowJson {
  bridge: string;
  port: string;
  owner?: Owner;
  where: keyof LostJson;
  packets: number;
  totalPackets: number;
  lastMs?: number;
  text: string;
}

/** What `/api/v1/drops` adds to a list. */
export interface DropsExtra {
  windowMs: number;
  lost: LostRowJson[];
  expected: { packets: number; reasons: number };
}

/** An exporter and its collectors, as the hub says it. */
export type ExporterJson = ExporterView;

/** What a mirror session copies: as configured, keys that narrow nothing left out. */
export interface MirrorSelectJson {
  all?: true;
  ports?: string[];
  owners?: { vm?: string; vmId?: string; tenant?: string; ifaceId?: string; mac?: string }[];
  vlans?: number[];
  direction: "ingress" | "egress" | "both";
  /** In pcap's language. */
  filter?: string;
  dropped: "include" | "exclude" | "only";
}

export interface MirrorOutputJson {
  kind: "span" | "rspan" | "erspan" | "file" | "stream";
  /** "mon0", "VLAN 999", "192.0.2.9 type II session 7", "web1.pcapng"; of a stream, who reads it. */
  target: string;
  /** waiting: its port is absent, or nobody has asked for its stream yet. */
  state: "running" | "waiting" | "failed" | "ended";
  lastError?: string;
  /** Copies handed over, their bytes, copies that could not be, and copies that found the queue full. */
  sent: number;
  bytes: number;
  failed: number;
  queueDropped: number;
  /** Of them, cut to what fits the path (ERSPAN). */
  truncated?: number;
}

export interface MirrorJson {
  bridge: string;
  name: string;
  origin: "config" | "cli" | "api";
  startedBy: string;
  startedMs: number;
  /** When its time is over; absent: it has no limit. */
  endsMs?: number;
  state: "running" | "ended";
  /** A sentence: why it ended, why it copies nothing ("matches no port: no port has owner.vm web1"), or what it does not cut. */
  message?: string;
  select: MirrorSelectJson;
  outputs: MirrorOutputJson[];
  /** Bytes of each frame that are copied; absent: all. */
  snaplen?: number;
  /** 1 in N of the selected frames. */
  sample: number;
  limit: { pps?: number; bps?: number; packets?: number };
  /** Names of the ports that the selection means now. */
  ports: string[];
  /** Frames selected, and those of them that went to at least one output; bytes before and after cutting. */
  matched: number;
  sent: number;
  bytesBefore: number;
  bytesAfter: number;
  sampledOut: number;
  rateDropped: number;
  queueDropped: number;
  failed: number;
}

export interface AuditJson {
  bridge: string;
  datapath: string;
  at: string;
  ok: boolean;
  /** false: frames were in flight while it was read, and the sums hold within them. */
  exact: boolean;
  rx: number;
  inFlight: number;
  forwarded: number;
  dropped: number;
  drops: Counts;
  consumed: number;
  observed: number;
  pending: number;
  dispositionsOk: boolean;
  inRecords: number;
  inTable: number;
  unattributed: number;
  causes: Counts;
  flowsOk: boolean;
  exporters: { name: string; packets: number; notExportable: Counts; pending: number; lost: number; ok: boolean }[];
  lost: LostJson;
}

/** Packets per second and bits per second of a whole bridge, over the last 10 s. */
export interface BridgeRates {
  rxPps: number;
  rxBps: number;
  txPps: number;
  txBps: number;
  forwardedPps: number;
  /** All refusals; refusedPps leaves the expected ones out. */
  droppedPps: number;
  refusedPps: number;
  consumedPps: number;
  lostPps: number;
  newFlowsPps: number;
}

export interface BridgeJson {
  name: string;
  mode: string;
  datapath: string;
  /** Why this datapath. */
  datapathWhy: string;
  state: string;
  upMs: number;
  ports: Counts & { total: number };
  flows: number;
  maxFlows: number;
  rules: number;
  macs: number;
  macTableSize: number;
  generation: number;
  rxPackets: number;
  rxBytes: number;
  forwarded: number;
  dropped: number;
  consumed: number;
  observed: number;
  pending: number;
  unattributed: Counts;
  lost: LostJson;
  /** rx = Σ dispositions, as last read. */
  conserved: boolean;
  rates: BridgeRates;
}

export interface SystemJson {
  at: string;
  version: string;
  node: string;
  kernel: string;
  host: { name: string };
  pid: number;
  startedMs: number;
  upMs: number;
  state: "ok" | "degraded";
  /** Why it is degraded, one sentence each. */
  problems: string[];
  config?: { path: string; loadedMs: number; sha256: string; generation: number; revertsMs?: number };
  /** Resident bytes of the process. */
  memory: { rss: number; heapUsed: number; shared: number };
  api: { socket?: string; listen: string[] };
  bridges: BridgeJson[];
  exporters: { name: string; type: string; state: string; message?: string }[];
}

/** A notice, as it was published. */
export type EventJson = Event;

export interface TraceStepJson {
  name: string;
  text: string;
  /** What the step decided, where it decided something. */
  verdict?: string;
}

export interface TraceJson {
  bridge: string;
  port: string;
  frame: string;
  /** Fields that the question left open and the answer made up. */
  invented: string[];
  steps: TraceStepJson[];
  disposition: string;
  dropReason?: string;
  sflow?: number;
  forwardingStatus: number;
  output: string[];
  lookedAt: string[];
  rule?: string;
  wouldMake: string[];
  toAllow?: string;
}

export interface PlanLineJson {
  op: "+" | "~" | "-" | "=";
  path: string;
  text: string;
  note?: string;
}

export interface ReloadJson {
  path: string;
  generation: number;
  dryRun: boolean;
  plan: PlanLineJson[];
  applied: boolean;
  failed: { path: string; message: string }[];
  /** --try: goes back then unless kept. */
  revertsMs?: number;
}

/** What `weir replay --json` prints. */
export interface ReplayJson {
  files: {
    path: string;
    packets: number;
    bytes: number;
    complete: boolean;
    /** Everything before `offset` (bytes into the file) was processed and exported. */
    error?: { offset: number; message: string };
  }[];
  packets: number;
  bytes: number;
  l3Bytes: number;
  malformed: number;
  flows: number;
  records: number;
  ports: number;
  durationMs: number;
  exporters: {
    name: string;
    type: string;
    collector: string;
    records: number;
    datagrams: number;
    packets: number;
    octets: number;
    sendErrors: number;
    notExportable: Counts;
  }[];
  drops: Counts;
  audit: { ok: boolean; rx: number; forwarded: number; dropped: number; consumed: number; unattributed: number };
}
