/**
 * The API's server: HTTP on the Unix socket and on TCP, bounded in everything a client can make large. It
 * serves `routes`; what stands behind them is a SwitchView. Failing to start is the caller's to report, never to die of.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { createServer as createTlsServer } from "node:https";
import type { AddressInfo } from "node:net";
import type { Duplex } from "node:stream";
import { hostPort } from "../text/host-port.ts";
import { roleOfRequest, strange, type Token } from "./access.ts";
import { Problem } from "./problem.ts";
import { readJson, send, sendProblem } from "./http.ts";
import { routes, type Route } from "./routes.ts";
import { listenOnSocket } from "./socket.ts";
import type { Role, SwitchView } from "./switch.ts";

export interface ApiOptions {
  readonly view: SwitchView;
  readonly socket: string;
  readonly uid: number;
  /** Unix ms. */
  readonly now: () => number;
  readonly log: (level: "info" | "warn" | "error", message: string) => void;
  /** Listen on TCP too. */
  readonly tcp?: TcpOptions;
  readonly maxConnections?: number;
  /** For a whole request to arrive, ms. */
  readonly requestTimeoutMs?: number;
}

export interface TcpOptions {
  readonly listen: readonly { readonly host: string; readonly port: number }[];
  /** PEM. */
  readonly tls?: { readonly cert: Buffer; readonly key: Buffer };
  readonly tokens: readonly Token[];
  /** More names by which this host is asked: "hv1.example.net:8380". */
  readonly hosts: readonly string[];
  /** Answers for the page's own paths; false: they are none of its. */
  readonly page?: (path: string, request: IncomingMessage, response: ServerResponse) => boolean;
  /** Takes over a connection that asks for `/live`. */
  readonly live?: (request: IncomingMessage, socket: Duplex, head: Buffer, role: Role) => void;
}

export interface ApiServer {
  readonly socket: string;
  /** Addresses of TCP: "127.0.0.1:8380". */
  readonly listen: readonly string[];
  /** Ends streams and connections, takes the socket away. */
  close(): Promise<void>;
}

interface Match {
  readonly route: Route;
  readonly params: Record<string, string>;
}

const table = routes.map((route) => ({
  route,
  pattern: new RegExp(`^${route.path.replaceAll(/\{(\w+)\}/g, "(?<$1>[^/]+)")}$`),
}));

function decode(part: string): string {
  try {
    return decodeURIComponent(part);
  } catch {
    throw new Problem(400, "the address is not percent-encoded UTF-8");
  }
}

/** Throws a Problem: 404, or 405 with the methods that would do. */
function match(method: string, path: string): Match {
  const asked = method === "HEAD" ? "GET" : method;
  const here = table.flatMap(({ route, pattern }) => {
    const found = pattern.exec(path);
    return found === null ? [] : [{ route, groups: found.groups ?? {} }];
  });
  if (here.length === 0) throw new Problem(404, `there is nothing at ${path}; /api/v1/system is a start`);
  const chosen = here.find(({ route }) => route.method === asked);
  if (chosen === undefined) {
    const allow = here.map(({ route }) => route.method).join(", ");
    throw Object.assign(new Problem(405, `${path} takes ${allow}`), { allow });
  }
  const params = Object.fromEntries(Object.entries(chosen.groups).map(([name, value]) => [name, decode(value)]));
  return { route: chosen.route, params };
}

/** How a request came: by the socket, whose permissions are its lock, or by TCP. */
interface Way {
  readonly tcp?: TcpOptions;
  readonly hosts: ReadonlySet<string>;
}

const BY_SOCKET: Way = { hosts: new Set() };

/** Who asks. Throws a Problem: 403 for strangers, 401 for a token that is none. */
function roleOf({ headers }: IncomingMessage, { tcp, hosts }: Way): Role {
  if (tcp === undefined) {
    // Only a browser says where a page came from, and no page has business on this socket.
    if (headers.origin !== undefined) throw new Problem(403, "requests of web pages are not taken here");
    return "operator";
  }
  const why = strange(headers, hosts, tcp.tls !== undefined);
  if (why !== undefined) throw new Problem(403, why);
  const role = roleOfRequest(tcp.tokens, headers);
  if (role === undefined) throw new Problem(401, "that token is none of this switch's");
  return role;
}

