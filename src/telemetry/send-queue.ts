/**
 * What every sender has before its socket: a bounded queue of copies, the counts that `weir show exporters` tells, and
 * those who wait for room. How bytes leave is the sender's own.
 *
 * ```
 * slab      capacity × MAX_DATAGRAM_BYTES; entry n, counted from the oldest, stands at offset(n)
 * lengths   capacity × u16
 * ```
 */
import type { SenderStats } from "./exporter.ts";

/** What fits into an Ethernet frame over IPv4: 1500 − 20 − 8. */
export const MAX_DATAGRAM_BYTES = 1472;

export class SendQueue {
  /** Collector, as configured, with the port. */
  readonly name: string;
  readonly slab: Uint8Array;
  /** Entries in the queue. */
  size = 0;
  private readonly unit: string;
  private readonly capacity: number;
  private readonly now: () => number;
  private readonly lengths: Uint16Array;
  private head = 0;
  private waiters: (() => void)[] = [];
  private sent = 0;
  private bytes = 0;
  private sendErrors = 0;
  private lastError: string | undefined;
  private lastErrorMs: number | undefined;
  private lastSentMs: number | undefined;

  /** `unit`: "datagram" or "message". `now`: Unix time, ms. */
  constructor(name: string, unit: string, capacity: number | undefined, now: () => number) {
    this.name = name;
    this.unit = unit;
    this.capacity = Math.max(16, capacity ?? 1024);
    this.now = now;
    this.slab = new Uint8Array(this.capacity * MAX_DATAGRAM_BYTES);
    this.lengths = new Uint16Array(this.capacity);
  }

  /** A quarter is free. */
  get hasRoom(): boolean {
    return this.capacity - this.size >= this.capacity >> 2;
  }

  /** Append a copy. False: too large or no room, which is counted. */
  put(entry: Uint8Array): boolean {
    const { unit, capacity } = this;
    if (entry.length > MAX_DATAGRAM_BYTES)
      return this.refuse(1, `a ${unit} of ${entry.length} bytes is above ${MAX_DATAGRAM_BYTES}`);
    if (this.size === capacity) return this.refuse(1, `queue full (${capacity} ${unit}s)`);
    const slot = (this.head + this.size) % capacity;
    this.slab.set(entry, slot * MAX_DATAGRAM_BYTES);
    this.lengths[slot] = entry.length;
    this.size++;
    return true;
  }

  /** Where entry n begins in `slab`. */
  offset(n: number): number {
    return ((this.head + n) % this.capacity) * MAX_DATAGRAM_BYTES;
  }

  length(n: number): number {
    return this.lengths[(this.head + n) % this.capacity]!;
  }

  /** The oldest entry is done: it left, or it never will. */
  shift(hasLeft: boolean): void {
    if (hasLeft) {
      this.sent++;
      this.bytes += this.length(0);
      this.lastSentMs = this.now();
    }
    this.head = (this.head + 1) % this.capacity;
    this.size--;
    this.changed();
  }

  /** Count what was not sent, and why where somebody should know. */
  refuse(entries: number, why?: string): false {
    this.sendErrors += entries;
    if (why !== undefined) {
      this.lastError = why;
      this.lastErrorMs = this.now();
    }
    return false;
  }

  /** Nobody will take what is queued. */
  discard(): void {
    this.refuse(this.size);
    this.size = 0;
    this.changed();
  }

  /** Resolves at the next change of the queue or of its sender. */
  change(): Promise<void> {
    return new Promise((resolve) => this.waiters.push(resolve));
  }

  changed(): void {
    if (this.waiters.length === 0) return;
    const { waiters } = this;
    this.waiters = [];
    for (const wake of waiters) wake();
  }

  /** Resolves when it is empty (true), or after `timeoutMs` (false). */
  async drain(timeoutMs: number): Promise<boolean> {
    const deadline = { passed: false };
    const timer = setTimeout(() => {
      deadline.passed = true;
      this.changed();
    }, timeoutMs);
    while (this.size > 0 && !deadline.passed) await this.change();
    clearTimeout(timer);
    return this.size === 0;
  }

  stats(source: string | undefined): SenderStats {
    const { lastError, lastErrorMs, lastSentMs } = this;
    return {
      collector: this.name,
      datagrams: this.sent,
      bytes: this.bytes,
      sendErrors: this.sendErrors,
      queued: this.size,
      ...(source !== undefined && { source }),
      ...(lastError !== undefined && { lastError }),
      ...(lastErrorMs !== undefined && { lastErrorMs }),
      ...(lastSentMs !== undefined && { lastSentMs }),
    };
  }
}
