/**
 * Samples into datagrams: filled up to MAX_DATAGRAM, sent when full or when the first sample in it is old enough.
 *
 * A sample is written behind what is already there; where it does not fit any more, what was there leaves and the sample
 * moves to the front.
 */
import type { ExporterEnv, Moment } from "../../src/telemetry/exporter.ts";
import { headerBytes, MAX_DATAGRAM, writeHeader } from "./encode.ts";
import { Xdr } from "./xdr.ts";

/** A datagram leaves at the first tick after this age, so with ticks four times a second within 1 s. */
export const FLUSH_AFTER_MS = 500;
/** Room behind MAX_DATAGRAM for the sample that turns out not to fit; no sample is longer than MAX_DATAGRAM. */
const SPARE = 2048;
const TWO_32 = 4294967296;

export class Datagrams {
  readonly x = new Xdr(MAX_DATAGRAM + SPARE);
  /** Of the next datagram. */
  sequence: number;
  private readonly collectors: ExporterEnv["collectors"];
  private readonly agent: Uint8Array;
  private readonly subAgent: number;
  private readonly start: number;
  private count = 0;
  private oldestMs = 0;
  private kind = "";

  constructor(collectors: ExporterEnv["collectors"], agent: Uint8Array, subAgent: number, sequence: number) {
    this.collectors = collectors;
    this.agent = agent;
    this.subAgent = subAgent;
    this.sequence = sequence % TWO_32;
    this.start = this.x.at = headerBytes(agent);
  }

  /** Write one sample. Samples of different kinds do not share a datagram: who does not know one loses that alone. */
  add(kind: string, now: Moment, write: (x: Xdr) => void): void {
    if (kind !== this.kind) this.flush(now);
    this.kind = kind;
    const { x } = this;
    const from = x.at;
    write(x);
    if (x.at > MAX_DATAGRAM && this.count > 0) {
      const end = x.at;
      x.at = from;
      this.flush(now);
      x.bytes.copyWithin(this.start, from, end);
      x.at = this.start + end - from;
    }
    if (this.count++ === 0) this.oldestMs = now.uptimeMs;
  }

  tick(now: Moment): void {
    const age = now.uptimeMs - this.oldestMs;
    if (age >= FLUSH_AFTER_MS || age < 0) this.flush(now);
  }

  flush(now: Moment): void {
    if (this.count === 0) return;
    const { x } = this;
    const end = x.at;
    const samples = writeHeader(x, this.agent, this.subAgent, this.sequence, Math.floor(now.uptimeMs));
    x.patch(samples, this.count);
    const bytes = x.bytes.subarray(0, end);
    for (const collector of this.collectors) collector.send(bytes);
    this.sequence = (this.sequence + 1) % TWO_32;
    this.count = 0;
    x.at = this.start;
  }
}
