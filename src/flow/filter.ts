/**
 * The one filter language: of `--where`, `?where=`, the page and `weir trace`. Terms separated by spaces all hold:
 *
 *     tenant=acme dstPort=80,443 ip=10.0.0.0/8 vm=web* bytes>1M etherType!=arp dropped "two words"
 *
 * `key=value`, `key!=value`, `key<n`, `key>n`; a value is a list `a,b`, a glob or a CIDR; keys are the JSON's, dotted for
 * what is inside (`owner.vmId`). `ip` and `mac` match either end, `vm` and `tenant` either owner; `dropped` is what was
 * refused; any other bare word matches any text. Upper and lower case are the same.
 *
 * A filter is a function on the JSON of the API: it reads what people see, and every list can be filtered.
 */
import { isGlob, matchesGlob } from "../text/glob.ts";
import { didYouMean } from "../text/suggest.ts";
import { parseIp, parsePrefix, prefixContains } from "../wire/address.ts";

export type FilterOp = "=" | "!=" | "<" | ">";

export interface FilterTerm {
  /** Absent: a bare word. */
  readonly key?: string;
  readonly op: FilterOp;
  /** As written, at least one. */
  readonly values: readonly string[];
}

/** What is wrong with a filter, in one sentence that shows what to write. */
export class FilterError extends Error {}

const MAX_TERMS = 64;
const MAX_VALUES = 256;

/** Words: runs without blanks, quoted parts may hold any character but the quote. */
function words(text: string): string[] {
  const found = text.match(/(?:"[^"]*"|[^\s"])+|"/g) ?? [];
  const open = found.find((word) => (word.split('"').length - 1) % 2 === 1);
  if (open !== undefined) throw new FilterError(`${open}: the quote " is not closed`);
  if (found.length > MAX_TERMS) throw new FilterError(`a filter has at most ${MAX_TERMS} terms`);
  return found;
}

/** A list at its commas; commas inside quotes are text. */
function list(text: string): string[] {
  const parts = text.match(/(?:"[^"]*"|[^,"])+/g) ?? [];
  if (parts.length > MAX_VALUES) throw new FilterError(`a list has at most ${MAX_VALUES} values`);
  return parts.map((part) => part.replaceAll('"', ""));
}

/** The terms of a filter. Throws a FilterError. */
export function parseFilter(text: string): FilterTerm[] {
  return words(text).map((word) => {
    const match = /^([A-Za-z][A-Za-z0-9.]*)(!=|<=|>=|=|<|>)(.*)$/s.exec(word);
    if (match === null) return { op: "=", values: [word.replaceAll('"', "")] };
    const [, key, op, rest] = match;
    if (op === "<=" || op === ">=") throw new FilterError(`${word}: there is < and >, no ${op}`);
    const values = list(rest!);
    if (values.length === 0) throw new FilterError(`${word}: a value is missing after ${op}`);
    if ((op === "<" || op === ">") && (values.length > 1 || toNumber(values[0]!) === undefined))
      throw new FilterError(`${word}: ${op} takes one number, as in ${key}${op}10M`);
    return { key: key!, op: op as FilterOp, values };
  });
}

// Names for the numbers that the JSON has; IANA protocol numbers and Ethertypes.
const PROTOCOLS: Readonly<Record<string, number>> = {
  icmp: 1,
  igmp: 2,
  tcp: 6,
  udp: 17,
  gre: 47,
  esp: 50,
  ah: 51,
  icmpv6: 58,
  ospf: 89,
  vrrp: 112,
  sctp: 132,
};
const ETHER_TYPES: Readonly<Record<string, number>> = {
  ipv4: 0x0800,
  arp: 0x0806,
  rarp: 0x8035,
  ipv6: 0x86dd,
  mpls: 0x8847,
  lldp: 0x88cc,
};
const NAMES: Readonly<Record<string, Readonly<Record<string, number>>>> = { proto: PROTOCOLS, etherType: ETHER_TYPES };

const FACTORS: Readonly<Record<string, number>> = { "": 1, k: 1e3, M: 1e6, G: 1e9, T: 1e12 };

/** 42, 0x806, 1.5M */
function toNumber(text: string): number | undefined {
  if (/^0x[0-9a-f]{1,12}$/i.test(text)) return Number(text);
  const match = /^(-?\d{1,15}(?:\.\d{1,6})?)([kMGT]?)$/.exec(text);
  return match === null ? undefined : Number(match[1]) * FACTORS[match[2]!]!;
}

/** The number that a value of this key stands for: "tcp" for proto. Undefined: none. */
export function numberFor(key: string, text: string): number | undefined {
  return NAMES[key]?.[text.toLowerCase()] ?? toNumber(text);
}

type Test = (value: unknown) => boolean;

