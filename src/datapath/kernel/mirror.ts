/**
 * Mirror sessions of the kernel datapath: their gates and filters as the programs read them (bpf/gate.h), what the
 * programs counted of them, and the ring of copies.
 */
import {
  COPY_CAPTURED,
  COPY_HEAD_BYTES,
  type CopyRing,
  MAX_FILTER,
  MAX_OUTPUTS,
  MAX_SESSIONS,
  SESSION_COUNTERS,
} from "../../shm/copies.ts";
import { readCounter } from "../../shm/slots.ts";
import type { RingBuffer } from "../../sys/bpf-maps.ts";
import type { MirrorGate } from "../datapath.ts";
import { monotonicNs } from "../userspace/clock.ts";
import * as L from "./layout.ts";
import type { KernelMaps } from "./maps.ts";

const TWO_32 = 4294967296;
const NS = 1e9;
const BURST_NS = L.GATE_BURST_MS * 1e6;
const INSTRUCTION_WORDS = 2;
const STALE_AT_ONCE = 4096;
/** A record at most: bpf/mirror.h, COPY_LARGE. */
const RECORD_BYTES = 66_048;

function writeU64(words: Int32Array, at: number, value: number): void {
  words[at * 2 + 1] = Math.floor(value / TWO_32) | 0;
  words[at * 2] = (value % TWO_32) | 0;
}

export class KernelMirrors {
  /** Frames for the control thread, oldest first. */
  readonly copies: CopyRing;
  private readonly maps: KernelMaps;
  private readonly ring: RingBuffer;
  /** What the programs had counted when the session began. */
  private readonly before = new Float64Array(MAX_SESSIONS * SESSION_COUNTERS);
  private readonly counts = new Float64Array(MAX_SESSIONS * SESSION_COUNTERS);
  private readonly epochs = new Int32Array(MAX_SESSIONS);
  private readonly banks = new Uint8Array(MAX_SESSIONS * 2);

  constructor(maps: KernelMaps) {
    this.maps = maps;
    this.ring = maps.copies;
    this.copies = copySource(this.ring);
    // An earlier process's sessions ended with it; their copies are nobody's.
    maps.gates.fill(0);
    while (this.ring.drain(() => {}, STALE_AT_ONCE) > 0);
  }

  get isWaiting(): boolean {
    return this.copies.peek() >= 0;
  }

  /** A session begins, changes or ends. */
  set(gate: MirrorGate): void {
    const { bit, epoch, filter } = gate;
    const { gates } = this.maps;
    const row = bit * L.GATE_WORDS;
    const isNew = epoch !== this.epochs[bit];
    const most = filter === undefined ? 0 : Math.max(filter.plain.length, filter.tagged.length) / 4;
    if (most > MAX_FILTER) throw new RangeError(`a filter of ${most} instructions, not of ${MAX_FILTER} at most`);
    if (epoch === 0) {
      writeU64(gates, row + L.G_EPOCH, 0);
      return;
    }
    if (isNew) {
      writeU64(gates, row + L.G_EPOCH, 0);
      this.sum(bit, this.before);
      this.counts.fill(0, bit * SESSION_COUNTERS, (bit + 1) * SESSION_COUNTERS);
    }
    // What goes to ports and VLANs alone is sent whole, and so it is counted.
    const isCut = gate.outputs.length === 0 || gate.outputs.includes(0);
    writeU64(gates, row + L.G_SNAPLEN, isCut ? gate.snaplen : 0);
    writeU64(gates, row + L.G_SAMPLE, gate.sample);
    writeU64(gates, row + L.G_PPS, gate.pps);
    writeU64(gates, row + L.G_BPS, gate.bps);
    writeU64(gates, row + L.G_PACKETS, gate.packets);
    for (let n = 0; n < MAX_OUTPUTS; n++) gates[(row + L.G_OUTPUTS) * 2 + n] = gate.outputs[n] ?? 0;
    writeU64(gates, row + L.G_PLAIN, this.setFilter(bit, 0, filter?.plain));
    writeU64(gates, row + L.G_TAGGED, this.setFilter(bit, 1, filter?.tagged));
    if (isNew) {
      for (const word of [L.G_SEEN, L.G_NEXT, L.G_TAKEN]) writeU64(gates, row + word, 0);
      // A packet to begin with and no burst: a second under full load is a second's worth.
      const nowNs = monotonicNs();
      const packetNs = gate.pps === 0 ? 0 : NS / gate.pps;
      writeU64(gates, row + L.G_PACKETS_PAID, Math.floor((nowNs + Math.max(0, BURST_NS - packetNs)) * L.GATE_TICKS));
      writeU64(gates, row + L.G_BITS_PAID, Math.floor((nowNs + BURST_NS) * L.GATE_TICKS));
    }
    this.epochs[bit] = epoch;
    Atomics.store(gates, (row + L.G_EPOCH) * 2, epoch);
  }

