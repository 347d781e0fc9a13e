/** What a client asks for, checked by hand: bounded, and every fault a sentence. */
import type { FeedParts, PartName, SubscribeMessage } from "./messages.ts";

export const MIN_INTERVAL_MS = 200;
const MAX_INTERVAL_MS = 60_000;
const MOST_FLOWS = 200;
const MOST_WHERE = 1000;
const MOST_NAME = 100;

const ALL: Record<keyof FeedParts, true> = {
  system: true,
  ports: true,
  tenants: true,
  flows: true,
  flowsTotal: true,
  drops: true,
  lost: true,
  expected: true,
  audit: true,
  exporters: true,
  mirrors: true,
  events: true,
  sampling: true,
};

export const PARTS = Object.keys(ALL) as PartName[];

/** What of the switch: "" = all. */
export interface Scope {
  readonly bridge: string;
  readonly tenant: string;
  readonly port: string;
}

export interface Subscription {
  readonly where: string;
  readonly scope: Scope;
  readonly sort: string;
  readonly top: number;
  readonly intervalMs: number;
  /** In the order of PARTS. */
  readonly parts: readonly PartName[];
}

export interface Asked {
  readonly subscription: Subscription;
  readonly resume: SubscribeMessage["resume"];
}

const isWhole = (value: unknown, from: number, to: number): value is number =>
  Number.isInteger(value) && (value as number) >= from && (value as number) <= to;
const isText = (value: unknown, most: number): value is string => typeof value === "string" && value.length <= most;

/** What a client asks for, or what is wrong with it. */
export function readSubscription(message: Readonly<Record<string, unknown>>): Asked | string {
  const { type: _type, where = "", bridge = "", tenant = "", port = "", ...more } = message;
  const { sort = "-bps", top = 40, intervalMs = 1000, parts = PARTS, resume, ...rest } = more;
  const [unknown] = Object.keys(rest);
  if (unknown !== undefined) return `${JSON.stringify(unknown.slice(0, 40))}: a subscription has no such key`;
  if (!isText(where, MOST_WHERE)) return `where: text of ${MOST_WHERE} characters at most`;
  if (!isText(bridge, MOST_NAME) || !isText(tenant, MOST_NAME) || !isText(port, MOST_NAME))
    return `bridge, tenant, port: names of ${MOST_NAME} characters at most`;
  if (typeof sort !== "string" || !/^-?\w{1,40}$/.test(sort))
    return "sort: a key of the flow, - before it for the largest first";
  if (!isWhole(top, 1, MOST_FLOWS)) return `top: 1 to ${MOST_FLOWS}`;
  if (!isWhole(intervalMs, MIN_INTERVAL_MS, MAX_INTERVAL_MS))
    return `intervalMs: ${MIN_INTERVAL_MS} to ${MAX_INTERVAL_MS}`;
  if (!Array.isArray(parts) || parts.length === 0 || !parts.every((part) => PARTS.includes(part as PartName)))
    return `parts: a list of ${PARTS.join(", ")}`;
  const { epoch, seq } = (resume ?? {}) as Record<string, unknown>;
  if (resume !== undefined && (!isText(epoch, 64) || !isWhole(seq, 0, Number.MAX_SAFE_INTEGER)))
    return "resume: epoch and seq of the last message";
  return {
    subscription: {
      where,
      scope: { bridge, tenant, port },
      sort,
      top,
      intervalMs,
      parts: PARTS.filter((part) => parts.includes(part)),
    },
    resume: resume as SubscribeMessage["resume"],
  };
}
