/** weir check: says ok or every error. */
import type { Command } from "commander";
import { readFile } from "node:fs/promises";
import { example, printJson } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews, errorLines, EXIT_USAGE, UsageError } from "./errors.ts";
import { plural } from "./render/words.ts";

async function read(file: string, deps: Deps): Promise<string> {
  if (file === "-") return deps.keys.text();
  try {
    return await readFile(file, "utf8");
  } catch (error) {
    throw new UsageError(
      `${file}: ${(error as NodeJS.ErrnoException).code === "ENOENT" ? "no such file" : (error as Error).message}`,
    );
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
