/** The command line: a table of commands, one file each, and what they have in common. */
import { Command, CommanderError } from "commander";
import type { Deps } from "./deps.ts";
import { BadNews, errorLines, EXIT_OK, EXIT_USAGE, explain } from "./errors.ts";
import * as check from "./check.ts";
import * as decode from "./decode/index.ts";
import * as demo from "./demo.ts";
import * as detach from "./detach.ts";
import * as init from "./init.ts";
import * as capture from "./capture.ts";
import * as mirror from "./mirror.ts";
import * as monitor from "./monitor.ts";
import * as observe from "./observe.ts";
import * as port from "./port.ts";
import * as reload from "./reload.ts";
import * as replay from "./replay.ts";
import * as report from "./report.ts";
import * as run from "./run.ts";
import * as schema from "./schema.ts";
import * as show from "./show.ts";
import * as status from "./status.ts";
import * as top from "./top.ts";
import * as trace from "./trace.ts";
import * as version from "./version.ts";

/** In the order of `weir --help`. */
const COMMANDS = [
  run,
  observe,
  replay,
  demo,
  status,
  show,
  top,
  monitor,
  trace,
  decode,
  mirror,
  capture,
  port,
  reload,
  detach,
  check,
  schema,
  init,
  report,
  version,
];

export function createProgram(deps: Deps): Command {
  const program = new Command("weir");
  program
    .description("An edge switch whose forwarding cache is its flow record.")
    .version(deps.version, "-V, --version", "print the version of this command")
    .option("--api <where>", "the running switch: unix:PATH or http://HOST:PORT (also WEIR_API)")
    .option("--token <token>", "token of the API over TCP (also WEIR_TOKEN)")
    .showHelpAfterError("(weir --help lists the commands; weir COMMAND --help has an example)")
    .configureHelp({ showGlobalOptions: true })
    .configureOutput({
      writeOut: (text) => deps.out.write(text),
      writeErr: (text) => deps.err.write(errorLines(text.trimEnd()) + "\n"),
      getOutHelpWidth: () => Math.min(deps.out.columns, 110),
      getErrHelpWidth: () => Math.min(deps.err.columns, 110),
      getOutHasColors: () => false,
      getErrHasColors: () => false,
    })
    .exitOverride();
  for (const command of COMMANDS) command.register(program, deps);
  return program;
}

/** Run one command line (without node and script); the exit code. */
export async function main(args: readonly string[], deps: Deps): Promise<number> {
  try {
    await createProgram(deps).parseAsync([...args], { from: "user" });
    return EXIT_OK;
  } catch (error) {
    if (error instanceof CommanderError)
      return error.exitCode === 0 || error.code === "commander.helpDisplayed" ? EXIT_OK : EXIT_USAGE;
    if (error instanceof BadNews) return error.exitCode;
    const { text, code } = explain(error);
    if (text !== "") deps.err.write(`weir: ${errorLines(text)}\n`);
    return code;
  }
}
