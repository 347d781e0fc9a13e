/**
 * A session's frames to another host as ERSPAN in GRE (src/wire/erspan.ts), by this host's IP stack: it routes them,
 * resolves neighbours and knows the path's MTU. A remote that is not there stops this output for a while, nothing else.
 */
import { lookup } from "node:dns/promises";
import type { MirrorOutputConfig } from "../config/config.ts";
import { type IpSocket, type IpSocketOptions, openIpSocket } from "../sys/ip-socket.ts";
import {
  EAGAIN,
  ECONNREFUSED,
  EHOSTUNREACH,
  EMSGSIZE,
  ENETUNREACH,
  ENOBUFS,
  ENOPROTOOPT,
  EPERM,
  EPROTO,
  errnoName,
  SystemError,
} from "../sys/libc.ts";
import { formatIp, formatIpv4, formatIpv6, parseIp, parseIpv4, parseIpv6 } from "../wire/address.ts";
import { readU16, readU32, writeU32 } from "../wire/bytes.ts";
import { ETH_HEADER_BYTES } from "../wire/ethernet.ts";
import * as wire from "../wire/erspan.ts";
import { isTpid } from "../wire/vlan.ts";
import type { CopyFrame } from "./frames.ts";
import type { CopyEnv, CopyOutput } from "./output.ts";
import type { Remotes } from "./remotes.ts";

export type ErspanConfig = Extract<MirrorOutputConfig, { type: "erspan" }>;

/** The host's network, as tunnels need it. */
export interface TunnelEnv {
  /** Throws a SystemError. */
  open(options: IpSocketOptions): IpSocket;
  /** 4 or 16 bytes; rejects where the name means nothing. */
  resolve(host: string): Promise<Uint8Array>;
}

export const hostTunnels: TunnelEnv = {
  open: openIpSocket,
  resolve: async (host) => addressBytes((await lookup(host)).address)!,
};

/** What may wait in the kernel for the neighbour and the device. */
const BUFFER_BYTES = 4 << 20;
/** Names are resolved again after this long, and after a failure. */
const RESOLVE_MS = 300_000;
const RETRY_MS = 5000;
/** After an error nothing is tried for so long; and without one for SETTLED_MS (neighbours are asked for 3 s) all is well. */
const PAUSE_MS = 2000;
const SETTLED_MS = 5000;
const MTU_MS = 1000;
/** Most after an IP header: its length has 16 bits. */
const MAX_PAYLOAD = 65_515;

function addressBytes(text: string): Uint8Array | undefined {
  const v4 = parseIpv4(text);
  if (v4 === undefined) return parseIpv6(text);
  const bytes = new Uint8Array(4);
  writeU32(bytes, 0, v4);
  return bytes;
}

const addressText = (bytes: Uint8Array): string =>
  bytes.length === 4 ? formatIpv4(readU32(bytes, 0)) : formatIpv6(bytes);

/** The address as everybody writes it, undefined where it is a name. */
function literal(host: string): string | undefined {
  const ip = parseIp(host);
  return ip && formatIp(ip);
}

export class ErspanOutput implements CopyOutput {
  readonly kind = "erspan";
  readonly target: string;
  state: CopyOutput["state"] = "waiting";
  lastError?: string;
  sent = 0;
  bytes = 0;
  failed = 0;
  queueDropped = 0;
  truncated = 0;
  private readonly config: ErspanConfig;
  private readonly env: CopyEnv;
  private readonly tunnels: TunnelEnv;
  private readonly remotes: Remotes;
  private readonly headerBytes: number;
  private readonly packet = new Uint8Array(MAX_PAYLOAD + 1);
  private socket: IpSocket | undefined;
  private address = "";
  private sequence = 0;
  private mtu = MAX_PAYLOAD;
  private nowMs = 0;
  private mtuMs = 0;
  private resolveMs = 0;
  private pausedMs = 0;
  private isResolving = false;
  private isBroken = false;
  private isClosed = false;

