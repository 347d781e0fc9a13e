/**
 * One HTTP exchange, whichever way it came: who asks, what for, and the answer. Every failure becomes a problem; none is
 * thrown. Two ways lead here: the Unix socket (`server.ts`) and TCP (`tcp.ts`).
 */
import type { IncomingMessage, Server, ServerResponse } from "node:http";
import type { Duplex } from "node:stream";
import { readJson, send, sendProblem } from "./http.ts";
import { Problem } from "./problem.ts";
import { routes, type Route } from "./routes.ts";
import type { Credential, Role, SwitchView } from "./switch.ts";

/** What is served, the same on every way. */
export interface Site {
  readonly view: SwitchView;
  /** Unix ms. */
  readonly now: () => number;
  readonly log: (level: "info" | "warn" | "error", message: string) => void;
  /** Takes over a connection that asks for `/live`. */
  readonly live?: (request: IncomingMessage, socket: Duplex, head: Buffer, who: Credential) => void;
  /** Answers for the page's own paths; false: they are none of its. */
  readonly page?: (path: string, request: IncomingMessage, response: ServerResponse) => boolean;
  /** For a whole request to arrive, ms. */
  readonly requestTimeoutMs?: number;
}

/** How a request came, and what that means. */
export interface Way {
  /** Who asks. Throws a Problem: 403 for strangers, 401 for a token that is none, 429 for too often. */
  admit(request: IncomingMessage): Credential;
  /** A request came on this connection. Throws a Problem (503). */
  asks(socket: Duplex): void;
  /** It becomes a client of the feed. Throws a Problem (503). */
  joins(socket: Duplex): void;
  /** A token for the key of a link. */
  redeem?(key: string): { token: string; role: Role } | undefined;
  /** Tell when the role of a credential changes; undefined: it has none any more. Returns what ends the telling. */
  hold?(who: Credential, changed: (role: Role | undefined) => void): () => void;
  /** The page is shown here. */
  readonly hasPage: boolean;
  /** Aborted when this way is closed. */
  readonly closing: AbortSignal;
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
function match(method: string, path: string): { route: Route; params: Record<string, string> } {
  const asked = method === "HEAD" ? "GET" : method;
  const here = table.flatMap(({ route, pattern }) => {
    const found = pattern.exec(path);
    return found === null ? [] : [{ route, groups: found.groups ?? {} }];
  });
  if (here.length === 0) throw new Problem(404, `there is nothing at ${path}; /api/v1/system is a start`);
  const chosen = here.find(({ route }) => route.method === asked);
  if (chosen === undefined) {
    const allow = here.map(({ route }) => route.method).join(", ");
    throw new Problem(405, `${path} takes ${allow}`, [], { Allow: allow });
  }
  const params = Object.fromEntries(Object.entries(chosen.groups).map(([name, value]) => [name, decode(value)]));
  return { route: chosen.route, params };
}

const pathOf = ({ url }: IncomingMessage): URL => new URL(url ?? "/", "http://weir");

export async function serve(site: Site, way: Way, request: IncomingMessage, response: ServerResponse): Promise<void> {
  const gone = new AbortController();
  const leave = (): void => gone.abort();
  response.on("close", leave);
  way.closing.addEventListener("abort", leave);
  let release = (): void => {};
  try {
    way.asks(request.socket);
    const who = way.admit(request);
    const url = pathOf(request);
    if (way.hasPage && site.page?.(url.pathname, request, response) === true) return;
    const { route, params } = match(request.method ?? "GET", url.pathname);
    if (route.role === "operator" && who.role !== "operator")
      throw new Problem(403, `${url.pathname}: this needs the role operator; give a token that has it`);
    // A stream goes on only as long as its token would open it. An answer on its way is let out.
    const changed = (role: Role | undefined): void => {
      if (response.headersSent && (role === undefined || (route.role === "operator" && role !== "operator")))
        response.destroy();
    };
    release = way.hold?.(who, changed) ?? release;
    const hasBody = route.method === "PUT" || route.method === "PATCH" || route.method === "POST";
    const body = hasBody ? await readJson(request) : undefined;
    const { accept = "" } = request.headers;
    const call = {
      view: site.view,
      params,
      query: url.searchParams,
      body,
      accept,
      nowMs: site.now(),
      signal: gone.signal,
      redeem: (key: string) => way.redeem?.(key),
    };
    await send(response, await route.handle(call));
  } catch (error) {
    if (gone.signal.aborted && response.destroyed) return;
    if (error instanceof Problem) return sendProblem(response, error);
    site.log("error", `api: ${request.method} ${request.url}: ${(error as Error).stack ?? String(error)}`);
    sendProblem(response, new Problem(500, "the switch failed to answer; its log says why"));
  } finally {
    release();
    way.closing.removeEventListener("abort", leave);
  }
}

/** A request to become a websocket. */
function upgrade(site: Site, way: Way, request: IncomingMessage, socket: Duplex, head: Buffer): void {
  socket.on("error", () => socket.destroy());
  try {
    const who = way.admit(request);
    if (pathOf(request).pathname !== "/live" || site.live === undefined)
      throw new Problem(404, "the feed is at /live; nothing else is a websocket");
    way.joins(socket);
    site.live(request, socket, head, who);
  } catch (error) {
    const problem = error instanceof Problem ? error : new Problem(400, "the request cannot be read");
    const { title } = problem.body();
    const more = Object.entries(problem.headers).map(([name, value]) => `${name}: ${value}\r\n`);
    socket.end(`HTTP/1.1 ${problem.status} ${title}\r\nConnection: close\r\n${more.join("")}\r\n`);
  }
}

export const SERVER_SETTINGS = { maxHeaderSize: 16_384, connectionsCheckingInterval: 1000 };

/** Let a server answer for a site, bounded in everything a client can make large, and outlive whatever it meets. */
export function attend(server: Server, site: Site, way: Way): void {
  server.requestTimeout = site.requestTimeoutMs ?? 10_000;
  server.headersTimeout = Math.min(5_000, server.requestTimeout);
  server.keepAliveTimeout = 5_000;
  server.maxHeadersCount = 64;
  // A reader that takes nothing for so long is gone; streams switch it off for themselves.
  server.timeout = 60_000;
  server.on("request", (request, response) => void serve(site, way, request, response));
  server.on("upgrade", (request, socket, head) => upgrade(site, way, request, socket, head));
  // An accept that fails is one connection less; without a listener it would be the end of the process.
  server.on("error", (error) => site.log("error", `api: ${error.message}`));
}
