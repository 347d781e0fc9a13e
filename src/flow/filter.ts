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
import { ETHER_TYPES, FLOW_KEYS, PROTOCOLS, findKey, idKeys, keyNames, plainKey, type Key } from "./filter-keys.ts";

export { FLOW_KEYS };

export class FilterError extends Error {
  /** Of the fault in the text, from 1. */
  readonly column: number;
  constructor(column: number, message: string) {
    super(`column ${column}: ${message}`);
    this.name = "FilterError";
    this.column = column;
  }
}

type Test = (item: unknown) => boolean;

const MAX_TEXT = 4096;
const MAX_TERMS = 64;
const MAX_VALUES = 256;
const OPERATORS = ["!=", "<=", ">=", "=", "<", ">"] as const;
type Operator = (typeof OPERATORS)[number];

/** One term as it was written. */
export interface Term {
  readonly column: number;
  /** Absent: a bare word. */
  readonly key?: string;
  readonly operator?: Operator;
  /** With its quotes. */
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
    if (terms.length === MAX_TERMS) throw new FilterError(column, `a filter has at most ${MAX_TERMS} terms`);
    if ((raw.match(/"/g)?.length ?? 0) % 2 === 1)
      throw new FilterError(column + raw.lastIndexOf('"'), `the quote " is not closed`);
    const split = /^([A-Za-z][\w.]*)(!=|<=|>=|=|<|>)(.*)$/s.exec(raw);
    if (!split) {
      const at = raw.replace(/^!/, "").startsWith('"') ? -1 : raw.search(/[=<>]/);
      if (at >= 0) throw new FilterError(column + at, `a key belongs before ${raw[at]}, as in port=web1`);
      terms.push({ column, value: raw, valueColumn: column });
      continue;
    }
    const [, key, operator, value] = split as unknown as [string, string, Operator, string];
    const valueColumn = column + key.length + operator.length;
    if (value === "")
      throw new FilterError(valueColumn, `${key}${operator} needs a value; none is what does not apply`);
    terms.push({ column, key, operator, value, valueColumn });
  }
  return terms;
}

export const unquote = (text: string): string => text.replaceAll('"', "");

/**
 * A filter as a function on the API's JSON. `keys` are those that the items may have; without them every key of the API is
 * known. Throws a FilterError, also for a key that is unknown: a slip must not look like "nothing matches".
 */
export function compileFilter(text: string, keys?: Iterable<string>): (item: unknown) => boolean {
  const known = keys && new Set(keys);
  const tests = readTerms(text).map((term) =>
    term.key === undefined ? bare(term) : compare(term, keyOf(term, known)),
  );
  return tests.length === 1 ? tests[0]! : (item) => tests.every((test) => test(item));
}

/** The key of a term that has one. */
export function keyOf(term: Term, known?: ReadonlySet<string>): Key {
  const name = term.key!;
  const key = findKey(name);
  if (key && (!known || key.paths.some((path) => known.has(path[0]!)))) return key;
  if (known?.has(name.split(".")[0]!)) return plainKey(name);
  throw new FilterError(term.column, `there is no key ${name} here${didYouMean(name, known ?? keyNames())}`);
}

/** Items of a list with their places; commas inside quotes are text. */
function listOf(term: Term): { text: string; column: number }[] {
  const items = [...term.value.matchAll(/(?:^|,)((?:"[^"]*"|[^,"])*)/g)].map((match) => ({
    text: unquote(match[1]!).trim(),
    column: term.valueColumn + match.index + (match[0].startsWith(",") ? 1 : 0),
  }));
  if (items.length > MAX_VALUES) throw new FilterError(term.valueColumn, `a list has at most ${MAX_VALUES} values`);
  return items;
}

function compare(term: Term, key: Key): Test {
  const name = term.key!;
  const operator = term.operator!;
  if (operator === "=" || operator === "!=") {
    const items = listOf(term).map(({ text, column }) => equals(key, name, text, column));
    const wanted = operator === "=";
    return (item) => {
      const values = valuesOf(item, key);
      return items.some((test) => test(values)) === wanted;
    };
  }
  if (key.kind !== "id" && key.kind !== "count" && key.kind !== "any")
    throw new FilterError(term.column, `${name} is no number: ${operator} compares numbers`);
  const limit = numberOf(key, name, unquote(term.value), term.valueColumn);
  const holds: Record<Exclude<Operator, "=" | "!=">, (value: number) => boolean> = {
    "<": (value) => value < limit,
    ">": (value) => value > limit,
    "<=": (value) => value <= limit,
    ">=": (value) => value >= limit,
  };
  const test = holds[operator];
  const isMet = (value: unknown): boolean => typeof value === "number" && test(value);
  const member = onlyMember(key);
  if (member === undefined) return (item) => valuesOf(item, key).some(isMet);
  // Most numbers stand in the object itself: no list is made of one. (What an object inherits is no number.)
  return (item) => {
    const value = (item as Record<string, unknown>)[member];
    return typeof value === "number" ? test(value) : valuesOf(item, key).some(isMet);
  };
}

/** The member of an object that is all there is of this key. */
function onlyMember({ paths }: Key): string | undefined {
  return paths.length === 1 && paths[0]!.length === 1 ? paths[0]![0] : undefined;
}

/** Every value that a key has in an object; lists are flattened, what does not apply is left out. */
function valuesOf(item: unknown, key: Key): unknown[] {
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
    case "any": {
      const number = /^\d{1,15}$/.test(text) ? Number(text) : undefined;
      const lower = text.toLowerCase();
      return any((value) => value === number || matchesGlob(lower, String(value).toLowerCase()));
    }
    default: {
      const lower = text.toLowerCase();
      return any((value) => matchesGlob(lower, String(value).toLowerCase()));
    }
  }
}

function inPrefix(prefix: IpPrefix, value: unknown): boolean {
  const ip = typeof value === "string" ? parseIp(value) : undefined;
  return ip !== undefined && prefixContains(prefix, ip);
}

const FACTORS: Readonly<Record<string, number>> = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** A number as the JSON has it, 0x…, a word of the key, or a quantity with a unit of the key's. */
export function numberOf(key: Key, name: string, text: string, column: number): number {
  const word = key.words && Object.hasOwn(key.words, text.toLowerCase()) ? key.words[text.toLowerCase()] : undefined;
  if (word !== undefined) return word;
  if (/^0x[0-9a-f]{1,12}$/i.test(text)) return Number(text);
  const plain = /^(\d{1,15}(?:\.\d{1,9})?)([kMGT]?)$/.exec(text);
  if (plain && (plain[2] === "" || key.kind !== "id")) return Number(plain[1]) * FACTORS[plain[2]!]!;
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
  const word = unquote(not ? term.value.slice(1) : term.value);
  if (word.trim() === "") throw new FilterError(term.column, `nothing to look for`);
  const test = word === "dropped" && !term.value.includes('"') ? isDropped : anywhere(word);
  return not ? (item) => !test(item) : test;
}

/** Is anything in it refused: a flow's disposition, a port's count? */
const isDropped: Test = (item) => {
  if (typeof item !== "object" || item === null) return false;
  const { disposition, droppedPackets, dropped } = item as Record<string, unknown>;
  return disposition === "dropped" || Number(droppedPackets ?? 0) > 0 || Number(dropped ?? 0) > 0;
};

const PROTO = findKey("proto")!;
const ETHER_TYPE = findKey("etherType")!;

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
    if (proto !== undefined && valuesOf(item, PROTO).includes(proto)) return true;
    if (etherType !== undefined && valuesOf(item, ETHER_TYPE).includes(etherType)) return true;
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
