/**
 * A bounded, counted way out to one collector over UDP.
 *
 * The socket is connected, so that an ICMP "port unreachable" comes back as ECONNREFUSED and is counted. Datagrams are
 * copied into a slab made once; when it is full, `send` refuses and counts, and nobody waits. Who must not lose
 * (replay) asks `ready` and awaits `writable()` before it makes more.
 *
 * ```
 * slab   slot 0 | slot 1 | … | slot capacity − 1        `queued` slots from `head`, which is the one being sent
 * ```
 */
import { createSocket } from "node:dgram";
import type { Socket, SocketOptions } from "node:dgram";
import { lookup } from "node:dns/promises";
import { isIP } from "node:net";
import { formatCollector } from "../text/collector.ts";
import type { Collector } from "../text/collector.ts";
import type { Sender, SenderStats } from "./exporter.ts";
import { SendQueue } from "./send-queue.ts";

export { MAX_DATAGRAM_BYTES } from "./send-queue.ts";

/** Names are resolved again after this long, and after a failure not more often than RETRY_MS. */
export const RESOLVE_MS = 300_000;
export const RETRY_MS = 5_000;

/** A resolver that has not answered by then: datagrams do not wait for it any longer, though its answer still counts. */
export const PATIENCE_MS = 5_000;

/** Datagrams that may leave in one burst when paced: what would have left in this time. */
const PACE_BURST_MS = 10;

export interface UdpSenderOptions {
  /** Local address to send from. */
  readonly source?: string | undefined;
  /** Datagrams that may wait: each takes MAX_DATAGRAM_BYTES of memory. */
  readonly queue?: number;
  /** Datagrams per second, 0 = no limit. */
  readonly pace?: number;
  /** Unix time, ms, for `lastSentMs` and `lastErrorMs`, and for the pace. */
  readonly now: () => number;
  /** How long datagrams wait for the first answer of the resolver; PATIENCE_MS unless given. */
  readonly patienceMs?: number;
  /** Name → address; node's own unless given. */
  readonly resolve?: (host: string) => Promise<string>;
}

export interface UdpSender extends Sender {
  /** There is room for a good run of datagrams (a quarter of the queue), or waiting would not help: see `writable`. */
  readonly ready: boolean;
  /** Resolves when `ready`. A sender without a socket (name unknown, no route) is ready: it refuses at once, and counts. */
  writable(): Promise<void>;
  /** Resolves when nothing is queued (true), or after `timeoutMs` (false). */
  drain(timeoutMs: number): Promise<boolean>;
  /** Resolve the name again. */
  refresh(): void;
  close(): Promise<void>;
}

export function udpSender(collector: Collector, options: UdpSenderOptions): UdpSender {
  return new UdpQueue(collector, options);
}

/** connecting: datagrams wait. failed: they are refused and counted, until the next attempt. */
type State = "connecting" | "connected" | "failed" | "closed";

class UdpQueue implements UdpSender {
  private readonly collector: Collector;
  private readonly options: UdpSenderOptions;
  private readonly queue: SendQueue;
  private sending = false;
  private retried = false;

  private state: State = "connecting";
  private socket: Socket | undefined;
  private address: string | undefined;
  private attempts = 0;
  private timer: NodeJS.Timeout | undefined;
  private resolvingSoon = false;
  private readonly patience: NodeJS.Timeout;
  private paceTimer: NodeJS.Timeout | undefined;
  private paceNextMs = 0;

  private source: string | undefined;

  constructor(collector: Collector, options: UdpSenderOptions) {
    this.collector = collector;
    this.options = options;
    this.queue = new SendQueue(formatCollector(collector), "datagram", options.queue, options.now);
    this.patience = setTimeout(() => {
      if (this.state === "connecting")
        this.unreachable(new Error(`no answer from the resolver for ${this.queue.name} yet`));
    }, options.patienceMs ?? PATIENCE_MS);
    this.patience.unref();
    void this.connect();
  }

  get stats(): SenderStats {
    return this.queue.stats(this.source);
  }

  get ready(): boolean {
    return this.dead || this.queue.hasRoom;
  }

  send(datagram: Uint8Array): boolean {
    if (this.dead) return this.queue.refuse(1);
    if (!this.queue.put(datagram)) return false;
    this.push();
    return true;
  }

  async writable(): Promise<void> {
    while (!this.ready) await this.queue.change();
  }

  drain(timeoutMs: number): Promise<boolean> {
    return this.queue.drain(timeoutMs);
  }

  refresh(): void {
    if (this.state !== "closed") void this.connect();
  }

  async close(): Promise<void> {
    const socket = this.socket;
    this.state = "closed";
    this.socket = undefined;
    this.attempts++;
    for (const timer of [this.timer, this.paceTimer, this.patience]) clearTimeout(timer);
    this.discard();
    if (socket) await closed(socket);
  }

  private get dead(): boolean {
    return this.state === "failed" || this.state === "closed";
  }

  /**
   * Give the socket the head of the queue. One at a time: a connected socket reports a refusal at the *next* send, which
   * then did not happen; that datagram is sent again, in its place.
   */
  private push(): void {
    const { socket, queue } = this;
    if (!socket || this.sending || this.queue.size === 0 || this.paceTimer) return;
    const wait = this.paceWaitMs();
    if (wait > 0) {
      this.paceTimer = setTimeout(() => {
        this.paceTimer = undefined;
        this.push();
      }, wait);
      return;
    }
    this.sending = true;
    socket.send(queue.slab, queue.offset(0), queue.length(0), (error) => {
      if (socket === this.socket) this.done(error);
    });
  }

