/**
 * The one filter language, for --where, ?where=, the page and weir trace: which objects of a list are meant.
 *
 *     filter = term *(" " term)                                  all hold
 *     term   = key ("=" / "!=" / "<" / ">" / "<=" / ">=") value  /  word
 *     value  = item *("," item)                                  one holds; with != none
 *     item   = text, with * and ? as a glob / number / low-high / number and unit / address / prefix / "none"
 *     word   = "dropped" / an address or prefix, at either end / any text, anywhere; ! before it: not
 *
 * Blanks in a value or word: in double quotes. `none` is a key that does not apply: vlan=none.
 */
import { parseIp, parsePrefix, prefixContains, type IpPrefix } from "../wire/address.ts";
import { isGlob, matchesGlob } from "../text/glob.ts";
import { didYouMean } from "../text/suggest.ts";
import { parseQuantity } from "../text/units.ts";
import { ETHER_TYPES, PROTOCOLS, findKey, idKeys, keyNames, type Key } from "./filter-keys.ts";

export class FilterError extends Error {
  /** Of the fault in the text, from 1. */
  readonly column: number;
  constructor(column: number, message: string) {
    super(`column ${column}: ${message}`);
    this.name = "FilterError";
    this.column = column;
  }
}

type Test = (item: object) => boolean;

export interface Filter {
  readonly text: string;
  readonly tests: readonly Test[];
}

const MAX_TEXT = 4096;
const OPERATORS = ["!=", "<=", ">=", "=", "<", ">"] as const;
type Operator = (typeof OPERATORS)[number];

/** One term as it was written. */
export interface Term {
  readonly column: number;
  /** Absent: a bare word. */
  readonly key?: string;
  readonly operator?: Operator;
  readonly value: string;
  readonly valueColumn: number;
}

