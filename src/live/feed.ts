/**
 * The feed behind `/live`: one websocket a client, first a snapshot, then what changed, numbered. README.md has the rules,
 * `messages.ts` the messages.
 *
 * Clients with equal subscriptions share a stream: its messages are worked out and written once. Without clients nothing
 * is. A client that does not keep up misses messages, is told how many, and gets a snapshot next.
 */
import type { WebSocket } from "ws";
import type { Credential, Role, SwitchView } from "../api/switch.ts";
import { Board, type Part } from "./board.ts";
import { FlowLists, type FlowsPart } from "./flow-lists.ts";
import { textFrame } from "./frame.ts";
import type { PartName, ServerMessage, SubscribeMessage } from "./messages.ts";
import { Stream, withParts } from "./stream.ts";
import { MIN_INTERVAL_MS, readSubscription, type Subscription } from "./subscription.ts";

/** Who may what, and who may no more. */
export interface FeedAccess {
  /** Who has this token; undefined: it is none. */
  identify(token: string): Credential | undefined;
  /** Tell when the role of a credential changes; undefined: it has none any more. Returns what ends the telling. */
  hold(who: Credential, changed: (role: Role | undefined) => void): () => void;
}

export interface FeedOptions {
  readonly view: SwitchView;
  /** Unix ms. */
  readonly now: () => number;
  /** Ms of a clock that never goes back. */
  readonly uptime: () => number;
  readonly access: FeedAccess;
}

/** Between two looks at what is due. */
const TICK_MS = 50;
/** Waiting for a client in its socket, bytes: above this it misses messages. */
const MOST_WAITING = 1 << 20;
/** Flows that are not there after so long are left out of a message; the first ones are waited for longer. */
const FLOWS_WAIT_MS = 500;
const FIRST_FLOWS_WAIT_MS = 3000;
/** A client that answers no ping for so long is dead. */
const PING_MS = 30_000;
/** A stream that its last client left can be resumed for so long. */
const LINGER_MS = 30_000;
const MOST_LINGERING = 32;
/** Of a client: messages at once, and a second. A filter that is typed is a message a key. */
const BURST = 50;
const PER_SECOND = 10;

/** The connection below a websocket. */
export interface Line {
  write(frame: Buffer): unknown;
}

export interface Client {
  readonly socket: WebSocket;
  /** What `socket` writes to. Whole frames are written past it: it has no extension, so it never holds back one of its own. */
  readonly line: Line;
  role: Role;
  /** Ends the watch on the token that gave the role. */
  release: () => void;
  stream: Stream | undefined;
  /** Messages that it did not get, for it was slow. */
  missed: number;
  needsSnapshot: boolean;
  /** It said something since the last ping. */
  isAlive: boolean;
  messagesLeft: number;
  heardMs: number;
}

export class Feed {
  private readonly options: FeedOptions;
  private readonly board: Board;
  private readonly lists: FlowLists;
  private readonly streams = new Map<string, Stream>();
  private readonly clients = new Set<Client>();
  private timer: NodeJS.Timeout | undefined;
  private pinger: NodeJS.Timeout | undefined;
  private isTurning = false;
  private isClosed = false;

  constructor(options: FeedOptions) {
    this.options = options;
    this.board = new Board(options.view, options.uptime);
    this.lists = new FlowLists(options.view, options.uptime);
  }

  get size(): number {
    return this.clients.size;
  }

  /** Serve a client until it leaves. */
  attach(socket: WebSocket, line: Line, who: Credential): void {
    const client: Client = {
      socket,
      line,
      role: who.role,
      release: () => {},
      stream: undefined,
      missed: 0,
      needsSnapshot: true,
      isAlive: true,
      messagesLeft: BURST,
      heardMs: this.options.uptime(),
    };
    this.clients.add(client);
    this.pinger ??= setInterval(() => this.ping(), PING_MS).unref();
    this.watch(client, who);
    socket.on("message", (data, isBinary) => {
      client.isAlive = true;
      if (isBinary) return socket.close(1003, "text messages only");
      if (!this.mayTalk(client)) return socket.close(1008, "too many messages");
      this.hear(client, (data as Buffer).toString());
    });
    socket.on("pong", () => (client.isAlive = true));
    socket.on("error", () => socket.terminate());
    socket.on("close", () => {
      this.leave(client);
      client.release();
      this.clients.delete(client);
      if (this.clients.size > 0) return;
      clearInterval(this.pinger);
      this.pinger = undefined;
    });
  }

