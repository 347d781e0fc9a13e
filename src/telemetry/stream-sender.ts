/**
 * A bounded, counted way out to one collector over a connection: TCP, or TLS over it (RFC 7011 sections 10.4 and 11).
 *
 * What a connection carries only makes sense from its beginning: so when one is lost, everything queued is lost with it,
 * counted, and `session` goes up, by which an exporter knows that it has to begin anew. A collector that takes nothing
 * for STALL_MS is treated as gone: it costs a full queue for that long, and then nothing but an attempt now and then.
 *
 * ```
 * slab   slot 0 | slot 1 | … | slot capacity − 1     `queued` slots from `head`; the first `writing` are the socket's
 * ```
 */
import { readFileSync } from "node:fs";
import { connect as connectTcp, isIP } from "node:net";
import type { Socket } from "node:net";
import { connect as connectTls } from "node:tls";
import { formatCollector } from "../text/collector.ts";
import type { Collector } from "../text/collector.ts";
import type { SenderStats, Transport } from "./exporter.ts";
import { SendQueue } from "./send-queue.ts";
import type { UdpSender } from "./sender.ts";

/** A connection, and TLS on it, must stand after this long. */
export const CONNECT_MS = 10_000;
/** One that was lost or refused is tried again after this long. */
export const RECONNECT_MS = 5_000;
/** A collector that reads nothing for so long is gone. */
export const STALL_MS = 10_000;
/** What is left in the kernel at the end may take so long. */
const LINGER_MS = 1_000;
/** Messages that the socket holds at a time. */
const WRITES_AT_ONCE = 16;

export interface StreamSenderOptions {
  readonly transport: Transport;
  /** Local address to connect from. */
  readonly source?: string | undefined;
  /** Messages that may wait: each takes MAX_DATAGRAM_BYTES of memory. */
  readonly queue?: number;
  /** Unix time, ms, for `lastSentMs` and `lastErrorMs`. */
  readonly now: () => number;
  /** For tests: CONNECT_MS, RECONNECT_MS and STALL_MS unless given. */
  readonly connectMs?: number;
  readonly reconnectMs?: number;
  readonly stallMs?: number;
}

export function streamSender(collector: Collector, options: StreamSenderOptions): UdpSender {
  return new StreamQueue(collector, options);
}

/** connecting: messages wait. failed: they are refused and counted, until the next attempt. */
type State = "connecting" | "connected" | "failed" | "closed";

class StreamQueue implements UdpSender {
  session = 0;
  private readonly collector: Collector;
  private readonly options: StreamSenderOptions;
  private readonly queue: SendQueue;
  private writing = 0;

  private state: State = "connecting";
  private socket: Socket | undefined;
  private retryTimer: NodeJS.Timeout | undefined;
  private connectTimer: NodeJS.Timeout | undefined;
  private stallTimer: NodeJS.Timeout | undefined;

  private source: string | undefined;

  constructor(collector: Collector, options: StreamSenderOptions) {
    this.collector = collector;
    this.options = options;
    this.queue = new SendQueue(formatCollector(collector), "message", options.queue, options.now);
    this.connect();
  }

  get stats(): SenderStats {
    return this.queue.stats(this.source);
  }

  get ready(): boolean {
    return this.dead || this.queue.hasRoom;
  }

  send(message: Uint8Array): boolean {
    if (this.dead) return this.queue.refuse(1);
    if (!this.queue.put(message)) return false;
    this.push();
    return true;
  }

  async writable(): Promise<void> {
    while (!this.ready) await this.queue.change();
  }

  drain(timeoutMs: number): Promise<boolean> {
    return this.queue.drain(timeoutMs);
  }

  /** Try now, where the next attempt is yet to come. A connection that stands is left alone. */
  refresh(): void {
    if (this.state === "failed") this.connect();
  }

  async close(): Promise<void> {
    const { socket, state } = this;
    this.state = "closed";
    this.socket = undefined;
    for (const timer of [this.retryTimer, this.connectTimer, this.stallTimer]) clearTimeout(timer);
    this.discard();
    if (!socket) return;
    if (state !== "connected") return void socket.destroy();
    await ended(socket);
  }

  private get dead(): boolean {
    return this.state === "failed" || this.state === "closed";
  }

