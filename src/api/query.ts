/** The query string of a list: ?where= ?sort= ?limit= ?name= ?since= ?all=, checked by hand and by name. */
import { Problem } from "./problem.ts";

export interface ListQuery {
  readonly where?: string;
  readonly sort?: string;
  /** undefined: the endpoint's own; 0: all, streamed. */
  readonly limit?: number;
  readonly names: readonly string[];
}

export const MAX_LIMIT = 100_000;
const MAX_TEXT = 2000;

/** Refuse what the endpoint does not know: a misspelt filter must not look like "no filter". */
export function onlyKnown(query: URLSearchParams, known: readonly string[]): void {
  for (const key of query.keys())
    if (!known.includes(key))
      throw new Problem(
        400,
        `there is no parameter ${JSON.stringify(key)} here; known: ${known.join(", ") || "none"}`,
        [{ path: key, message: "unknown parameter" }],
      );
}

function bad(path: string, message: string): never {
  throw new Problem(400, `${path}: ${message}`, [{ path, message }]);
}

export function text(query: URLSearchParams, key: string): string | undefined {
  const value = query.get(key);
  if (value === null || value === "") return undefined;
  return value.length > MAX_TEXT ? bad(key, `longer than ${MAX_TEXT} characters`) : value;
}

export function flag(query: URLSearchParams, key: string): boolean {
  const value = query.get(key);
  if (value === null || value === "0" || value === "false") return false;
  return value === "" || value === "1" || value === "true" || bad(key, "write 1 or 0");
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "60s", "1h", "250ms" → ms; undefined where it is none. */
export function durationMs(value: string): number | undefined {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(value);
  return match === null ? undefined : Math.round(Number(match[1]) * UNITS[match[2]!]!);
}

export function since(query: URLSearchParams, fallbackMs: number): number | "start" {
  const value = query.get("since");
  if (value === null) return fallbackMs;
  if (value === "start") return "start";
  const ms = durationMs(value);
  return ms === undefined || ms === 0 ? bad("since", `write 60s, 1h or start, not ${JSON.stringify(value)}`) : ms;
}

export function listQuery(query: URLSearchParams): ListQuery {
  const where = text(query, "where");
  const sort = text(query, "sort");
  const limit = query.get("limit");
  if (limit !== null && !/^\d{1,6}$/.test(limit)) bad("limit", `write a whole number 0..${MAX_LIMIT}`);
  if (limit !== null && Number(limit) > MAX_LIMIT) bad("limit", `at most ${MAX_LIMIT}; 0 streams everything`);
  if (sort !== undefined && !/^-?[A-Za-z][A-Za-z0-9.]*$/.test(sort))
    bad("sort", "write a key, or -key for largest first");
  return {
    ...(where === undefined ? {} : { where }),
    ...(sort === undefined ? {} : { sort }),
    ...(limit === null ? {} : { limit: Number(limit) }),
    names: query
      .getAll("name")
      .flatMap((value) => value.split(","))
      .filter(Boolean),
  };
}

/** The value at a dotted key. */
export function valueAt(item: unknown, key: string): unknown {
  let value = item;
  for (const part of key.split(".")) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

// Made once: a localeCompare of its own for each pair is many times slower.
const NATURAL = new Intl.Collator("en", { numeric: true });

/** Numbers by size, texts in natural order (web2 before web10), what is missing last. */
export function compareBy(sort: string): (a: unknown, b: unknown) => number {
  const down = sort.startsWith("-");
  const key = down ? sort.slice(1) : sort;
  return (a, b) => {
    const x = valueAt(a, key);
    const y = valueAt(b, key);
    if (x === undefined || y === undefined) return (x === undefined ? 1 : 0) - (y === undefined ? 1 : 0);
    const order = typeof x === "number" && typeof y === "number" ? x - y : NATURAL.compare(String(x), String(y));
    return down ? -order : order;
  };
}
