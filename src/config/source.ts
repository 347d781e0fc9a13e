/**
 * YAML text → plain values that remember where they stand. YAML 1.2 core schema, bounded in size, depth and expansion,
 * read strictly: what other readers of YAML take for a number or a boolean (`52:54:00:12:34:56`, `no`) is one here too, so
 * that a file never means two things; where text is wanted the error shows the quotes.
 */
import {
  Composer,
  Lexer,
  LineCounter,
  Parser,
  isAlias,
  isMap,
  isScalar,
  isSeq,
  type Document,
  type Node,
  type ParsedNode,
  type Scalar,
} from "yaml";
import { formatPath, type Place, type Problem } from "./problem.ts";

export const MAX_FILE_BYTES = 1 << 20;
/** Nesting of flow collections, of block indicators on one line, and columns of indentation. */
const MAX_DEPTH = 32;
const MAX_INDENT = 256;
/** Values after aliases are expanded. */
const MAX_VALUES = 200_000;
/** Syntax errors after the first few are consequences. */
const MAX_SYNTAX_PROBLEMS = 5;

/** A value and its place in a file. */
export interface Located {
  /** Plain data: null-prototype objects, arrays, scalars; undefined for an empty value. */
  readonly value: unknown;
  readonly place: Place;
  /** Where its key stands, if it is a member of a map. */
  readonly keyPlace?: Place;
  readonly path: readonly (string | number)[];
  /** A scalar as it was written, without quotes; a short collection as it was written. */
  readonly source: string;
  /** Members of a map or a list. */
  readonly members?: ReadonlyMap<string | number, Located>;
}

export interface Source {
  readonly root: Located | undefined;
  readonly problems: readonly Problem[];
  /** Plain numbers with leading zeros: decimal to some readers, octal to others. */
  readonly leadingZeros: readonly Located[];
}

/** YAML 1.1 resolves these; YAML 1.2 does not. A file must not depend on who reads it. */
const BOOLEAN_11 = /^(?:yes|no|on|off)$/i;
const SEXAGESIMAL = /^[-+]?[0-9][0-9_]*(?::[0-5]?[0-9])+$/;
const LEADING_ZERO = /^[-+]?0[0-9]+$/;

/** The value that a plain scalar has for a reader of YAML 1.1, where that is no text; else its own. */
function resolve(scalar: Scalar): unknown {
  const { value } = scalar;
  if (typeof value !== "string" || scalar.type !== "PLAIN") return value;
  if (BOOLEAN_11.test(value)) return /^(?:yes|on)$/i.test(value);
  if (!SEXAGESIMAL.test(value)) return value;
  const sign = value.startsWith("-") ? -1 : 1;
  const digits = value.replace(/^[-+]/, "").replaceAll("_", "");
  return sign * digits.split(":").reduce((sum, part) => sum * 60 + Number(part), 0);
}

/** Bounds the depth before anything recurses over it. Returns the offset of the first excess, or -1. */
function tooDeep(text: string): number {
  let offset = 0;
  let flow = 0;
  let indicators = 0;
  let lineStart = true;
  for (const token of new Lexer().lex(text)) {
    // Tokens that are marks (byte order mark, document, end of flow, scalar) take no place in the text.
    if (token === "\x02" || token === "\x18" || token === "\x1f") continue;
    if (token === "[" || token === "{") flow++;
    else if (token === "]" || token === "}") flow = Math.max(0, flow - 1);
    else if (token === "-" || token === "?" || token === ":" || token[0] === "&" || token[0] === "!") indicators++;
    else if (token[0] === "\n" || token[0] === "\r") {
      indicators = 0;
      lineStart = true;
    } else if (lineStart && token[0] === " " && token.length > MAX_INDENT) return offset;
    if (token[0] !== "\n" && token[0] !== "\r") lineStart = false;
    if (flow > MAX_DEPTH || (flow === 0 && indicators > MAX_DEPTH)) return offset;
    offset += token.length;
  }
  return -1;
}

