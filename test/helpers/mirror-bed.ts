/**
 * Mirror sessions over a switch that a test drives, on any datapath: the keeper of a running switch, capture files in a
 * folder of the test's, streams that keep what they are given.
 */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { Bridge } from "../../src/bridge/bridge.ts";
import type { MirrorJson } from "../../src/bridge/views/json.ts";
import type { MirrorConfig } from "../../src/config/config.ts";
import type { Datapath } from "../../src/datapath/datapath.ts";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import type { ErspanConfig, TunnelEnv } from "../../src/mirror/erspan.ts";
import type { CopyFrame } from "../../src/mirror/frames.ts";
import { MirrorKeeper } from "../../src/mirror/keeper.ts";
import type { CopyOutput } from "../../src/mirror/output.ts";
import { Remotes } from "../../src/mirror/remotes.ts";
import type { IpSocket, IpSocketOptions } from "../../src/sys/ip-socket.ts";
import { EMSGSIZE } from "../../src/sys/libc.ts";
import { LocalBed } from "./local-bed.ts";

/** A switch with ports whose other ends the test holds. */
export interface MirrorHarness {
  readonly bridge: Bridge;
  readonly datapath: Datapath;
  nowNs(): number;
  /** These ports and no others; one that was there before keeps its wire. */
  configure(vlans: Readonly<Record<string, VlanConfig | undefined>>): Promise<void>;
  /** One frame into a port; what came out by then, by port, when all is quiet. */
  send(port: string, frame: Uint8Array): Promise<Map<string, Uint8Array[]>>;
  /** Let the control side do what waits: rules follow the sessions. */
  work(): void;
  close(): Promise<void>;
}

/** The harness of the userspace datapath, in virtual time. */
export function localHarness(bed = new LocalBed()): MirrorHarness {
  return {
    bridge: bed.bridge,
    datapath: bed.datapath,
    nowNs: () => bed.nowNs,
    configure: (vlans) => bed.configure(vlans),
    send: async (port, frame) => bed.send(port, frame),
    work: () => bed.work(),
    close: async () => {},
  };
}

export type KeptFrame = Omit<CopyFrame, "bytes" | "off"> & { readonly data: Uint8Array };

/** An output that keeps what it is given. */
export class Kept implements CopyOutput {
  readonly kind = "stream";
  readonly target = "test";
  state: CopyOutput["state"] = "running";
  sent = 0;
  bytes = 0;
  failed = 0;
  queueDropped = 0;
  readonly frames: KeptFrame[] = [];

  write(frame: CopyFrame, captured: number): void {
    const { bytes, off, ...rest } = frame;
    this.frames.push({ ...rest, data: bytes.slice(off, off + captured) });
    this.sent++;
    this.bytes += captured;
  }

  flush(): void {}

  async close(): Promise<void> {}

  /** Frames since the last call. */
  take(): KeptFrame[] {
    return this.frames.splice(0);
  }
}

/** The host's network of tunnels, without a host: what was handed over, by nobody's privilege. */
export class KeptTunnels implements TunnelEnv {
  readonly opened: IpSocketOptions[] = [];
  readonly packets: Uint8Array[] = [];
  /** Bytes after the IP header; what `send` returns from now on. */
  mtu = 1480;
  error = 0;
  /** What `takeError` says once. */
  answer = 0;
  names = new Map<string, Uint8Array>();

  open(options: IpSocketOptions): IpSocket {
    this.opened.push(options);
    return {
      source: options.source ?? Uint8Array.of(192, 0, 2, 1),
      payloadMtu: () => this.mtu,
      send: (payload, bytes) => {
        if (this.error !== 0) return this.error;
        if (bytes > this.mtu && !options.fragment) return EMSGSIZE;
        this.packets.push(payload.slice(0, bytes));
        return 0;
      },
      takeError: () => {
        const { answer } = this;
        this.answer = 0;
        return answer;
      },
      close: () => {},
    };
  }

  async resolve(host: string): Promise<Uint8Array> {
    const address = this.names.get(host);
    if (address === undefined) throw new Error(`getaddrinfo ENOTFOUND ${host}`);
    return address;
  }

  /** Packets since the last call. */
  take(): Uint8Array[] {
    return this.packets.splice(0);
  }
}

/** An ERSPAN output with what is not said as the configuration has it. */
export function erspan(more: Partial<ErspanConfig> = {}): ErspanConfig {
  const rest = { session: 7, ttl: 64, tos: 0, granularity: "100us", hardware: 0 } as const;
  return { type: "erspan", erspanType: "II", remote: "192.0.2.9", oversize: "cut", ...rest, ...more };
}

export type SessionWish = Partial<Omit<MirrorConfig, "select">> & { select?: Partial<MirrorConfig["select"]> };

export class MirrorBed<H extends MirrorHarness = MirrorHarness> {
  readonly harness: H;
  readonly keeper: MirrorKeeper;
  readonly told: string[] = [];
  readonly tunnels = new KeptTunnels();
  readonly folder = mkdtempSync(join(tmpdir(), "weir-mirrors-"));

  constructor(harness: H) {
    this.harness = harness;
    const { bridge, datapath } = harness;
    this.keeper = new MirrorKeeper({
      bridge: bridge.name,
      datapath,
      capturesDir: this.folder,
      tunnels: this.tunnels,
      remotes: new Remotes(),
      ports: () => bridge.ports(),
      port: (no) => bridge.portAt(no) && { name: bridge.portAt(no)!.name, speed: 0 },
      mode: () => bridge.config.mode,
      setPlan: (plan) => bridge.setMirrors(plan),
      isTemplated: () => false,
      nowNs: () => harness.nowNs(),
      unix: (ns) => ({ seconds: Math.floor(ns / 1e9), nanoseconds: ns % 1e9 }),
      tell: (message) => this.told.push(message),
    });
  }

  /** Start a session with what is not said left open; where it streams, the stream. */
  start(name: string, { select, ...more }: SessionWish): Kept {
    const config: MirrorConfig = {
      name,
      outputs: [{ type: "stream" }],
      snaplen: 0,
      sample: 1,
      ...more,
      limit: { pps: 0, bps: 0, durationMs: 0, packets: 0, ...more.limit },
      select: { all: false, ports: [], owners: [], direction: "both", dropped: "include", ...select },
    };
    this.keeper.start(config, { origin: "api", startedBy: "test" }, 0);
    const kept = new Kept();
    if (config.outputs.some(({ type }) => type === "stream")) this.keeper.find(name)!.outputs.push(kept);
    this.keeper.follow();
    this.harness.work();
    return kept;
  }

  async stop(...names: readonly string[]): Promise<void> {
    for (const name of names) await this.keeper.stop(name);
    this.harness.work();
  }

  async send(port: string, frame: Uint8Array): Promise<Map<string, Uint8Array[]>> {
    const out = await this.harness.send(port, frame);
    this.tick();
    return out;
  }

  /** Hand out all copies that wait. */
  tick(nowMs = 0): void {
    while (this.keeper.tick(nowMs));
  }

  json(name: string): MirrorJson {
    return this.keeper.list().find((one) => one.name === name)!;
  }

  async close(): Promise<void> {
    await this.keeper.close();
    await this.harness.close();
    rmSync(this.folder, { recursive: true });
  }
}
