/**
 * What `/metrics` says of a switch. Base units, `_total`, bounded labels: names from the configuration (bridges, ports, tenants,
 * exporters, their collectors, mirror sessions) and reasons; never an address or a flow of traffic. The names are promises to users; dashboards take them from `METRICS`.
 */
import { DROP_REASONS } from "../../flow/disposition.ts";
import type {
  Counts,
  ExporterJson,
  LostJson,
  MirrorJson,
  PortJson,
  SystemJson,
  TenantJson,
} from "../../bridge/views/json.ts";
import { isTrouble } from "../../telemetry/exporter.ts";
import type { Family, Sample } from "./exposition.ts";

export interface Facts {
  readonly system: SystemJson;
  readonly ports: readonly PortJson[];
  readonly tenants: readonly TenantJson[];
  readonly exporters: readonly ExporterJson[];
  readonly mirrors: readonly MirrorJson[];
}

interface Metric<T extends Family["type"] = Family["type"]> {
  readonly name: string;
  readonly type: T;
  readonly help: string;
  readonly read: (facts: Facts) => readonly Sample[];
}

type Labels = Record<string, string>;
const sample = (labels: Labels, value: number): Sample => ({ labels, value });
const flag = (is: boolean): number => (is ? 1 : 0);
const counted = (labels: Labels, counts: Counts | LostJson, key: string): Sample[] =>
  Object.entries(counts).map(([name, value]) => sample({ ...labels, [key]: name }, value));

const at = ({ bridge, name }: PortJson): Labels => ({ bridge, port: name });
const ofPorts =
  (value: (port: PortJson) => number): Metric["read"] =>
  ({ ports }) =>
    ports.map((port) => sample(at(port), value(port)));
const ofTenants =
  (value: (tenant: TenantJson) => number): Metric["read"] =>
  ({ tenants }) =>
    tenants.map((one) => sample({ tenant: one.tenant ?? "" }, value(one)));
const exporter = ({ name, type }: ExporterJson): Labels => ({ exporter: name, type });
const ofExporters =
  (value: (one: ExporterJson) => number): Metric["read"] =>
  ({ exporters }) =>
    exporters.map((one) => sample(exporter(one), value(one)));
const ofBridges =
  (value: (bridge: SystemJson["bridges"][number]) => number): Metric["read"] =>
  ({ system }) =>
    system.bridges.map((bridge) => sample({ bridge: bridge.name }, value(bridge)));
const ofMirrors =
  (value: (mirror: MirrorJson) => number): Metric["read"] =>
  ({ mirrors }) =>
    mirrors.map((mirror) => sample({ bridge: mirror.bridge, session: mirror.name }, value(mirror)));
const ofCollectors =
  (value: (collector: ExporterJson["collectors"][number]) => number): Metric["read"] =>
  ({ exporters }) =>
    exporters.flatMap((one) =>
      one.collectors.map((collector) => sample({ ...exporter(one), collector: collector.collector }, value(collector))),
    );

const classOf = new Map(DROP_REASONS.map((reason) => [reason.name, reason.class]));

const metric =
  <T extends Family["type"]>(type: T) =>
  (name: string, help: string, read: Metric["read"]): Metric<T> => ({ name, type, help, read });
const counter = metric("counter");
const gauge = metric("gauge");

