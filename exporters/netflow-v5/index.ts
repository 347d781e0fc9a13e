/**
 * NetFlow version 5: the policy. When a datagram leaves, what its header says, what cannot be said; encode.ts has the
 * bytes. README.md has the field table and what version 5 does not carry.
 */
import * as z from "zod";
import { KEY_IPV4, KEY_IPV6, KEY_PORT } from "../../src/flow/key.ts";
import { REC_KEY } from "../../src/shm/log.ts";
import type { RecordBatch, RecordCursor } from "../../src/shm/log.ts";
import type { Exporter, ExporterEnv, ExporterStatus, ExporterType, Moment } from "../../src/telemetry/exporter.ts";
import { Progress } from "../../src/telemetry/progress.ts";
import {
  createDatagram,
  HEADER_BYTES,
  MAX_COUNTER,
  MAX_RECORDS,
  MAX_SAMPLING_RATE,
  RECORD_BYTES,
  SAMPLING_DETERMINISTIC,
  SAMPLING_RANDOM,
  SAMPLING_UNSPECIFIED,
  samplingField,
  writeHeader,
  writeRecord,
} from "./encode.ts";

/** A datagram leaves at the first tick after this age, so with ticks four times a second within 1 s of its first record. */
export const FLUSH_AFTER_MS = 500;

/** A flow is written as at most so many records: 2^48 octets in one interval, 37 Tbit/s for a minute. */
export const MAX_PIECES = 65536;

const TWO_32 = 4294967296;

/** What a collector wants in the top 2 bits of the sampling field: the mode, or nothing (it would read 16384 + N). */
const MODE_BITS = {
  standard: true,
  full: true,
  goflow2: true,
  telegraf: true,
  nfdump: true,
  pmacct: true,
  fastnetmon: true,
  akvorado: false,
} as const;

const profiles = Object.keys(MODE_BITS) as [keyof typeof MODE_BITS, ...(keyof typeof MODE_BITS)[]];

const schema = z.strictObject({
  /** Engine type and id, 0..255: with the source address what a collector tells exporters apart by. */
  engineType: z.int().min(0).max(255).default(0),
  engineId: z.int().min(0).max(255).default(0),
  profile: z.enum(profiles).default("standard"),
  /** Local address that datagrams leave from. */
  source: z.union([z.ipv4(), z.ipv6()]).optional(),
  /** Set where what Weir receives was sampled 1 in `rate` before: collectors multiply. Weir itself counts every frame. */
  sampling: z
    .strictObject({
      rate: z.int().min(1).max(MAX_SAMPLING_RATE),
      mode: z.enum(["deterministic", "random"]).default("deterministic"),
    })
    .optional(),
});

export type NetflowV5Options = z.output<typeof schema>;

const netflowV5: ExporterType<NetflowV5Options> = {
  schema,
  defaultPort: 2055,
  identity: (options) => `engine ${options.engineType}/${options.engineId}`,
  source: (options) => options.source,
  open: (options, env) => new NetflowV5(options, env),
};

export default netflowV5;

class NetflowV5 implements Exporter {
  private readonly env: ExporterEnv;
  private readonly engineType: number;
  private readonly engineId: number;
  private readonly sampling: number;

  private readonly datagram = createDatagram();
  private count = 0;
  /** Of the records in the datagram: their one boot time, the newest Last, and when the first came in. */
  private bootMs = 0;
  private newestMs = 0;
  private oldestUptimeMs = 0;
  private heldPackets = 0;
  private heldOctets = 0;

  /** Flows sent before the datagram being filled, modulo 2^32. */
  private sequence: number;
  private readonly progress: Progress;

  private sentRecords = 0;
  private packets = 0;
  private octets = 0;
  private readonly lostPackets = { ipv6: 0, nonIp: 0, tooBig: 0 };
  private readonly lostRecords = { ipv6: 0, nonIp: 0, tooBig: 0 };
  private splitFlows = 0;
  private wideInterfaces = 0;

  constructor(options: NetflowV5Options, env: ExporterEnv) {
    this.env = env;
    this.progress = new Progress(env);
    this.engineType = options.engineType;
    this.engineId = options.engineId;
    this.sampling = samplingFieldOf(options);
    this.sequence = env.resume.sequence % TWO_32;
  }

  records(batch: RecordBatch, bridge: string, now: Moment): void {
    const place = this.progress.of(bridge, batch.first);
    for (let n = 0; n < batch.count; n++) {
      const record = batch.at(n);
      this.take(record, now);
      place.taken = batch.first + n + 1;
      if (this.count === MAX_RECORDS) this.send(now);
    }
    if (this.count === 0) this.progress.commit(this.sequence);
    else this.tick(now);
  }

  tick(now: Moment): void {
    if (this.count === 0) return;
    const age = now.uptimeMs - this.oldestUptimeMs;
    if (age >= FLUSH_AFTER_MS || age < 0) this.send(now);
  }