  /** No program counts for this session any more; nobody needs to look again. */
  settle({ bit, epoch }: Pick<MirrorGate, "bit" | "epoch">): void {
    if (this.epochs[bit] !== epoch) return;
    this.read(bit);
    this.epochs[bit] = 0;
  }

  /** The session's epoch; 0 where there is none. */
  epochOf(bit: number): number {
    return this.epochs[bit]!;
  }

  /** What was counted of every session, by M_… of src/shm/copies.ts; the same array each time. */
  sessions(): Float64Array {
    for (let bit = 0; bit < MAX_SESSIONS; bit++) if (this.epochs[bit] !== 0) this.read(bit);
    return this.counts;
  }

  private read(bit: number): void {
    const { counts, before } = this;
    if (this.epochs[bit] === 0) return;
    this.sum(bit, counts);
    for (let at = bit * SESSION_COUNTERS; at < (bit + 1) * SESSION_COUNTERS; at++) counts[at]! -= before[at]!;
  }

  private sum(bit: number, out: Float64Array): void {
    const { mirrorCounts, cpus } = this.maps;
    for (let counter = 0; counter < SESSION_COUNTERS; counter++) {
      let sum = 0;
      for (let cpu = 0; cpu < cpus; cpu++)
        sum += readCounter(mirrorCounts, ((bit * cpus + cpu) * SESSION_COUNTERS + counter) * 2);
      out[bit * SESSION_COUNTERS + counter] = sum;
    }
  }

  /** Returns the word of the gate that says it. */
  private setFilter(bit: number, which: 0 | 1, program: Int32Array | undefined): number {
    if (program === undefined) return 0;
    const { filters } = this.maps;
    const place = bit * 2 + which;
    const bank = (this.banks[place] = (this.banks[place]! + 1) % L.FILTER_BANKS);
    const base = (place * L.FILTER_BANKS + bank) * MAX_FILTER * INSTRUCTION_WORDS;
    for (let n = 0; n * 4 < program.length; n++) {
      filters[base + n * 2] = program[n * 4]! | (program[n * 4 + 1]! << 16) | (program[n * 4 + 2]! << 24);
      filters[base + n * 2 + 1] = program[n * 4 + 3]!;
    }
    return (program.length / 4) | (bank << L.FILTER_BANK_SHIFT);
  }
}

/** The kernel's ring as the readers of copies know it: one record at a time, in memory that they may write to. */
function copySource(ring: RingBuffer): CopyRing {
  const buffer = new ArrayBuffer(RECORD_BYTES);
  const u8 = new Uint8Array(buffer);
  const u32 = new Uint32Array(buffer);
  const f64 = new Float64Array(buffer);
  let isHeld = false;
  const take = (records: Uint8Array, at: number): void => {
    u8.set(records.subarray(at, at + COPY_HEAD_BYTES));
    const end = at + COPY_HEAD_BYTES + u32[COPY_CAPTURED]!;
    u8.set(records.subarray(at + COPY_HEAD_BYTES, end), COPY_HEAD_BYTES);
    // A whole number there, a double here.
    f64[0] = u32[1]! * TWO_32 + u32[0]!;
    isHeld = true;
  };
  return {
    u8,
    u32,
    f64,
    peek() {
      while (!isHeld) if (ring.drain(take, 1) === 0) return -1;
      return 0;
    },
    release() {
      isHeld = false;
    },
  };
}
