/** Senders for tests that need no socket: everything sent is kept. */
import type { SenderStats } from "../../src/telemetry/exporter.ts";
import type { UdpSender } from "../../src/telemetry/sender.ts";

export class FakeSender implements UdpSender {
  readonly sent: Uint8Array[] = [];
  /** False: as with a full queue. */
  ready = true;
  closed = false;
  refreshed = 0;
  nowMs = 0;
  private readonly name: string;
  private waiters: (() => void)[] = [];

  constructor(name = "192.0.2.9:2055") {
    this.name = name;
  }

  send(datagram: Uint8Array): boolean {
    if (this.ready) this.sent.push(datagram.slice());
    return this.ready;
  }

  get stats(): SenderStats {
    const bytes = this.sent.reduce((total, datagram) => total + datagram.length, 0);
    return {
      collector: this.name,
      datagrams: this.sent.length,
      bytes,
      sendErrors: 0,
      queued: 0,
      lastSentMs: this.nowMs,
    };
  }

  async writable(): Promise<void> {
    while (!this.ready) await new Promise<void>((resolve) => this.waiters.push(resolve));
  }

  open(): void {
    this.ready = true;
    for (const wake of this.waiters.splice(0)) wake();
  }

  async drain(): Promise<boolean> {
    return true;
  }

  refresh(): void {
    this.refreshed++;
  }

  async close(): Promise<void> {
    this.closed = true;
  }
}
