/** weir schema: the JSON Schema of the configuration, for editors. */
import type { Command } from "commander";
import { example } from "./common.ts";
import type { Deps } from "./deps.ts";

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("schema")
    .description("print the JSON Schema of the configuration")
    .action(async () => {
      deps.out.write(JSON.stringify(await deps.engine.schema(), undefined, 2) + "\n");
    });
  example(command, "weir schema > weir.schema.json");
}
