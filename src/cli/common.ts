/** What commands share: the client, options that many take, and printing. */
import type { Command } from "commander";
import { ApiClient } from "../api/client.ts";
import type { Deps, Terminal } from "./deps.ts";
import { UsageError } from "./errors.ts";
import type { Screen } from "./render/context.ts";
import { choosePaint } from "./render/text.ts";

/** The client for a command, with the global --api and --token. */
export function client(command: Command, deps: Deps): ApiClient {
  const { api, token } = command.optsWithGlobals<{ api?: string; token?: string }>();
  try {
    return new ApiClient({ api, token, env: deps.env, uid: deps.uid });
  } catch (error) {
    throw new UsageError((error as Error).message);
  }
}

export function screen(deps: Deps, terminal: Terminal = deps.out): Screen {
  return { paint: choosePaint(terminal.isTTY, deps.env), nowMs: deps.now() };
}

export function printLines(terminal: Terminal, lines: readonly string[]): void {
  terminal.write(lines.map((line) => line + "\n").join(""));
}

/** One JSON value on stdout: indented for a person, one line for a pipe. */
export function printJson(deps: Deps, value: unknown): void {
  deps.out.write(JSON.stringify(value, undefined, deps.out.isTTY ? 2 : undefined) + "\n");
}

/** The help's last part. Every command has one. */
export function example(command: Command, ...lines: readonly string[]): Command {
  return command.addHelpText(
    "after",
    `\nExample${lines.length > 1 ? "s" : ""}:\n${lines.map((line) => `  ${line}`).join("\n")}`,
  );
}

const UNITS: Readonly<Record<string, number>> = { ms: 1, s: 1000, m: 60_000, h: 3_600_000, d: 86_400_000 };

/** "2s" → ms. Throws a UsageError that names the option. */
export function parseDuration(option: string, value: string): number {
  const match = /^(\d{1,9}(?:\.\d{1,3})?)(ms|s|m|h|d)$/.exec(value);
  if (match === null) throw new UsageError(`${option} ${value}: write a number and a unit: 2s, 10m, 1h`);
  return Number(match[1]) * UNITS[match[2]!]!;
}

/** Do it once, or every so often until Ctrl-C. */
export async function repeat(deps: Deps, everyMs: number | undefined, once: () => Promise<void>): Promise<void> {
  if (everyMs === undefined) return once();
  const { signal } = deps;
  await once();
  while (!signal.aborted) {
    await deps.sleep(everyMs);
    if (signal.aborted) return;
    await once();
    await deps.out.drain();
  }
}

/** For options that may be given again and again. */
export const collect = (value: string, all: string[]): string[] => [...all, value];
