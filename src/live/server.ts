/** The feed's end of a websocket: what the API hands over when `/live` is asked for. */
import type { IncomingMessage } from "node:http";
import type { Duplex } from "node:stream";
import { WebSocketServer } from "ws";
import type { Credential } from "../api/switch.ts";
import { Feed, type FeedOptions } from "./feed.ts";

/** A subscription is short; nothing else is said. */
const MAX_MESSAGE_BYTES = 8192;

export interface OpenFeed {
  live(request: IncomingMessage, socket: Duplex, head: Buffer, who: Credential): void;
  close(): void;
}

export function openFeed(options: FeedOptions): OpenFeed {
  const feed = new Feed(options);
  const sockets = new WebSocketServer({ noServer: true, maxPayload: MAX_MESSAGE_BYTES, perMessageDeflate: false });
  return {
    live: (request, socket, head, who) =>
      sockets.handleUpgrade(request, socket, head, (client) => feed.attach(client, socket, who)),
    close() {
      feed.close();
      sockets.close();
    },
  };
}