/** Never throws. `file` is how the user named it. */
export function readSource(text: string, file: string): Source {
  const problems: Problem[] = [];
  const leadingZeros: Located[] = [];
  const lines = new LineCounter();
  const placeAt = (offset: number): Place => {
    const { line, col } = lines.linePos(Math.min(Math.max(0, offset), text.length));
    return { file, line: Math.max(1, line), column: Math.max(1, col) };
  };
  const fail = (offset: number, message: string, path = "") => problems.push({ ...placeAt(offset), path, message });
  const result = (root?: Located): Source => ({ root, problems, leadingZeros });

  for (let at = text.indexOf("\n"); at >= 0; at = text.indexOf("\n", at + 1)) lines.addNewLine(at + 1);
  lines.lineStarts.unshift(0);
  if (text.length > MAX_FILE_BYTES) {
    fail(0, `larger than ${MAX_FILE_BYTES >> 20} MiB: split it with include`);
    return result();
  }
  const deep = tooDeep(text);
  if (deep >= 0) {
    fail(deep, `nested deeper than ${MAX_DEPTH} levels`);
    return result();
  }
  const composer = new Composer({ version: "1.2", schema: "core", uniqueKeys: false, prettyErrors: false });
  const documents: Document.Parsed<ParsedNode>[] = [];
  for (const document of composer.compose(new Parser().parse(text), true, text.length))
    documents.push(document as never);
  const [document, second] = documents;
  if (!document) return result();
  for (const error of [...document.errors, ...document.warnings].slice(0, MAX_SYNTAX_PROBLEMS))
    fail(error.pos[0], syntaxMessage(error.message, text, error.pos[0]));
  if (document.directives?.yaml.explicit && document.directives.yaml.version !== "1.2")
    fail(0, `%YAML ${document.directives.yaml.version}: this is read as YAML 1.2; remove the line`);
  if (second) fail(second.range?.[0] ?? text.length, "a second document: a configuration is one, without ---");
  if (problems.length) return result();

  const anchors = new Map<string, Node>();
  const open = new Set<Node>();
  let values = 0;

  const walk = (
    node: Node | null,
    path: (string | number)[],
    keyPlace: Place | undefined,
    fallback: number,
  ): Located => {
    const start = node?.range?.[0] ?? fallback;
    const raw = node?.range ? text.slice(start, Math.min(node.range[1], start + 200)).trim() : "";
    const at = { place: placeAt(start), path, source: raw, ...(keyPlace && { keyPlace }) };
    if (++values > MAX_VALUES) {
      if (values === MAX_VALUES + 1) fail(start, `more than ${MAX_VALUES} values, aliases expanded`);
      return { ...at, value: undefined };
    }
    if (node === null) return { ...at, value: undefined };
    if (isAlias(node)) {
      const target = anchors.get(node.source);
      if (target && !open.has(target)) return { ...walk(target, path, keyPlace, start), place: at.place };
      const name = node.source.slice(0, 40);
      fail(
        start,
        target ? `*${name} refers to itself` : `*${name} refers to no anchor: write "*${name}" if it is text`,
      );
      return { ...at, value: undefined };
    }
    if ("anchor" in node && node.anchor) anchors.set(node.anchor, node);
    if (isScalar(node)) {
      const value = resolve(node);
      const source = node.source ?? raw;
      const located = { ...at, source, value: value ?? undefined };
      if (node.type === "PLAIN" && typeof value === "number" && LEADING_ZERO.test(source)) leadingZeros.push(located);
      return located;
    }
    const members = new Map<string | number, Located>();
    open.add(node);
    let value: unknown;
    if (isSeq(node)) {
      for (const item of node.items) {
        const index = members.size;
        members.set(index, walk(item as Node | null, [...path, index], undefined, start));
      }
      value = Array.from(members.values(), (member) => member.value);
    } else if (isMap(node)) {
      const object: Record<string, unknown> = Object.create(null);
      for (const pair of node.items) {
        const key = pair.key as Node;
        const keyStart = key?.range?.[0] ?? start;
        const name = isScalar(key) ? resolve(key) : undefined;
        if (typeof name !== "string") {
          const end = (pair.value as Node | null)?.range?.[1] ?? key?.range?.[1] ?? keyStart;
          fail(keyStart, keyMessage(key, text.slice(keyStart, Math.min(end, keyStart + 80)).trim()), formatPath(path));
          continue;
        }
        if (name === "__proto__") {
          fail(keyStart, `${name} is not a name`, formatPath(path));
          continue;
        }
        const place = placeAt(keyStart);
        const before = members.get(name)?.keyPlace;
        if (before) {
          fail(keyStart, `the key is there already, at line ${before.line}`, formatPath([...path, name]));
          continue;
        }
        const member = walk(pair.value as Node | null, [...path, name], place, key.range?.[1] ?? keyStart);
        members.set(name, member);
        object[name] = member.value;
      }
      value = object;
    }
    open.delete(node);
    return { ...at, value, members };
  };
  const root = walk(document.contents, [], undefined, 0);
  return result(root);
}

/** Data that came without a text: JSON of a request. It has paths, and no lines. */
export function locatePlain(value: unknown, file: string, path: readonly (string | number)[] = []): Located {
  const at = { place: { file, line: 0, column: 0 }, path };
  if (typeof value !== "object" || value === null || path.length > MAX_DEPTH)
    return {
      ...at,
      value: value ?? undefined,
      source: typeof value === "string" ? value : JSON.stringify(value ?? ""),
    };
  const isList = Array.isArray(value);
  const members = new Map<string | number, Located>();
  for (const [key, member] of Object.entries(value)) {
    const step = isList ? Number(key) : key;
    members.set(step, locatePlain(member, file, [...path, step]));
  }
  return { ...at, value, members, source: "" };
}

/** A key that is no text: a list where an IPv6 address was meant, a number, a boolean. */
function keyMessage(key: Node | null, pair: string): string {
  if (isScalar(key)) {
    if (key.value === null) return `a key is missing`;
    const source = key.source ?? String(key.value);
    return `YAML reads the key ${source} as ${String(resolve(key))}: write ${JSON.stringify(source)}`;
  }
  const meant = /^[^\n]*$/.test(pair) ? pair.replace(/^\? /, "").replace(/: /g, ":") : "";
  return `a map or a list cannot be a key${meant && `: write ${JSON.stringify(meant)} if it is text`}`;
}

/** The parser's words, and the cure where a value merely lacks its quotes. */
function syntaxMessage(message: string, text: string, offset: number): string {
  const start = text.lastIndexOf("\n", offset - 1) + 1;
  const end = text.indexOf("\n", offset);
  const line = text.slice(start, end < 0 ? undefined : end).slice(0, 500);
  const bare = /(?:^|[\s,[])(\[[0-9A-Fa-f:.]*:[0-9A-Fa-f:.]*\](?::\d+)?|\{device\}[\w.-]+)/.exec(line)?.[1];
  const first = message.split("\n")[0]!.slice(0, 200);
  return bare ? `write the value in quotes: ${JSON.stringify(bare)}` : first;
}