  close(): void {
    this.isClosed = true;
    clearInterval(this.timer);
    clearInterval(this.pinger);
    for (const stream of this.streams.values()) clearTimeout(stream.lingering);
    this.streams.clear();
    for (const { socket } of this.clients) socket.close(1001, "the switch ends");
  }

  private ping(): void {
    for (const client of this.clients) {
      if (!client.isAlive) client.socket.terminate();
      client.isAlive = false;
      if (client.socket.readyState === client.socket.OPEN) client.socket.ping();
    }
  }

  private mayTalk(client: Client): boolean {
    const nowMs = this.options.uptime();
    client.messagesLeft = Math.min(BURST, client.messagesLeft + ((nowMs - client.heardMs) * PER_SECOND) / 1000) - 1;
    client.heardMs = nowMs;
    return client.messagesLeft >= 0;
  }

  /** From now on the client is who `who` is, for as long as that token is one. */
  private watch(client: Client, who: Credential): void {
    client.release();
    client.role = who.role;
    client.needsSnapshot = true;
    client.release = this.options.access.hold(who, (role) => {
      if (role === undefined) {
        this.leave(client);
        return client.socket.close(4401, "that token is none any more");
      }
      client.role = role;
      client.needsSnapshot = true;
    });
  }

  private hear(client: Client, text: string): void {
    let message: Record<string, unknown>;
    try {
      const parsed: unknown = JSON.parse(text);
      if (typeof parsed !== "object" || parsed === null) throw new Error("no object");
      message = parsed as Record<string, unknown>;
    } catch {
      return client.socket.close(1007, "a message is a JSON object");
    }
    if (message["type"] === "hello") {
      const { token } = message;
      const who = typeof token === "string" ? this.options.access.identify(token) : undefined;
      if (who === undefined) return client.socket.close(4401, "that token is none");
      this.watch(client, who);
    } else if (message["type"] === "subscribe") {
      const asked = readSubscription(message);
      if (typeof asked === "string") return this.tell(client, { type: "error", message: asked });
      try {
        this.join(client, asked.subscription, asked.resume);
      } catch (error) {
        this.tell(client, { type: "error", message: (error as Error).message });
      }
    } else this.tell(client, { type: "error", message: "type: hello or subscribe" });
  }

  private tell({ socket }: Client, message: ServerMessage): void {
    if (socket.readyState === socket.OPEN) socket.send(JSON.stringify(message));
  }

  // ---- streams ----------------------------------------------------------------------------------------------------------

  /** Throws an Error where the flows that it asks for cannot be. */
  private join(client: Client, asked: Subscription, resume: SubscribeMessage["resume"]): void {
    const key = JSON.stringify(asked);
    const nowMs = this.options.uptime();
    let stream = this.streams.get(key);
    if (stream === undefined) {
      const wantsFlows = asked.parts.includes("flows") || asked.parts.includes("flowsTotal");
      stream = new Stream(key, asked, wantsFlows ? this.lists.take(asked) : undefined, nowMs);
      this.streams.set(key, stream);
    }
    if (client.stream !== stream) this.leave(client);
    clearTimeout(stream.lingering);
    stream.lingering = undefined;
    stream.clients.add(client);
    client.stream = stream;
    const missing = resume?.epoch === stream.epoch ? stream.since(resume.seq) : undefined;
    client.needsSnapshot = missing === undefined;
    if (missing !== undefined) {
      const { epoch } = stream;
      this.tell(client, { type: "resumed", epoch, seq: resume!.seq, atMs: this.options.now(), role: client.role });
      for (const frame of missing) client.line.write(frame);
    }
    stream.dueMs = Math.min(stream.dueMs, Math.max(nowMs, stream.toldMs + MIN_INTERVAL_MS));
    this.timer ??= setInterval(() => void this.turn(), TICK_MS);
    setImmediate(() => void this.turn());
  }

