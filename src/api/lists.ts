/** Lists: {"at", "total", "items"}, chosen by name and filter, sorted, cut; or, with limit 0, one object a line. */
import { FLOW_KEYS } from "../flow/filter.ts";
import type { Answer } from "./http.ts";
import { Problem } from "./problem.ts";
import { compareBy, type ListQuery, valueAt } from "./query.ts";
import { compileWhere } from "./where.ts";

export function page(items: readonly unknown[], total: number, nowMs: number, extra: object = {}): Answer {
  return { json: { at: new Date(nowMs).toISOString(), total, ...extra, items } };
}

async function* chunks(items: readonly unknown[]): AsyncIterable<readonly unknown[]> {
  for (let from = 0; from < items.length; from += 500) yield items.slice(from, from + 500);
}

/** Keys that an item may have and that none needs to have now. */
const OPTIONAL = [
  "message",
  "device",
  "mac",
  "disabledUntilMs",
  "vlans",
  "lastMs",
  "last",
  "trace",
  "lastErrorMs",
  "fields",
];

/** A key that applies to one item is known, whatever the others have; so is one that some list's items may have. */
function keysOf(items: readonly unknown[]): Set<string> {
  return new Set([...items.flatMap((item) => Object.keys(item as object)), ...FLOW_KEYS, ...OPTIONAL]);
}

/** Those that match, in the filter language. Throws a Problem. */
export function filterItems<T>(items: readonly T[], where: string): T[] {
  return items.filter(compileWhere(where, keysOf(items)));
}

/** `key` is what ?name= chooses by. `total` counts what matched, before the limit. */
export function list(
  all: readonly unknown[],
  query: ListQuery,
  key: string,
  nowMs: number,
  extra: object = {},
): Answer {
  let items = all;
  if (query.names.length > 0) {
    const known = new Set(all.map((item) => valueAt(item, key)));
    const unknown = query.names.filter((name) => !known.has(name));
    // Drops are rows of ports: a port without any is no mistake, and its name is not known here.
    if (unknown.length > 0 && !("windowMs" in extra))
      throw new Problem(404, `there is no ${key} ${unknown.map((name) => JSON.stringify(name)).join(", ")}`);
    items = items.filter((item) => query.names.includes(String(valueAt(item, key))));
  }
  if (query.where !== undefined) items = items.filter(compileWhere(query.where, keysOf(all)));
  if (query.sort !== undefined) {
    const field = query.sort.replace(/^-/, "");
    if (items.length > 0 && items.every((item) => valueAt(item, field) === undefined))
      throw new Problem(400, `sort: no item has a key ${field}`, [{ path: "sort", message: "unknown key" }]);
    items = items.toSorted(compareBy(query.sort));
  }
  if (query.limit === 0) return { lines: chunks(items) };
  const total = items.length;
  return page(query.limit === undefined ? items : items.slice(0, query.limit), total, nowMs, extra);
}
