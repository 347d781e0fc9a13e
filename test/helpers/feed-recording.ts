/**
 * The feed of a running switch, recorded and played again: what `/live` said, message by message with its time. Played, it
 * begins anew when it is over, its times are now and its flows are new ones each time round, so that a page can be watched
 * for hours on a minute of a busy switch. As a file: one JSON object a line, gzipped.
 */
import { writeFileSync, openSync, writeSync, closeSync, readFileSync } from "node:fs";
import { createServer, type IncomingMessage, type ServerResponse } from "node:http";
import type { AddressInfo } from "node:net";
import { join } from "node:path";
import { gunzipSync, gzipSync } from "node:zlib";
import { WebSocket, WebSocketServer } from "ws";
import { pageFiles } from "../../src/live/page-files.ts";
import { projectRoot } from "./captures.ts";

export interface Recorded {
  /** Since the first message. */
  readonly afterMs: number;
  readonly message: Record<string, unknown>;
}

const TOP_FLOWS = 40;
const INTERVAL_MS = 1000;

/** What a client of the switch at `port` is told for so long. */
export async function recordFeed(port: number, seconds: number): Promise<Recorded[]> {
  const socket = new WebSocket(`ws://127.0.0.1:${port}/live`);
  const recorded: Recorded[] = [];
  let beganMs = 0;
  await new Promise<void>((resolve, reject) => {
    socket.on("error", reject);
    socket.on("open", () =>
      socket.send(JSON.stringify({ type: "subscribe", top: TOP_FLOWS, intervalMs: INTERVAL_MS })),
    );
    socket.on("message", (data) => {
      const nowMs = performance.now();
      if (recorded.length === 0) {
        beganMs = nowMs;
        setTimeout(resolve, seconds * 1000);
      }
      recorded.push({ afterMs: nowMs - beganMs, message: JSON.parse(String(data)) as Record<string, unknown> });
    });
  });
  socket.close();
  return recorded;
}

export function saveRecording(path: string, recorded: readonly Recorded[]): void {
  writeFileSync(path, gzipSync(recorded.map((one) => JSON.stringify(one)).join("\n")));
}

export function loadRecording(path: string): Recorded[] {
  return gunzipSync(readFileSync(path))
    .toString()
    .split("\n")
    .map((line) => JSON.parse(line) as Recorded);
}

/** Moves every time of a message, and gives flows names of this round. */
function again(value: unknown, byMs: number, round: number): unknown {
  if (Array.isArray(value)) return value.map((one) => again(one, byMs, round));
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => {
      if (typeof inner === "number" && inner > 1e12 && key.endsWith("Ms")) return [key, inner + byMs];
      if (key === "id" && typeof inner === "string" && inner.includes("/")) return [key, `${inner}.${round}`];
      return [key, again(inner, byMs, round)];
    }),
  );
}

export interface Played {
  readonly url: string;
  /** Messages sent to all clients, and flows that they named, each counted once. */
  readonly sent: () => { readonly messages: number; readonly flows: number };
  close(): Promise<void>;
}