async function serve(
  options: ApiOptions,
  request: IncomingMessage,
  response: ServerResponse,
  closing: AbortSignal,
  way: Way,
) {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  response.on("close", leave);
  closing.addEventListener("abort", leave);
  try {
    const role = roleOf(request, way);
    const url = new URL(request.url ?? "/", "http://weir");
    if (way.tcp?.page?.(url.pathname, request, response) === true) return;
    const { route, params } = match(request.method ?? "GET", url.pathname);
    if (route.role === "operator" && role !== "operator")
      throw new Problem(403, `${url.pathname}: this needs the role operator; give a token that has it`);
    const hasBody = route.method === "PUT" || route.method === "PATCH" || route.method === "POST";
    const body = hasBody ? await readJson(request) : undefined;
    const nowMs = options.now();
    const { accept = "" } = request.headers;
    const { view } = options;
    const call = { view, params, query: url.searchParams, body, accept, nowMs, signal: gone.signal };
    await send(response, await route.handle(call));
  } catch (error) {
    if (gone.signal.aborted && response.destroyed) return;
    if (error instanceof Problem) {
      const allow = (error as { allow?: string }).allow;
      return sendProblem(response, error, allow === undefined ? {} : { Allow: allow });
    }
    options.log("error", `api: ${request.method} ${request.url}: ${(error as Error).stack ?? String(error)}`);
    sendProblem(response, new Problem(500, "the switch failed to answer; its log says why"));
  } finally {
    closing.removeEventListener("abort", leave);
  }
}

function limit(server: Server, options: ApiOptions): void {
  server.maxConnections = options.maxConnections ?? 128;
  server.requestTimeout = options.requestTimeoutMs ?? 10_000;
  server.headersTimeout = Math.min(5_000, server.requestTimeout);
  server.keepAliveTimeout = 5_000;
  server.maxHeadersCount = 64;
  // A reader that takes nothing for so long is gone; streams switch it off for themselves.
  server.timeout = 60_000;
}

const LOCAL_NAMES = ["localhost", "127.0.0.1", "[::1]"];

/** One server an address. Throws an Error that names the address. */
async function listenOnTcp(
  options: ApiOptions,
  tcp: TcpOptions,
  closing: AbortSignal,
): Promise<{ servers: Server[]; listen: string[] }> {
  const servers: Server[] = [];
  const listen: string[] = [];
  for (const { host, port } of tcp.listen) {
    const hosts = new Set<string>();
    const way: Way = { tcp, hosts };
    const handle = (request: IncomingMessage, response: ServerResponse): void =>
      void serve(options, request, response, closing, way);
    const settings = { maxHeaderSize: 16_384 };
    const server: Server = tcp.tls
      ? createTlsServer({ ...settings, ...tcp.tls }, handle)
      : createServer(settings, handle);
    limit(server, options);
    server.on("upgrade", (request, socket, head) => upgrade(request, socket, head, way));
    await new Promise<void>((resolve, reject) => {
      server.once("error", (error: NodeJS.ErrnoException) => {
        const why = error.code === "EADDRINUSE" ? "another program has it" : error.message;
        reject(new Error(`${hostPort(host, port)}: ${why}`));
      });
      server.listen(port, host, resolve);
    }).catch((error: unknown) => {
      for (const one of servers) one.close();
      throw error;
    });
    servers.push(server);
    const bound = (server.address() as AddressInfo).port;
    for (const name of [hostPort(host, bound), ...LOCAL_NAMES.map((local) => `${local}:${bound}`), ...tcp.hosts])
      hosts.add(name.toLowerCase());
    listen.push(hostPort(host, bound));
  }
  return { servers, listen };
}

function upgrade(request: IncomingMessage, socket: Duplex, head: Buffer, way: Way): void {
  const refuse = (status: string): void => void socket.end(`HTTP/1.1 ${status}\r\nConnection: close\r\n\r\n`);
  socket.on("error", () => socket.destroy());
  try {
    const role = roleOf(request, way);
    const { pathname } = new URL(request.url ?? "/", "http://weir");
    if (pathname !== "/live" || way.tcp?.live === undefined) return refuse("404 Not Found");
    way.tcp.live(request, socket, head, role);
  } catch (error) {
    refuse(error instanceof Problem && error.status === 401 ? "401 Unauthorized" : "403 Forbidden");
  }
}

export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const closing = new AbortController();
  const checkMs = Math.min(1000, options.requestTimeoutMs ?? 10_000);
  const server = createServer({ maxHeaderSize: 16_384, connectionsCheckingInterval: checkMs }, (request, response) => {
    void serve(options, request, response, closing.signal, BY_SOCKET);
  });
  limit(server, options);
  await listenOnSocket(server, options.socket, options.uid);
  server.on("error", (error) => options.log("error", `api: ${error.message}`));
  let tcp: { servers: Server[]; listen: string[] } = { servers: [], listen: [] };
  if (options.tcp !== undefined)
    try {
      tcp = await listenOnTcp(options, options.tcp, closing.signal);
    } catch (error) {
      server.close();
      throw error;
    }
  return {
    socket: options.socket,
    listen: tcp.listen,
    close: () =>
      new Promise((resolve) => {
        closing.abort();
        for (const one of tcp.servers) {
          one.close();
          one.closeAllConnections();
        }
        // node:net takes the socket file away when it closes; a stranger's file at its place stays.
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 200).unref();
      }),
  };
}
