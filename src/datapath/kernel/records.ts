/** From the kernel's ring of samples (or notices) into the ring that the hub reads. */
import type { RecordRing } from "../../shm/ring.ts";
import { SAMPLE_CAPTURED_LENGTH, SAMPLE_HEAD_BYTES, SAMPLE_PORT } from "../../shm/samples.ts";
import type { RingBuffer } from "../../sys/bpf-maps.ts";

const TWO_32 = 4294967296;
const LIMIT = 4096;
/** Time, pool and drops: whole numbers there, doubles here. */
const NUMBERS = 3;

/** Move what is there. `lost` is told the port of a record that found no room. Returns how many were moved. */
export function moveRecords(from: RingBuffer, to: RecordRing, lost: (port: number) => void): number {
  const view = new DataView(from.bytes.buffer, from.bytes.byteOffset, from.bytes.byteLength);
  return from.drain((at) => {
    const captured = view.getUint32(at + SAMPLE_CAPTURED_LENGTH * 4, true);
    const bytes = SAMPLE_HEAD_BYTES + captured;
    const start = to.reserve(bytes);
    if (start < 0) return lost(view.getUint32(at + SAMPLE_PORT * 4, true));
    to.u8.set(from.bytes.subarray(at, at + bytes), start);
    for (let n = 0; n < NUMBERS; n++)
      to.f64[start / 8 + n] = view.getUint32(at + n * 8 + 4, true) * TWO_32 + view.getUint32(at + n * 8, true);
    to.commit();
  }, LIMIT);
}