/** Serves the page and plays a recording to it. A client is told the last `pastMs` at once. */
export async function playFeed(recorded: readonly Recorded[], pastMs = 0): Promise<Played> {
  const files = pageFiles(join(projectRoot, "dist/page"));
  const server = createServer((request: IncomingMessage, response: ServerResponse) => {
    const { pathname } = new URL(request.url ?? "/", "http://x");
    if (files(pathname, request, response)) return;
    response
      .writeHead(404, { "content-type": "application/problem+json" })
      .end('{"detail":"a recording answers nothing"}');
  });
  const sockets = new WebSocketServer({ server, path: "/live" });
  let messages = 0;
  const flows = new Set<string>();
  const firstMs = recorded[0]!.message["atMs"] as number;
  const lengthMs = recorded.at(-1)!.afterMs + INTERVAL_MS;
  sockets.on("connection", (socket: WebSocket) => {
    let timer: NodeJS.Timeout | undefined;
    let at = 0;
    let round = 0;
    const beganMs = performance.now() - pastMs;
    const shiftMs = Date.now() - pastMs - firstMs;
    const next = (): void => {
      const { message } = recorded[at]!;
      const moved = again(message, shiftMs + round * lengthMs, round) as Record<string, unknown>;
      const type = at === 0 && round === 0 ? "snapshot" : "delta";
      for (const flow of (moved["flows"] ?? []) as { id: string }[]) flows.add(flow.id);
      socket.send(JSON.stringify({ ...moved, type, seq: round * recorded.length + at + 1 }));
      messages++;
      at++;
      if (at === recorded.length) {
        at = 0;
        round++;
      }
      const dueMs = beganMs + round * lengthMs + recorded[at]!.afterMs;
      timer = setTimeout(next, Math.max(0, dueMs - performance.now()));
    };
    socket.on("message", (data) => {
      if (timer === undefined && String(data).includes('"subscribe"')) next();
    });
    socket.on("close", () => clearTimeout(timer));
  });
  await new Promise<void>((done) => server.listen(0, "127.0.0.1", done));
  return {
    url: `http://127.0.0.1:${(server.address() as AddressInfo).port}/`,
    sent: () => ({ messages, flows: flows.size }),
    close: async () => {
      for (const socket of sockets.clients) socket.terminate();
      sockets.close();
      server.closeAllConnections();
      await new Promise((done) => server.close(done));
    },
  };
}

/** pcap with times in ns (draft-ietf-opsawg-pcap). */
const PCAP_NS = 0xa1b23c4d;
const FRAME = 60;
const RECORD = 16 + FRAME;

/** A capture of UDP datagrams, each of a flow of its own, `perSecond` of them. */
export function writeChurn(path: string, frames: number, perSecond: number, to: Buffer): void {
  const file = openSync(path, "w");
  const head = Buffer.alloc(24);
  head.writeUInt32LE(PCAP_NS, 0);
  head.writeUInt16LE(2, 4);
  head.writeUInt16LE(4, 6);
  head.writeUInt32LE(65_535, 16);
  head.writeUInt32LE(1, 20);
  writeSync(file, head);
  const CHUNK = 10_000;
  for (let from = 0; from < frames; from += CHUNK) {
    const count = Math.min(CHUNK, frames - from);
    const chunk = Buffer.alloc(count * RECORD);
    for (let i = 0; i < count; i++) churnFrame(chunk, i * RECORD, from + i, perSecond, to);
    writeSync(file, chunk);
  }
  closeSync(file);
}

function churnFrame(into: Buffer, at: number, n: number, perSecond: number, to: Buffer): void {
  const ns = Math.floor((n * 1e9) / perSecond);
  into.writeUInt32LE(1_700_000_000 + Math.floor(ns / 1e9), at);
  into.writeUInt32LE(ns % 1e9, at + 4);
  into.writeUInt32LE(FRAME, at + 8);
  into.writeUInt32LE(FRAME, at + 12);
  const ethernet = at + 16;
  to.copy(into, ethernet);
  into.write("525400090901", ethernet + 6, "hex");
  into.writeUInt16BE(0x0800, ethernet + 12);
  const ip = ethernet + 14;
  into[ip] = 0x45;
  into.writeUInt16BE(FRAME - 14, ip + 2);
  into[ip + 8] = 64;
  into[ip + 9] = 17;
  into.writeUInt32BE(0x0a400000 + (n >>> 6), ip + 12);
  into.writeUInt32BE(0x0a010005, ip + 16);
  let sum = 0;
  for (let i = 0; i < 20; i += 2) sum += into.readUInt16BE(ip + i);
  while (sum > 0xffff) sum = (sum & 0xffff) + (sum >>> 16);
  into.writeUInt16BE(~sum & 0xffff, ip + 10);
  const udp = ip + 20;
  into.writeUInt16BE(1024 + (n & 63), udp);
  into.writeUInt16BE(53, udp + 2);
  into.writeUInt16BE(FRAME - 34, udp + 4);
}