  /** Throws a SystemError where this process may not send raw IP; everything else is this output's own trouble. */
  constructor(config: ErspanConfig, env: CopyEnv, tunnels: TunnelEnv, remotes: Remotes, nowMs: number) {
    const { remote, erspanType, session } = config;
    this.config = config;
    this.env = env;
    this.tunnels = tunnels;
    this.remotes = remotes;
    this.nowMs = nowMs;
    this.target = `${remote} type ${erspanType}${erspanType === "I" ? "" : ` session ${session}`}`;
    const platform = config.granularity === "ieee1588" ? wire.ERSPAN_PLATFORM_BYTES : 0;
    this.headerBytes = wire.erspanBytes(erspanType) + platform;
    const address = literal(remote);
    if (address === undefined) {
      // So that a missing capability is told now and not when the name is known.
      this.tunnels.open({ ...this.options(Uint8Array.of(127, 0, 0, 1)), source: undefined }).close();
      void this.resolve();
    } else this.connect(address);
  }

  write(frame: CopyFrame, captured: number): void {
    const { socket } = this;
    if (socket === undefined || this.nowMs < this.pausedMs) {
      this.failed++;
      return;
    }
    const sequence = this.sequence;
    // Of those that cannot be sent too: the receiver sees the gap.
    this.sequence = (sequence + 1) >>> 0;
    let inner = this.fit(captured);
    let error = inner < 0 ? EMSGSIZE : this.transmit(socket, frame, inner, sequence);
    if (error === EMSGSIZE) {
      this.readMtu();
      inner = this.fit(captured);
      if (inner >= 0) error = this.transmit(socket, frame, inner, sequence);
    }
    if (inner < 0) {
      this.failed++;
      this.lastError = `${captured} bytes do not fit the path's ${this.mtu - this.headerBytes} (oversize: drop)`;
    } else if (error === 0) {
      this.sent++;
      this.bytes += inner;
      if (inner < captured) this.truncated++;
    } else if (error === EAGAIN || error === ENOBUFS) this.queueDropped++;
    else {
      this.failed++;
      // Its route or its own address is gone: another socket finds others.
      this.isBroken = true;
      this.fail(this.reason(error));
    }
  }

  flush(): void {}

  /** Ask for the path's MTU and the name again, try again what failed. */
  tick(nowMs: number): void {
    this.nowMs = nowMs;
    if (this.isClosed) return;
    const answer = this.socket?.takeError() ?? 0;
    if (answer !== 0) this.answered(answer);
    if (nowMs - this.mtuMs >= MTU_MS) this.readMtu();
    if (nowMs >= this.resolveMs) {
      this.resolveMs = nowMs + RETRY_MS;
      const address = literal(this.config.remote);
      if (address === undefined) void this.resolve();
      else this.connect(address);
    }
    if (this.state === "failed" && this.socket !== undefined && nowMs - this.pausedMs >= SETTLED_MS) this.recover();
  }

  /** The network's answer to what was sent. */
  private answered(error: number): void {
    if (error === EMSGSIZE) this.readMtu();
    else if (error === ENOPROTOOPT || error === EPROTO || error === ECONNREFUSED) {
      if (this.state === "running")
        this.lastError ??= `${this.address} answers that it takes no GRE; a capture there sees the copies`;
    } else this.fail(this.reason(error));
  }

  async close(): Promise<void> {
    this.isClosed = true;
    this.disconnect();
    this.state = "ended";
  }

  /** Bytes of the frame that fit, -1: it is not to be cut. */
  private fit(captured: number): number {
    const most = this.config.oversize === "fragment" ? MAX_PAYLOAD : this.mtu;
    if (this.headerBytes + captured <= most) return captured;
    const inner = most - this.headerBytes;
    return this.config.oversize === "drop" || inner < ETH_HEADER_BYTES ? -1 : inner;
  }

  /** Returns 0 or an errno. */
  private transmit(socket: IpSocket, frame: CopyFrame, inner: number, sequence: number): number {
    const { packet } = this;
    const at = this.header(frame, inner < frame.length, sequence);
    const { bytes, off } = frame;
    if (inner > 256) packet.set(bytes.subarray(off, off + inner), at);
    else for (let n = 0; n < inner; n++) packet[at + n] = bytes[off + n]!;
    return socket.send(packet, at + inner);
  }

