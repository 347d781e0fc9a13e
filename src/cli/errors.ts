/** Exit codes are promises to scripts. */
import { NoSwitch, NotAllowed } from "../api/client.ts";
import { Problem } from "../api/problem.ts";
import { ConfigError } from "../config/problem.ts";
import { visible } from "./render/text.ts";

export const EXIT_OK = 0;
/** Failed, or the answer is bad news. */
export const EXIT_FAILED = 1;
/** Wrong usage or configuration. */
export const EXIT_USAGE = 2;
export const EXIT_NO_SWITCH = 3;
export const EXIT_NOT_ALLOWED = 4;

/** Wrong usage or configuration, said in one sentence or several lines. */
export class UsageError extends Error {
  readonly exitCode = EXIT_USAGE;
}

/** A command that did its work and found bad news, all of it printed already. */
export class BadNews extends Error {
  readonly exitCode: number;

  constructor(exitCode: number = EXIT_FAILED) {
    super("");
    this.exitCode = exitCode;
  }
}

/** What to print on stderr, and the exit code. */
export function explain(error: unknown): { readonly text: string; readonly code: number } {
  if (error instanceof NoSwitch) return { text: error.message, code: EXIT_NO_SWITCH };
  if (error instanceof NotAllowed) return { text: error.message, code: EXIT_NOT_ALLOWED };
  if (error instanceof Problem) {
    const more = error.errors
      .map(({ path, message }) => `  ${path}: ${message}`)
      .filter((line) => !line.includes(error.message));
    const usage = error.status === 400 || error.status === 422;
    return {
      text: [error.message, ...(more.length > 1 ? more : [])].join("\n"),
      code: usage ? EXIT_USAGE : EXIT_FAILED,
    };
  }
  if (error instanceof ConfigError) return { text: error.message, code: EXIT_USAGE };
  const { message, code, exitCode } = error as NodeJS.ErrnoException & { exitCode?: number };
  if (typeof exitCode === "number") return { text: message, code: exitCode };
  if (code === "EACCES" || code === "EPERM") return { text: message, code: EXIT_NOT_ALLOWED };
  return { text: message ?? String(error), code: EXIT_FAILED };
}

export function errorLines(text: string): string {
  return text
    .split("\n")
    .map((line) => visible(line))
    .join("\n");
}
