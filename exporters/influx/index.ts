/**
 * InfluxDB: the policy. Once an interval a row of each thing that has counters, and the top of the flow records;
 * schema.ts says what is in them, line.ts has the bytes, writer.ts the way to the server.
 */
import { z } from "zod";
import { formatIpv4, formatIpv6Words } from "../../src/wire/address.ts";
import {
  KEY_IPV4,
  KEY_IPV6,
  KEY_IP_DST,
  KEY_IP_SRC,
  KEY_L4,
  KEY_L4_PRESENT,
  KEY_PORT,
  KEY_TYPE,
} from "../../src/flow/key.ts";
import { REC_KEY } from "../../src/shm/log.ts";
import type { RecordBatch, RecordCursor } from "../../src/shm/log.ts";
import type { CounterSnapshot } from "../../src/shm/counters.ts";
import { byteSize, duration, text } from "../../src/text/fields.ts";
import type {
  Exporter,
  ExporterEnv,
  ExporterStatus,
  ExporterType,
  Moment,
  PortInfo,
} from "../../src/telemetry/exporter.ts";
import { createDatabase } from "./control.ts";
import { point } from "./line.ts";
import { datapathRow, dropRows, exporterRow, mirrorRow, portRow, TenantSums, type Fields } from "./rows.ts";
import { TOP_DIMENSIONS, type MeasurementName } from "./schema.ts";
import { Top } from "./top.ts";
import { Writer, type Dialect } from "./writer.ts";

const DAY_MS = 86_400_000;
/** So long a process may take until its first row, on a host that is busy. */
const START_MS = 10_000;

const schema = z.strictObject({
  /** Where the server is; a path before its own is kept. */
  url: z
    .string()
    .max(2048)
    .refine((input) => /^https?:\/\/[^/@?#]+(\/[^@?#]*)?$/.test(input) && URL.canParse(input), {
      error: 'write "http://host:8086"; user and password have keys of their own',
    }),
  /** The API that the server speaks. */
  version: z.union([z.literal(1), z.literal(2), z.literal(3)]).default(1),
  /** Database (1.x, 3.x) or bucket (2.x). */
  database: text(64).default("weir"),
  /** 2.x: organisation. */
  org: text(255).optional(),
  /** 1.x: how long a database that is made here keeps points; the policy is called weir. */
  retention: duration({ min: 3_600_000, max: 3650 * DAY_MS }).optional(),
  interval: duration({ min: 1000, max: 3_600_000 }).prefault("10s"),
  /** Top talkers: how many of each, and of how long. 0: none. */
  top: z
    .strictObject({
      size: z.int().min(0).max(99).default(10),
      interval: duration({ min: 1000, max: 3_600_000 }).prefault("60s"),
    })
    .prefault({}),
  username: text(255).optional(),
  passwordFile: text(4096).optional(),
  tokenFile: text(4096).optional(),
  /** PEM file of who signed the server's certificate, where the system does not know it. */
  tls: z.strictObject({ ca: text(4096) }).optional(),
  timeout: duration({ min: 100, max: 300_000 }).prefault("10s"),
  spool: byteSize({ min: 65_536, max: 64 * 2 ** 30 }).prefault("64MiB"),
});

export type InfluxOptions = z.output<typeof schema>;

const influx: ExporterType<InfluxOptions> = {
  schema,
  defaultPort: 0,
  open: (options, env) => new Influx(options, env),
};

export default influx;

class Influx implements Exporter {
  private readonly options: InfluxOptions;
  private readonly env: ExporterEnv;
  private readonly host: string;
  private writer: Writer | undefined;
  /** Number of the interval that a bridge's rows were last written for. */
  private readonly told = new Map<string, number>();
  private readonly snapshots = new Map<string, CounterSnapshot>();
  private readonly tops = new Map<string, { readonly tops: readonly Top[]; totalBytes: number }>();
  private readonly taken = new Map<string, number>();
  /** Rows of ports that are gone, as last written. */
  private readonly last = new Map<string, string>();
  /** What has rows of this process, whoever owns it. */
  private readonly begun = new Set<string>();
  private readonly tenants = new Map<string, TenantSums>();
  private hostTold = -1;
  private topTold = -1;
  private recordCount = 0;
  private packets = 0;
  private octets = 0;