  private header(frame: CopyFrame, isCut: boolean, sequence: number): number {
    const { packet, config } = this;
    const { erspanType, session, hardware, granularity } = config;
    if (erspanType === "I") return wire.writeErspanI(packet, 0);
    const { bytes, off } = frame;
    const isTagged = frame.captured >= 16 && isTpid(readU16(bytes, off + 12));
    const tci = isTagged ? readU16(bytes, off + 14) : frame.vlan;
    if (erspanType === "II") {
      const encap = isTagged ? wire.ENCAP_TAG_KEPT : wire.ENCAP_UNTAGGED;
      return wire.writeErspanII(packet, 0, sequence, session, tci, encap, isCut, frame.ifIndex);
    }
    const { seconds, nanoseconds } = this.env.unix(frame.timeNs);
    const isWhole = granularity === "ieee1588";
    // imul: modulo 2³², as the field is.
    const timestamp = isWhole
      ? nanoseconds
      : granularity === "100ns"
        ? (Math.imul(seconds, 1e7) + Math.floor(nanoseconds / 100)) >>> 0
        : (Math.imul(seconds, 1e4) + Math.floor(nanoseconds / 1e5)) >>> 0;
    const unit =
      granularity === "100us"
        ? wire.GRANULARITY_100_US
        : isWhole
          ? wire.GRANULARITY_IEEE_1588
          : wire.GRANULARITY_100_NS;
    const way = frame.direction === "in" ? wire.DIRECTION_INGRESS : wire.DIRECTION_EGRESS;
    const at = wire.writeErspanIII(packet, 0, sequence, session, tci, isCut, timestamp, hardware, way, unit);
    return isWhole ? wire.writeErspanPlatform(packet, at, hardware, frame.ifIndex, seconds) : at;
  }

  private options(remote: Uint8Array): IpSocketOptions {
    const { source, ttl, tos, oversize } = this.config;
    const from = source === undefined ? undefined : addressBytes(source);
    const fragment = oversize === "fragment";
    return { protocol: wire.PROTO_GRE, remote, source: from, ttl, tos, fragment, bufferBytes: BUFFER_BYTES };
  }

  private async resolve(): Promise<void> {
    if (this.isResolving) return;
    this.isResolving = true;
    this.resolveMs = this.nowMs + RESOLVE_MS;
    try {
      const address = addressText(await this.tunnels.resolve(this.config.remote));
      if (!this.isClosed) this.connect(address);
    } catch (error) {
      this.fail(`${this.config.remote}: ${(error as Error).message}`);
    } finally {
      this.isResolving = false;
    }
  }

  /** A socket to this address, where there is none that works. */
  private connect(address: string): void {
    if (this.socket !== undefined && this.address === address && !this.isBroken) return;
    try {
      const socket = this.tunnels.open(this.options(addressBytes(address)!));
      this.disconnect();
      this.remotes.add(address);
      this.socket = socket;
      this.address = address;
      this.isBroken = false;
      this.resolveMs = this.nowMs + RESOLVE_MS;
      this.readMtu();
      this.recover();
    } catch (error) {
      if (!(error instanceof SystemError) || error.errno === EPERM) throw error;
      this.fail(`${address}: ${error.message}`);
    }
  }

  private disconnect(): void {
    if (this.socket === undefined) return;
    this.remotes.remove(this.address);
    this.socket.close();
    this.socket = undefined;
  }

  private readMtu(): void {
    this.mtuMs = this.nowMs;
    const mtu = this.socket?.payloadMtu() ?? 0;
    // 0: no route now; sending says so.
    this.mtu = mtu === 0 ? MAX_PAYLOAD : Math.min(mtu, MAX_PAYLOAD);
  }

  private reason(error: number): string {
    if (error === EHOSTUNREACH) return `no answer from ${this.address} (EHOSTUNREACH)`;
    if (error === ENETUNREACH) return `no route to ${this.address} (ENETUNREACH)`;
    if (error === EPERM) return `a firewall of this host refuses packets to ${this.address} (EPERM)`;
    return `${this.address}: ${errnoName(error)}`;
  }

  private fail(message: string): void {
    this.state = "failed";
    this.lastError = message;
    this.pausedMs = this.nowMs + PAUSE_MS;
    this.resolveMs = Math.min(this.resolveMs, this.nowMs + RETRY_MS);
  }

  private recover(): void {
    this.state = "running";
    this.pausedMs = 0;
    delete this.lastError;
  }
}
