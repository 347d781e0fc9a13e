/** Files → a checked configuration. The only part of config/ that reads files of configuration. */
import { createHash } from "node:crypto";
import { closeSync, openSync, readSync, readdirSync, statSync } from "node:fs";
import { homedir, hostname } from "node:os";
import { basename, dirname, join } from "node:path";
import { isGlob, matchesGlob } from "../text/glob.ts";
import { checkDocument, type Registries } from "./check.ts";
import type { WeirConfig } from "./config.ts";
import { hostDefaults, type HostDefaults } from "./host.ts";
import { problemAt } from "./issues.ts";
import { ConfigError, formatPlace, type Problem } from "./problem.ts";
import { MAX_FILE_BYTES, readSource, type Located } from "./source.ts";

const MAX_FILES = 1024;
const MAX_TOTAL_BYTES = 8 << 20;
/** Problems shown; a file of garbage has as many as it has words. */
const MAX_PROBLEMS = 100;

export interface LoadedConfig {
  readonly config: WeirConfig;
  /** Of all files, in the order they were read; hex. */
  readonly sha256: string;
  readonly files: readonly string[];
  /** Where relative paths in it start. */
  readonly baseDir: string;
}

/** Defaults of the host we run on. */
export function thisHost(): HostDefaults {
  return hostDefaults({ name: hostname(), uid: process.getuid?.() ?? 0, home: homedir(), env: process.env });
}

/** Reads `path` and what it includes. Throws a ConfigError with every problem, in the order of the files. */
export async function loadConfig(
  path: string,
  registries: Registries,
  host: HostDefaults = thisHost(),
): Promise<LoadedConfig> {
  return load(read(path), path, dirname(path), registries, host);
}

/** The same for a text, such as standard input; `name` stands for the file, includes start at `baseDir`. */
export async function loadText(
  text: string,
  name: string,
  registries: Registries,
  host: HostDefaults = thisHost(),
  baseDir = ".",
): Promise<LoadedConfig> {
  return load(text, name, baseDir, registries, host);
}

const whole = (file: string, message: string): Problem => ({ file, line: 0, column: 0, path: "", message });

function read(file: string): string {
  let bytes: Buffer;
  try {
    if (statSync(file).isDirectory()) throw new ConfigError([whole(file, "is a directory, not a file")]);
    bytes = readAtMost(file, MAX_FILE_BYTES + 1);
    if (bytes.length > MAX_FILE_BYTES) throw new ConfigError([whole(file, `larger than ${MAX_FILE_BYTES >> 20} MiB`)]);
  } catch (error) {
    if (error instanceof ConfigError) throw error;
    const { code, message } = error as NodeJS.ErrnoException;
    const known: Record<string, string> = { ENOENT: "no such file", EACCES: "may not be read: permission denied" };
    throw new ConfigError([whole(file, known[code ?? ""] ?? message)]);
  }
  try {
    return new TextDecoder("utf-8", { fatal: true }).decode(bytes);
  } catch {
    throw new ConfigError([whole(file, "is not UTF-8 text")]);
  }
}

/** A pipe or a device has no size to ask for first. */
function readAtMost(file: string, limit: number): Buffer {
  const bytes = Buffer.alloc(limit);
  const descriptor = openSync(file, "r");
  try {
    let length = 0;
    for (let read = -1; read !== 0 && length < limit; length += read)
      read = readSync(descriptor, bytes, length, limit - length, null);
    return bytes.subarray(0, length);
  } finally {
    closeSync(descriptor);
  }
}

async function load(
  text: string,
  name: string,
  baseDir: string,
  registries: Registries,
  host: HostDefaults,
): Promise<LoadedConfig> {
  const problems: Problem[] = [];
  const files = [name];
  const hash = createHash("sha256").update(text);
  let total = text.length;
  const leadingZeros: Located[] = [];

  const readRoot = (text: string, file: string): Located | undefined => {
    const source = readSource(text, file);
    problems.push(...source.problems);
    leadingZeros.push(...source.leadingZeros);
    if (!source.root || source.problems.length) return undefined;
    if (source.root.value === undefined) return { ...source.root, value: Object.create(null), members: new Map() };
    if (source.root.members && !Array.isArray(source.root.value)) return source.root;
    problems.push(
      problemAt(source.root, [], "a configuration is a map of host, api, flows, tenants, bridges, exporters"),
    );
    return undefined;
  };

  let root = readRoot(text, name);
  if (root) {
    const main = root;
    const parts: Located[] = [];
    for (const { file, at } of includes(main, baseDir, name, problems)) {
      if (files.length > MAX_FILES || total > MAX_TOTAL_BYTES) {
        problems.push(problemAt(at, [], `more than ${MAX_FILES} files or ${MAX_TOTAL_BYTES >> 20} MiB are included`));
        break;
      }
      try {
        const included = read(file);
        total += included.length;
        files.push(file);
        hash.update(included);
        const part = readRoot(included, file);
        if (part) parts.push(part);
      } catch (error) {
        if (!(error instanceof ConfigError)) throw error;
        problems.push(...error.problems.map(({ message }) => problemAt(at, [], `${file}: ${message}`)));
      }
    }
    root = joinFiles(main, parts, problems);
  }
  const checked = root ? await checkDocument(root, registries, host) : { problems: [] };
  problems.push(...checked.problems);
  for (const at of leadingZeros)
    if (
      !problems.some(
        (known) => known.file === at.place.file && known.line === at.place.line && known.column === at.place.column,
      )
    )
      problems.push(
        problemAt(
          at,
          [],
          `${at.source} has leading zeros, octal to some: write ${String(at.value)}, or "${at.source}" if it is text`,
        ),
      );
  if (!("config" in checked) || !checked.config || problems.length) throw new ConfigError(inOrder(problems, files));
  return { config: checked.config, sha256: hash.digest("hex"), files, baseDir };
}

