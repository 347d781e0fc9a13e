/**
 * An exporter turns records, samples and counters into somebody's protocol. It is a stranger to the datapath: this file
 * is all it knows. Adding one is adding a folder below exporters/: `index.ts` with a default export of type
 * ExporterType, encode.ts, a README, tests, golden files. Nothing is registered anywhere.
 *
 * It opens no socket and asks no clock: senders come from `env`, time is an argument. What it cannot say it counts.
 */
import type { ZodType } from "zod";
import type { CounterSnapshot } from "../shm/counters.ts";
import type { RecordBatch } from "../shm/log.ts";
import type { Sample } from "../shm/samples.ts";

/** One moment on both clocks, read together. */
export interface Moment {
  /** Milliseconds since the bridge's boot time: what records' firstMs and lastMs count. Fractional. */
  readonly uptimeMs: number;
  /** Unix time, ms, of the same instant. */
  readonly unixMs: number;
}

export interface Exporter {
  /** New records of one bridge, in log order, each once. Call `env.sent` when they have left. */
  records?(batch: RecordBatch, bridge: string, now: Moment): void;
  samples?(batch: readonly Sample[], bridge: string, now: Moment): void;
  counters?(snapshot: CounterSnapshot, bridge: string, now: Moment): void;
  /** A few times a second: flush what is old enough, repeat templates. */
  tick(now: Moment): void;
  /** Send everything that is held. Called after the last records. */
  flush(now: Moment): void;
  status(): ExporterStatus;
  /** Where the sequence also moves without records (templates and options count): that of the next datagram, kept over restarts. */
  readonly nextSequence?: number;
  /** Where it waits for answers: resolves when all has left, or when waiting would not help. */
  drained?(): Promise<void>;
  close(): Promise<void>;
}

/** What an exporter knows of a port. Kept for ports that are gone as long as records may name them. */
export interface PortInfo {
  readonly no: number;
  readonly name: string;
  readonly bridge: string;
  readonly ifIndex: number;
  readonly speed: number;
  readonly mac?: string;
  readonly up: boolean;
  /** Administratively; absent: it is. */
  readonly enabled?: boolean;
  /** True: not on the bridge any more. */
  readonly gone?: boolean;
  readonly device?: string;
  readonly owner?: import("../flow/attachment.ts").Owner;
}

/** What an exporter knows of a bridge beside its ports. */
export interface BridgeInfo {
  /** 16 hex digits, the same for ever and no other bridge's. */
  readonly datapathId: string;
  /** Masks of the rule cache. */
  readonly masks: number;
}

/** What an exporter knows of the host. */
export interface HostInfo {
  readonly name: string;
  /** 32 hex digits that are this host's and no other's. */
  readonly id: string;
  /** process.arch */
  readonly arch: string;
  /** Of the kernel. */
  readonly release: string;
  readonly cpus: number;
  readonly mhz: number;
  /** Bytes. */
  memory(): { readonly total: number; readonly free: number };
}

/** A bounded, counted way out to one collector. */
export interface Sender {
  /** Queue one datagram (the bytes are copied). False: the queue is full; counted as a send error. */
  send(datagram: Uint8Array): boolean;
  /** Of a connection: raised when it is lost, with all that was queued. What comes after belongs to a new one. */
  readonly session?: number;
  readonly stats: SenderStats;
}

export interface HttpRequest {
  /** Below the target's URL, with its query: "/write?db=weir". */
  readonly path: string;
  readonly headers: Readonly<Record<string, string>>;
  readonly body: Uint8Array;
}

export interface HttpAnswer {
  readonly status: number;
  readonly reason: string;
  readonly retryAfter?: string;
  /** The first 64 KiB. */
  readonly body: string;
}

/** HTTP to one server: time and answers are bounded, requests are counted. */
export interface HttpTarget {
  /** Rejects where no answer came. */
  post(request: HttpRequest): Promise<HttpAnswer>;
  /** `datagrams` are requests that were taken (2xx). */
  readonly stats: SenderStats;
}

/** Something that waits to be sent. */
export interface Piece {
  readonly items: number;
  /** Unix time, ms. */
  readonly oldestMs: number;
}

/** What waits, oldest first; bounded, the oldest goes first. On disk once `keep` was called, over restarts. */
export interface Spool {
  readonly maxBytes: number;
  push(data: Uint8Array, items: number, oldestMs: number): void;
  readonly head: Piece | undefined;
  /** Throws where the disk does. */
  read(piece: Piece): Uint8Array;
  done(piece: Piece): void;
  /** Write what is in memory to disk. */
  keep(): void;
  readonly stats: {
    readonly bytes: number;
    readonly pieces: number;
    /** Items of pieces that went because there was no room. */
    readonly lostItems: number;
    readonly oldestMs?: number;
  };
}

/** States of an exporter in which what it says does not arrive. */
const TROUBLE: readonly string[] = ["REFUSED", "FAILING", "FAILED"];

/** `state`: as `weir show exporters` has it. */
export const isTrouble = (state: string): boolean => TROUBLE.includes(state);

