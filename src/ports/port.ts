/**
 * A port: how a bridge is attached to something that sends and receives frames. Called once per batch; nothing here is
 * called per packet but `transmit`, which takes numbers only.
 *
 * Adding a type is adding a folder: `index.ts` with a default export of type PortType, a README, a test that runs
 * test/conformance/port.ts. Nothing is registered anywhere.
 */
import type { ZodType } from "zod";

/** Frames received by one call of `receive`: parallel arrays, filled up to `count`, and reused for the next call. */
export interface PacketBatch {
  /** How many frames the arrays can hold. */
  readonly capacity: number;
  /** Where the bytes are; may be another array after each `receive` (a ring's mapping), valid until the next call. */
  bytes: Uint8Array;
  /** Offset of each frame's Ethernet header in `bytes`. */
  readonly offset: Int32Array;
  /** Bytes of the frame that are there (a capture may have cut it). */
  readonly captured: Int32Array;
  /** Bytes of the frame on the wire, without FCS; ≥ captured. */
  readonly length: Int32Array;
  /** When it was received: ns of the bridge's clock; 0 = now (the batch's time). */
  readonly timeNs: Float64Array;
  /**
   * GSO segment size, 0 for an ordinary frame. Where `vnet` is true the 10-byte virtio-net header (OASIS virtio 1.2,
   * section 5.1.6, little endian) stands right before each frame and says more.
   */
  readonly gsoSize: Int32Array;
  /** Bytes of headers that each segment of a GSO frame repeats; 0 for an ordinary frame. */
  readonly gsoHeaders: Int32Array;
  /** The frames of this batch have a virtio-net header before them (at offset − VNET_BYTES). */
  vnet: boolean;
}

export const VNET_BYTES = 10;

/** Bytes of a frame that `transmit` has copied when it returns: tags may be changed in place behind its back. */
export const TRANSMIT_HEAD = 64;

export function createBatch(capacity: number): PacketBatch {
  return {
    capacity,
    bytes: new Uint8Array(0),
    offset: new Int32Array(capacity),
    captured: new Int32Array(capacity),
    length: new Int32Array(capacity),
    timeNs: new Float64Array(capacity),
    gsoSize: new Int32Array(capacity),
    gsoHeaders: new Int32Array(capacity),
    vnet: false,
  };
}

export type PortState = "up" | "down" | "absent" | "conflict" | "ended" | "failed";

/** What a port says about itself; read a few times a second, never per batch. */
export interface PortStatus {
  readonly state: PortState;
  /** Why it is not up, for a person. */
  readonly message?: string;
  /** The device it is attached to, where there is one. */
  readonly device?: string;
  readonly mac?: string;
  /** Largest frame payload (without Ethernet header and tags) that may be sent, bytes; 0 = unlimited. */
  readonly mtu: number;
  /** bit/s, 0 = unknown. */
  readonly speed: number;
  /** The device's own ifIndex where it is a physical NIC's, else 0. */
  readonly ifIndex: number;
  /** What happened around the switch, absolute since attach (README: "lost"). */
  readonly lost: { readonly ring: number; readonly nic: number; readonly tap: number; readonly qdisc: number };
}

export interface Port {
  /**
   * Fill the batch from index 0; returns the number of frames. Never blocks. The frames stay valid until the next call.
   * `nowNs` is the bridge's clock, for ports that make or pace their own traffic.
   */
  receive(batch: PacketBatch, nowNs: number): number;
  /**
   * Queue one frame. `captured` bytes stand at `bytes[offset]`; the frame is `length` long (longer only where a capture
   * cut it). With `vnet`, VNET_BYTES of virtio-net header stand before it and describe it. False: not sent, the caller
   * counts. The virtio-net header and the first TRANSMIT_HEAD bytes are copied before this returns; what is behind them
   * may be read until `flush` where `bytes` is another port's batch: flush every port before that port's next `receive`.
   */
  transmit(bytes: Uint8Array, offset: number, captured: number, length: number, vnet: boolean): boolean;
  /** Hand everything queued to the device. */
  flush(): void;
  status(): PortStatus;
  /** Give the device back as it was found. */
  close(): void;
  /** File descriptor that is readable when `receive` would find frames, for the idle wait; absent or -1: none. */
  readonly pollFd?: number;
  /** All of them, where one is not enough (the same for the port's whole life; `pollFd` is then the first). */
  readonly pollFds?: readonly number[];
  /** Earliest time at which `receive` may find frames, ns, for ports without a descriptor; absent: poll often. */
  nextReceiveNs?(nowNs: number): number;
  /** True: frames arrive through the thread's event loop (callbacks), which must turn for them. */
  readonly needsTurn?: boolean;
  /** True: the port will never receive again (end of a file). */
  readonly ended?: boolean;
}

/** What a type makes of one entry of the configuration: `traffic` makes many ports, a template makes one per device. */
export interface PortPlan {
  readonly name: string;
  readonly vlan?: import("../flow/attachment.ts").VlanConfig;
  readonly owner?: import("../flow/attachment.ts").Owner;
  /** Plain data, given to `open` in the datapath's thread. */
  readonly options: unknown;
}

export interface OpenEnv {
  readonly name: string;
  readonly bridge: string;
  /** Where files may be found: the configuration's directory. */
  readonly baseDir: string;
  readonly nowNs: number;
  /** What the bridge is: it forwards (default), or only looks on. */
  readonly mode?: "switch" | "observe";
}

export interface NamedOptions<Options> {
  readonly name: string;
  readonly options: Options;
}

/** One entry of the configuration, for the guards: `where` is what a person calls it, `bridges[0].ports[3]`. */
export interface GuardedEntry<Options> {
  readonly where: string;
  readonly options: Options;
  readonly isAttached?: boolean;
  /** Of its bridge; absent: switch. */
  readonly mode?: "switch" | "observe";
}

export interface PortType<Options = any> {
  /** Keys of this type in the configuration, beside name, type, vlan, owner, ifIndex. */
  readonly schema: ZodType<Options>;
  /** Ports that one entry of the configuration makes; absent: one, with the entry's name. Pure. */
  plan?(name: string, options: Options): PortPlan[];
  /**
   * Why these entries must not be attached, a sentence each, led by `where`: asked before anything is touched. Entries that are attached already are there for what they claim.
   */
  guards?(entries: readonly GuardedEntry<Options>[]): string[];
  /** The ports that a template makes of the devices there are now, those left out that `others` claim. */
  expand?(entry: NamedOptions<Options>, others: readonly NamedOptions<Options>[]): NamedOptions<Options>[];
  /** Make and attach. Throws an Error whose message names the fix. Runs in the datapath's thread. */
  open(options: Options, env: OpenEnv): Port;
  /** Bring in optional parts (a native package) before the first `open`. Rejects with an Error that names the fix. */
  prepare?(): Promise<void>;
}
