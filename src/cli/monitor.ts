/** weir monitor: notices as they come. */
import type { Command } from "commander";
import { NoSwitch } from "../api/client.ts";
import type { EventJson } from "../bridge/views/json.ts";
import { EVENT_KINDS } from "../telemetry/events.ts";
import { client, example } from "./common.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";
import { renderEvent } from "./render/events.ts";

/** "macs" and "mac" are the same. */
function kindOf(word: string): string {
  const kind = word.replace(/s$/, "");
  if ((EVENT_KINDS as readonly string[]).includes(kind)) return kind;
  throw new UsageError(`there are no notices of kind ${word}; kinds: ${EVENT_KINDS.join(", ")}`);
}

async function monitor(
  words: readonly string[],
  options: { json?: true },
  command: Command,
  deps: Deps,
): Promise<void> {
  const kinds = words.map(kindOf);
  const query = { follow: "1", kind: kinds.length > 0 ? kinds.join(",") : undefined };
  const lines = client(command, deps).lines<EventJson>("events", query)[Symbol.asyncIterator]();
  const stop = new Promise<undefined>((resolve) => deps.signal.addEventListener("abort", () => resolve(undefined)));
  while (!deps.signal.aborted) {
    const next = await Promise.race([lines.next(), stop]);
    if (next === undefined) return;
    if (next.done) throw new NoSwitch("the switch ended, and its notices with it");
    deps.out.write((options.json ? JSON.stringify(next.value) : renderEvent(next.value)) + "\n");
    await deps.out.drain();
  }
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("monitor")
    .description(`notices as they come: ${EVENT_KINDS.join(", ")}`)
    .argument("[kinds...]", "only these")
    .option("-j, --json", "one JSON object a line")
    .action((words: string[], options: { json?: true }) => monitor(words, options, command, deps));
  example(command, "weir monitor mac drop");
}
