/**
 * The configuration as a value: what loading a file yields, units resolved (ms, bytes, packets/s, bits/s), defaults
 * filled in, lists expanded. Compared, planned and printed, never changed.
 */
import type { Owner, VlanConfig } from "../flow/attachment.ts";

export interface WeirConfig {
  readonly host: { readonly name: string; readonly stateDir: string };
  readonly api: ApiConfig;
  readonly flows: FlowsConfig;
  /** Tenant → VLAN ids that are its own. */
  readonly tenants: Readonly<Record<string, { readonly vlans: readonly number[] }>>;
  readonly bridges: readonly BridgeConfig[];
  readonly exporters: readonly ExporterConfig[];
  /** Where mirrors may write files. */
  readonly captures?: { readonly dir: string };
}

export interface ApiConfig {
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  readonly tls?: { readonly cert: string; readonly key: string } | undefined;
  readonly hosts: readonly string[];
  readonly tokens: readonly {
    readonly name: string;
    readonly role: "viewer" | "operator";
    readonly file?: string | undefined;
    readonly sha256?: string | undefined;
  }[];
  readonly socket: string;
}

export interface FlowsConfig {
  readonly activeTimeoutMs: number;
  readonly idleTimeoutMs: number;
  readonly tcpEndTimeoutMs: number;
  readonly max: number;
  /** Share of the table that one port may hold, 0..1. */
  readonly maxPerPort: number;
}

export interface BridgeConfig {
  readonly name: string;
  readonly datapath: "auto" | "kernel" | "userspace";
  readonly mode: "switch" | "observe";
  readonly failMode: "standalone" | "secure";
  readonly macAgingMs: number;
  readonly macTableSize: number;
  readonly dropMalformed: boolean;
  /** 1 in `rate` frames per ingress port, 0 = off; `header` bytes of each. */
  /** 1 in `rate` packets of each port, `header` bytes; `ceiling`: samples a second of a port above which it is fewer, 0 = none. */
  readonly sampling: { readonly rate: number; readonly header: number; readonly ceiling?: number | undefined };
  readonly ports: readonly PortConfig[];
  readonly mirrors?: readonly MirrorConfig[];
}

/** A mirror session; 0 = no limit. */
export interface MirrorConfig {
  readonly name: string;
  readonly select: {
    /** Every port. */
    readonly all: boolean;
    readonly ports: readonly string[];
    readonly owners: readonly {
      readonly tenant?: string;
      readonly vm?: string;
      readonly vmId?: string;
      readonly ifaceId?: string;
      readonly mac?: string;
    }[];
    readonly vlans?: readonly number[];
    readonly direction: "ingress" | "egress" | "both";
    /** In pcap's language. */
    readonly filter?: string;
    readonly dropped: "include" | "exclude" | "only";
  };
  readonly outputs: readonly MirrorOutputConfig[];
  readonly snaplen: number;
  /** 1 in N. */
  readonly sample: number;
  readonly limit: { readonly pps: number; readonly bps: number; readonly durationMs: number; readonly packets: number };
}

export type MirrorOutputConfig =
  | { readonly type: "span"; readonly port: string }
  | { readonly type: "rspan"; readonly vlan: number; readonly stacked: boolean }
  | { readonly type: "file"; readonly path: string; readonly ring?: { readonly files: number; readonly size: number } }
  | {
      readonly type: "erspan";
      readonly erspanType: "I" | "II" | "III";
      /** Name or address, and the address of this host to send from. */
      readonly remote: string;
      readonly source?: string;
      readonly session: number;
      readonly ttl: number;
      readonly tos: number;
      /** What becomes of a copy that the path does not take in one piece. */
      readonly oversize: "cut" | "fragment" | "drop";
      /** Of type III: unit of the time stamp, and hardware id. */
      readonly granularity: "100us" | "100ns" | "ieee1588";
      readonly hardware: number;
    }
  | { readonly type: "stream" };

/**
 * One port, ready for the datapath: entries of which the type makes several (`traffic`) are expanded here. Only a template
 * (`isTemplate(name)`, "{device}" in its name) still stands for the ports that its devices will make.
 */
export interface PortConfig {
  readonly name: string;
  readonly type: string;
  readonly vlan?: VlanConfig;
  readonly owner?: Owner;
  readonly ifIndex?: number;
  /** 1 in N on this port instead of the bridge's. */
  readonly sampling?: { readonly rate?: number | undefined; readonly ceiling?: number | undefined };
  readonly enabled: boolean;
  /** What the port type's own schema made of the other keys. */
  readonly options: unknown;
  /** The entry of the file that this port was made from, where that made several. */
  readonly entry?: string;
  /** Where it came from: a file, or `weir port add`. */
  readonly origin: "config" | "cli" | "api";
}

export interface ExporterConfig {
  readonly name: string;
  readonly type: string;
  /** host:port, the type's default port filled in; IPv6 in brackets. */
  readonly collectors: readonly string[];
  /** Bridges served; empty = all. */
  readonly bridges: readonly string[];
  readonly options: unknown;
}