/** Does a value of the JSON equal what was written? Lists hold if one of theirs does. */
function equals(key: string, written: string): Test {
  const number = numberFor(key, written);
  const prefix = written.includes("/") ? parsePrefix(written) : undefined;
  const address = prefix === undefined ? parseIp(written) : undefined;
  const lower = written.toLowerCase();
  const glob = isGlob(lower);
  const test: Test = (value) => {
    if (Array.isArray(value)) return value.some(test);
    if (typeof value === "number") return glob ? matchesGlob(lower, String(value)) : value === number;
    if (typeof value === "boolean") return String(value) === lower;
    if (typeof value !== "string") return false;
    if (prefix !== undefined || address !== undefined) {
      const ip = parseIp(value);
      if (ip !== undefined)
        return prefix !== undefined
          ? ip.family === prefix.family && prefixContains(prefix, ip)
          : ip.family === address!.family && ip.words.every((word, n) => word === address!.words[n]);
    }
    const text = value.toLowerCase();
    return glob ? matchesGlob(lower, text) : text === lower;
  };
  return test;
}

// Short keys, and keys that look in several places.
const PLACES: Readonly<Record<string, readonly string[]>> = {
  ip: ["ipSrc", "ipDst"],
  mac: ["ethSrc", "ethDst", "mac"],
  vm: ["owner.vm", "outputOwner.vm"],
  tenant: ["tenant", "tenants", "owner.tenant", "outputOwner.tenant"],
};

function valueAt(item: unknown, path: readonly string[]): unknown {
  let value = item;
  for (const part of path) {
    if (typeof value !== "object" || value === null || !Object.hasOwn(value, part)) return undefined;
    value = (value as Record<string, unknown>)[part];
  }
  return value;
}

/** Is anything in it refused: a flow's disposition, a port's count? */
function isDropped(item: unknown): boolean {
  const { disposition, droppedPackets, dropped } = item as Record<string, unknown>;
  return disposition === "dropped" || Number(droppedPackets ?? 0) > 0 || Number(dropped ?? 0) > 0;
}

function anyText(value: unknown, test: (text: string) => boolean): boolean {
  if (typeof value === "string") return test(value.toLowerCase());
  if (typeof value === "number") return test(String(value));
  if (typeof value !== "object" || value === null) return false;
  return Object.values(value).some((inner) => anyText(inner, test));
}

function bareWord(word: string): Test {
  const lower = word.toLowerCase();
  if (lower === "dropped") return isDropped;
  const glob = isGlob(lower);
  // A number is a whole one: 80 is not in 8080.
  const digits = /^\d+$/.test(lower);
  return (item) =>
    anyText(item, (text) =>
      glob ? matchesGlob(lower, text) : digits && /^\d+$/.test(text) ? text === lower : text.includes(lower),
    );
}

function termTest(term: FilterTerm): Test {
  const { key, op, values } = term;
  if (key === undefined) return bareWord(values[0]!);
  const paths = (PLACES[key] ?? [key]).map((path) => path.split("."));
  if (op === "<" || op === ">") {
    const limit = toNumber(values[0]!)!;
    return (item) =>
      paths.some((path) => {
        const value = valueAt(item, path);
        return typeof value === "number" && (op === "<" ? value < limit : value > limit);
      });
  }
  const tests = values.map((value) => equals(key, value));
  const holds: Test = (item) => paths.some((path) => tests.some((test) => test(valueAt(item, path))));
  return op === "=" ? holds : (item) => !holds(item);
}

/** Keys that a flow's JSON may have, for those who check a filter before there is a flow. */
export const FLOW_KEYS: readonly string[] = [
  ...["id", "bridge", "port", "ifIndex", "vlan", "innerVlan", "pcp", "ethSrc", "ethDst", "etherType", "ipSrc", "ipDst"],
  ...["proto", "tos", "fragment", "srcPort", "dstPort", "icmpType", "icmpCode", "arpOp", "tcpFlags", "tunnelId"],
  ...["malformed", "packets", "bytes", "l3Bytes", "droppedPackets", "droppedBytes", "pps", "bps", "firstMs", "lastMs"],
  ...["output", "outputIfIndex", "outputOwner", "outputKnown", "disposition", "dropReason", "forwardingStatus"],
  ...["owner", "tenant", "rule", "mirrors"],
];

/**
 * A filter as a function. Throws a FilterError; with `keys`, also where a term's key is none of them (its first part, for
 * dotted ones): a misspelt key must not look like "nothing matches".
 */
export function compileFilter(text: string, keys?: Iterable<string>): (item: unknown) => boolean {
  const terms = parseFilter(text);
  if (keys !== undefined) {
    const known = new Set([...keys, ...Object.keys(PLACES)]);
    for (const { key } of terms)
      if (key !== undefined && !known.has(key.split(".")[0]!))
        throw new FilterError(`there is no key ${key} here${didYouMean(key, known)}`);
  }
  const tests = terms.map(termTest);
  return (item) => tests.every((test) => test(item));
}
