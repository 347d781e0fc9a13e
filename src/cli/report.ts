/** weir report: a support bundle, one JSON file without packets, addresses of packets, or tokens. */
import type { Command } from "commander";
import { writeFile } from "node:fs/promises";
import { gzipSync } from "node:zlib";
import type { ApiClient } from "../api/client.ts";
import { client, example } from "./common.ts";
import type { Deps } from "./deps.ts";

/** Flows, MACs and frames of refusals are the tenants' own: not in here. */
const PARTS = ["system", "config", "bridges", "ports", "tenants", "exporters", "audit", "events"] as const;
const SECRET = /token|secret|password|passphrase|key$|cert$/i;

/** The value with everything that is named like a secret taken out. */
export function redact(value: unknown): unknown {
  if (Array.isArray(value)) return value.map(redact);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(
    Object.entries(value).map(([key, inner]) => [
      key,
      SECRET.test(key) && inner !== null ? "(left out)" : redact(inner),
    ]),
  );
}

async function gather(api: ApiClient, deps: Deps): Promise<object> {
  const parts: Record<string, unknown> = {};
  // One part that fails is itself a finding; nobody answering at all is an error.
  await api.get("system").then((system) => (parts.system = redact(system)));
  for (const part of PARTS.slice(1)) {
    try {
      parts[part] = redact(await api.get(part));
    } catch (error) {
      parts[part] = { error: (error as Error).message };
    }
  }
  const command = {
    version: deps.version,
    node: process.versions.node,
    platform: process.platform,
    arch: process.arch,
  };
  return { at: new Date(deps.now()).toISOString(), command, ...parts };
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("report")
    .description("a support bundle: configuration, counters, events; no packets, no flows, no tokens")
    .option("-o, --output <file>", "where to; - = standard output, not compressed", "weir-report.json.gz")
    .action(async (options: { output: string }) => {
      const text = JSON.stringify(await gather(client(command, deps), deps), undefined, 2) + "\n";
      if (options.output === "-") return deps.out.write(text);
      await writeFile(options.output, options.output.endsWith(".gz") ? gzipSync(text) : text, { mode: 0o600 });
      deps.err.write(`${options.output} written; read it before you send it\n`);
    });
  example(command, "weir report", "weir report -o - | less");
}
