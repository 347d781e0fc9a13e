/** Real packets stand beside the project, in ../shared/captures (or WEIR_CAPTURES); they are data and never copied in. */
import { existsSync, readdirSync } from "node:fs";
import { dirname, join, resolve } from "node:path";
import { fileURLToPath } from "node:url";
import type { TestContext } from "node:test";

/** The project's root; compiled tests run from dist/js/test/helpers. */
export const projectRoot = resolve(dirname(fileURLToPath(import.meta.url)), "../../../..");

/** The folder that holds them, where it is there. */
export function capturesFolder(): string | undefined {
  const beside = [join(projectRoot, "../shared/captures"), join(projectRoot, "../../shared/captures")];
  return [process.env.WEIR_CAPTURES, ...beside].find((path) => path !== undefined && existsSync(path));
}

/** Paths of all captures of a kind, sorted; undefined (and the test skipped by name) where they are not here. */
export function captures(t: TestContext, kind: "apps" | "protocols" | "malformed"): string[] | undefined {
  const base = capturesFolder();
  if (base === undefined) {
    const why = "the captures are not beside the project (WEIR_CAPTURES names their folder)";
    if (process.env.CI === "true") throw new Error(why);
    t.skip(why);
    return undefined;
  }
  return readdirSync(join(base, kind))
    .filter((name) => /\.(pcap|pcapng|cap)$/.test(name))
    .toSorted()
    .map((name) => join(base, kind, name));
}
