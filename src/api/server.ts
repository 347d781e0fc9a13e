/**
 * The API's server: HTTP on the Unix socket (later on TCP too), bounded in everything a client can make large. It
 * serves `routes`; what stands behind them is a SwitchView. Failing to start is the caller's to report, never to die of.
 */
import { createServer, type IncomingMessage, type Server, type ServerResponse } from "node:http";
import { Problem } from "./problem.ts";
import { readJson, send, sendProblem } from "./http.ts";
import { routes, type Route } from "./routes.ts";
import { listenOnSocket } from "./socket.ts";
import type { SwitchView } from "./switch.ts";

export interface ApiOptions {
  readonly view: SwitchView;
  readonly socket: string;
  readonly uid: number;
  /** Unix ms. */
  readonly now: () => number;
  readonly log: (level: "info" | "warn" | "error", message: string) => void;
  readonly maxConnections?: number;
  /** For a whole request to arrive, ms. */
  readonly requestTimeoutMs?: number;
}

export interface ApiServer {
  readonly socket: string;
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

async function serve(options: ApiOptions, request: IncomingMessage, response: ServerResponse, closing: AbortSignal) {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  response.on("close", leave);
  closing.addEventListener("abort", leave);
  try {
    // Only a browser says where a page came from, and no page has business on this socket.
    if (request.headers.origin !== undefined) throw new Problem(403, "requests of web pages are not taken here");
    const url = new URL(request.url ?? "/", "http://weir");
    const { route, params } = match(request.method ?? "GET", url.pathname);
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

export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const closing = new AbortController();
  const checkMs = Math.min(1000, options.requestTimeoutMs ?? 10_000);
  const server = createServer({ maxHeaderSize: 16_384, connectionsCheckingInterval: checkMs }, (request, response) => {
    void serve(options, request, response, closing.signal);
  });
  limit(server, options);
  await listenOnSocket(server, options.socket, options.uid);
  server.on("error", (error) => options.log("error", `api: ${error.message}`));
  return {
    socket: options.socket,
    close: () =>
      new Promise((resolve) => {
        closing.abort();
        // node:net takes the socket file away when it closes; a stranger's file at its place stays.
        server.close(() => resolve());
        server.closeIdleConnections();
        setTimeout(() => server.closeAllConnections(), 200).unref();
      }),
  };
}
