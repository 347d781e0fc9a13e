/**
 * The feed: one websocket, a snapshot, then what changed, by sequence number. A gap, or silence, means connect anew; the
 * waits between attempts grow to 5 s. What the page shows meanwhile is what it last knew, and it says so.
 */
import { forgetToken, redeem, theToken } from "./api.ts";
import { follow } from "./follow.ts";
import { changed, live, record, type Live } from "./store.ts";
import { current, linkKey, onPlace } from "./url.ts";

/** Close codes: of ours, a token that is none; of RFC 6455, a policy. */
const FALSE_TOKEN = 4401;
const REFUSED = 1008;
const TOP_FLOWS = 40;
const INTERVAL_MS = 1000;
const SILENCE_MS = 10_000;
const MOST_WAIT_MS = 5000;

type Parts = Pick<
  Live,
  | "system"
  | "ports"
  | "tenants"
  | "flows"
  | "flowsTotal"
  | "drops"
  | "lost"
  | "expected"
  | "audit"
  | "exporters"
  | "mirrors"
  | "events"
  | "sampling"
>;

/** A part that is not there has not changed. */
interface Message extends Partial<Parts> {
  readonly type: "snapshot" | "delta" | "resumed" | "error";
  readonly epoch?: string;
  readonly seq: number;
  readonly atMs: number;
  readonly role?: "viewer" | "operator";
  readonly message?: string;
}

const PARTS: readonly (keyof Parts)[] = [
  "system",
  "ports",
  "tenants",
  "flows",
  "flowsTotal",
  "drops",
  "lost",
  "expected",
  "audit",
  "exporters",
  "mirrors",
  "events",
  "sampling",
];

let socket: WebSocket | undefined;
let seq = 0;
/** Of the subscription whose message `seq` was; what it asked for. */
let epoch: string | undefined;
let subscribed = "";
let wait = 250;
let silence: ReturnType<typeof setTimeout> | undefined;

function subscribe(): void {
  if (socket?.readyState !== WebSocket.OPEN) return;
  live.isAsking = true;
  const place = current();
  const where = place.filter === "" ? {} : { where: place.filter };
  const wanted = { ...where, sort: place.sort, top: TOP_FLOWS, intervalMs: INTERVAL_MS };
  const text = JSON.stringify(wanted);
  // Who comes back with the question of before is told what it missed, where that is still known.
  const resume = epoch !== undefined && text === subscribed ? { resume: { epoch, seq } } : {};
  subscribed = text;
  socket.send(JSON.stringify({ type: "subscribe", ...wanted, ...resume }));
}

function receive(message: Message): void {
  if (message.type === "error") {
    live.error = message.message ?? "the switch refused the filter";
    live.isAsking = false;
    return changed();
  }
  if (message.type === "delta" && message.seq !== seq + 1) return void socket?.close();
  seq = message.seq;
  live.connection = "live";
  wait = 250;
  live.atMs = message.atMs;
  if (message.role !== undefined) live.role = message.role;
  epoch = message.epoch;
  if (message.type !== "delta") {
    delete live.error;
    live.isAsking = false;
  }
  if (!live.frozen)
    for (const part of PARTS) if (message[part] !== undefined) Object.assign(live, { [part]: message[part] });
  follow();
  if (!live.frozen && message.type !== "resumed") record(message.atMs);
  changed();
}

function listen(): void {
  clearTimeout(silence);
  silence = setTimeout(() => socket?.close(), SILENCE_MS);
}

function open(): void {
  const mine = new WebSocket(`${location.protocol === "https:" ? "wss" : "ws"}://${location.host}/live`);
  socket = mine;
  mine.addEventListener("open", () => {
    const token = theToken();
    if (token !== undefined) mine.send(JSON.stringify({ type: "hello", token }));
    subscribe();
    listen();
  });
  mine.addEventListener("message", (event: MessageEvent<string>) => {
    listen();
    receive(JSON.parse(event.data) as Message);
  });
  mine.addEventListener("close", (event) => {
    clearTimeout(silence);
    // The token of a link lasts as long as the switch's process: without it there is still much to see.
    if (event.code === FALSE_TOKEN) {
      forgetToken();
      live.noSession = "the switch does not know this session any more";
    }
    live.connection = event.code === REFUSED ? "refused" : live.atMs === 0 ? "connecting" : "lost";
    changed();
    setTimeout(open, wait);
    wait = Math.min(MOST_WAIT_MS, wait * 2);
  });
}

export async function connect(): Promise<void> {
  if (linkKey !== undefined)
    await redeem(linkKey).catch((error: Error) => {
      live.noSession = error.message;
    });
  let asked = "";
  onPlace(() => {
    follow();
    const wanted = `${current().filter}\n${current().sort}`;
    if (wanted === asked) return;
    asked = wanted;
    subscribe();
    changed();
  });
  open();
}
