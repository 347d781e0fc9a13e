/** weir check: says ok or every error. */
import type { Command } from "commander";
import { readFile, stat } from "node:fs/promises";
import { example, printJson } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews, errorLines, EXIT_USAGE, UsageError } from "./errors.ts";
import { plural } from "./render/words.ts";

/** As the loader reads it: the same limit, the same alphabet. */
const MAX_FILE_BYTES = 1 << 20;

async function read(file: string, deps: Deps): Promise<string> {
  if (file === "-") return deps.keys.text();
  try {
    if ((await stat(file)).size > MAX_FILE_BYTES) throw new UsageError(`${file}: larger than 1 MiB`);
    return new TextDecoder("utf-8", { fatal: true }).decode(await readFile(file));
  } catch (error) {
    const { code, message } = error as NodeJS.ErrnoException;
    if (error instanceof UsageError) throw error;
    if (code === "ERR_ENCODING_INVALID_ENCODED_DATA") throw new UsageError(`${file}: is not UTF-8 text`);
    throw new UsageError(`${file}: ${code === "ENOENT" ? "no such file" : message}`);
  }
}

async function check(file: string, options: { json?: true }, deps: Deps): Promise<void> {
  const errors = await deps.engine.check(await read(file, deps), file);
  if (options.json) printJson(deps, { ok: errors.length === 0, errors });
  else if (errors.length === 0) deps.out.write(`${file}: ok\n`);
  else deps.err.write(`${errors.map((error) => errorLines(error)).join("\n")}\n${plural(errors.length, "error")}\n`);
  if (errors.length > 0) throw new BadNews(EXIT_USAGE);
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("check")
    .description("is this configuration sound? Says ok, or every error with its place")
    .argument("<file>", "the configuration; - = standard input")
    .option("-j, --json", "one JSON value")
    .action((file: string, options: { json?: true }) => check(file, options, deps));
  example(command, "weir check /etc/weir/weir.yaml");
}
