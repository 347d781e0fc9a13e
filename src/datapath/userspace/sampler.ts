/**
 * Sampling, one frame in N per ingress port: a countdown that is redrawn uniformly from 1 … 2N−1 (sFlow v5 section 4.2.2
 * leaves the distribution open; this one has mean N and cannot lock on to periodic traffic). Samples and drop notices go
 * to rings of their own; what does not fit is counted, never waited for.
 */
import { DROP_REASONS, DROPPED } from "../../flow/disposition.ts";
import { type ActionBlock, outputCount, outputPort } from "../../pipeline/actions.ts";
import * as C from "../../shm/counters.ts";
import type { FlowViews } from "../../shm/memory.ts";
import type { RecordRing } from "../../shm/ring.ts";
import {
  SAMPLE_CAPTURED_LENGTH,
  SAMPLE_DISPOSITION,
  SAMPLE_DROPS,
  SAMPLE_GEN,
  SAMPLE_HEAD_BYTES,
  SAMPLE_IN_TCI,
  SAMPLE_KIND,
  SAMPLE_KIND_DROP,
  SAMPLE_KIND_FLOW,
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
import { SLOT_GEN, SLOT_WORDS } from "../../shm/slots.ts";
import type { Attached } from "./attached.ts";
import type { Frame } from "./frame.ts";

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

/** Drop notices per port and window; the rest is counted. */
const NOTICES_PER_WINDOW = 20;
const NOTICE_WINDOW_NS = 100e6;
/** Bytes of a refused frame that its notice carries. */
const NOTICE_BYTES = 128;
const NO_SLOT = 0xffffffff;

/** One per engine. Everything that varies between two samples of a frame is an argument. */
export class Sampler {
  private readonly memory: FlowViews;
  private readonly own: Float64Array;
  private readonly random: Random;

  /** `own`: the engine's private counters. */
  constructor(memory: FlowViews, own: Float64Array, random: Random) {
    this.memory = memory;
    this.own = own;
    this.random = random;
  }

  /** Count a settled frame of a port that is sampled, and take a sample when it is its turn. */
  sample(
    entry: Attached,
    frame: Frame,
    what: number,
    reason: number,
    actions: ActionBlock | undefined,
    slot: number,
    inTci: number,
    outTci: number,
  ): void {
    const { own } = this;
    own[entry.base + C.C_SAMPLE_POOL]! += frame.packets;
    entry.skip -= frame.packets;
    if (entry.skip > 0) return;
    // What a super-packet was beyond its turn counts for the next: the mean stays 1 in `rate` packets.
    entry.skip = Math.max(1, entry.skip + this.random.skip(entry.rate));
    const outputs = actions === undefined || reason !== 0 ? 0 : outputCount(actions);
    const ring = this.memory.samples;
    const at = this.write(ring, entry, frame, SAMPLE_KIND_FLOW, what, reason, slot, inTci, entry.header);
    if (at >= 0) {
      const word = at >>> 2;
      ring.u32[word + SAMPLE_OUTPUTS] = outputs;
      ring.u32[word + SAMPLE_OUTPUT_PORT] = outputs === 0 ? 0 : outputPort(actions!, 0);
      ring.u32[word + SAMPLE_OUT_TCI] = outputs === 0 ? 0 : outTci;
      ring.commit();
    }
    own[entry.base + (at >= 0 ? C.C_SAMPLES : C.C_SAMPLE_DROPS)]! += 1;
  }

  /** Tell of a refused frame, unless refusing it is what a switch does all day. */
  notice(entry: Attached, frame: Frame, reason: number, slot: number, inTci: number): void {
    if (DROP_REASONS[reason]!.class === "expected") return;
    if (frame.timeNs - entry.noticeWindowNs >= NOTICE_WINDOW_NS || frame.timeNs < entry.noticeWindowNs) {
      entry.noticeWindowNs = frame.timeNs;
      entry.notices = 0;
    }
    const ring = this.memory.notices;
    const isDue = ++entry.notices <= NOTICES_PER_WINDOW;
    const at = isDue
      ? this.write(ring, entry, frame, SAMPLE_KIND_DROP, DROPPED, reason, slot, inTci, NOTICE_BYTES)
      : -1;
    if (at >= 0) ring.commit();
    this.own[entry.base + (at >= 0 ? C.C_NOTICES : C.C_NOTICES_LOST)]! += 1;
  }

  /** Head and first bytes of the frame into a ring, not yet committed. Its byte offset, or -1: full. */
  private write(
    ring: RecordRing,
    entry: Attached,
    frame: Frame,
    kind: number,
    what: number,
    reason: number,
    slot: number,
    inTci: number,
    most: number,
  ): number {
    const { own, memory } = this;
    const captured = Math.min(frame.captured, most);
    const at = ring.reserve(SAMPLE_HEAD_BYTES + captured);
    if (at < 0) return at;
    const f = at >>> 3;
    const w = at >>> 2;
    const { u32 } = ring;
    ring.f64[f + SAMPLE_TIME_NS] = frame.timeNs;
    ring.f64[f + SAMPLE_POOL] = own[entry.base + C.C_SAMPLE_POOL]!;
    ring.f64[f + SAMPLE_DROPS] = own[entry.base + (kind === SAMPLE_KIND_DROP ? C.C_NOTICES_LOST : C.C_SAMPLE_DROPS)]!;
    u32[w + SAMPLE_KIND] = kind;
    u32[w + SAMPLE_PORT] = frame.port;
    u32[w + SAMPLE_RATE] = entry.rate;
    u32[w + SAMPLE_SEGMENTS] = frame.packets;
    u32[w + SAMPLE_WIRE_LENGTH] =
      frame.gsoSize > 0 ? Math.min(frame.length, frame.gsoHeaders + frame.gsoSize) : frame.length;
    u32[w + SAMPLE_CAPTURED_LENGTH] = captured;
    u32[w + SAMPLE_DISPOSITION] = what;
    u32[w + SAMPLE_REASON] = reason;
    u32[w + SAMPLE_OUTPUTS] = 0;
    u32[w + SAMPLE_OUTPUT_PORT] = 0;
    u32[w + SAMPLE_IN_TCI] = inTci;
    u32[w + SAMPLE_OUT_TCI] = 0;
    u32[w + SAMPLE_SLOT] = slot >= 0 ? slot : NO_SLOT;
    u32[w + SAMPLE_GEN] = slot >= 0 ? memory.slots.u32[slot * SLOT_WORDS + SLOT_GEN]! : NO_SLOT;
    for (let n = 0; n < captured; n++) ring.u8[at + SAMPLE_HEAD_BYTES + n] = frame.bytes[frame.offset + n]!;
    return at;
  }
}