  private leave(client: Client): void {
    const { stream } = client;
    if (stream === undefined) return;
    client.stream = undefined;
    stream.clients.delete(client);
    if (stream.clients.size > 0) return;
    stream.pendingMs = undefined;
    stream.lingering = setTimeout(() => this.forget(stream), LINGER_MS).unref();
    const lingering = [...this.streams.values()].filter(({ clients }) => clients.size === 0);
    if (lingering.length > MOST_LINGERING) this.forget(lingering[0]!);
    if (lingering.length < this.streams.size) return;
    clearInterval(this.timer);
    this.timer = undefined;
  }

  private forget(stream: Stream): void {
    clearTimeout(stream.lingering);
    if (stream.list !== undefined) this.lists.give(stream.list);
    this.streams.delete(stream.key);
    this.board.keep([...this.streams.values()].map(({ asked }) => asked.scope));
  }

  // ---- rounds -----------------------------------------------------------------------------------------------------------

  /** What is due is read, once for all, and told. */
  private async turn(): Promise<void> {
    if (this.isTurning || this.isClosed) return;
    const nowMs = this.options.uptime();
    const pending = [...this.streams.values()].filter((stream) => stream.isPending(nowMs));
    const stale = new Set<FlowsPart>();
    for (const { list, pendingMs } of pending) if (list !== undefined && list.readMs < pendingMs!) stale.add(list);
    this.lists.pass(stale, (error) => {
      for (const stream of this.streams.values())
        if (error !== undefined && stream.list !== undefined && stale.has(stream.list)) this.tellAll(stream, error);
      void this.turn();
    });
    const ready = pending.filter((stream) => hasFlows(stream, nowMs));
    if (ready.length === 0) return;
    this.isTurning = true;
    try {
      await this.board.refresh(new Set(ready.flatMap(({ asked }) => asked.parts)));
      for (const stream of ready) {
        stream.pendingMs = undefined;
        stream.toldMs = nowMs;
        this.publish(stream);
        // Each is about a millisecond: others have their turn between them.
        await new Promise((resolve) => setImmediate(resolve));
      }
    } catch (error) {
      for (const stream of ready) this.tellAll(stream, error as Error);
    } finally {
      this.isTurning = false;
    }
  }

  private tellAll(stream: Stream, { message }: Error): void {
    stream.pendingMs = undefined;
    for (const client of stream.clients) this.tell(client, { type: "error", message });
  }

  private publish(stream: Stream): void {
    const atMs = this.options.now();
    const { scope } = stream.asked;
    const parts: [PartName, Part][] = [];
    for (const name of stream.asked.parts) {
      const part =
        name === "flows"
          ? stream.list?.flows
          : name === "flowsTotal"
            ? stream.list?.total
            : this.board.part(name, scope);
      if (part !== undefined) parts.push([name, part]);
    }
    const delta = stream.next(parts, atMs);
    /** By what stands before the parts: equal for most who came together. */
    const snapshots = new Map<string, Buffer>();
    const { epoch, seq } = stream;
    for (const client of stream.clients) {
      const { socket, line } = client;
      if (socket.readyState !== socket.OPEN) continue;
      if (socket.bufferedAmount > MOST_WAITING) {
        client.missed++;
        client.needsSnapshot = true;
      } else if (client.needsSnapshot) {
        client.needsSnapshot = false;
        const { role, missed } = client;
        const head = JSON.stringify({ type: "snapshot", epoch, seq, atMs, role, ...(missed > 0 && { missed }) });
        let frame = snapshots.get(head);
        if (frame === undefined) snapshots.set(head, (frame = textFrame(withParts(head, parts))));
        line.write(frame);
      } else line.write(delta);
    }
  }
}

/** What it tells of flows is of now, or has been waited for long enough. */
function hasFlows({ list, pendingMs }: Stream, nowMs: number): boolean {
  if (list === undefined || list.readMs >= pendingMs!) return true;
  return nowMs - pendingMs! > (list.readMs === -Infinity ? FIRST_FLOWS_WAIT_MS : FLOWS_WAIT_MS);
}