/** Splits at blanks outside double quotes. Throws a FilterError. */
export function readTerms(text: string): Term[] {
  if (text.length > MAX_TEXT) throw new FilterError(MAX_TEXT, `longer than ${MAX_TEXT} characters`);
  const terms: Term[] = [];
  for (const match of text.matchAll(/(?:"[^"]*"?|[^\s"])+/g)) {
    const column = match.index + 1;
    const raw = match[0];
    if ((raw.match(/"/g)?.length ?? 0) % 2 === 1)
      throw new FilterError(column + raw.lastIndexOf('"'), `a quote has no end`);
    const unquoted = (part: string) => part.replaceAll('"', "");
    const split = /^([A-Za-z][\w.]*)(!=|<=|>=|=|<|>)(.*)$/s.exec(raw);
    if (!split) {
      const at = raw.startsWith('"') ? -1 : raw.search(/[=<>]/);
      if (at >= 0) throw new FilterError(column + at, `a key belongs before ${raw[at]}, as in port=web1`);
      terms.push({ column, value: raw.startsWith('"') ? raw : unquoted(raw), valueColumn: column });
      continue;
    }
    const [, key, operator, value] = split as unknown as [string, string, Operator, string];
    const valueColumn = column + key.length + operator.length;
    if (value === "")
      throw new FilterError(valueColumn, `${key}${operator} needs a value; none matches what is absent`);
    terms.push({ column, key, operator, value: unquoted(value), valueColumn });
  }
  return terms;
}

/** Throws a FilterError that names the column and what may have been meant. An empty text matches everything. */
export function parseFilter(text: string): Filter {
  return {
    text,
    tests: readTerms(text).map((term) => (term.key === undefined ? bare(term) : compare(term, term.key))),
  };
}

export function matches(filter: Filter, item: object): boolean {
  return filter.tests.every((test) => test(item));
}

/** The known key of a term. */
export function keyOf(term: Term, known: Iterable<string> = keyNames()): Key {
  const key = findKey(term.key!);
  if (key) return key;
  throw new FilterError(term.column, `there is no key ${term.key}${didYouMean(term.key!, known)}`);
}

function compare(term: Term, name: string): Test {
  const key = keyOf(term);
  const operator = term.operator!;
  if (operator === "=" || operator === "!=") {
    let column = term.valueColumn;
    const items = term.value.split(",").map((part) => {
      const test = equals(key, name, part.trim(), column);
      column += part.length + 1;
      return test;
    });
    const wanted = operator === "=";
    return (item) => {
      const values = valuesOf(item, key);
      return items.some((test) => test(values)) === wanted;
    };
  }
  if (key.kind !== "id" && key.kind !== "count")
    throw new FilterError(term.column, `${name} is no number: ${operator} compares numbers`);
  const limit = numberOf(key, name, term.value, term.valueColumn);
  const holds: Record<Exclude<Operator, "=" | "!=">, (value: number) => boolean> = {
    "<": (value) => value < limit,
    ">": (value) => value > limit,
    "<=": (value) => value <= limit,
    ">=": (value) => value >= limit,
  };
  const test = holds[operator];
  return (item) => valuesOf(item, key).some((value) => typeof value === "number" && test(value));
}

/** Every value that a key has in an object; lists are flattened, what does not apply is left out. */
function valuesOf(item: object, key: Key): unknown[] {
  const found: unknown[] = [];
  for (const path of key.paths) {
    let at: unknown = item;
    for (const step of path)
      at =
        typeof at === "object" && at !== null && Object.hasOwn(at, step)
          ? (at as Record<string, unknown>)[step]
          : undefined;
    if (Array.isArray(at)) found.push(...at);
    else if (at !== undefined && at !== null && typeof at !== "object") found.push(at);
  }
  return found;
}

type ValueTest = (values: readonly unknown[]) => boolean;

function equals(key: Key, name: string, text: string, column: number): ValueTest {
  if (text === "") throw new FilterError(column, `an item of the list is empty`);
  if (text === "none") return (values) => values.length === 0 || values.includes("none");
  const any =
    (test: (value: unknown) => boolean): ValueTest =>
    (values) =>
      values.some(test);
  switch (key.kind) {
    case "boolean": {
      if (text !== "true" && text !== "false") throw new FilterError(column, `${name} is true or false`);
      return any((value) => String(value) === text);
    }
    case "id":
    case "count": {
      const range = /^(\d+)-(\d+)$/.exec(text);
      if (range) {
        const [low, high] = [Number(range[1]), Number(range[2])];
        return any((value) => typeof value === "number" && value >= low && value <= high);
      }
      const number = numberOf(key, name, text, column);
      return any((value) => value === number);
    }
    case "ip": {
      if (isGlob(text)) return any((value) => matchesGlob(text.toLowerCase(), String(value)));
      const prefix = parsePrefix(text);
      if (!prefix) throw new FilterError(column, `${text} is not an address or prefix, such as 10.1.0.0/16`);
      return any((value) => inPrefix(prefix, value));
    }
    case "mac": {
      const pattern = text.toLowerCase().replaceAll("-", ":");
      if (!/^[0-9a-f:*?]+$/.test(pattern))
        throw new FilterError(column, `${text} is not a MAC address, such as 52:54:00:*`);
      return any((value) => matchesGlob(pattern, String(value).toLowerCase()));
    }
    default:
      return any((value) => matchesGlob(text, String(value)));
  }
}

function inPrefix(prefix: IpPrefix, value: unknown): boolean {
  const ip = typeof value === "string" ? parseIp(value) : undefined;
  return ip !== undefined && prefixContains(prefix, ip);
}

/** A number as the JSON has it, 0x…, a word of the key, or a quantity with a unit of the key's. */
export function numberOf(key: Key, name: string, text: string, column: number): number {
  const word = key.words && Object.hasOwn(key.words, text.toLowerCase()) ? key.words[text.toLowerCase()] : undefined;
  if (word !== undefined) return word;
  if (/^(?:\d{1,15}(?:\.\d{1,9})?|0x[0-9a-f]{1,12})$/i.test(text)) return Number(text);
  if (key.unit) {
    const quantity = parseQuantity(text, key.unit);
    if ("value" in quantity) return quantity.value;
    throw new FilterError(column, `${name}: ${quantity.problem}`);
  }
  const words = key.words ? Object.keys(key.words) : [];
  const known = words.length ? ` or one of ${words.join(", ")}` : "";
  throw new FilterError(column, `${name}: ${JSON.stringify(text)} is not a number${known}${didYouMean(text, words)}`);
}

function bare(term: Term): Test {
  const not = term.value.startsWith("!");
  const word = (not ? term.value.slice(1) : term.value).replaceAll('"', "");
  if (word === "") throw new FilterError(term.column, `nothing to look for`);
  const test = word === "dropped" && !term.value.includes('"') ? isDropped : anywhere(word);
  return not ? (item) => !test(item) : test;
}

const isDropped: Test = (item) => {
  const { disposition, droppedPackets, dropped } = item as Record<string, unknown>;
  return disposition === "dropped" || Number(droppedPackets ?? 0) > 0 || Number(dropped ?? 0) > 0;
};

/** Any text of the object, any number that names something; an address matches addresses only, and whole. */
function anywhere(word: string): Test {
  const prefix = parsePrefix(word);
  if (prefix) return (item) => someText(item, (text) => inPrefix(prefix, text));
  const lower = word.toLowerCase();
  const number = /^\d{1,15}$/.test(word) ? Number(word) : undefined;
  const proto = Object.hasOwn(PROTOCOLS, lower) ? PROTOCOLS[lower] : undefined;
  const etherType = Object.hasOwn(ETHER_TYPES, lower) ? ETHER_TYPES[lower] : undefined;
  const hasText = isGlob(word)
    ? (text: string) => matchesGlob(lower, text.toLowerCase())
    : (text: string) => text.toLowerCase().includes(lower);
  return (item) => {
    const flow = item as { proto?: number; etherType?: number };
    if (proto !== undefined && flow.proto === proto) return true;
    if (etherType !== undefined && flow.etherType === etherType) return true;
    if (number !== undefined && idKeys.some((key) => valuesOf(item, key).includes(number))) return true;
    return someText(item, hasText);
  };
}

const MAX_DEPTH = 4;

function someText(value: unknown, test: (text: string) => boolean, depth = 0): boolean {
  if (typeof value === "string") return test(value);
  if (typeof value !== "object" || value === null || depth > MAX_DEPTH) return false;
  return Object.values(value).some((member) => someText(member, test, depth + 1));
}
