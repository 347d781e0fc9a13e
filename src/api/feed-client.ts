/**
 * The asking end of the feed: says what it wants, hears what comes, and comes back when the connection is gone, going on
 * where it was.
 */
import type { WebSocket } from "ws";
import type { FeedParts, ServerMessage, SubscribeMessage } from "../live/messages.ts";
import type { ApiClient } from "./client.ts";

const RETRY_MS = 1000;
/** Intervals without a word, and this on top: the connection is dead. */
const SILENT_INTERVALS = 3;
const SILENT_MS = 5000;

export type Wish = Omit<SubscribeMessage, "type" | "resume">;

export interface FeedListener {
  /** The parts that were told last. */
  told(parts: Partial<FeedParts>, isSnapshot: boolean): void;
  /** What was asked cannot be, or the switch does not answer; the next `told` ends it. */
  trouble(error: Error): void;
}

export class FeedClient {
  private readonly api: ApiClient;
  private readonly listener: FeedListener;
  private wish: Wish;
  private socket: WebSocket | undefined;
  private at: { epoch: string; seq: number } | undefined;
  private timer: NodeJS.Timeout | undefined;
  private isOver = false;

  private constructor(api: ApiClient, wish: Wish, listener: FeedListener) {
    this.api = api;
    this.wish = wish;
    this.listener = listener;
  }

  /** Rejects as every request does where the switch cannot be asked: NoSwitch, NotAllowed, Problem. */
  static async open(api: ApiClient, wish: Wish, listener: FeedListener): Promise<FeedClient> {
    const client = new FeedClient(api, wish, listener);
    await client.connect();
    return client;
  }

  /** Want something else from now on. */
  subscribe(wish: Wish): void {
    this.wish = wish;
    this.at = undefined;
    if (this.socket?.readyState === this.socket?.OPEN) this.ask();
  }

  close(): void {
    this.isOver = true;
    clearTimeout(this.timer);
    this.socket?.terminate();
  }

  private ask(): void {
    const resume = this.at === undefined ? {} : { resume: this.at };
    this.socket?.send(JSON.stringify({ type: "subscribe", ...this.wish, ...resume }));
    this.listen();
  }

  private async connect(): Promise<void> {
    const socket = await this.api.websocket("/live");
    if (this.isOver) return socket.terminate();
    this.socket = socket;
    socket.on("message", (data) => {
      this.listen();
      this.hear(JSON.parse((data as Buffer).toString()) as ServerMessage);
    });
    // What goes wrong closes it.
    socket.on("error", () => {});
    socket.on("close", (_code, reason) => {
      clearTimeout(this.timer);
      if (this.isOver) return;
      this.listener.trouble(new Error(`the feed has ended${reason.length > 0 ? `: ${reason.toString()}` : ""}`));
      this.comeBack();
    });
    this.ask();
  }

  private comeBack(): void {
    this.timer = setTimeout(() => {
      this.connect().catch((error: Error) => {
        this.listener.trouble(error);
        if (!this.isOver) this.comeBack();
      });
    }, RETRY_MS);
  }

  private listen(): void {
    clearTimeout(this.timer);
    const { intervalMs = 1000 } = this.wish;
    this.timer = setTimeout(() => this.socket?.terminate(), SILENT_INTERVALS * intervalMs + SILENT_MS);
  }

  private hear(message: ServerMessage): void {
    if (message.type === "error") return this.listener.trouble(new Error(message.message));
    const { type, epoch, seq, ...rest } = message;
    if (type === "delta") {
      // Of the subscription before: it was on its way.
      if (this.at?.epoch !== epoch) return;
      if (seq !== this.at.seq + 1) {
        this.at = undefined;
        return this.ask();
      }
    }
    this.at = { epoch, seq };
    if (type !== "resumed") this.listener.told(rest as Partial<FeedParts>, type === "snapshot");
  }
}
