/**
 * What Weir writes into InfluxDB: measurements, tags, fields. Dashboards are generated from this module and rows are
 * written through it, so that the two cannot drift. Plain data; imports nothing.
 *
 * Series are bounded: a tag is a host, bridge, port, owner, reason, rank or name from the configuration, never an address,
 * a port number or a flow. The top of a list has its rank as tag and its key as field.
 */

/** counter: since `since`, grows; gauge: as it is now; delta: of the row's own interval; text: words, for tables. */
export type FieldKind = "counter" | "gauge" | "delta" | "text";

export interface Field<K extends FieldKind = FieldKind> {
  readonly kind: K;
  /** "packets" "bytes" "bit/s" "flows" "ms" … as Grafana's units are chosen from. */
  readonly unit: string;
  readonly help: string;
}

export interface Measurement {
  readonly help: string;
  readonly tags: readonly string[];
  readonly fields: Readonly<Record<string, Field>>;
}

const field =
  <K extends FieldKind>(kind: K, unit: string) =>
  (help: string): Field<K> => ({ kind, unit, help });
const packets = field("counter", "packets");
const bytes = field("counter", "bytes");
const flows = field("counter", "flows");
const count = field("counter", "count");
const now = (unit: string) => field("gauge", unit);
const text = field("text", "");

/** In every measurement with counters. */
const RESET = {
  since: now("ms")("Unix time when the counters of this row began: another value is a reset"),
} as const;

const TRAFFIC = {
  rx_packets: packets("into the switch, in wire packets"),
  rx_bytes: bytes("into the switch, frames without FCS"),
  tx_packets: packets("out of the switch"),
  tx_bytes: bytes("out of the switch"),
  forwarded: packets("received here and forwarded"),
  dropped: packets("received here and refused, for a reason"),
  consumed: packets("received here and taken in by the switch"),
  tx_failed: packets("were to leave here and could not"),
  unattributed: packets("received here and counted without a flow"),
  lost_ring: packets("lost before the switch: receive ring full"),
  lost_nic: packets("lost before the switch: NIC had no room"),
  lost_tap: packets("lost behind the switch: guest's queue full"),
  lost_qdisc: packets("lost behind the switch: queueing discipline"),
  flows: now("flows")("live flows"),
  flows_created: flows("flows ever made"),
} as const;

