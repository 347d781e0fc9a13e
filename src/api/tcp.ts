/**
 * The API on TCP: one server an address, changed while it runs. An address that cannot be had is tried again until it can
 * be or nobody wants it any more; the others go on.
 */
import { createServer, type IncomingMessage, type Server } from "node:http";
import { createServer as createTlsServer, type Server as TlsServer } from "node:https";
import type { AddressInfo, Socket } from "node:net";
import { createSecureContext } from "node:tls";
import { hostPort } from "../text/host-port.ts";
import { strange, type Access } from "./access.ts";
import { type ConnectionBounds, Connections, RequestRate } from "./bounds.ts";
import { attend, SERVER_SETTINGS, type Site, type Way } from "./exchange.ts";
import { Problem } from "./problem.ts";

export interface TcpConfig {
  /** Port 0: any that is free. */
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  /** PEM; or why there is none, though there should be: then what has a certificate keeps it, and nothing new is opened. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer } | { readonly unusable: string } | undefined;
  /** More names by which this host is asked: "hv1.example.net:8380". */
  readonly hosts: readonly string[];
}

export interface TcpLimits {
  readonly connections?: ConnectionBounds;
  /** Between two attempts at an address. */
  readonly retryMs?: number;
}

/** An address that cannot be had, and why. */
export interface Unheard {
  readonly address: string;
  readonly message: string;
}

const RETRY_MS = 5000;
/** For answers on their way when their address is given up, ms. */
const GRACE_MS = 1000;
const LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** Why a certificate and its key cannot be used; undefined: they can. */
export function unusableTls(tls: { readonly cert: Buffer; readonly key: Buffer }): string | undefined {
  try {
    createSecureContext(tls);
    return undefined;
  } catch (error) {
    return (error as Error).message;
  }
}

interface Listener {
  readonly server: Server | TlsServer;
  readonly isTls: boolean;
  /** What it is bound to, with the port it got: "127.0.0.1:8380". */
  readonly bound: string;
  close(): void;
}

export class TcpSide {
  private readonly site: Site;
  private readonly access: Access;
  private readonly connections: Connections;
  private readonly retryMs: number;
  private readonly rate = new RequestRate();
  private readonly listeners = new Map<string, Listener>();
  private readonly unheard = new Map<string, string>();
  private config: TcpConfig = { listen: [], hosts: [] };
  private retry: NodeJS.Timeout | undefined;
  private working: Promise<unknown> = Promise.resolve();
  private isClosed = false;

  constructor(site: Site, access: Access, { connections, retryMs = RETRY_MS }: TcpLimits = {}) {
    this.site = site;
    this.access = access;
    this.retryMs = retryMs;
    this.connections = new Connections(connections);
  }

  /** Addresses that are listened on, in the order of the configuration: "127.0.0.1:8380". */
  get listening(): string[] {
    return this.config.listen.flatMap(({ host, port }) => this.listeners.get(hostPort(host, port))?.bound ?? []);
  }

  /** Addresses that cannot be had now; they are tried again. */
  get missing(): Unheard[] {
    return [...this.unheard].map(([address, message]) => ({ address, message }));
  }

  /** Listen as the configuration says: what is new is opened, what is gone is closed, what stays is not disturbed. */
  apply(config: TcpConfig): Promise<Unheard[]> {
    const done = this.working.then(async () => {
      this.config = config;
      await this.follow();
      return this.missing;
    });
    this.working = done.catch(() => {});
    return done;
  }

  close(): void {
    this.isClosed = true;
    clearTimeout(this.retry);
    for (const listener of this.listeners.values()) listener.close();
    this.listeners.clear();
  }

  private async follow(): Promise<void> {
    const { listen, tls } = this.config;
    const wanted = new Map(listen.map((address) => [hostPort(address.host, address.port), address]));
    for (const [address, listener] of this.listeners) {
      if (wanted.has(address) && listener.isTls === (tls !== undefined)) {
        if (tls !== undefined && "cert" in tls) (listener.server as TlsServer).setSecureContext(tls);
        continue;
      }
      listener.close();
      this.listeners.delete(address);
    }
    this.unheard.clear();
    for (const [address, { host, port }] of wanted) {
      if (this.isClosed || this.listeners.has(address)) continue;
      try {
        this.listeners.set(address, await this.open(host, port));
      } catch (error) {
        const { code, message } = error as NodeJS.ErrnoException;
        this.unheard.set(address, code === "EADDRINUSE" ? "another program has it" : message);
      }
    }
    if (this.isClosed) return this.close();
    clearTimeout(this.retry);
    if (this.unheard.size > 0) this.retry = setTimeout(() => void this.again(), this.retryMs).unref();
  }

  private async again(): Promise<void> {
    const before = this.listening.length;
    await this.apply(this.config);
    if (this.listening.length > before) this.site.log("info", `api: listening on ${this.listening.join(", ")}`);
  }

  /** Throws the Error of listen(2), or one that says what is wrong with the certificate. */
  private async open(host: string, port: number): Promise<Listener> {
    const { tls } = this.config;
    if (tls !== undefined && "unusable" in tls) throw new Error(tls.unusable);
    const server = tls === undefined ? createServer(SERVER_SETTINGS) : createTlsServer({ ...SERVER_SETTINGS, ...tls });
    const sockets = new Set<Socket>();
    server.on("connection", (socket: Socket) => {
      sockets.add(socket);
      socket.on("close", () => sockets.delete(socket));
    });
    this.connections.watch(server);
    await new Promise<void>((resolve, reject) => {
      server.once("error", reject);
      server.listen(port, host, () => (server.off("error", reject), resolve()));
    });
    const closing = new AbortController();
    const boundPort = (server.address() as AddressInfo).port;
    const names = namesOf(host, boundPort, tls !== undefined);
    attend(server, this.site, this.way(names, tls !== undefined, closing.signal));
    return {
      server,
      isTls: tls !== undefined,
      bound: hostPort(host, boundPort),
      close: () => {
        server.close();
        server.closeIdleConnections();
        const end = (): void => {
          closing.abort();
          for (const socket of sockets) socket.destroy();
        };
        if (this.isClosed) end();
        else setTimeout(end, GRACE_MS).unref();
      },
    };
  }

  private way(names: readonly string[], isTls: boolean, closing: AbortSignal): Way {
    const { access } = this;
    return {
      hasPage: true,
      closing,
      admit: (request: IncomingMessage) => {
        this.rate.take(request.socket.remoteAddress ?? "", this.site.now());
        const hosts = new Set([...names, ...this.config.hosts].map((name) => name.toLowerCase()));
        const why = strange(request.headers, hosts, isTls);
        if (why !== undefined) throw new Problem(403, why);
        const who = access.ofRequest(request.headers);
        if (who === undefined) throw new Problem(401, "that token is none of this switch's");
        return who;
      },
      asks: (socket) => this.connections.asks(socket),
      joins: (socket) => this.connections.becomesFeed(socket),
      redeem: (key) => access.redeem(key),
      hold: (who, changed) => access.hold(who, changed),
    };
  }
}

/** What browsers call it. The port that a scheme has by itself is left out of Host (RFC 9110, 7.2). */
export function namesOf(host: string, port: number, isTls: boolean): string[] {
  const names = [hostPort(host, port), ...LOCAL_NAMES.map((local) => `${local}:${port}`)];
  return port === (isTls ? 443 : 80) ? names.flatMap((name) => [name, name.slice(0, name.lastIndexOf(":"))]) : names;
}
