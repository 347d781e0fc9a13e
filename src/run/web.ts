/** The API on TCP: the live view's files, its feed, tokens, TLS, put together from the configuration. */
import { readFileSync } from "node:fs";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import { WebSocketServer } from "ws";
import { hashOf, readToken, roleOfToken, type Token } from "../api/access.ts";
import type { TcpOptions } from "../api/server.ts";
import type { SwitchView } from "../api/switch.ts";
import type { ApiConfig } from "../config/config.ts";
import { Feed } from "../live/feed.ts";
import { pageFiles } from "../live/page-files.ts";

/** A subscription is short; nothing else is said. */
const MAX_MESSAGE_BYTES = 8192;
const MAX_CLIENTS = 256;

export interface Web {
  readonly tcp: TcpOptions;
  close(): void;
}

/** Throws an Error that names the file: a token, a certificate. */
export function openWeb(api: ApiConfig, view: SwitchView, operatorKey: string | undefined, now: () => number): Web {
  const tokens: Token[] = api.tokens.map(({ name, role, file, sha256 }) => {
    return { name, role, hash: file === undefined ? Buffer.from(sha256!, "hex") : readToken(file) };
  });
  if (operatorKey !== undefined) tokens.push({ name: "link", role: "operator", hash: hashOf(operatorKey) });
  const feed = new Feed({ view, now, roleOf: (token) => roleOfToken(tokens, token) });
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });
  const tcp: TcpOptions = {
    listen: api.listen,
    tokens,
    hosts: api.hosts,
    ...(api.tls && { tls: { cert: readFileSync(api.tls.cert), key: readFileSync(api.tls.key) } }),
    page: pageFiles(pageFolder()),
    live(request, socket, head, role) {
      if (feed.size >= MAX_CLIENTS)
        return void socket.end("HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\n\r\n");
      sockets.handleUpgrade(request, socket, head, (client) => feed.attach(client, role));
    },
  };
  return {
    tcp,
    close() {
      feed.close();
      sockets.close();
    },
  };
}

/** dist/page: beside dist/weir.js, or three folders above the compiled tests' modules. */
function pageFolder(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith("/dist") ? join(here, "page") : join(here, "../../../page");
}
