/**
 * What all clients see alike, read once in a round whoever asks for it, and as text once for each scope. A part is told
 * again only where its text is another: parts have versions.
 */
import type { SwitchView } from "../api/switch.ts";
import type { PortJson } from "../bridge/views/json.ts";
import type { FeedParts, PartName, SamplingJson } from "./messages.ts";
import type { Scope } from "./subscription.ts";

export interface Part {
  /** JSON. */
  readonly text: string;
  /** Another text has another number; they only grow. */
  readonly version: number;
}

/** Parts that are the same whatever flows a client wants. */
export type SharedName = Exclude<PartName, "flows" | "flowsTotal">;
type Shared = Pick<FeedParts, SharedName>;

/** What was read is good for so long, ms: below the shortest interval of a client. */
const FRESH_MS = 150;
/** The audit reads the whole table: not at every message. */
const AUDIT_MS = 5000;
const DROPS_WINDOW_MS = 60_000;
const EVENTS = 50;

type Values = Partial<Record<SharedName, unknown>>;

interface Source {
  readonly names: readonly SharedName[];
  readonly freshMs: number;
  read(): Promise<Values>;
  atMs: number;
  reading: Promise<void> | undefined;
}

interface Text extends Part {
  /** The reading it was made of. */
  atMs: number;
}

let versions = 0;

/** The text as a part: the old one where it says the same. */
export function asPart(text: string, old: Part | undefined): Part {
  return old !== undefined && old.text === text ? old : { text, version: ++versions };
}

export class Board {
  private readonly uptime: () => number;
  private readonly sources: readonly Source[];
  private readonly values: Values = {};
  private readonly readMs = new Map<SharedName, number>();
  /** By name and scope. */
  private readonly texts = new Map<string, Text>();

  /** `uptime`: ms of a clock that never goes back. */
  constructor(view: SwitchView, uptime: () => number) {
    this.uptime = uptime;
    const source = (names: readonly SharedName[], read: Source["read"], freshMs = FRESH_MS): Source => {
      return { names, freshMs, read, atMs: -Infinity, reading: undefined };
    };
    this.sources = [
      source(["system"], async () => ({ system: await view.system() })),
      source(["ports", "sampling"], async () => {
        const ports = await view.ports();
        return { ports, sampling: ports.flatMap(samplingOf) };
      }),
      source(["tenants"], async () => ({ tenants: await view.tenants() })),
      source(["drops", "lost", "expected"], async () => {
        const { items, lost, expected } = await view.drops({ since: DROPS_WINDOW_MS, all: false });
        return { drops: items, lost, expected };
      }),
      source(["exporters"], async () => ({ exporters: await view.exporters() })),
      source(["mirrors"], async () => ({ mirrors: await view.mirrors() })),
      source(["events"], async () => ({ events: view.events.recent([], EVENTS) })),
      source(["audit"], async () => ({ audit: await view.audit() }), AUDIT_MS),
    ];
  }

  /** Have these parts read anew where they are old. Rejects where one cannot be read. */
  async refresh(names: ReadonlySet<PartName>): Promise<void> {
    const nowMs = this.uptime();
    const waits: Promise<void>[] = [];
    for (const source of this.sources) {
      if (!source.names.some((name) => names.has(name))) continue;
      if (nowMs - source.atMs >= source.freshMs) source.reading ??= this.read(source, nowMs);
      // An audit of a large table is not waited for: the one before is told meanwhile.
      if (source.reading !== undefined && (source.atMs === -Infinity || source.freshMs === FRESH_MS))
        waits.push(source.reading);
      else source.reading?.catch(() => {});
    }
    await Promise.all(waits);
  }

  private async read(source: Source, nowMs: number): Promise<void> {
    try {
      const values = await source.read();
      for (const name of source.names) {
        this.values[name] = values[name];
        this.readMs.set(name, nowMs);
      }
      source.atMs = nowMs;
    } finally {
      source.reading = undefined;
    }
  }

  /** A part as it was read last. */
  part(name: SharedName, scope: Scope): Part {
    const atMs = this.readMs.get(name) ?? -1;
    const key = `${name}\n${scope.bridge}\n${scope.tenant}\n${scope.port}`;
    const old = this.texts.get(key);
    if (old?.atMs === atMs) return old;
    const value = narrowed(name, (this.values as Partial<Shared>)[name], scope);
    const text: Text = { ...asPart(JSON.stringify(value ?? null), old), atMs };
    this.texts.set(key, text);
    return text;
  }

  /** Texts of scopes that nobody has any more. */
  keep(scopes: readonly Scope[]): void {
    const kept = new Set(scopes.map(({ bridge, tenant, port }) => `${bridge}\n${tenant}\n${port}`));
    for (const key of this.texts.keys()) if (!kept.has(key.slice(key.indexOf("\n") + 1))) this.texts.delete(key);
  }
}

interface Placed {
  readonly bridge?: string;
  readonly name?: string;
  readonly port?: string;
  readonly ports?: readonly string[];
  readonly tenant?: string;
  readonly owner?: { readonly tenant?: string };
}

/** What of a part lies in the scope; a key that its items do not have narrows nothing. */
function narrowed(name: SharedName, value: unknown, { bridge, tenant, port }: Scope): unknown {
  if (!Array.isArray(value) || name === "exporters" || (bridge === "" && tenant === "" && port === "")) return value;
  return (value as Placed[]).filter((item) => {
    if (bridge !== "" && item.bridge !== undefined && item.bridge !== bridge) return false;
    const owner = item.tenant ?? item.owner?.tenant;
    if (tenant !== "" && (name === "ports" || name === "tenants" || name === "drops") && owner !== tenant) return false;
    if (port === "") return true;
    if (name === "ports") return item.name === port;
    if (item.ports !== undefined) return item.ports.includes(port);
    return item.port === undefined || item.port === port;
  });
}

/**
 * How good estimates from a port's samples are: within 196 · √(1/n) percent, 95 times of 100 (Phaal and Panchen, "Packet
 * Sampling Basics", sflow.org). Nothing of a port without samples.
 */
export function samplingOf({ bridge, name, samplePool, samples, sampleDrops }: PortJson): SamplingJson[] {
  if (samples === 0) return [];
  const errorPercent = Number((196 * Math.sqrt(1 / samples)).toPrecision(3));
  const rate = Math.round(samplePool / samples);
  return [{ bridge, port: name, rate, pool: samplePool, samples, drops: sampleDrops, errorPercent }];
}
