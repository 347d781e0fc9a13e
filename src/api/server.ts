/**
 * The API on the Unix socket: operator, for the socket's permissions are its lock, and free of the limits that strangers
 * need. Failing to start is the caller's to report, never to die of.
 */
import { createServer } from "node:http";
import { type ConnectionBounds, Connections } from "./bounds.ts";
import { attend, SERVER_SETTINGS, type Site, type Way } from "./exchange.ts";
import { Problem } from "./problem.ts";
import { listenOnSocket } from "./socket.ts";

export interface ApiOptions extends Site {
  readonly socket: string;
  readonly uid: number;
  readonly connections?: ConnectionBounds;
}

export interface ApiServer {
  readonly socket: string;
  /** Ends streams and connections, takes the socket away. */
  close(): Promise<void>;
}

/** Throws an Error that names the path and the fix. */
export async function startApi(options: ApiOptions): Promise<ApiServer> {
  const closing = new AbortController();
  const connections = new Connections(options.connections);
  const way: Way = {
    hasPage: false,
    closing: closing.signal,
    admit({ headers }) {
      // Only a browser says where a page came from, and no page has business on this socket.
      if (headers.origin !== undefined) throw new Problem(403, "requests of web pages are not taken here");
      return { role: "operator" };
    },
    asks: (socket) => connections.asks(socket),
    joins: (socket) => connections.becomesFeed(socket),
  };
  const checkMs = Math.min(1000, options.requestTimeoutMs ?? 10_000);
  const server = createServer({ ...SERVER_SETTINGS, connectionsCheckingInterval: checkMs });
  connections.watch(server);
  await listenOnSocket(server, options.socket, options.uid);
  attend(server, options, way);
  return {
    socket: options.socket,
    close: () =>
      new Promise((resolve) => {
        closing.abort();
        // node:net takes the socket file away when it closes; a stranger's file at its place stays.
        server.close(() => resolve());
        server.closeIdleConnections();
        // Those of the feed too, which the server itself no longer knows.
        setTimeout(() => connections.destroy(), 200).unref();
      }),
  };
}
