/**
 * What the page knows: the newest of each part of the feed, and a short history of rates for the charts. One object,
 * changed by the feed, read by the components; whoever draws subscribes.
 */
import { useEffect, useState } from "preact/hooks";
import type { FlowJson, SystemJson } from "../../bridge/views/json.ts";
import type { FeedParts } from "../messages.ts";

/** What is known of the feed's parts, and of the page's own state. */
export interface Live extends Omit<FeedParts, "system"> {
  connection: "connecting" | "live" | "lost" | "refused";
  /** Unix ms of the newest message. */
  atMs: number;
  role: "viewer" | "operator";
  system?: SystemJson;
  /** A filter or an order was asked for, and what is shown is still the one before. */
  isAsking: boolean;
  /** Of the subscription (a filter that does not parse), for a person. */
  error?: string;
  /** Why there is no session of an operator, although one was meant. */
  noSession?: string;
  frozen: boolean;
  /** The pinned flow as last known, and whether the switch has it no more. */
  followed?: FlowJson;
  isFollowedGone: boolean;
  windowS: number;
  /** Counts messages: what changed can be asked of it. */
  version: number;
}

/** Seconds of history that the charts may show. */
export const WINDOWS = [90, 600] as const;

interface Series {
  readonly row: number[];
  /** Messages since it was last told of. */
  silent: number;
}

/**
 * Rates over time, one row a message; a port, tenant or flow that comes or goes is 0 where it was not. `keep` rows are
 * remembered, and a series until `forget` messages have not told of it: flows come and go by thousands.
 */
export class History {
  readonly times: number[] = [];
  private readonly series = new Map<string, Series>();
  private readonly keep: number;
  private readonly forget: number;

  constructor(keep: number, forget: number) {
    this.keep = keep;
    this.forget = forget;
  }

  get size(): number {
    return this.series.size;
  }

  push(atMs: number, values: Iterable<readonly [string, number]>): void {
    const at = atMs / 1000;
    if (this.times.length > 0 && at <= this.times.at(-1)!) return;
    this.times.push(at);
    for (const one of this.series.values()) one.silent++;
    for (const [key, value] of values) {
      let one = this.series.get(key);
      if (one === undefined) this.series.set(key, (one = { row: [], silent: 0 }));
      one.silent = 0;
      one.row.push(value);
    }
    const extra = Math.max(0, this.times.length - this.keep);
    if (extra > 0) this.times.splice(0, extra);
    for (const [key, { row, silent }] of this.series) {
      if (silent >= this.forget) this.series.delete(key);
      if (silent > 0) row.push(0);
      if (row.length > this.times.length) row.splice(0, row.length - this.times.length);
    }
  }

  /** From the moment it was first told of to the newest: as long as the times, or shorter at the front. */
  get(key: string): number[] {
    return this.series.get(key)?.row ?? [];
  }

  clear(): void {
    this.times.length = 0;
    this.series.clear();
  }
}

export const history = new History(WINDOWS[1], WINDOWS[1]);
/** Of the flows that are shown. */
export const flowHistory = new History(WINDOWS[1], 20);

export const live: Live = {
  connection: "connecting",
  atMs: 0,
  role: "viewer",
  ports: [],
  tenants: [],
  flows: [],
  flowsTotal: 0,
  drops: [],
  lost: [],
  expected: { packets: 0, reasons: 0 },
  audit: [],
  exporters: [],
  mirrors: [],
  events: [],
  sampling: [],
  frozen: false,
  isFollowedGone: false,
  isAsking: false,
  windowS: WINDOWS[0],
  version: 0,
};

const listeners = new Set<() => void>();
let drawing = false;

/** Draw soon: once for all messages that came since the last frame. Timers run in hidden tabs too, slower. */
export const changed = (): void => {
  live.version++;
  if (drawing) return;
  drawing = true;
  setTimeout(() => {
    drawing = false;
    for (const listener of listeners) listener();
  }, 16);
};

/** Draw again at every change. */
export function useLive(): Live {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = (): void => draw(live.version);
    listeners.add(listener);
    return () => void listeners.delete(listener);
  }, []);
  return live;
}

/** The moment under the pointer, Unix s, or undefined: every chart draws its ruler there, once a frame. */
export const ruler = {
  at: undefined as number | undefined,
  listeners: new Set<() => void>(),
  isDrawing: false,
  set(at: number | undefined): void {
    if (this.at === at) return;
    this.at = at;
    if (this.isDrawing) return;
    this.isDrawing = true;
    requestAnimationFrame(() => {
      this.isDrawing = false;
      for (const listener of this.listeners) listener();
    });
  },
};

/** Put a message's moment into the charts. */
export function record(atMs: number): void {
  const rates = live.system?.bridges ?? [];
  const sum = (pick: (b: (typeof rates)[number]["rates"]) => number): number =>
    rates.reduce((total, bridge) => total + pick(bridge.rates), 0);
  const expected = sum((r) => r.droppedPps) - sum((r) => r.refusedPps);
  history.push(atMs, [
    ["pps", sum((r) => r.rxPps)],
    ["refused", sum((r) => r.refusedPps)],
    ["lost", sum((r) => r.lostPps)],
    ["expected", Math.max(0, expected)],
    ...live.tenants.map((t): [string, number] => [`tenant ${t.tenant ?? ""}`, t.rxBps]),
    ...live.ports.flatMap((p): [string, number][] => [
      [`rx ${p.bridge} ${p.name}`, p.rxBps],
      [`tx ${p.bridge} ${p.name}`, p.txBps],
    ]),
  ]);
  const { followed } = live;
  flowHistory.push(atMs, [
    ...(followed === undefined ? [] : [[followed.id, live.isFollowedGone ? 0 : followed.bps] as const]),
    ...live.flows.filter(({ id }) => id !== followed?.id).map(({ id, bps }) => [id, bps] as const),
  ]);
}
