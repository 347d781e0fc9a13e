/** weir reload: apply the difference between the file and what runs. */
import type { Command } from "commander";
import type { ReloadJson } from "../bridge/views/json.ts";
import { client, example, parseDuration, printJson, printLines, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews, UsageError } from "./errors.ts";
import { renderReload } from "./render/trace.ts";
import { duration } from "./render/units.ts";

interface Options {
  readonly dryRun?: true;
  readonly try?: string;
  readonly keep?: true;
  readonly json?: true;
}

async function reload(options: Options, command: Command, deps: Deps): Promise<void> {
  if (options.keep && (options.dryRun || options.try !== undefined)) throw new UsageError("--keep stands alone");
  const tryMs = options.try === undefined ? undefined : parseDuration("--try", options.try);
  const request = {
    ...(options.dryRun ? { dryRun: true } : {}),
    ...(options.try === undefined ? {} : { try: options.try }),
    ...(options.keep ? { keep: true } : {}),
  };
  const answer = await client(command, deps).send<ReloadJson>("POST", "reload", request);
  if (options.json) printJson(deps, answer);
  else {
    printLines(deps.out, renderReload(answer, screen(deps)));
    if (tryMs !== undefined && answer.revertsMs !== undefined)
      deps.out.write(`goes back in ${duration(tryMs)} unless you keep it: weir reload --keep\n`);
  }
  if (answer.failed.length > 0) throw new BadNews();
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("reload")
    .description("read the configuration again and apply only the difference")
    .option("--dry-run", "print the plan, change nothing")
    .option("--try <time>", "go back after so long unless `weir reload --keep` follows: 60s")
    .option("--keep", "keep what --try brought")
    .option("-j, --json", "the API's answer as one JSON value")
    .action((options: Options) => reload(options, command, deps));
  example(command, "weir reload --dry-run", "weir reload --try 60s && ping -c 3 192.0.2.1 && weir reload --keep");
}