  private connect(): void {
    clearTimeout(this.retryTimer);
    this.state = "connecting";
    let socket: Socket;
    try {
      socket = this.open();
    } catch (error) {
      return this.lost(error as Error);
    }
    this.socket = socket;
    const fail = (error: Error): void => {
      if (socket === this.socket) this.lost(error);
    };
    this.connectTimer = setTimeout(
      () => fail(new Error(`no connection to ${this.queue.name} within ${this.connectMs / 1000} s`)),
      this.connectMs,
    );
    this.connectTimer.unref();
    socket.on(this.options.transport.kind === "tls" ? "secureConnect" : "connect", () => {
      if (socket === this.socket) this.connected(socket);
    });
    socket.on("error", fail);
    socket.on("close", () => fail(new Error(`${this.queue.name} closed the connection`)));
    // A collector has nothing to say (RFC 7011 section 10.4.3): read it away, so that its end is seen.
    socket.resume();
  }

  private open(): Socket {
    const { host, port } = this.collector;
    const { source, transport } = this.options;
    const local = source === undefined ? {} : { localAddress: source };
    if (transport.kind !== "tls") return connectTcp({ host, port, ...local });
    const { ca, cert, key, serverName } = transport;
    const name = serverName ?? host;
    return connectTls({
      // Types of node's tls leave these out, its code hands them to net.connect.
      ...(local as object),
      host,
      port,
      ...(isIP(name) === 0 && { servername: name }),
      ...(ca !== undefined && { ca: readFileSync(ca) }),
      ...(cert !== undefined && { cert: readFileSync(cert) }),
      ...(key !== undefined && { key: readFileSync(key) }),
      minVersion: "TLSv1.2",
    });
  }

  private connected(socket: Socket): void {
    clearTimeout(this.connectTimer);
    this.state = "connected";
    this.source = socket.localAddress;
    socket.setKeepAlive(true, 30_000);
    this.push();
  }

  /** Give the socket some messages. They stay in the slab until it has handed them to the kernel. */
  private push(): void {
    const { socket, queue } = this;
    if (!socket || this.state !== "connected") return;
    if (this.writing < this.queue.size && this.writing < WRITES_AT_ONCE) socket.cork();
    else return;
    while (this.writing < this.queue.size && this.writing < WRITES_AT_ONCE) {
      const at = queue.offset(this.writing);
      const end = at + queue.length(this.writing);
      this.writing++;
      socket.write(queue.slab.subarray(at, end), (error) => {
        if (!error && socket === this.socket) this.done();
      });
    }
    socket.uncork();
    if (this.stallTimer === undefined) this.watch();
  }

  private done(): void {
    this.writing--;
    clearTimeout(this.stallTimer);
    this.stallTimer = undefined;
    if (this.writing > 0) this.watch();
    this.queue.shift(true);
    this.push();
  }

  private watch(): void {
    const ms = this.options.stallMs ?? STALL_MS;
    this.stallTimer = setTimeout(
      () => this.lost(new Error(`${this.queue.name} has read nothing for ${ms / 1000} s: connection given up`)),
      ms,
    );
    this.stallTimer.unref();
  }

  /** The connection is gone, or was not to be had, and what was queued for it too. */
  private lost(error: Error): void {
    for (const timer of [this.connectTimer, this.stallTimer]) clearTimeout(timer);
    this.stallTimer = undefined;
    const { socket } = this;
    this.socket = undefined;
    this.state = "failed";
    socket?.destroy();
    this.queue.refuse(0, explain(error, this.queue.name));
    this.session++;
    this.discard();
    this.retryTimer = setTimeout(() => this.connect(), this.options.reconnectMs ?? RECONNECT_MS);
    this.retryTimer.unref();
  }

  private get connectMs(): number {
    return this.options.connectMs ?? CONNECT_MS;
  }

  private discard(): void {
    this.writing = 0;
    this.queue.discard();
  }
}

/** Send what the kernel holds, then the end. */
function ended(socket: Socket): Promise<void> {
  return new Promise((resolve) => {
    const timer = setTimeout(() => socket.destroy(), LINGER_MS);
    socket.removeAllListeners("error");
    socket.on("error", () => {});
    socket.once("close", () => {
      clearTimeout(timer);
      resolve();
    });
    socket.end();
  });
}

/** What happened, for whoever reads `weir show exporters`. */
function explain(error: Error, collector: string): string {
  const { code } = error as NodeJS.ErrnoException;
  switch (code) {
    case "ECONNREFUSED":
      return `refused: nothing listens on ${collector} (ECONNREFUSED)`;
    case "ECONNRESET":
    case "EPIPE":
      return `${collector} broke the connection (${code})`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name of ${collector} does not resolve (${code})`;
    case "ENETUNREACH":
    case "EHOSTUNREACH":
      return `no route to ${collector} (${code})`;
    default:
      return error.message;
  }
}
