/** weir status: one screen; 0 healthy, 1 degraded, 3 not running. */
import type { Command } from "commander";
import { NoSwitch } from "../api/client.ts";
import type { SystemJson } from "../bridge/views/json.ts";
import { client, example, printJson, printLines, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews, EXIT_NO_SWITCH } from "./errors.ts";
import { renderLeft } from "./render/left.ts";
import { renderStatus } from "./render/status.ts";
import { visible } from "./render/text.ts";

async function status(options: { json?: true }, command: Command, deps: Deps): Promise<void> {
  let system: SystemJson;
  try {
    system = await client(command, deps).get<SystemJson>("system");
  } catch (error) {
    if (!(error instanceof NoSwitch)) throw error;
    const left = await deps.engine.left().catch(() => []);
    if (options.json) printJson(deps, { state: "notRunning", detail: error.message, forwarding: left });
    else if (left.length > 0) printLines(deps.out, renderLeft(left));
    else deps.out.write(`no weir process: nothing is forwarded.\n${visible(error.message)}\n`);
    throw new BadNews(EXIT_NO_SWITCH);
  }
  if (options.json) printJson(deps, system);
  else printLines(deps.out, renderStatus(system, screen(deps)));
  if (system.state !== "ok") throw new BadNews();
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("status")
    .description("one screen: exit 0 healthy, 1 degraded, 3 not running")
    .option("-j, --json", "the API's answer as one JSON value")
    .action((options: { json?: true }) => status(options, command, deps));
  example(command, "weir status || echo look at it");
}