/** What an exporter knows of another one, and of itself. */
export interface ExporterHealth {
  readonly name: string;
  readonly type: string;
  readonly state: string;
  readonly datagrams: number;
  readonly sendErrors: number;
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
  readonly pendingRecords: number;
  readonly pendingPackets: number;
  readonly notExportable: Readonly<Record<string, number>>;
  readonly lostRecords: number;
  readonly lostPackets: number;
  readonly sampling?: { readonly samples: number; readonly pool: number; readonly lost: number };
}

/** What an exporter knows of a mirror session: counters since it began. */
export interface MirrorInfo {
  readonly bridge: string;
  readonly name: string;
  readonly active: boolean;
  readonly selected: number;
  readonly sent: number;
  readonly sentBytes: number;
  readonly dropped: number;
  /** Unix time, ms. */
  readonly sinceMs: number;
}

/** How datagrams go to a collector. Paths are of PEM files. */
export type Transport =
  | { readonly kind: "udp" | "tcp" }
  | {
      readonly kind: "tls";
      readonly ca?: string | undefined;
      readonly cert?: string | undefined;
      readonly key?: string | undefined;
      /** Name in the collector's certificate, where it is not the collector's. */
      readonly serverName?: string | undefined;
    };

export interface SenderStats {
  /** As configured, with the port: "127.0.0.1:2055". */
  readonly collector: string;
  /** Local address of the socket, once known. */
  readonly source?: string;
  /** Handed to the kernel. A connected UDP socket learns later that one was refused: it then counts in sendErrors too. */
  readonly datagrams: number;
  readonly bytes: number;
  /** Refused by the collector's host, not sent, or not queued. */
  readonly sendErrors: number;
  /** Waiting to be sent. */
  readonly queued: number;
  readonly lastError?: string;
  readonly lastErrorMs?: number;
  readonly lastSentMs?: number;
}

export interface ExporterStatus {
  readonly records: number;
  readonly packets: number;
  readonly octets: number;
  /** What `octets` counts: "l3" IP total lengths, "l2" frames without FCS, "l2+fcs". */
  readonly basis: string;
  /** Packets that this protocol cannot say, by why. */
  readonly notExportable: Readonly<Record<string, number>>;
  /** The same in records. */
  readonly notExportableRecords: Readonly<Record<string, number>>;
  /** Where samples are what it tells: taken and sent, of how many frames examined, and how many were lost on the way. */
  readonly sampling?: { readonly samples: number; readonly pool: number; readonly lost: number };
  /** Lines for `weir show exporters`: "engine 0/1", "next sequence 3,063,402". */
  readonly detail: readonly string[];
}

export interface ExporterEnv {
  /** Name in the configuration: identity and sequence belong to it. */
  readonly name: string;
  /** Senders, one a collector: "host", "host:port", "[IPv6]:port". */
  readonly collectors: readonly Sender[];
  port(bridge: string, no: number): PortInfo | undefined;
  ports(): readonly PortInfo[];
  /** Absent: nothing is known (a capture being replayed, a test). */
  readonly host?: HostInfo;
  bridge?(name: string): BridgeInfo | undefined;
  /** Whose a port is: its owner's tenant, else that of its only VLAN. */
  tenant?(port: PortInfo): string | undefined;
  /** Unix time, ms, when the counters of this process began; absent: at uptime 0. */
  readonly startedMs?: number;
  exporters?(): readonly ExporterHealth[];
  mirrors?(): readonly MirrorInfo[];
  /** A way out by HTTP, shown and counted as a collector. `ca`: PEM file of who signed its certificate. */
  http?(url: string, timeoutMs: number, ca?: string): HttpTarget;
  /** Below the state directory, this exporter's own; in memory where there is none. */
  spool?(maxBytes: number): Spool;
  /** First line of a file that holds a password or token. Throws. */
  secret?(path: string): string;
  /**
   * State that survives a restart: `sequence` as last committed. `again`: of the first datagram of records, which may have left
   * already and is made the same again, before the first `tick`; nothing that counts in the sequence may go before it.
   */
  readonly resume: { readonly sequence: number; readonly again?: boolean };
  /**
   * A datagram with the records up to `next` of `bridge` is about to leave as number `sequence`: killed in between, it is made the
   * same again.
   */
  leaving?(bridge: string, next: number, sequence: number): void;
  /**
   * Everything up to record `next` of `bridge` has left, and the flow sequence is now `sequence`. Who takes no records
   * says `next` 0, and `sequence` is that of its datagrams.
   */
  sent(bridge: string, next: number, sequence: number): void;
  /** Address that identifies this host to collectors. */
  readonly agentAddress: string;
  readonly log: (level: "info" | "warn" | "error", message: string) => void;
}

export interface ExporterType<Options = any> {
  /** Keys of this type in the configuration, beside name, type, collectors, bridges. */
  readonly schema: ZodType<Options>;
  /** Port used where a collector names none. */
  readonly defaultPort: number;
  /** Inert: no I/O before the first call of a method. Throws an Error that names the fix. */
  open(options: Options, env: ExporterEnv): Exporter;
  /** What two exporters to one collector must not share; two equal strings are a configuration error. */
  identity?(options: Options): string;
  /** Local address that datagrams leave from, where the options name one. */
  source?(options: Options): string | undefined;
  /** UDP unless told otherwise. */
  transport?(options: Options): Transport;
}
