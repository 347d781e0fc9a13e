/** weir demo (npm start): real switching of generated tenants, and a summary that runs along. */
import type { Command } from "commander";
import { ApiClient, endpoints, NoSwitch } from "../api/client.ts";
import type { DropJson, FlowJson, SystemJson, TenantJson } from "../bridge/views/json.ts";
import { example, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews } from "./errors.ts";
import type { List } from "./render/context.ts";
import { renderSummary, type Summary } from "./render/summary.ts";
import { cut } from "./render/text.ts";

const EVERY_MS = 2000;
/** Into a file or a pipe: less often. */
const PLAIN_EVERY_MS = 10_000;
/** Rates need two looks at the counters, a second apart. */
const FIRST_MS = 2500;

async function ask(api: ApiClient): Promise<Summary> {
  const system = await api.get<SystemJson>("system");
  const tenants = await api.get<List<TenantJson>>("tenants");
  const flows = await api.get<List<FlowJson>>("flows", { limit: "1", sort: "-bps" });
  const drops = await api.get<List<DropJson>>("drops", { limit: "2", sort: "-pps", since: "10s" });
  return { system, tenants: tenants.items, top: flows.items[0], drops: drops.items };
}

/** Redraw in place on a terminal; else a block now and then. */
function draw(deps: Deps, lines: readonly string[], previous: number): number {
  if (!deps.out.isTTY) {
    deps.out.write(lines.join("\n") + "\n");
    return 0;
  }
  const up = previous > 0 ? `\u001b[${previous}A\r` : "";
  const body = lines.map((line) => `${cut(line, deps.out.columns - 1)}\u001b[K\n`).join("");
  deps.out.write(`${up}${body}\u001b[J`);
  return lines.length;
}

async function summarise(api: string, deps: Deps, end: AbortSignal): Promise<void> {
  const client = new ApiClient({ api, env: {}, uid: deps.uid });
  const ended = new Promise<void>((resolve) => end.addEventListener("abort", () => resolve()));
  let lines = 0;
  let pauseMs = FIRST_MS;
  while (!end.aborted) {
    await Promise.race([deps.sleep(pauseMs), ended]);
    pauseMs = deps.out.isTTY ? EVERY_MS : PLAIN_EVERY_MS;
    if (end.aborted) return;
    try {
      lines = draw(deps, renderSummary(await ask(client), screen(deps)), lines);
    } catch (error) {
      // The switch ends between two looks; its own last words follow.
      if (error instanceof NoSwitch || (error as NodeJS.ErrnoException).code !== undefined) return;
      throw error;
    }
  }
}

/** How another terminal asks this switch: without --api where it looks anyway. Our WEIR_API is not its. */
function askIt(api: string, deps: Deps): string {
  const found = endpoints({ env: { ...deps.env, WEIR_API: undefined }, uid: deps.uid }).some(
    (endpoint) => endpoint.name === api,
  );
  return `node dist/weir.js show flows${found ? "" : ` --api ${api}`}`;
}

function introduction(api: string, page: string | undefined, deps: Deps): string {
  const ask =
    api === ""
      ? "not this one: its API did not start, the message above says why"
      : `${askIt(api, deps).padEnd(34)} (in another terminal)`;
  return (
    `Weir ${deps.version} demo: a real switch, generated tenants, no root; nothing leaves this machine.\n` +
    (page === undefined ? "" : `  live view   ${page}     <- open this\n`) +
    `  ask it      ${ask}\n` +
    `  stop it     Ctrl-C\n\n`
  );
}

async function demo(options: { config?: string }, deps: Deps): Promise<void> {
  const end = new AbortController();
  let summary: Promise<void> = Promise.resolve();
  const code = await deps.engine.demo(options, (api, page) => {
    deps.out.write(introduction(api, page, deps));
    if (api === "") return;
    summary = summarise(api, deps, end.signal).catch((error: unknown) => {
      deps.err.write(`weir: the summary ended: ${(error as Error).message}\n`);
    });
  });
  end.abort();
  await summary;
  if (code !== 0) throw new BadNews(code);
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("demo")
    .description("a switch with generated tenant traffic, as any user, without root (npm start)")
    .option("--config <file>", "another configuration than config/demo.yaml")
    .action((options: { config?: string }) => demo(options, deps));
  example(command, "weir demo");
}