/** By what they are called in the project; `name` is what they are called outside. */
export const METRICS = {
  buildInfo: gauge("weir_build_info", "Always 1; the version, of what runs it too.", ({ system }) => [
    sample({ version: system.version, node: system.node, kernel: system.kernel }, 1),
  ]),
  healthy: gauge("weir_healthy", "1: weir status has nothing to complain of.", ({ system }) => [
    sample({}, flag(system.state === "ok")),
  ]),
  configLoaded: gauge("weir_config_loaded_timestamp_seconds", "When the running configuration was read.", (facts) =>
    facts.system.config === undefined ? [] : [sample({}, facts.system.config.loadedMs / 1000)],
  ),
  sharedMemory: gauge("weir_shared_memory_bytes", "Flow slots, whether they are used or not.", ({ system }) => [
    sample({}, system.memory.shared),
  ]),

  bridgeInfo: gauge("weir_bridge_info", "Always 1; what the bridge is.", ({ system }) =>
    system.bridges.map(({ name, mode, datapath }) => sample({ bridge: name, mode, datapath }, 1)),
  ),
  bridgeFlows: gauge(
    "weir_bridge_flows",
    "Flows in the table.",
    ofBridges(({ flows }) => flows),
  ),
  bridgeFlowCapacity: gauge(
    "weir_bridge_flow_capacity",
    "Flows that the table holds.",
    ofBridges((b) => b.maxFlows),
  ),
  bridgeRules: gauge(
    "weir_bridge_rules",
    "Rules in the rule cache.",
    ofBridges(({ rules }) => rules),
  ),
  bridgeMacs: gauge(
    "weir_bridge_macs",
    "Addresses in the MAC table.",
    ofBridges(({ macs }) => macs),
  ),
  bridgeMacCapacity: gauge(
    "weir_bridge_mac_capacity",
    "Addresses that it holds.",
    ofBridges((b) => b.macTableSize),
  ),
  bridgeConserved: gauge(
    "weir_bridge_conserved",
    "1: received packets are the sum of their dispositions.",
    ofBridges(({ conserved }) => flag(conserved)),
  ),

  portInfo: gauge("weir_port_info", "Always 1; whose the port is and what it is attached to.", ({ ports }) =>
    ports.map((port) => {
      const { type, device = "", ifIndex, tenant = "", owner } = port;
      return sample({ ...at(port), type, device, if_index: String(ifIndex), tenant, vm: owner?.vm ?? "" }, 1);
    }),
  ),
  portUp: gauge(
    "weir_port_up",
    "1: the port can send.",
    ofPorts(({ state }) => flag(state === "up")),
  ),
  portEnabled: gauge(
    "weir_port_enabled",
    "1: administratively up.",
    ofPorts(({ enabled }) => flag(enabled)),
  ),
  portSpeed: gauge(
    "weir_port_speed_bytes",
    "Speed of the link in bytes per second, 0 = unknown.",
    ofPorts((p) => p.speed / 8),
  ),
  portReceivePackets: counter(
    "weir_port_receive_packets",
    "Packets received, as on the wire.",
    ofPorts((p) => p.rxPackets),
  ),
  portReceiveBytes: counter(
    "weir_port_receive_bytes",
    "Frame bytes received, without FCS.",
    ofPorts((p) => p.rxBytes),
  ),
  portTransmitPackets: counter(
    "weir_port_transmit_packets",
    "Packets handed to the device.",
    ofPorts((p) => p.txPackets),
  ),
  portTransmitBytes: counter(
    "weir_port_transmit_bytes",
    "Frame bytes handed to the device.",
    ofPorts((p) => p.txBytes),
  ),
  portTransmitFailed: counter(
    "weir_port_transmit_failed_packets",
    "Packets that were to leave here and could not.",
    ofPorts(({ txFailed }) => txFailed),
  ),
  portDispositions: counter(
    "weir_port_disposition_packets",
    "What became of received packets; with those that wait (weir_port_pending_packets) their sum is what was received.",
    ({ ports }) =>
      ports.flatMap((port) =>
        (["forwarded", "dropped", "consumed", "observed"] as const).map((disposition) =>
          sample({ ...at(port), disposition }, port[disposition]),
        ),
      ),
  ),
  portPending: gauge(
    "weir_port_pending_packets",
    "Received packets that wait for a rule.",
    ofPorts(({ pending }) => pending),
  ),
  dropped: counter("weir_dropped_packets", "Packets refused, by reason and its class.", ({ ports }) =>
    ports.flatMap((port) =>
      Object.entries(port.drops).map(([reason, value]) =>
        sample({ ...at(port), reason, class: classOf.get(reason) ?? "fault" }, value),
      ),
    ),
  ),
  malformed: counter("weir_malformed_packets", "Packets with a bad header, switched all the same.", ({ ports }) =>
    ports.flatMap((port) => counted(at(port), port.malformed, "header")),
  ),
  unattributed: counter("weir_unattributed_packets", "Packets that are in no flow, by cause.", ({ ports }) =>
    ports.flatMap((port) => counted(at(port), port.unattributed, "cause")),
  ),
  lost: counter("weir_lost_packets", "Packets lost around the switch, not by it.", ({ ports }) =>
    ports.flatMap((port) => counted(at(port), port.lost, "where")),
  ),
  portFlows: gauge(
    "weir_port_flows",
    "Flows that came in by the port.",
    ofPorts(({ flows }) => flows),
  ),
  portFlowsCreated: counter(
    "weir_port_flows_created",
    "Flows made.",
    ofPorts(({ flowsCreated }) => flowsCreated),
  ),
  samplePool: counter(
    "weir_port_sample_pool_packets",
    "Packets examined for sampling.",
    ofPorts((p) => p.samplePool),
  ),
  samples: counter(
    "weir_port_samples",
    "Samples taken.",
    ofPorts(({ samples }) => samples),
  ),
  sampleDrops: counter(
    "weir_port_sample_drops",
    "Samples lost for want of room.",
    ofPorts((p) => p.sampleDrops),
  ),

  tenantReceivePackets: counter(
    "weir_tenant_receive_packets",
    "Packets from a tenant's ports.",
    ofTenants((x) => x.rxPackets),
  ),
  tenantReceiveBytes: counter(
    "weir_tenant_receive_bytes",
    "Frame bytes from a tenant's ports.",
    ofTenants((x) => x.rxBytes),
  ),
  tenantTransmitPackets: counter(
    "weir_tenant_transmit_packets",
    "Packets to a tenant's ports.",
    ofTenants((x) => x.txPackets),
  ),
  tenantTransmitBytes: counter(
    "weir_tenant_transmit_bytes",
    "Frame bytes to a tenant's ports.",
    ofTenants((x) => x.txBytes),
  ),
  tenantForwarded: counter(
    "weir_tenant_forwarded_packets",
    "Packets of a tenant that were forwarded.",
    ofTenants((x) => x.forwarded),
  ),
  tenantDropped: counter(
    "weir_tenant_dropped_packets",
    "Packets of a tenant that were refused.",
    ofTenants((x) => x.dropped),
  ),
  tenantFlows: gauge(
    "weir_tenant_flows",
    "Flows from a tenant's ports.",
    ofTenants(({ flows }) => flows),
  ),

  exporterUp: gauge(
    "weir_exporter_up",
    "0: refused, failing or failed.",
    ofExporters((x) => flag(!isTrouble(x.state))),
  ),
  exporterRecords: counter(
    "weir_exporter_records",
    "Records or samples sent.",
    ofExporters(({ records }) => records),
  ),
  exporterPackets: counter(
    "weir_exporter_packets",
    "Packets that they tell of.",
    ofExporters(({ packets }) => packets),
  ),
  exporterOctets: counter(
    "weir_exporter_octets",
    "Octets that they tell of.",
    ofExporters(({ octets }) => octets),
  ),
  exporterPending: gauge(
    "weir_exporter_pending_packets",
    "In records that have not left yet.",
    ofExporters((x) => x.pendingPackets),
  ),
  exporterLostRecords: counter(
    "weir_exporter_lost_records",
    "Records that were overwritten before they left.",
    ofExporters((x) => x.lostRecords),
  ),
  exporterLostPackets: counter(
    "weir_exporter_lost_packets",
    "Packets in lost records.",
    ofExporters((x) => x.lostPackets),
  ),
  exporterNotExportable: counter(
    "weir_exporter_not_exportable_packets",
    "Packets that the protocol cannot say.",
    ({ exporters }) => exporters.flatMap((one) => counted(exporter(one), one.notExportable, "why")),
  ),
  collectorDatagrams: counter(
    "weir_collector_datagrams",
    "Datagrams handed to the kernel.",
    ofCollectors((c) => c.datagrams),
  ),
  collectorBytes: counter(
    "weir_collector_bytes",
    "Their bytes.",
    ofCollectors((c) => c.bytes),
  ),
  collectorErrors: counter(
    "weir_collector_send_errors",
    "Datagrams refused or not sent.",
    ofCollectors((c) => c.sendErrors),
  ),
  collectorQueued: gauge(
    "weir_collector_queued_datagrams",
    "Datagrams that wait.",
    ofCollectors((c) => c.queued),
  ),

  mirrorActive: gauge(
    "weir_mirror_active",
    "1: the session copies.",
    ofMirrors(({ state }) => flag(state === "running")),
  ),
  mirrorMatched: counter(
    "weir_mirror_matched_packets",
    "Frames selected.",
    ofMirrors(({ matched }) => matched),
  ),
  mirrorSent: counter(
    "weir_mirror_sent_packets",
    "Of them, sent to at least one output.",
    ofMirrors(({ sent }) => sent),
  ),
  mirrorSentBytes: counter(
    "weir_mirror_sent_bytes",
    "Bytes after cutting.",
    ofMirrors(({ bytesAfter }) => bytesAfter),
  ),
  mirrorLeftOut: counter("weir_mirror_left_out_packets", "Selected and not sent, by why.", ({ mirrors }) =>
    mirrors.flatMap((mirror) =>
      (["sampledOut", "rateDropped", "queueDropped", "failed"] as const).map((why) =>
        sample({ bridge: mirror.bridge, session: mirror.name, why }, mirror[why]),
      ),
    ),
  ),

  processMemory: gauge("process_resident_memory_bytes", "Resident memory size in bytes.", ({ system }) => [
    sample({}, system.memory.rss),
  ]),
  processStart: gauge(
    "process_start_time_seconds",
    "Start time of the process since unix epoch in seconds.",
    (facts) => [sample({}, facts.system.startedMs / 1000)],
  ),
  heapUsed: gauge("nodejs_heap_size_used_bytes", "Process heap size used from Node.js in bytes.", ({ system }) => [
    sample({}, system.memory.heapUsed),
  ]),
} as const satisfies Record<string, Metric>;

export function families(facts: Facts): Family[] {
  return Object.values(METRICS).map(({ read, ...rest }: Metric) => ({ ...rest, samples: read(facts) }));
}