  constructor(options: InfluxOptions, env: ExporterEnv) {
    this.options = options;
    this.env = env;
    this.host = env.host?.name ?? env.agentAddress;
  }

  records(batch: RecordBatch, bridge: string): void {
    for (let n = 0; n < batch.count; n++) this.take(batch.at(n), bridge);
    if (batch.count > 0) this.taken.set(bridge, batch.first + batch.count);
  }

  counters(snapshot: CounterSnapshot, bridge: string, now: Moment): void {
    this.snapshots.set(bridge, snapshot);
    const { interval } = this.options;
    const turn = Math.floor(now.unixMs / interval);
    // The row of a time before the counters began would be one of the process before this, or over it.
    if (this.told.get(bridge) === turn || turn * interval < this.since(now)) return;
    this.tell(snapshot, bridge, turn * interval, now);
    this.told.set(bridge, turn);
    if (this.hostTold === turn) return;
    this.hostTold = turn;
    this.tellHost(turn * interval, now);
  }

  tick(now: Moment): void {
    this.commit();
    const { size, interval } = this.options.top;
    const turn = Math.floor(now.unixMs / interval);
    if (this.topTold !== turn) {
      if (this.topTold >= 0 && size > 0) this.tellTop(turn * interval, now);
      this.topTold = turn;
    }
    // Also before the first row: the process before this may have left some.
    this.open()?.tick(now);
  }

  /** The last word: of the moment, between two intervals. */
  flush(now: Moment): void {
    this.commit();
    for (const [bridge, snapshot] of this.snapshots) this.tell(snapshot, bridge, now.unixMs, now);
    if (this.options.top.size > 0) this.tellTop(now.unixMs, now);
    this.writer?.tick(now);
  }

  status(): ExporterStatus {
    const { url: _url, version, database, interval } = this.options;
    return {
      records: this.recordCount,
      packets: this.packets,
      octets: this.octets,
      basis: "l2",
      notExportable: {},
      notExportableRecords: {},
      detail: [
        `InfluxDB ${version}.x, database ${database}, every ${interval / 1000} s`,
        ...(this.writer?.detail ?? []),
      ],
    };
  }

  drained(): Promise<void> {
    return this.writer?.drained() ?? Promise.resolve();
  }

  async close(): Promise<void> {
    this.writer?.keep();
  }

  // ---- rows -------------------------------------------------------------------------------------------------------------

  private tell(snapshot: CounterSnapshot, bridge: string, ms: number, now: Moment): void {
    const { env } = this;
    const ports = env.ports().filter((port) => port.bridge === bridge && port.no < snapshot.ports);
    const since = this.since(now);
    const isFirst = !this.told.has(bridge);
    const owners = new Map<string, PortInfo[]>();
    const row = <M extends MeasurementName>(
      name: M,
      tags: Record<string, string | undefined>,
      fields: Fields<M>,
    ): void => this.row(name, { host: this.host, bridge, ...tags }, fields, ms, now, isFirst);
    for (const port of ports) {
      const tenant = env.tenant?.(port) ?? port.owner?.tenant;
      const tags = { port: port.name, vm: port.owner?.vm, tenant };
      if (tenant !== undefined) owners.set(tenant, [...(owners.get(tenant) ?? []), port]);
      const fields = portRow(port, snapshot, since);
      const key = `${bridge}/${port.no}`;
      const said = JSON.stringify(fields);
      // A port that is gone is told until nothing of it changes any more.
      if (port.gone && this.last.get(key) === said) continue;
      if (port.gone) this.last.set(key, said);
      else this.last.delete(key);
      row("weir_port", tags, fields);
      for (const { packets, ...why } of dropRows(port, snapshot))
        row("weir_drop", { ...tags, ...why }, { packets, since });
    }
    const sums = this.tenants.get(bridge) ?? new TenantSums();
    this.tenants.set(bridge, sums);
    for (const [tenant, its] of owners) row("weir_tenant", { tenant }, sums.row(tenant, its, snapshot, since));
    row("weir_datapath", {}, datapathRow(ports, snapshot, env.bridge?.(bridge)?.masks, since));
    for (const mirror of env.mirrors?.() ?? [])
      if (mirror.bridge === bridge) row("weir_mirror", { session: mirror.name }, mirrorRow(mirror));
  }

