/** zod's issues → problems with a place, in the words of somebody who edits the file. */
import * as z from "zod";
import { didYouMean } from "../text/suggest.ts";
import { formatPath, type Problem } from "./problem.ts";
import type { Located } from "./source.ts";

type Issue = z.core.$ZodIssue;
type Path = readonly PropertyKey[];

/** The value at a path, or the nearest thing above it that is there. */
function locate(root: Located, path: Path): { at: Located; found: boolean } {
  let at = root;
  for (const step of path) {
    const next = at.members?.get(step as string | number);
    if (!next) return { at, found: false };
    at = next;
  }
  return { at, found: true };
}

/** A problem at a member of `root`; at its key where that is what is wrong, or where the value is missing. */
export function problemAt(root: Located, path: Path, message: string, atKey = false): Problem {
  const { at, found } = locate(root, path);
  const place =
    (atKey || !found || (at.value === undefined && at.source === "")) && at.keyPlace ? at.keyPlace : at.place;
  const rest = found ? [] : path.slice(at.path.length - root.path.length);
  return { ...place, path: formatPath([...at.path, ...rest]), message };
}

/** Every issue of one schema over one value. `known` adds keys that the schema does not have but the place allows. */
export function problemsOf(issues: readonly Issue[], root: Located, schema: z.ZodType, known: readonly string[] = []) {
  return issues.flatMap((issue) => convert(issue, [], root, schema, known));
}

function convert(issue: Issue, above: Path, root: Located, schema: z.ZodType, known: readonly string[]): Problem[] {
  const path = [...above, ...issue.path];
  const { at, found } = locate(root, path);
  const value = found ? at.value : undefined;
  switch (issue.code) {
    case "unrecognized_keys": {
      const keys = [...keysAt(schema, path), ...(path.length === 0 ? known : [])];
      return issue.keys.map((key) =>
        problemAt(root, [...path, key], `unknown key${didYouMean(key, keys) || `; known: ${keys.join(", ")}`}`, true),
      );
    }
    case "invalid_union": {
      if (issue.errors.length === 0) break;
      // The branch that got furthest is the one that was meant.
      const deep = issue.errors.filter((branch) => branch.every((inner) => inner.path.length > 0));
      const meant = deep.sort((a, b) => a.length - b.length)[0];
      if (meant) return meant.flatMap((inner) => convert(inner, path, root, schema, known));
      if (value === undefined) break;
      const said = new Set(issue.errors.flatMap((branch) => branch.map((inner) => expectation(inner, at))));
      return [problemAt(root, path, [...said].join("; or "))];
    }
    case "invalid_key":
    case "invalid_element": {
      const inner = issue.issues[0];
      return [problemAt(root, path, inner?.message ?? issue.message, issue.code === "invalid_key")];
    }
  }
  return [problemAt(root, path, value === undefined ? missing(issue, found ? at : undefined) : expectation(issue, at))];
}

/** Messages that zod made itself are put in our words; those that an author of a schema wrote are kept. */
const OWN_WORDS = /^(?!Invalid (?:input|option|discriminator|string)|Too (?:small|big))/;

function missing(issue: Issue, at: Located | undefined): string {
  // `name: ~` and `name: null`: something was written, and YAML made nothing of it.
  if (at?.source && issue.code === "invalid_type") return quoted(at);
  if (issue.code === "custom" || OWN_WORDS.test(issue.message)) return issue.message;
  if (issue.code === "invalid_value") return `required: ${issue.values.map(String).join(", ")}`;
  if (issue.code === "invalid_union" && "options" in issue)
    return `required: ${(issue.options as unknown[]).map(String).join(", ")}`;
  if (issue.code === "invalid_type") return `required: ${nameOf(issue.expected)}`;
  return "required";
}

