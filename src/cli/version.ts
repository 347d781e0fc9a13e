/** weir version: this command and the switch that runs. */
import type { Command } from "commander";
import { NoSwitch } from "../api/client.ts";
import type { SystemJson } from "../bridge/views/json.ts";
import { client, example, printJson } from "./common.ts";
import type { Deps } from "./deps.ts";
import { visible } from "./render/text.ts";

async function running(command: Command, deps: Deps): Promise<SystemJson | undefined> {
  try {
    return await client(command, deps).get<SystemJson>("system");
  } catch (error) {
    // Without a switch there is one end; that is an answer, not a failure.
    if (error instanceof NoSwitch) return undefined;
    throw error;
  }
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("version")
    .description("versions of this command and of the running switch")
    .option("-j, --json", "one JSON value")
    .action(async (options: { json?: true }) => {
      const system = await running(command, deps);
      const here = { version: deps.version, node: process.versions.node };
      const there = system === undefined ? undefined : { version: system.version, node: system.node, pid: system.pid };
      if (options.json) return printJson(deps, { command: here, switch: there ?? null });
      deps.out.write(`command  weir ${here.version}, Node ${here.node}\n`);
      if (there === undefined) deps.out.write("switch   none answers\n");
      else
        deps.out.write(`switch   weir ${visible(there.version)}, Node ${visible(there.node)}, process ${there.pid}\n`);
    });
  example(command, "weir version");
}