  private done(error: Error | null): void {
    this.sending = false;
    const refused = error !== null && code(error) === "ECONNREFUSED";
    if (error) this.failed(error);
    if (refused && !this.retried) {
      this.retried = true;
    } else {
      this.retried = false;
      this.queue.shift(!error);
    }
    this.push();
  }

  /** Milliseconds until the next datagram may leave; 0 = now, and it is accounted for. */
  private paceWaitMs(): number {
    const pace = this.options.pace ?? 0;
    if (pace === 0) return 0;
    const now = this.options.now();
    const interval = 1000 / pace;
    const earliest = now - PACE_BURST_MS; // time unused before that is lost; a clock set back must not stop us
    if (this.paceNextMs < earliest || this.paceNextMs > now + interval) this.paceNextMs = earliest;
    if (this.paceNextMs > now) return Math.ceil(this.paceNextMs - now);
    this.paceNextMs += interval;
    return 0;
  }

  /** Resolve the name and, where the address is a new one, open a socket to it. The old one serves until then. */
  private async connect(): Promise<void> {
    const attempt = ++this.attempts;
    const { host, port } = this.collector;
    const literal = isIP(host) !== 0;
    clearTimeout(this.timer);
    this.resolvingSoon = false;
    try {
      const address = literal ? host : await (this.options.resolve ?? resolveName)(host);
      if (attempt !== this.attempts) return;
      if (!this.socket || address !== this.address) {
        const socket = await opened(address, port, this.options.source);
        if (attempt !== this.attempts) return void closed(socket);
        this.adopt(socket, address);
      }
      if (!literal) this.connectAfter(RESOLVE_MS);
    } catch (error) {
      if (attempt !== this.attempts) return;
      this.unreachable(error as Error);
      this.connectAfter(RETRY_MS);
    }
  }

  /** No socket can be had now. Where there is none from before, nobody waits for one. */
  private unreachable(error: Error): void {
    this.failed(error);
    if (this.socket) return;
    this.state = "failed";
    this.discard();
  }

  private connectAfter(ms: number): void {
    clearTimeout(this.timer);
    this.timer = setTimeout(() => void this.connect(), ms);
    this.timer.unref();
  }

  private adopt(socket: Socket, address: string): void {
    if (this.socket) void closed(this.socket);
    this.socket = socket;
    this.address = address;
    this.source = socket.address().address;
    this.state = "connected";
    this.sending = this.retried = false;
    socket.on("error", (error) => {
      if (socket === this.socket) this.failed(error);
    });
    this.push();
  }

  /** Count one failure; a name may have moved, so it is resolved again soon. */
  private failed(error: Error): void {
    this.queue.refuse(1, explain(error, this.queue.name));
    if (isIP(this.collector.host) !== 0 || this.resolvingSoon || this.state !== "connected") return;
    this.resolvingSoon = true;
    this.connectAfter(RETRY_MS);
  }

  /** Nobody will take what is queued. */
  private discard(): void {
    this.sending = this.retried = false;
    this.queue.discard();
  }
}

async function resolveName(host: string): Promise<string> {
  return (await lookup(host)).address;
}

/** A socket connected to the collector. Nothing is sent by this. */
function opened(address: string, port: number, source: string | undefined): Promise<Socket> {
  const family = isIP(address);
  if (source !== undefined && isIP(source) !== family)
    throw new Error(`source ${source} is not of the same IP version as the collector's address ${address}`);
  const socket = createSocket({ type: family === 6 ? "udp6" : "udp4", lookup: numeric });
  return new Promise((resolve, reject) => {
    const fail = (error: Error): void => {
      socket.close();
      reject(error);
    };
    const connect = (): void =>
      socket.connect(port, address, (error?: Error | null) => (error ? fail(error) : connected()));
    const connected = (): void => {
      socket.off("error", fail);
      resolve(socket);
    };
    socket.once("error", fail);
    if (source === undefined) connect();
    else socket.bind({ address: source, port: 0 }, connect);
  });
}

/** Addresses only get here: node need not look them up a second time. */
const numeric: SocketOptions["lookup"] = (address, _options, answer) => answer(null, address, isIP(address));

function closed(socket: Socket): Promise<void> {
  return new Promise((resolve) => socket.close(resolve));
}

function code(error: Error): string | undefined {
  return (error as NodeJS.ErrnoException).code;
}

/** What happened, for whoever reads `weir show exporters`. */
function explain(error: Error, collector: string): string {
  switch (code(error)) {
    case "ECONNREFUSED":
      return `refused: nothing listens on ${collector} (ECONNREFUSED)`;
    case "ENOTFOUND":
    case "EAI_AGAIN":
      return `the name of ${collector} does not resolve (${code(error)})`;
    case "EADDRNOTAVAIL":
      return `the source address is not one of this host (EADDRNOTAVAIL)`;
    case "ENETUNREACH":
    case "EHOSTUNREACH":
      return `no route to ${collector} (${code(error)})`;
    default:
      return error.message;
  }
}
