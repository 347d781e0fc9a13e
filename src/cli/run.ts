/** weir run: the switch in the foreground. */
import type { Command } from "commander";
import { example } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews } from "./errors.ts";

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("run")
    .description("the switch, in the foreground")
    .option("--config <file>", "the configuration", "/etc/weir/weir.yaml")
    .option("--detach-on-exit", "end forwarding with this process, also in the kernel")
    .action(async (options: { config: string; detachOnExit?: true }) => {
      const code = await deps.engine.run({ config: options.config, detachOnExit: options.detachOnExit ?? false });
      if (code !== 0) throw new BadNews(code);
    });
  example(command, "weir run --config /etc/weir/weir.yaml");
}
