/**
 * A sample (one frame in N) or a drop notice (a refused frame), as it stands in its ring: a fixed head and the first
 * bytes of the frame as received.
 *
 * ```
 * byte  0 f64 timeNs    8 f64 pool     16 f64 drops   frames examined and samples (notices) lost on this port so far
 *      24 u32 kind     28 port        32 rate        36 segments       40 wireLength (of one segment)   44 capturedLength
 *      48 disposition  52 reason      56 outputs     60 outputPort     64 inTci      68 outTci   72 slot   76 gen
 *      80 bytes of the frame
 * ```
 */
export const SAMPLE_HEAD_BYTES = 80;
export const SAMPLE_KIND_FLOW = 1;
export const SAMPLE_KIND_DROP = 2;

// Float64 offsets.
export const SAMPLE_TIME_NS = 0;
export const SAMPLE_POOL = 1;
export const SAMPLE_DROPS = 2;
// Word offsets.
export const SAMPLE_KIND = 6;
export const SAMPLE_PORT = 7;
export const SAMPLE_RATE = 8;
export const SAMPLE_SEGMENTS = 9;
export const SAMPLE_WIRE_LENGTH = 10;
export const SAMPLE_CAPTURED_LENGTH = 11;
export const SAMPLE_DISPOSITION = 12;
export const SAMPLE_REASON = 13;
export const SAMPLE_OUTPUTS = 14;
export const SAMPLE_OUTPUT_PORT = 15;
/** TCI with the present bit (src/flow/key.ts) as received, 0 = untagged; and as sent by the first output. */
export const SAMPLE_IN_TCI = 16;
export const SAMPLE_OUT_TCI = 17;
/** Slot and its generation, 0xffffffff where the frame has no flow. */
export const SAMPLE_SLOT = 18;
export const SAMPLE_GEN = 19;

/** A sample taken out of its ring. `data` is a copy and may be kept. */
export interface Sample {
  readonly kind: "flow" | "drop";
  readonly timeNs: number;
  readonly port: number;
  /** 1 in `rate` frames. */
  readonly rate: number;
  readonly pool: number;
  /** Samples lost on this port so far; in a drop notice, notices. */
  readonly drops: number;
  readonly segments: number;
  /** Frame length on the wire without FCS, bytes; one segment's for a GSO super-packet. */
  readonly wireLength: number;
  readonly disposition: number;
  readonly reason: number;
  readonly outputs: number;
  readonly outputPort: number;
  readonly inTci: number;
  readonly outTci: number;
  readonly slot: number;
  readonly gen: number;
  readonly data: Uint8Array;
}

/** Read the sample at byte offset `at` of a ring's views. */
export function readSample(ring: { u8: Uint8Array; u32: Uint32Array; f64: Float64Array }, at: number): Sample {
  const f = at / 8;
  const w = at / 4;
  const word = (n: number): number => ring.u32[w + n]!;
  return {
    kind: word(SAMPLE_KIND) === SAMPLE_KIND_DROP ? "drop" : "flow",
    timeNs: ring.f64[f + SAMPLE_TIME_NS]!,
    pool: ring.f64[f + SAMPLE_POOL]!,
    drops: ring.f64[f + SAMPLE_DROPS]!,
    port: word(SAMPLE_PORT),
    rate: word(SAMPLE_RATE),
    segments: word(SAMPLE_SEGMENTS),
    wireLength: word(SAMPLE_WIRE_LENGTH),
    disposition: word(SAMPLE_DISPOSITION),
    reason: word(SAMPLE_REASON),
    outputs: word(SAMPLE_OUTPUTS),
    outputPort: word(SAMPLE_OUTPUT_PORT),
    inTci: word(SAMPLE_IN_TCI),
    outTci: word(SAMPLE_OUT_TCI),
    slot: word(SAMPLE_SLOT),
    gen: word(SAMPLE_GEN),
    data: ring.u8.slice(at + SAMPLE_HEAD_BYTES, at + SAMPLE_HEAD_BYTES + word(SAMPLE_CAPTURED_LENGTH)),
  };
}
