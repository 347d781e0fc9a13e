/**
 * What one stream of messages has been told. All UDP collectors are one stream, for they get the same messages; each
 * connection is a stream of its own, that begins without templates and at sequence 0 (RFC 7011 sections 3.1, 8, 10.4).
 */
import type { Sender } from "../../src/telemetry/exporter.ts";

export class Stream {
  readonly senders: readonly Sender[];
  /** Over UDP templates are lost and collectors restart unseen: they are repeated. */
  readonly repeats: boolean;
  /** Data records sent before the next message, modulo 2^32. */
  sequence: number;
  messagesSinceTemplates = 0;
  templatesAtMs = -Infinity;
  interfacesAtMs = -Infinity;
  interfacesVersion = 0;
  /** False: nothing it was told is known any more, or the message with the templates was refused. */
  toldTemplates = false;

  sentMessages = 0;
  sentBytes = 0;
  sentRecords = 0;
  refusedRecords = 0;
  refusedPackets = 0;
  private session: number | undefined;

  constructor(senders: readonly Sender[], repeats: boolean, sequence: number) {
    this.senders = senders;
    this.repeats = repeats;
    this.sequence = sequence;
    this.session = senders[0]?.session;
  }

  /** Has the connection been made anew? Then it knows nothing. */
  renew(): void {
    const session = this.senders[0]?.session;
    if (session === this.session) return;
    this.session = session;
    this.sequence = 0;
    this.forget();
  }

  /** `records` flow records, of `packets`. Without: templates or options. */
  send(message: Uint8Array, records: number, packets: number): void {
    let taken = true;
    for (const sender of this.senders) taken = sender.send(message) && taken;
    if (taken || this.repeats) {
      if (records === 0) this.toldTemplates = true;
      this.sentMessages++;
      this.sentBytes += message.length;
      this.sentRecords += records;
    } else if (records === 0) this.forget();
    if (taken) return;
    this.refusedRecords += records;
    this.refusedPackets += packets;
  }

  private forget(): void {
    this.toldTemplates = false;
    this.interfacesVersion = -1;
  }
}

export function streamsOf(collectors: readonly Sender[], transport: "udp" | "tcp" | "tls", sequence: number): Stream[] {
  if (transport === "udp") return [new Stream(collectors, true, sequence)];
  return collectors.map((collector) => new Stream([collector], false, 0));
}