function expectation(issue: Issue, at: Located): string {
  if (issue.code === "invalid_type" && issue.expected === "string") return quoted(at);
  if (OWN_WORDS.test(issue.message)) return issue.message;
  const shown = show(at);
  switch (issue.code) {
    case "invalid_type": {
      if (issue.expected === "int") return `${shown} is not a whole number`;
      const example = issue.expected === "array" && at.members === undefined ? `: write [${at.source}]` : "";
      return `expected ${nameOf(issue.expected)}, found ${nameOf(at.value)}${example}`;
    }
    case "invalid_value": {
      const words = issue.values.map(String);
      if (typeof at.value !== "string" && words.includes(at.source)) return quoted(at);
      return `${shown} is not one of ${words.join(", ")}${didYouMean(String(at.value), words)}`;
    }
    case "invalid_union": {
      if (!("options" in issue)) return `${shown} is not allowed here`;
      const words = (issue.options as unknown[]).map(String);
      return `${shown} is not one of ${words.join(", ")}${didYouMean(String(at.value), words)}`;
    }
    case "too_small":
    case "too_big": {
      const limit = issue.code === "too_small" ? issue.minimum : issue.maximum;
      const word = issue.code === "too_small" ? "at least" : "at most";
      if (issue.origin === "string") return `${shown}: ${word} ${limit} characters`;
      if (issue.origin === "array" || issue.origin === "set") return `${word} ${limit} entries`;
      return `${shown} is out of range: ${word} ${limit}`;
    }
    case "invalid_format":
      return `${shown} is not ${issue.format === "regex" ? "in the form wanted here" : `a valid ${issue.format}`}`;
    default:
      return issue.message;
  }
}

/** Text was wanted and YAML made something else of it: the form that says so. */
export function quoted(at: Located): string {
  if (at.members && (at.source.length > 80 || at.source.includes("\n")))
    return `expected text, found ${nameOf(at.value)}`;
  const text = at.members ? at.source.replace(/: +/g, ":") : at.source;
  const write = `write ${JSON.stringify(text)}`;
  if (at.members) return `YAML reads ${at.source} as ${nameOf(at.value)}: ${write}`;
  if (at.value === undefined) return `YAML reads ${at.source} as nothing: ${write}`;
  return `YAML reads ${at.source} as the ${typeof at.value} ${String(at.value)}: ${write}`;
}

function show(at: Located): string {
  if (typeof at.value === "string") return JSON.stringify(at.value.slice(0, 60));
  return at.members ? nameOf(at.value) : String(at.value);
}

function nameOf(expected: unknown): string {
  if (expected === undefined || expected === null || expected === "undefined") return "nothing";
  if (Array.isArray(expected) || expected === "array") return "a list";
  if (typeof expected === "object" || expected === "object" || expected === "record") return "a map";
  if (expected === "string") return "text";
  if (expected === "int") return "a whole number";
  if (expected === "number" || typeof expected === "number") return "a number";
  if (expected === "boolean" || typeof expected === "boolean") return "true or false";
  return typeof expected === "string" ? (/^[a-z]+$/.test(expected) ? expected : "text") : String(expected);
}

type JsonSchema = Record<string, any>;

/** The keys that a schema allows at a path, for suggestions. */
function keysAt(schema: z.ZodType, path: Path): string[] {
  const json = z.toJSONSchema(schema, { io: "input", unrepresentable: "any" }) as JsonSchema;
  let level: JsonSchema[] = [json];
  const branches = (node: JsonSchema): JsonSchema[] =>
    [node, ...["anyOf", "oneOf", "allOf"].flatMap((key) => (node[key] as JsonSchema[] | undefined) ?? [])].flatMap(
      (one) => (one === node ? [one] : branches(one)),
    );
  for (const step of path)
    level = level
      .flatMap(branches)
      .flatMap((node) =>
        typeof step === "number" ? [node.items] : [node.properties?.[step] ?? node.additionalProperties],
      )
      .filter((node): node is JsonSchema => typeof node === "object" && node !== null);
  return [...new Set(level.flatMap(branches).flatMap((node) => Object.keys(node.properties ?? {})))];
}
