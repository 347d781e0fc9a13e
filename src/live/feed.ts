/**
 * The feed behind `/live`: one websocket a client, first a snapshot, then what changed, numbered. README.md has the messages.
 *
 * Equal subscriptions are worked out once; without clients nothing is. A client that does not keep up misses messages, is
 * told how many, and gets a snapshot next.
 */
import type { WebSocket } from "ws";
import type { Credential, Role, SwitchView } from "../api/switch.ts";

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
  readonly access: FeedAccess;
}

const MIN_INTERVAL_MS = 200;
const MAX_INTERVAL_MS = 60_000;
const MOST_FLOWS = 200;
const MOST_WHERE = 1000;
/** Waiting for a client in its socket, bytes: above this it misses messages. */
const MOST_WAITING = 1 << 20;
/** The audit reads the whole table: not at every message. */
const AUDIT_EVERY_MS = 5000;
const DROPS_WINDOW_MS = 60_000;

interface Subscription {
  readonly where: string;
  readonly sort: string;
  readonly top: number;
  readonly intervalMs: number;
}

/** Parts of a message as JSON text, by name. */
type Parts = Map<string, string>;

interface Client {
  readonly socket: WebSocket;
  role: Role;
  /** Ends the watch on the token that gave the role. */
  release: () => void;
  group: Group | undefined;
  sequence: number;
  /** Messages that it did not get, for it was slow. */
  missed: number;
  needsSnapshot: boolean;
}

class Group {
  readonly key: string;
  readonly asked: Subscription;
  readonly clients = new Set<Client>();
  parts: Parts = new Map();
  timer: NodeJS.Timeout | undefined;
  isBusy = false;

  constructor(key: string, asked: Subscription) {
    this.key = key;
    this.asked = asked;
  }
}

export class Feed {
  private readonly options: FeedOptions;
  private readonly groups = new Map<string, Group>();
  private readonly clients = new Set<Client>();
  private audit = "[]";
  private auditAtMs = -Infinity;

  constructor(options: FeedOptions) {
    this.options = options;
  }

  get size(): number {
    return this.clients.size;
  }

  /** Serve a client until it leaves. */
  attach(socket: WebSocket, who: Credential): void {
    const client: Client = {
      socket,
      role: who.role,
      release: () => {},
      group: undefined,
      sequence: 0,
      missed: 0,
      needsSnapshot: true,
    };
    this.clients.add(client);
    this.watch(client, who);
    socket.on("message", (data, isBinary) => {
      if (isBinary) return socket.close(1003, "text messages only");
      this.hear(client, (data as Buffer).toString());
    });
    socket.on("error", () => socket.terminate());
    socket.on("close", () => {
      this.leave(client);
      client.release();
      this.clients.delete(client);
    });
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

  close(): void {
    for (const group of this.groups.values()) clearInterval(group.timer);
    this.groups.clear();
    for (const { socket } of this.clients) socket.close(1001, "the switch ends");
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
      const asked = subscription(message);
      if (typeof asked === "string") return this.tell(client, { type: "error", message: asked });
      this.leave(client);
      this.join(client, asked);
    } else this.tell(client, { type: "error", message: "type: hello or subscribe" });
  }

  private tell(client: Client, message: object): void {
    if (client.socket.readyState === client.socket.OPEN) client.socket.send(JSON.stringify(message));
  }

  private join(client: Client, asked: Subscription): void {
    const key = JSON.stringify(asked);
    let group = this.groups.get(key);
    if (group === undefined) {
      group = new Group(key, asked);
      this.groups.set(key, group);
      const mine = group;
      group.timer = setInterval(() => void this.turn(mine), asked.intervalMs);
    }
    group.clients.add(client);
    client.group = group;
    client.needsSnapshot = true;
    void this.turn(group);
  }

  private leave(client: Client): void {
    const { group } = client;
    if (group === undefined) return;
    client.group = undefined;
    group.clients.delete(client);
    if (group.clients.size > 0) return;
    clearInterval(group.timer);
    this.groups.delete(group.key);
  }

  private async turn(group: Group): Promise<void> {
    if (group.isBusy) return;
    group.isBusy = true;
    try {
      const before = group.parts;
      group.parts = await this.collect(group.asked);
      const atMs = this.options.now();
      const changed = [...group.parts].filter(([name, text]) => before.get(name) !== text);
      for (const client of group.clients) this.send(client, atMs, group.parts, changed);
    } catch (error) {
      for (const client of group.clients) this.tell(client, { type: "error", message: (error as Error).message });
    } finally {
      group.isBusy = false;
    }
  }

  private send(client: Client, atMs: number, parts: Parts, changed: readonly (readonly [string, string])[]): void {
    const { socket } = client;
    if (socket.readyState !== socket.OPEN) return;
    if (socket.bufferedAmount > MOST_WAITING) {
      client.missed++;
      client.needsSnapshot = true;
      return;
    }
    const isSnapshot = client.needsSnapshot;
    client.needsSnapshot = false;
    const head = {
      type: isSnapshot ? "snapshot" : "delta",
      seq: ++client.sequence,
      atMs,
      role: client.role,
      ...(client.missed > 0 && { missed: client.missed }),
    };
    const body = [...(isSnapshot ? parts : changed)].map(([name, text]) => `,"${name}":${text}`).join("");
    socket.send(`${JSON.stringify(head).slice(0, -1)}${body}}`);
  }

  private async collect({ where, sort, top }: Subscription): Promise<Parts> {
    const { view, now } = this.options;
    const { items, total } = await view.flows({ ...(where !== "" && { where }), sort, limit: top });
    const drops = await view.drops({ since: DROPS_WINDOW_MS, all: false });
    if (now() - this.auditAtMs >= AUDIT_EVERY_MS) {
      this.auditAtMs = now();
      this.audit = JSON.stringify(await view.audit());
    }
    const parts: Record<string, unknown> = {
      system: await view.system(),
      ports: await view.ports(),
      tenants: await view.tenants(),
      flows: items,
      flowsTotal: total,
      drops: drops.items,
      lost: drops.lost,
      expected: drops.expected,
      exporters: await view.exporters(),
      mirrors: await view.mirrors(),
    };
    const texts = Object.entries(parts).map(([name, value]): [string, string] => [name, JSON.stringify(value)]);
    return new Map([...texts, ["audit", this.audit]]);
  }
}

/** What a client asks for, or what is wrong with it. */
function subscription(message: Readonly<Record<string, unknown>>): Subscription | string {
  const { where = "", sort = "-bps", top = 40, intervalMs = 1000 } = message;
  if (typeof where !== "string" || where.length > MOST_WHERE) return `where: text of ${MOST_WHERE} characters at most`;
  if (typeof sort !== "string" || !/^-?\w{1,40}$/.test(sort))
    return "sort: a key of the flow, - before it for the largest first";
  if (!Number.isInteger(top) || (top as number) < 1 || (top as number) > MOST_FLOWS) return `top: 1 to ${MOST_FLOWS}`;
  if (
    !Number.isInteger(intervalMs) ||
    (intervalMs as number) < MIN_INTERVAL_MS ||
    (intervalMs as number) > MAX_INTERVAL_MS
  )
    return `intervalMs: ${MIN_INTERVAL_MS} to ${MAX_INTERVAL_MS}`;
  return { where, sort, top: top as number, intervalMs: intervalMs as number };
}
