/** An exporter as it is configured, and as people are shown it. */
import type { ExporterStatus, SenderStats } from "./exporter.ts";

/** One entry of `exporters:` in the configuration. */
export interface ExporterSpec {
  /** Identity and sequence belong to it. */
  readonly name: string;
  readonly type: string;
  /** "host", "host:port", "[IPv6]:port". */
  readonly collectors: readonly string[];
  /** Bridges served; empty = all. */
  readonly bridges: readonly string[];
  /** What the type's own schema made of its keys. */
  readonly options: unknown;
}

/** What an exporter's row in `weir show exporters` says. */
export interface ExporterView {
  readonly name: string;
  readonly type: string;
  readonly to: readonly string[];
  readonly state: "starting" | "sending" | "idle" | "REFUSED" | "FAILING" | "FAILED";
  /** Sums over the collectors: each gets every datagram. */
  readonly datagrams: number;
  readonly sendErrors: number;
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
  readonly basis: string;
  /** Where samples are what it tells (ExporterStatus). */
  readonly sampling?: NonNullable<ExporterStatus["sampling"]>;
  /** In records of the log that have not left yet: held for the next datagram, or not yet read. */
  readonly pendingPackets: number;
  readonly pendingRecords: number;
  /** Packets that the protocol cannot say, by why; then records. */
  readonly notExportable: Readonly<Record<string, number>>;
  readonly notExportableRecords: Readonly<Record<string, number>>;
  /** Overwritten in the log before this exporter read them, or given to it when it failed. */
  readonly lostRecords: number;
  readonly lostPackets: number;
  readonly collectors: readonly SenderStats[];
  readonly lastError?: string;
  readonly lastErrorMs?: number;
  readonly lastSentMs?: number;
  readonly detail: readonly string[];
}
