/** Skips by name what cannot run here; with CI=true a missing tool is a failure. */
import { spawnSync } from "node:child_process";
import { existsSync } from "node:fs";
import type { TestContext } from "node:test";

const PATH = `${process.env.PATH}:/usr/sbin:/sbin`;

export function which(tool: string): string | undefined {
  const found = spawnSync("sh", ["-c", 'command -v "$1"', "sh", tool], {
    env: { ...process.env, PATH },
    encoding: "utf8",
  });
  return found.status === 0 ? found.stdout.trim() : undefined;
}

function missing(t: TestContext, what: string): false {
  if (process.env.CI === "true") throw new Error(`${what}, and with CI=true that is a failure`);
  t.skip(what);
  return false;
}

/** `if (!needs(t, "nfcapd", "nfdump")) return;` */
export function needs(t: TestContext, ...tools: string[]): boolean {
  const absent = tools.filter((tool) => !(tool.startsWith("/") ? existsSync(tool) : which(tool)));
  return absent.length === 0 || missing(t, `needs ${absent.join(", ")}`);
}

/** `if (!needsRoot(t)) return;` for namespaces, packet sockets, bpf. */
export function needsRoot(t: TestContext): boolean {
  return process.getuid?.() === 0 || missing(t, "needs root");
}
