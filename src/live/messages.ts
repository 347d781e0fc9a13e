/**
 * What is said over `/live`, as types: the one place for both ends. `feed.schema.json` (`weir`'s `/api/v1/openapi.json` has
 * it too) is made from them. README.md says when each is sent.
 */
import type {
  AuditJson,
  DropJson,
  EventJson,
  ExporterJson,
  FlowJson,
  LostRowJson,
  MirrorJson,
  PortJson,
  SystemJson,
  TenantJson,
} from "../bridge/views/json.ts";

export type PartName = keyof FeedParts;

/** How well samples of a port tell what came in there. */
export interface SamplingJson {
  bridge: string;
  port: string;
  /** Packets for each sample so far: pool / samples. */
  rate: number;
  /** Packets that a sample could have been taken of. */
  pool: number;
  samples: number;
  /** Samples lost on their way to the exporters. */
  drops: number;
  /**
   * Of a number estimated from all these samples: 95 of 100 times it is off by no more than so many percent, 196·√(1/n)
   * (sFlow, Packet Sampling Basics). Of a part of the traffic with n samples: the same with that n.
   */
  errorPercent: number;
}

export interface FeedParts {
  system: SystemJson;
  ports: PortJson[];
  tenants: TenantJson[];
  flows: FlowJson[];
  /** How many flows match, of which `flows` are the first. */
  flowsTotal: number;
  /** Of the last 60 s. */
  drops: DropJson[];
  lost: LostRowJson[];
  expected: { packets: number; reasons: number };
  audit: AuditJson[];
  exporters: ExporterJson[];
  mirrors: MirrorJson[];
  /** The last 50. */
  events: EventJson[];
  /** Ports of which samples were taken; every other number of the feed is counted, not estimated. */
  sampling: SamplingJson[];
}

/** From now on this token's role. */
export interface HelloMessage {
  type: "hello";
  token: string;
}

/** What the client wants to see, in place of what it wanted before. */
export interface SubscribeMessage {
  type: "subscribe";
  /** Flows, in the filter language. */
  where?: string;
  /** Only what belongs to this bridge, tenant, port: flows, ports, tenants, drops, lost, audit, mirrors, events, sampling. */
  bridge?: string;
  tenant?: string;
  port?: string;
  /** Of flows: a key, "-" first for the largest first; "-bps". */
  sort?: string;
  /** Most flows, 1 to 200; 40. */
  top?: number;
  /** 200 to 60,000; 1000. */
  intervalMs?: number;
  /** Only these; all. */
  parts?: PartName[];
  /** Go on after this message of the same subscription, without a snapshot where that can be. */
  resume?: { epoch: string; seq: number };
}

export type ClientMessage = HelloMessage | SubscribeMessage;

/** All parts that were asked for. */
export interface SnapshotMessage extends Partial<FeedParts> {
  type: "snapshot";
  /** Of this subscription's messages, as long as it is the same at the switch. */
  epoch: string;
  seq: number;
  /** Unix ms. */
  atMs: number;
  role: "viewer" | "operator";
  /** Messages that this client was too slow for, since it came. */
  missed?: number;
}

/** The parts that are not as in the message before (`seq` − 1), each whole. */
export interface DeltaMessage extends Partial<FeedParts> {
  type: "delta";
  epoch: string;
  seq: number;
  atMs: number;
}

/** Goes on after `seq`: deltas follow. */
export interface ResumedMessage {
  type: "resumed";
  epoch: string;
  seq: number;
  atMs: number;
  role: "viewer" | "operator";
}

/** What was asked cannot be done; the subscription of before stays. */
export interface ErrorMessage {
  type: "error";
  message: string;
}

export type ServerMessage = SnapshotMessage | DeltaMessage | ResumedMessage | ErrorMessage;
