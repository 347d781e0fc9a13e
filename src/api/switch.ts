/**
 * What the API needs of a running switch, and all it knows of it. Implemented over bridges and the hub in the
 * composition (src/run); by a fake in tests. Methods that refuse throw a Problem.
 */
import type {
  AuditJson,
  BridgeJson,
  DropJson,
  DropsExtra,
  ExporterJson,
  FlowJson,
  MacJson,
  MirrorJson,
  PortJson,
  ReloadJson,
  RuleJson,
  SystemJson,
  TenantJson,
  TraceJson,
} from "../bridge/views/json.ts";
import type { FlowChoice, FlowList } from "../bridge/views/flows.ts";
import type { EventBus } from "../telemetry/events.ts";

export type Maybe<T> = T | Promise<T>;

/** Who asks: an operator may change things, a viewer may look. */
export type Role = "viewer" | "operator";

export interface Credential {
  readonly role: Role;
  /** SHA-256 of the token that gives it; absent: none does. */
  readonly hash?: Buffer;
}

export interface FlowQuery {
  /** In the filter language. */
  readonly where?: string;
  /** A key of the flow JSON, "-" first for largest first. */
  readonly sort: string;
  /** Most flows to return; 0 = every one, in no order. */
  readonly limit: number;
}

/** A query that was checked and can be answered as often as one likes. */
export type { FlowChoice, FlowList };

export interface DropQuery {
  /** Window, ms; "start" = since the switch started. */
  readonly since: number | "start";
  /** With the expected ones. */
  readonly all: boolean;
}

export interface TraceRequest {
  readonly port?: string;
  /** Fields, in the filter language: "ipSrc=10.1.0.5 proto=tcp". */
  readonly match?: string;
  /** A whole frame, hex. */
  readonly frame?: string;
  /** A live flow's id. */
  readonly flow?: string;
}

export interface ReloadRequest {
  readonly dryRun?: boolean;
  /** Go back after so long unless kept. */
  readonly tryMs?: number;
  /** Keep what a reload with `tryMs` brought. */
  readonly keep?: boolean;
}

export interface PortPatch {
  readonly enabled: boolean;
  /** Undo after so long. */
  readonly forMs?: number;
}

/** Who asks, for the log and `startedBy`. */
export interface Caller {
  readonly origin: "cli" | "api";
  readonly startedBy: string;
}

export interface SwitchView {
  system(): Maybe<SystemJson>;
  bridges(): Maybe<BridgeJson[]>;
  ports(): Maybe<PortJson[]>;
  tenants(): Maybe<TenantJson[]>;
  macs(): Maybe<MacJson[]>;
  rules(): Maybe<RuleJson[]>;
  drops(query: DropQuery): Maybe<{ items: DropJson[] } & DropsExtra>;
  exporters(): Maybe<ExporterJson[]>;
  audit(): Maybe<AuditJson[]>;
  /** The running configuration, units resolved, without secrets. */
  config(): Maybe<unknown>;
  /** The chosen flows in order, and how many matched. */
  flows(query: FlowQuery): Promise<FlowList>;
  /** Throws a Problem. */
  chooseFlows(query: FlowQuery): FlowChoice;
  /** A list for each, in one pass over all flows that leaves the control thread half of its time. */
  flowLists(choices: readonly FlowChoice[]): Promise<FlowList[]>;
  /** Every flow that matches, in slices, in no order: bounded memory for a million. */
  flowStream(query: FlowQuery): AsyncIterable<FlowJson[]>;
  trace(request: TraceRequest): Maybe<TraceJson>;
  reload(request: ReloadRequest): Promise<ReloadJson>;
  /** Make or change a port at run time (`weir port add`); the body is a port entry of the configuration. */
  putPort(name: string, entry: unknown): Promise<PortJson>;
  patchPort(name: string, patch: PortPatch): Promise<PortJson>;
  deletePort(name: string): Promise<void>;
  mirrors(): Maybe<MirrorJson[]>;
  /** Start a session; the body is a mirror entry of the configuration. The same body again changes nothing. */
  putMirror(name: string, entry: unknown, caller: Caller): Promise<MirrorJson>;
  /** Stop a session; returns its last counters. One of the configuration's is refused (409). */
  deleteMirror(name: string): Promise<MirrorJson>;
  /**
   * The session's frames as pcapng, from now on, until it ends or `signal` says that the reader is gone; a session with an
   * output of type stream ends with its reader.
   */
  capture(name: string, signal: AbortSignal): AsyncIterable<Uint8Array>;
  readonly events: EventBus;
}