/** In the order of the files, each once. */
function inOrder(problems: readonly Problem[], files: readonly string[]): Problem[] {
  const unique = new Map(
    problems.map((problem) => [`${formatPlace(problem)} ${problem.path} ${problem.message}`, problem]),
  );
  const sorted = [...unique.values()].sort(
    (a, b) => files.indexOf(a.file) - files.indexOf(b.file) || a.line - b.line || a.column - b.column,
  );
  if (sorted.length <= MAX_PROBLEMS) return sorted;
  const last = sorted[MAX_PROBLEMS]!;
  return [
    ...sorted.slice(0, MAX_PROBLEMS),
    { ...last, path: "", message: `${sorted.length - MAX_PROBLEMS} more problems from here on` },
  ];
}

/** The files that `include` names, in order: its own order, and the alphabet's within a pattern. */
function includes(root: Located, baseDir: string, self: string, problems: Problem[]): { file: string; at: Located }[] {
  const include = root.members?.get("include");
  if (!include) return [];
  const entries = Array.isArray(include.value) ? [...(include.members?.values() ?? [])] : [include];
  return entries.flatMap((at) => {
    // Anything but text is told by the schema.
    if (typeof at.value !== "string" || at.value === "") return [];
    const pattern = at.value.startsWith("/") ? at.value : join(baseDir, at.value);
    if (isGlob(dirname(pattern))) {
      problems.push(
        problemAt(at, [], `${at.value}: only the last part of an include may be a pattern, as in weir.d/*.yaml`),
      );
      return [];
    }
    if (!isGlob(basename(pattern))) return [{ file: pattern, at }];
    let names: string[];
    try {
      names = readdirSync(dirname(pattern));
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code !== "ENOENT")
        problems.push(problemAt(at, [], (error as Error).message));
      return [];
    }
    return names
      .filter((name) => !name.startsWith(".") && matchesGlob(basename(pattern), name))
      .sort()
      .map((name) => ({ file: join(dirname(pattern), name), at }))
      .filter(({ file }) => file !== self);
  });
}

/** Lists are joined, `tenants` too; everything else is said in one file. */
function joinFiles(root: Located, parts: readonly Located[], problems: Problem[]): Located {
  const members = new Map(root.members);
  for (const part of parts)
    for (const [key, member] of part.members ?? []) {
      const before = members.get(key);
      if (key === "include") problems.push(problemAt(part, [key], "an included file cannot include others", true));
      else if (!before || before.value === undefined) members.set(key, member);
      else if (member.value === undefined) continue;
      else if (Array.isArray(before.value) && Array.isArray(member.value)) members.set(key, joinLists(before, member));
      else if (key === "tenants" && before.members && member.members)
        members.set(key, joinMaps(before, member, problems));
      else
        problems.push(problemAt(part, [key], `said already at ${formatPlace(before.keyPlace ?? before.place)}`, true));
    }
  const value = Object.create(null) as Record<string, unknown>;
  for (const [key, member] of members) value[key] = member.value;
  return { ...root, value, members };
}

function joinLists(left: Located, right: Located): Located {
  const all = [...left.members!.values(), ...right.members!.values()];
  return { ...left, value: all.map((member) => member.value), members: new Map(all.entries()) };
}

function joinMaps(left: Located, right: Located, problems: Problem[]): Located {
  const members = new Map(left.members);
  for (const [key, member] of right.members!) {
    const before = members.get(key);
    if (before) problems.push(problemAt(right, [key], `is there already, at ${formatPlace(before.keyPlace!)}`, true));
    else members.set(key, member);
  }
  const value = Object.create(null) as Record<string, unknown>;
  for (const [key, member] of members) value[key] = member.value;
  return { ...left, value, members };
}
