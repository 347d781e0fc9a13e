/** weir detach: end what the kernel datapath forwards without a process. */
import type { Command } from "commander";
import { example, printJson } from "./common.ts";
import type { Deps } from "./deps.ts";
import { visible } from "./render/text.ts";

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("detach")
    .description("end forwarding that goes on in the kernel without a weir process, and give its devices back")
    .option("--state-dir <dir>", "only of the switch with this host.stateDir")
    .option("-j, --json", "what was ended, as one JSON value")
    .action(async ({ stateDir, json }: { stateDir?: string; json?: true }) => {
      const ended = await deps.engine.detach(stateDir);
      if (json) return printJson(deps, ended);
      if (ended.length === 0) deps.out.write("nothing forwards without a process\n");
      for (const { bridge, ports } of ended)
        deps.out.write(`${visible(bridge)}  ended; ${ports.length} ports given back to the host\n`);
    });
  example(command, "weir detach");
}