  private tellHost(ms: number, now: Moment): void {
    const { env, host } = this;
    const since = this.since(now);
    for (const health of env.exporters?.() ?? [])
      this.row(
        "weir_exporter",
        { host, exporter: health.name, type: health.type },
        exporterRow(health, since),
        ms,
        now,
      );
    const writer = this.open();
    if (writer !== undefined) {
      const { bytes, lostItems, oldestMs } = writer.spool.stats;
      const fields = {
        points: writer.points,
        points_rejected: writer.rejected,
        points_lost: lostItems,
        waiting_bytes: bytes,
        oldest_ms: oldestMs === undefined ? 0 : Math.max(0, now.unixMs - oldestMs),
        since,
      };
      this.row("weir_influx", { host, exporter: env.name }, fields, ms, now);
    }
    if (env.host === undefined) return;
    const { total, free } = env.host.memory();
    const fields = {
      memory_total: total,
      memory_free: free,
      cpus: env.host.cpus,
      uptime_ms: now.unixMs - since,
      since,
    };
    this.row("weir_host", { host }, fields, ms, now);
  }

  /** Uptime may be the host's: counters began with this process. */
  private since(now: Moment): number {
    return Math.round(this.env.startedMs ?? now.unixMs - now.uptimeMs);
  }

  private tellTop(ms: number, now: Moment): void {
    for (const [bridge, { tops, totalBytes }] of this.tops) {
      TOP_DIMENSIONS.forEach((dim, n) => {
        tops[n]!.take(this.options.top.size).forEach(({ key, bytes, packets, error }, index) => {
          const tags = { host: this.host, bridge, dim, rank: String(index + 1).padStart(2, "0") };
          const fields = { key, packets, bytes, error_bytes: error, total_bytes: totalBytes };
          this.row("weir_top", tags, fields, ms, now);
        });
      });
    }
    this.tops.clear();
  }

  /**
   * One row. What begins while we look has a row of zeros before it, so that differences add up to the counters; that whose
   * beginning we did not see has none, and so has a port that only changed its owner, so that they draw no spike. The zeros
   * are not older than the counters: rows of the process before this stay what they are.
   */
  private row<M extends MeasurementName>(
    name: M,
    tags: Readonly<Record<string, string | undefined>>,
    fields: Fields<M>,
    ms: number,
    now: Moment,
    isFirst = true,
  ): void {
    const writer = this.open();
    if (writer === undefined) return;
    const { interval } = this.options;
    if (name !== "weir_top") {
      const { vm: _vm, tenant, ...named } = tags;
      const identity = [name, ...Object.values(named), name === "weir_tenant" ? tenant : ""].join("\u0000");
      if (!this.begun.has(identity)) {
        this.begun.add(identity);
        const began = (fields as { since: number }).since;
        if (!isFirst || now.unixMs - this.since(now) < Math.max(2 * interval, START_MS))
          writer.add(point(name, tags, zerosOf(fields), Math.max(began, ms - interval)), now.unixMs);
      }
    }
    writer.add(point(name, tags, fields as Record<string, number | string>, ms), now.unixMs);
  }

  // ---- records ------------------------------------------------------------------------------------------------------------

