/**
 * Sampling, one frame in N per ingress port: a countdown that is redrawn uniformly from 1 … 2N−1 (sFlow v5 section 4.2.2
 * leaves the distribution open; this one has mean N and cannot lock on to periodic traffic). Samples and drop notices go
 * to rings of their own; what does not fit is counted, never waited for.
 */
import {
  SAMPLE_CAPTURED_LENGTH,
  SAMPLE_DISPOSITION,
  SAMPLE_DROPS,
  SAMPLE_GEN,
  SAMPLE_HEAD_BYTES,
  SAMPLE_IN_TCI,
  SAMPLE_KIND,
  SAMPLE_OUT_TCI,
  SAMPLE_OUTPUT_PORT,
  SAMPLE_OUTPUTS,
  SAMPLE_POOL,
  SAMPLE_PORT,
  SAMPLE_RATE,
  SAMPLE_REASON,
  SAMPLE_SEGMENTS,
  SAMPLE_SLOT,
  SAMPLE_TIME_NS,
  SAMPLE_WIRE_LENGTH,
} from "../../shm/samples.ts";
import type { RecordRing } from "../../shm/ring.ts";

/** xorshift32: enough to be unbiased at sampling rates, one word of state, no allocation. */
export class Random {
  private state: number;

  constructor(seed: number) {
    this.state = seed | 0 || 0x9e3779b9;
  }

  next(): number {
    let x = this.state;
    x ^= x << 13;
    x ^= x >>> 17;
    x ^= x << 5;
    this.state = x;
    return x >>> 0;
  }

  /** Uniform in 1 … 2·rate − 1. */
  skip(rate: number): number {
    return 1 + Math.floor((this.next() / 4294967296) * (2 * rate - 1));
  }
}

/** What a sample says beside the frame's bytes; one scratch object per engine, filled before `writeSample`. */
export interface SampleFacts {
  kind: number;
  timeNs: number;
  pool: number;
  drops: number;
  port: number;
  rate: number;
  segments: number;
  wireLength: number;
  disposition: number;
  reason: number;
  outputs: number;
  outputPort: number;
  inTci: number;
  outTci: number;
  slot: number;
  gen: number;
}

export function createFacts(): SampleFacts {
  return {
    kind: 0,
    timeNs: 0,
    pool: 0,
    drops: 0,
    port: 0,
    rate: 0,
    segments: 1,
    wireLength: 0,
    disposition: 0,
    reason: 0,
    outputs: 0,
    outputPort: 0,
    inTci: 0,
    outTci: 0,
    slot: 0,
    gen: 0,
  };
}

/** Copy head and first bytes of a frame into a ring. False: full. */
export function writeSample(
  ring: RecordRing,
  facts: SampleFacts,
  bytes: Uint8Array,
  offset: number,
  captured: number,
): boolean {
  const at = ring.reserve(SAMPLE_HEAD_BYTES + captured);
  if (at < 0) return false;
  const f = at >>> 3;
  const w = at >>> 2;
  ring.f64[f + SAMPLE_TIME_NS] = facts.timeNs;
  ring.f64[f + SAMPLE_POOL] = facts.pool;
  ring.f64[f + SAMPLE_DROPS] = facts.drops;
  ring.u32[w + SAMPLE_KIND] = facts.kind;
  ring.u32[w + SAMPLE_PORT] = facts.port;
  ring.u32[w + SAMPLE_RATE] = facts.rate;
  ring.u32[w + SAMPLE_SEGMENTS] = facts.segments;
  ring.u32[w + SAMPLE_WIRE_LENGTH] = facts.wireLength;
  ring.u32[w + SAMPLE_CAPTURED_LENGTH] = captured;
  ring.u32[w + SAMPLE_DISPOSITION] = facts.disposition;
  ring.u32[w + SAMPLE_REASON] = facts.reason;
  ring.u32[w + SAMPLE_OUTPUTS] = facts.outputs;
  ring.u32[w + SAMPLE_OUTPUT_PORT] = facts.outputPort;
  ring.u32[w + SAMPLE_IN_TCI] = facts.inTci;
  ring.u32[w + SAMPLE_OUT_TCI] = facts.outTci;
  ring.u32[w + SAMPLE_SLOT] = facts.slot;
  ring.u32[w + SAMPLE_GEN] = facts.gen;
  for (let n = 0; n < captured; n++) ring.u8[at + SAMPLE_HEAD_BYTES + n] = bytes[offset + n]!;
  ring.commit();
  return true;
}
