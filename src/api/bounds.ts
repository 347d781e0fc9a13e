/** What one client, and all of them together, may take: connections, and requests in a time. */
import type { Server } from "node:http";
import type { Socket } from "node:net";
import type { Duplex } from "node:stream";
import { Problem } from "./problem.ts";

/** Connections that ask, and those of the feed, are bounded apart: neither keeps the other out. */
export interface ConnectionBounds {
  readonly plain: number;
  readonly feeds: number;
}

export const CONNECTIONS: ConnectionBounds = { plain: 128, feeds: 256 };

/** What each connection is, once it has asked for something. Until then it counts towards both bounds together. */
export class Connections {
  private readonly all = new Set<Duplex>();
  private readonly plain = new Set<Duplex>();
  private readonly feeds = new Set<Duplex>();
  private readonly bounds: ConnectionBounds;

  constructor(bounds: ConnectionBounds = CONNECTIONS) {
    this.bounds = bounds;
  }

  /** Count a server's connections; several servers may share the bounds. */
  watch(server: Server): void {
    server.maxConnections = this.bounds.plain + this.bounds.feeds;
    server.on("connection", (socket: Socket) => {
      if (this.all.size >= this.bounds.plain + this.bounds.feeds) return void socket.destroy();
      this.all.add(socket);
      socket.on("close", () => this.all.delete(socket));
    });
  }

  /** End all of them. */
  destroy(): void {
    for (const socket of this.all) socket.destroy();
  }

  /** A request came on it. Throws a Problem (503). */
  asks(socket: Duplex): void {
    take(this.plain, socket, this.bounds.plain, "connections");
  }

  /** It becomes a client of the feed. Throws a Problem (503). */
  becomesFeed(socket: Duplex): void {
    take(this.feeds, socket, this.bounds.feeds, "clients of the feed");
    this.plain.delete(socket);
  }
}

function take(set: Set<Duplex>, socket: Duplex, most: number, what: string): void {
  if (set.has(socket)) return;
  if (set.size >= most)
    throw new Problem(503, `${most} ${what} are open already`, [], { Connection: "close", "Retry-After": "5" });
  set.add(socket);
  socket.once("close", () => set.delete(socket));
}

/** Requests of one address: so many at once, and so many a second. A page with its captures needs ten. */
const BURST = 500;
const PER_SECOND = 100;
/** Addresses that are remembered; the one that was silent longest is forgotten first, and may ask BURST times anew. */
const MOST_ADDRESSES = 4096;

interface Bucket {
  left: number;
  atMs: number;
}

/** A token bucket for each address (IPv6: each /64, which is what one host has). Time is an argument. */
export class RequestRate {
  private readonly buckets = new Map<string, Bucket>();

  get size(): number {
    return this.buckets.size;
  }

  /** Throws a Problem (429). */
  take(address: string, nowMs: number): void {
    const key = networkOf(address);
    const old = this.buckets.get(key);
    const passedMs = Math.max(0, nowMs - (old?.atMs ?? nowMs));
    const bucket = { left: Math.min(BURST, (old?.left ?? BURST) + (passedMs * PER_SECOND) / 1000), atMs: nowMs };
    // Last in the map is who asked last.
    this.buckets.delete(key);
    this.buckets.set(key, bucket);
    if (this.buckets.size > MOST_ADDRESSES) this.buckets.delete(this.buckets.keys().next().value!);
    if (bucket.left < 1)
      throw new Problem(429, `more than ${PER_SECOND} requests a second; wait`, [], { "Retry-After": "1" });
    bucket.left--;
  }
}

/** "2001:db8:1:2:…" → its first 64 bits; IPv4, also where it is mapped into IPv6, as it is. */
function networkOf(address: string): string {
  if (!address.includes(":") || address.includes(".")) return address;
  const [head = "", tail = ""] = address.split("%")[0]!.split("::");
  const first = head.split(":");
  const last = tail === "" ? [] : tail.split(":");
  if (address.includes("::")) first.push(...Array<string>(Math.max(0, 8 - first.length - last.length)).fill("0"));
  return first.concat(last).slice(0, 4).join(":");
}
