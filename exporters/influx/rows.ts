/** Counters → the rows of schema.ts. Field names are typed by it: a name that is not there does not compile. */
import { CAUSE_TABLE_FULL, DROP_CPU_BACKLOG, DROP_REASONS, UNATTRIBUTED_CAUSES } from "../../src/flow/disposition.ts";
import * as C from "../../src/shm/counters.ts";
import type { CounterSnapshot } from "../../src/shm/counters.ts";
import { isTrouble } from "../../src/telemetry/exporter.ts";
import type { ExporterHealth, MirrorInfo, PortInfo } from "../../src/telemetry/exporter.ts";
import type { FieldName, MeasurementName } from "./schema.ts";

export type Fields<M extends MeasurementName> = Partial<Record<FieldName<M>, number | string>>;

/** What a port counted, or the sum of several: `get` is of one counter. */
function traffic(get: (counter: number) => number) {
  let unattributed = 0;
  for (let n = 0; n < UNATTRIBUTED_CAUSES.length; n++) unattributed += get(C.C_UNATTRIBUTED + n);
  return {
    rx_packets: get(C.C_RX_PACKETS),
    rx_bytes: get(C.C_RX_BYTES),
    tx_packets: get(C.C_TX_PACKETS),
    tx_bytes: get(C.C_TX_BYTES),
    forwarded: get(C.C_FORWARDED),
    dropped: get(C.C_DROPPED),
    consumed: get(C.C_CONSUMED),
    tx_failed: get(C.C_TX_FAILED),
    unattributed,
    lost_ring: get(C.C_LOST_RING),
    lost_nic: get(C.C_LOST_NIC),
    lost_tap: get(C.C_LOST_TAP),
    lost_qdisc: get(C.C_LOST_QDISC),
    flows: get(C.C_FLOWS),
    flows_created: get(C.C_FLOWS_CREATED),
  };
}

const sampling = (get: (counter: number) => number) => ({
  samples: get(C.C_SAMPLES),
  sample_pool: get(C.C_SAMPLE_POOL),
  sample_drops: get(C.C_SAMPLE_DROPS),
});

export function portRow(port: PortInfo, snapshot: CounterSnapshot, since: number): Fields<"weir_port"> {
  const get = (counter: number): number => snapshot.get(port.no, counter);
  return {
    ...traffic(get),
    rx_multicast: get(C.C_RX_MULTICAST),
    rx_broadcast: get(C.C_RX_BROADCAST),
    tx_multicast: get(C.C_TX_MULTICAST),
    tx_broadcast: get(C.C_TX_BROADCAST),
    observed: get(C.C_OBSERVED),
    pending: get(C.C_PENDING),
    ...sampling(get),
    up: port.up ? 1 : 0,
    speed: port.speed,
    since,
  };
}

type Traffic = ReturnType<typeof traffic>;

/**
 * What tenants' ports counted while they were theirs: a port that comes to a tenant does not bring its past, one that
 * leaves or is gone does not take it away.
 */
export class TenantSums {
  private readonly ports = new Map<string, Traffic>();
  private readonly sums = new Map<string, Traffic>();

  row(tenant: string, ports: readonly PortInfo[], snapshot: CounterSnapshot, since: number): Fields<"weir_tenant"> {
    const sum = this.sums.get(tenant) ?? traffic(() => 0);
    this.sums.set(tenant, sum);
    sum.flows = 0;
    for (const port of ports) {
      const key = `${port.no} ${port.name}`;
      const now = traffic((counter) => snapshot.get(port.no, counter));
      const before = this.ports.get(key);
      this.ports.set(key, now);
      for (const field of Object.keys(now) as (keyof Traffic)[]) {
        // A gauge is as it is; counters that fell began anew.
        const from = field === "flows" || before === undefined || before[field] > now[field] ? 0 : before[field];
        sum[field] += now[field] - from;
      }
    }
    return { ports: ports.filter(({ gone }) => !gone).length, ...sum, since };
  }
}

/** The reasons that a port has refused frames for. */
export function dropRows(port: PortInfo, snapshot: CounterSnapshot) {
  return DROP_REASONS.flatMap(({ name, class: kind }, n) => {
    const packets = n === 0 ? 0 : snapshot.get(port.no, C.C_DROP_REASON + n);
    return packets > 0 ? [{ reason: name, class: kind, packets }] : [];
  });
}

export function datapathRow(
  ports: readonly PortInfo[],
  snapshot: CounterSnapshot,
  masks: number | undefined,
  since: number,
): Fields<"weir_datapath"> {
  // All stripes, also of ports that are gone and of none.
  const get = (counter: number): number => {
    let sum = 0;
    for (let port = 0; port < snapshot.ports; port++) sum += snapshot.get(port, counter);
    return sum;
  };
  const sums = traffic(get);
  const full = get(C.C_UNATTRIBUTED + CAUSE_TABLE_FULL);
  return {
    ...sums,
    observed: get(C.C_OBSERVED),
    pending: get(C.C_PENDING),
    hits: sums.rx_packets - get(C.C_MISSES),
    misses: get(C.C_MISSES),
    rule_hits: get(C.C_RULE_HITS),
    lost: get(C.C_DROP_REASON + DROP_CPU_BACKLOG),
    ...(masks !== undefined && { masks }),
    unattributed_table_full: full,
    unattributed_other: sums.unattributed - full,
    notices: get(C.C_NOTICES),
    notices_lost: get(C.C_NOTICES_LOST),
    ...sampling(get),
    ports: ports.filter(({ gone }) => !gone).length,
    ports_up: ports.filter(({ gone, up }) => !gone && up).length,
    since,
  };
}

export function exporterRow(health: ExporterHealth, since: number): Fields<"weir_exporter"> {
  return {
    ok: isTrouble(health.state) ? 0 : 1,
    state: health.state,
    datagrams: health.datagrams,
    send_errors: health.sendErrors,
    records: health.records,
    packets: health.packets,
    octets: health.octets,
    pending_records: health.pendingRecords,
    pending_packets: health.pendingPackets,
    not_exportable: Object.values(health.notExportable).reduce((sum, each) => sum + each, 0),
    lost_records: health.lostRecords,
    lost_packets: health.lostPackets,
    ...(health.sampling && {
      samples: health.sampling.samples,
      sample_pool: health.sampling.pool,
      sample_lost: health.sampling.lost,
    }),
    since,
  };
}

export function mirrorRow(mirror: MirrorInfo): Fields<"weir_mirror"> {
  return {
    active: mirror.active ? 1 : 0,
    selected: mirror.selected,
    sent: mirror.sent,
    sent_bytes: mirror.sentBytes,
    dropped: mirror.dropped,
    since: mirror.sinceMs,
  };
}