export const SCHEMA = {
  weir_port: {
    help: "a port",
    tags: ["host", "bridge", "port", "vm", "tenant"],
    fields: {
      ...TRAFFIC,
      rx_multicast: packets("of rx_packets to group addresses"),
      rx_broadcast: packets("of rx_packets to everybody"),
      tx_multicast: packets("of tx_packets to group addresses"),
      tx_broadcast: packets("of tx_packets to everybody"),
      observed: packets("received here and only counted (observe mode)"),
      pending: now("packets")("received, waiting for a rule"),
      samples: count("samples taken"),
      sample_pool: packets("examined for sampling"),
      sample_drops: count("samples lost"),
      up: now("bool")("1: enabled and up"),
      speed: now("bit/s")("of the link, 0: not known"),
      ...RESET,
    },
  },
  weir_tenant: {
    help: "a tenant: sums of its ports on a bridge",
    tags: ["host", "bridge", "tenant"],
    fields: { ports: now("ports")("on the bridge"), ...TRAFFIC, ...RESET },
  },
  weir_drop: {
    help: "frames refused at a port, by reason; a row begins with the first one",
    tags: ["host", "bridge", "port", "vm", "tenant", "reason", "class"],
    fields: { packets: packets("refused"), ...RESET },
  },
  weir_datapath: {
    help: "a bridge: sums of its ports, and its tables",
    tags: ["host", "bridge"],
    fields: {
      ...TRAFFIC,
      observed: packets("received and only counted (observe mode)"),
      pending: now("packets")("received, waiting for a rule"),
      hits: packets("received that needed no answer of the control thread (sFlow 2207)"),
      misses: count("went to the pipeline (sFlow 2207)"),
      rule_hits: count("flow misses that a rule of the cache answered"),
      lost: packets("refused because the control thread did not answer in time (sFlow 2207)"),
      masks: now("masks")("of the rule cache"),
      unattributed_table_full: packets("without a flow: the table was full"),
      unattributed_other: packets("without a flow for another cause"),
      notices: count("drop notices written"),
      notices_lost: count("drop notices withheld"),
      samples: count("samples taken"),
      sample_pool: packets("examined for sampling"),
      sample_drops: count("samples lost"),
      ports: now("ports")("on the bridge"),
      ports_up: now("ports")("of them up"),
      ...RESET,
    },
  },
  weir_top: {
    help: "most bytes among the flow records of an interval; rank 01 is the largest",
    tags: ["host", "bridge", "dim", "rank"],
    fields: {
      key: text("an address, two, or a service"),
      packets: field("delta", "packets")("of the key in the interval"),
      bytes: field("delta", "bytes")("of the key in the interval, frames without FCS, at most"),
      error_bytes: field("delta", "bytes")("by so much `bytes` may be too high (0: exact)"),
      total_bytes: field("delta", "bytes")("of all records in the interval: bytes / total_bytes is the key's share"),
    },
  },
  weir_mirror: {
    help: "a mirror session",
    tags: ["host", "bridge", "session"],
    fields: {
      active: now("bool")("1: it copies"),
      selected: packets("frames it selected"),
      sent: packets("copies sent"),
      sent_bytes: bytes("of copies sent"),
      dropped: packets("copies not sent: limits, queues, outputs"),
      ...RESET,
    },
  },
  weir_exporter: {
    help: "an exporter: what it sent and what was lost on the way",
    tags: ["host", "exporter", "type"],
    fields: {
      ok: now("bool")("1: starting, sending or idle; 0: refused, failing or failed"),
      state: text("as `weir show exporters` has it"),
      datagrams: count("sent; requests where it speaks HTTP"),
      send_errors: count("not sent"),
      records: field("counter", "records")("told"),
      packets: packets("told"),
      octets: bytes("told, by the exporter's own basis"),
      pending_records: now("records")("not yet told"),
      pending_packets: now("packets")("not yet told"),
      not_exportable: packets("that its protocol cannot say"),
      lost_records: field("counter", "records")("overwritten before they were told"),
      lost_packets: packets("overwritten before they were told"),
      samples: count("told"),
      sample_pool: packets("examined for them"),
      sample_lost: count("lost on the way"),
      ...RESET,
    },
  },
  weir_influx: {
    help: "this exporter's own way into InfluxDB",
    tags: ["host", "exporter"],
    fields: {
      points: field("counter", "points")("accepted"),
      points_rejected: field("counter", "points")("refused by the server for good (partial write)"),
      points_lost: field("counter", "points")("dropped here, oldest first: the spool was full"),
      waiting_bytes: now("bytes")("in memory and in the spool"),
      oldest_ms: now("ms")("age of the oldest that waits"),
      ...RESET,
    },
  },
  weir_host: {
    help: "the host",
    tags: ["host"],
    fields: {
      memory_total: now("bytes")("of the host"),
      memory_free: now("bytes")("of the host"),
      cpus: now("cpus")("of the host"),
      uptime_ms: now("ms")("since this process began to count"),
      ...RESET,
    },
  },
} as const satisfies Record<string, Measurement>;

export type MeasurementName = keyof typeof SCHEMA;
type FieldsOf<M extends MeasurementName> = (typeof SCHEMA)[M]["fields"];
export type FieldName<M extends MeasurementName> = keyof FieldsOf<M> & string;
export type TagName<M extends MeasurementName> = (typeof SCHEMA)[M]["tags"][number];
/** Fields of a kind, so that a rate of a gauge does not compile. */
export type FieldOf<M extends MeasurementName, K extends FieldKind> = {
  [F in FieldName<M>]: FieldsOf<M>[F] extends Field<K> ? F : never;
}[FieldName<M>];

/** Values of the tag `dim` of weir_top. */
export const TOP_DIMENSIONS = ["src", "dst", "pair", "service"] as const;
export type TopDimension = (typeof TOP_DIMENSIONS)[number];