  flush(now: Moment): void {
    if (this.count > 0) this.send(now);
  }

  status(): ExporterStatus {
    const detail = [`engine ${this.engineType}/${this.engineId}`, `next sequence ${this.sequence}`];
    if (this.splitFlows > 0) detail.push(`${this.splitFlows} flows above 2^32 written as several records`);
    if (this.wideInterfaces > 0)
      detail.push(`${this.wideInterfaces} interfaces with an ifIndex above 65534 written as 0`);
    return {
      records: this.sentRecords,
      packets: this.packets,
      octets: this.octets,
      basis: "l3",
      notExportable: said(this.lostPackets),
      notExportableRecords: said(this.lostRecords),
      detail,
    };
  }

  async close(): Promise<void> {}

  private take(record: RecordCursor, now: Moment): void {
    const presence = record.u32[record.w + REC_KEY + KEY_PORT]!;
    const packets = record.packets;
    if ((presence & KEY_IPV4) === 0) {
      const why = (presence & KEY_IPV6) !== 0 ? "ipv6" : "nonIp";
      this.lostPackets[why] += packets;
      this.lostRecords[why]++;
      return;
    }
    // One header has one boot time: records from before the clock was set go by themselves.
    if (this.count > 0 && record.bootMs !== this.bootMs) this.send(now);
    const octets = record.l3Bytes;
    if (packets <= MAX_COUNTER && octets <= MAX_COUNTER) this.append(record, packets, octets, now);
    else this.split(record, packets, octets, now);
  }

  /** A counter has 32 bits: a flow above that becomes several records of the same First and Last whose sums are exact. */
  private split(record: RecordCursor, packets: number, octets: number, now: Moment): void {
    const pieces = Math.max(Math.ceil(packets / MAX_COUNTER), Math.ceil(octets / MAX_COUNTER));
    if (pieces > MAX_PIECES) {
      this.lostPackets.tooBig += packets;
      this.lostRecords.tooBig++;
      return;
    }
    this.splitFlows++;
    const packetsEach = Math.floor(packets / pieces);
    const octetsEach = Math.floor(octets / pieces);
    const packetsOver = packets - packetsEach * pieces;
    const octetsOver = octets - octetsEach * pieces;
    for (let n = 0; n < pieces; n++) {
      if (this.count === MAX_RECORDS) this.send(now, false);
      this.append(record, packetsEach + (n < packetsOver ? 1 : 0), octetsEach + (n < octetsOver ? 1 : 0), now);
    }
  }

  private append(record: RecordCursor, packets: number, octets: number, now: Moment): void {
    if (this.count === 0) {
      this.bootMs = record.bootMs;
      this.newestMs = 0;
      this.oldestUptimeMs = now.uptimeMs;
    }
    if (record.lastMs > this.newestMs) this.newestMs = record.lastMs;
    this.wideInterfaces += writeRecord(this.datagram, this.count, record, packets, octets);
    this.count++;
    this.heldPackets += packets;
    this.heldOctets += octets;
  }

  /**
   * The header is written here, from one moment: collectors take a Last above SysUptime for one of 49 days ago. Records
   * of another boot time than the moment's are dated by their own clock, at its newest record.
   */
  private send(now: Moment, whole = true): void {
    const sameBoot = Math.abs(now.unixMs - now.uptimeMs - this.bootMs) < 1;
    const uptimeMs = Math.floor(sameBoot ? Math.max(now.uptimeMs, this.newestMs) : this.newestMs);
    const { datagram, count } = this;
    writeHeader(datagram, count, uptimeMs, this.bootMs, this.sequence, this.engineType, this.engineId, this.sampling);
    const bytes = datagram.bytes.subarray(0, HEADER_BYTES + count * RECORD_BYTES);
    if (whole) this.progress.leave(this.sequence);
    for (const collector of this.env.collectors) collector.send(bytes);
    this.sequence = (this.sequence + count) % TWO_32;
    this.sentRecords += count;
    this.packets += this.heldPackets;
    this.octets += this.heldOctets;
    this.count = this.heldPackets = this.heldOctets = 0;
    // Not inside a flow of several records: a resent flow starts at its own sequence.
    if (whole) this.progress.commit(this.sequence);
  }
}

function samplingFieldOf(options: NetflowV5Options): number {
  if (!options.sampling) return 0;
  const { rate, mode } = options.sampling;
  const said = mode === "random" ? SAMPLING_RANDOM : SAMPLING_DETERMINISTIC;
  return samplingField(MODE_BITS[options.profile] ? said : SAMPLING_UNSPECIFIED, rate);
}

/** ipv6 and nonIp always, for they are the usual ones; the rest where it happened. */
function said(counts: { ipv6: number; nonIp: number; tooBig: number }): Record<string, number> {
  const { ipv6, nonIp, tooBig } = counts;
  return tooBig > 0 ? { ipv6, nonIp, tooBig } : { ipv6, nonIp };
}