  private take(record: RecordCursor, bridge: string): void {
    const { packets, bytes } = record;
    this.recordCount++;
    this.packets += packets;
    this.octets += bytes;
    if (this.options.top.size === 0) return;
    let state = this.tops.get(bridge);
    if (state === undefined)
      this.tops.set(bridge, (state = { tops: TOP_DIMENSIONS.map(() => new Top()), totalBytes: 0 }));
    state.totalBytes += bytes;
    const { u32 } = record;
    const at = record.w + REC_KEY;
    const presence = u32[at + KEY_PORT]!;
    const isIpv4 = (presence & KEY_IPV4) !== 0;
    if (!isIpv4 && (presence & KEY_IPV6) === 0) return;
    const address = (word: number): string =>
      isIpv4
        ? formatIpv4(u32[at + word]!)
        : formatIpv6Words(u32[at + word]!, u32[at + word + 1]!, u32[at + word + 2]!, u32[at + word + 3]!);
    const src = address(KEY_IP_SRC);
    const dst = address(KEY_IP_DST);
    const [first, second, pair, service] = state.tops as [Top, Top, Top, Top];
    first.add(src, bytes, packets);
    second.add(dst, bytes, packets);
    pair.add(src < dst ? `${src} ${dst}` : `${dst} ${src}`, bytes, packets);
    service.add(serviceOf(u32, at, presence), bytes, packets);
  }

  private commit(): void {
    for (const [bridge, next] of this.taken) this.env.sent(bridge, next, this.env.resume.sequence);
    this.taken.clear();
  }

  // ---- the server -----------------------------------------------------------------------------------------------------------

  private open(): Writer | undefined {
    const { env, options } = this;
    if (this.writer !== undefined || env.http === undefined || env.spool === undefined) return this.writer;
    const target = env.http(options.url, options.timeout, options.tls?.ca);
    this.writer = new Writer(env, target, env.spool(options.spool), dialect(options, env));
    return this.writer;
  }
}

function zerosOf(fields: object): Record<string, number> {
  const numbers = Object.entries(fields).filter((pair): pair is [string, number] => typeof pair[1] === "number");
  return Object.fromEntries(numbers.map(([key, value]) => [key, key === "since" ? value : 0]));
}

/** "tcp/443": the lower port, as the server's usually is. */
function serviceOf(u32: Uint32Array, at: number, presence: number): string {
  const proto = (u32[at + KEY_TYPE]! >>> 8) & 0xff;
  const name = { 1: "icmp", 6: "tcp", 17: "udp", 58: "icmpv6", 132: "sctp" }[proto] ?? String(proto);
  if ((presence & KEY_L4_PRESENT) === 0 || (proto !== 6 && proto !== 17 && proto !== 132)) return name;
  const ports = u32[at + KEY_L4]!;
  return `${name}/${Math.min(ports >>> 16, ports & 0xffff)}`;
}

/** Where and as whom points are written. Secrets are read anew each time, so that a new one needs no reload. */
function dialect(options: InfluxOptions, env: ExporterEnv): Dialect {
  const { version, database, org, tokenFile, username, passwordFile, retention, url, tls } = options;
  const say = (pairs: Record<string, string | undefined>): string =>
    new URLSearchParams(
      Object.entries(pairs).filter((pair): pair is [string, string] => pair[1] !== undefined),
    ).toString();
  const token = (word: string) => (): Record<string, string> =>
    tokenFile === undefined ? {} : { authorization: `${word} ${env.secret!(tokenFile)}` };
  if (version === 2)
    return { path: `/api/v2/write?${say({ bucket: database, org, precision: "ms" })}`, headers: token("Token") };
  if (version === 3)
    return { path: `/api/v3/write_lp?${say({ db: database, precision: "millisecond" })}`, headers: token("Bearer") };
  const password = (): string | undefined => passwordFile && env.secret!(passwordFile);
  const policy = retention === undefined ? undefined : { name: "weir", duration: `${Math.round(retention / 60_000)}m` };
  return {
    path: `/write?${say({ db: database, rp: policy?.name, precision: "ms" })}`,
    headers: () =>
      username === undefined
        ? {}
        : { authorization: `Basic ${Buffer.from(`${username}:${password() ?? ""}`).toString("base64")}` },
    create: () =>
      createDatabase({ url, database, username, password: password(), ca: tls?.ca, ...(policy && { policy }) }),
  };
}
