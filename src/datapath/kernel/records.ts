/** Samples and notices on their way to the rings that the hub reads. */
import type { RecordRing } from "../../shm/ring.ts";
import { DROPPED } from "../../flow/disposition.ts";
import {
  SAMPLE_CAPTURED_LENGTH,
  SAMPLE_DISPOSITION,
  SAMPLE_DROPS,
  SAMPLE_GEN,
  SAMPLE_HEAD_BYTES,
  SAMPLE_IN_TCI,
  SAMPLE_KIND,
  SAMPLE_KIND_DROP,
  SAMPLE_PORT,
  SAMPLE_REASON,
  SAMPLE_SEGMENTS,
  SAMPLE_SLOT,
  SAMPLE_TIME_NS,
  SAMPLE_WIRE_LENGTH,
} from "../../shm/samples.ts";
import type { RingBuffer } from "../../sys/bpf-maps.ts";
import type { Frame } from "../userspace/frame.ts";
import { NOTICE_BYTES } from "./layout.ts";

const TWO_32 = 4294967296;
const LIMIT = 4096;
/** Time, pool and drops: whole numbers there, doubles here. */
const NUMBERS = 3;

/** Move what is there. `lost` is told the port of a record that found no room. Returns how many were moved. */
export function moveRecords(from: RingBuffer, to: RecordRing, lost: (port: number) => void): number {
  return from.drain((ring, at) => {
    const view = new DataView(ring.buffer, at, SAMPLE_HEAD_BYTES);
    const captured = view.getUint32(SAMPLE_CAPTURED_LENGTH * 4, true);
    const bytes = SAMPLE_HEAD_BYTES + captured;
    const start = to.reserve(bytes);
    if (start < 0) return lost(view.getUint32(SAMPLE_PORT * 4, true));
    to.u8.set(ring.subarray(at, at + bytes), start);
    for (let n = 0; n < NUMBERS; n++)
      to.f64[start / 8 + n] = view.getUint32(n * 8 + 4, true) * TWO_32 + view.getUint32(n * 8, true);
    to.commit();
  }, LIMIT);
}

const NO_SLOT = 0xffffffff;

/** A notice of a frame without a flow that this process refused; its bytes as received begin at `at`. False: full. */
export function writeNotice(
  ring: RecordRing,
  frame: Frame,
  at: number,
  timeNs: number,
  lost: number,
  reason: number,
  inTci: number,
): boolean {
  const captured = Math.min(frame.offset + frame.captured - at, NOTICE_BYTES);
  const start = ring.reserve(SAMPLE_HEAD_BYTES + captured);
  if (start < 0) return false;
  const word = start >>> 2;
  ring.u32.fill(0, word, word + SAMPLE_HEAD_BYTES / 4);
  ring.f64[(start >>> 3) + SAMPLE_TIME_NS] = timeNs;
  ring.f64[(start >>> 3) + SAMPLE_DROPS] = lost;
  ring.u32[word + SAMPLE_KIND] = SAMPLE_KIND_DROP;
  ring.u32[word + SAMPLE_PORT] = frame.port;
  ring.u32[word + SAMPLE_SEGMENTS] = frame.packets;
  ring.u32[word + SAMPLE_WIRE_LENGTH] = frame.offset + frame.length - at;
  ring.u32[word + SAMPLE_CAPTURED_LENGTH] = captured;
  ring.u32[word + SAMPLE_DISPOSITION] = DROPPED;
  ring.u32[word + SAMPLE_REASON] = reason;
  ring.u32[word + SAMPLE_IN_TCI] = inTci;
  ring.u32[word + SAMPLE_SLOT] = ring.u32[word + SAMPLE_GEN] = NO_SLOT;
  ring.u8.set(frame.bytes.subarray(at, at + captured), start + SAMPLE_HEAD_BYTES);
  ring.commit();
  return true;
}
