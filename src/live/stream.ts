/** The messages of one subscription, whoever has it: numbered, and the last ones kept for clients that come back. */
import { randomBytes } from "node:crypto";
import type { Part } from "./board.ts";
import type { Client } from "./feed.ts";
import type { FlowsPart } from "./flow-lists.ts";
import { textFrame } from "./frame.ts";
import type { PartName } from "./messages.ts";
import type { Subscription } from "./subscription.ts";

/** Kept for clients that come back: so many messages, and no more bytes than these. */
const MOST_KEPT = 32;
const MOST_KEPT_BYTES = 256 * 1024;

/** An object's JSON with parts behind what it has. */
export function withParts(head: string, parts: readonly (readonly [PartName, Part])[]): string {
  return `${head.slice(0, -1)}${parts.map(([name, { text }]) => `,"${name}":${text}`).join("")}}`;
}

export class Stream {
  readonly key: string;
  readonly asked: Subscription;
  readonly list: FlowsPart | undefined;
  readonly epoch = randomBytes(9).toString("base64url");
  readonly clients = new Set<Client>();
  seq = 0;
  /** When the next message is due; when the last was told; since when one waits: ms. */
  dueMs: number;
  toldMs = -Infinity;
  pendingMs: number | undefined;
  lingering: NodeJS.Timeout | undefined;
  private readonly told = new Map<PartName, number>();
  private readonly kept: Buffer[] = [];
  private keptBytes = 0;

  constructor(key: string, asked: Subscription, list: FlowsPart | undefined, nowMs: number) {
    this.key = key;
    this.asked = asked;
    this.list = list;
    this.dueMs = nowMs;
  }

  /** A message is due, or waits. */
  isPending(nowMs: number): boolean {
    if (this.clients.size === 0) return false;
    if (this.dueMs <= nowMs) {
      this.pendingMs ??= nowMs;
      const { intervalMs } = this.asked;
      // Late by a whole interval: what was left out is not made up for.
      this.dueMs = nowMs - this.dueMs < intervalMs ? this.dueMs + intervalMs : nowMs + intervalMs;
    }
    return this.pendingMs !== undefined;
  }

  /** The next delta, as a frame: the parts that are not as they were told last. */
  next(parts: readonly (readonly [PartName, Part])[], atMs: number): Buffer {
    const changed = parts.filter(([name, { version }]) => this.told.get(name) !== version);
    for (const [name, { version }] of changed) this.told.set(name, version);
    const head = JSON.stringify({ type: "delta", epoch: this.epoch, seq: ++this.seq, atMs });
    const frame = textFrame(withParts(head, changed));
    this.kept.push(frame);
    this.keptBytes += frame.length;
    while (this.kept.length > MOST_KEPT || this.keptBytes > MOST_KEPT_BYTES)
      this.keptBytes -= this.kept.shift()!.length;
    return frame;
  }

  /** The frames of what was told after `seq`; undefined where not all of it is kept. */
  since(seq: number): readonly Buffer[] | undefined {
    const missing = this.seq - seq;
    if (missing < 0 || missing > this.kept.length) return undefined;
    return missing === 0 ? [] : this.kept.slice(-missing);
  }
}
