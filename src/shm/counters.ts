/**
 * Port counters: what the ports of a bridge saw and what became of it. The datapath adds to a private copy and commits
 * it whole once per batch, so that a reader always sees numbers that add up (rx = Σ dispositions + pending).
 *
 * ```
 * word 0            sequence, odd while a commit is being written (Int32)
 * byte 64           stripe of port number 0: COUNTERS_PER_PORT × f64, then port 1, …
 * ```
 */
export const MAX_DROP_REASONS = 40;
export const MAX_FAULTS = 16;
export const MAX_CAUSES = 8;

// Float64 offsets in a port's stripe. rx = into the switch (the guest sent it), in wire packets and frame bytes without FCS.
export const C_RX_PACKETS = 0;
export const C_RX_BYTES = 1;
export const C_RX_MULTICAST = 2;
export const C_RX_BROADCAST = 3;
export const C_TX_PACKETS = 4;
export const C_TX_BYTES = 5;
export const C_TX_MULTICAST = 6;
export const C_TX_BROADCAST = 7;
/** Dispositions of frames received here; with C_PENDING they sum to C_RX_PACKETS. */
export const C_FORWARDED = 8;
export const C_FORWARDED_BYTES = 9;
export const C_DROPPED = 10;
export const C_DROPPED_BYTES = 11;
export const C_CONSUMED = 12;
export const C_CONSUMED_BYTES = 13;
export const C_OBSERVED = 14;
export const C_OBSERVED_BYTES = 15;
/** Received, waiting for a rule: in flight. */
export const C_PENDING = 16;
export const C_PENDING_BYTES = 17;
/** Frames that were to leave here and could not: device down, queue full, too big (an output's loss, not a disposition). */
export const C_TX_FAILED = 18;
/** Frames examined for sampling, samples taken, samples lost. */
export const C_SAMPLE_POOL = 19;
export const C_SAMPLES = 20;
export const C_SAMPLE_DROPS = 21;
/** Drop notices written and withheld (ring full or rate limit). */
export const C_NOTICES = 22;
export const C_NOTICES_LOST = 23;
/** Live flows of this port, and flows ever made. */
export const C_FLOWS = 24;
export const C_FLOWS_CREATED = 25;
/** Flow misses that hit the rule cache; misses that went to the pipeline. */
export const C_RULE_HITS = 26;
export const C_MISSES = 27;
// Lost around the switch: read from the device by the port, absolute since attach.
export const C_LOST_RING = 28;
export const C_LOST_NIC = 29;
export const C_LOST_TAP = 30;
export const C_LOST_QDISC = 31;
/** Packets dropped, by dense reason number. */
export const C_DROP_REASON = 32;
/** Packets with a bad header, by fault number. */
export const C_FAULT = C_DROP_REASON + MAX_DROP_REASONS;
/** Packets without a flow, by cause; then their bytes. */
export const C_UNATTRIBUTED = C_FAULT + MAX_FAULTS;
export const C_UNATTRIBUTED_BYTES = C_UNATTRIBUTED + MAX_CAUSES;
export const COUNTERS_PER_PORT = C_UNATTRIBUTED_BYTES + MAX_CAUSES;

const STRIPES_BYTE = 64;

/** The shared copy. One writer commits; any number of readers take snapshots. */
export class PortCounters {
  readonly buffer: ArrayBufferLike;
  readonly ports: number;
  private readonly sequence: Int32Array;
  private readonly shared: Float64Array;

  constructor(buffer: ArrayBufferLike) {
    this.buffer = buffer;
    this.ports = Math.floor((buffer.byteLength - STRIPES_BYTE) / (COUNTERS_PER_PORT * 8));
    this.sequence = new Int32Array(buffer, 0, 1);
    this.shared = new Float64Array(buffer, STRIPES_BYTE, this.ports * COUNTERS_PER_PORT);
  }

  static create(ports: number): PortCounters {
    return new PortCounters(new SharedArrayBuffer(STRIPES_BYTE + ports * COUNTERS_PER_PORT * 8));
  }

  /** Writer: publish the private stripes of ports 0 ..< ports. */
  commit(own: Float64Array, ports: number): void {
    const words = ports * COUNTERS_PER_PORT;
    Atomics.add(this.sequence, 0, 1);
    for (let n = 0; n < words; n++) this.shared[n] = own[n]!;
    Atomics.add(this.sequence, 0, 1);
  }

  /** Reader: copy the last committed values. Never waits longer than a commit takes. */
  snapshot(out: CounterSnapshot): CounterSnapshot {
    for (;;) {
      const before = Atomics.load(this.sequence, 0);
      if (before & 1) continue;
      out.values.set(this.shared);
      // An atomic read-modify-write and not a load: a load would let the copying above move behind it (ARM).
      if (Atomics.add(this.sequence, 0, 0) === before) return out;
    }
  }
}

/** A copy of all ports' counters at one moment. */
export class CounterSnapshot {
  readonly values: Float64Array;
  readonly ports: number;

  constructor(ports: number) {
    this.ports = ports;
    this.values = new Float64Array(ports * COUNTERS_PER_PORT);
  }

  /** One counter (C_…) of one port. */
  get(port: number, counter: number): number {
    return this.values[port * COUNTERS_PER_PORT + counter]!;
  }

  /** Sum of `count` adjacent counters of one port. */
  sum(port: number, counter: number, count: number): number {
    let total = 0;
    for (let n = 0; n < count; n++) total += this.get(port, counter + n);
    return total;
  }
}
