/** weir show …: ask the running switch. */
import { Argument, type Command } from "commander";
import type { ApiClient } from "../api/client.ts";
import type {
  AuditJson,
  BridgeJson,
  DropJson,
  DropsExtra,
  ExporterJson,
  FlowJson,
  MacJson,
  MirrorJson,
  PortJson,
  RuleJson,
  SystemJson,
  TenantJson,
} from "../bridge/views/json.ts";
import { client, example, parseDuration, printJson, printLines, repeat, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { BadNews, UsageError } from "./errors.ts";
import { renderAudit } from "./render/audit.ts";
import type { List, Screen } from "./render/context.ts";
import { renderDrops } from "./render/drops.ts";
import { renderFlows } from "./render/flows.ts";
import { renderExporters, renderMacs, renderRules, renderTenants } from "./render/lists.ts";
import { renderMirrors } from "./render/mirrors.ts";
import { renderPort, renderPorts } from "./render/ports.ts";
import { renderSystem } from "./render/status.ts";

interface ShowOptions {
  readonly json?: true;
  readonly limit?: string;
  readonly sort?: string;
  readonly where?: string;
  readonly since?: string;
  readonly every?: string;
  readonly all?: true;
}

interface Asked {
  readonly api: ApiClient;
  readonly names: readonly string[];
  readonly options: ShowOptions;
}

interface View {
  readonly path: string;
  /** Keys of the query beside the names. */
  readonly takes: readonly (keyof ShowOptions)[];
  render(body: never, asked: Asked, screen: Screen): Promise<string[]> | string[];
  /** True: the answer is bad news, exit 1. */
  bad?(body: never): boolean;
}

const LIST = ["limit", "sort", "where"] as const;
const DEFAULT_SORT = "-bps";

const VIEWS: Readonly<Record<string, View>> = {
  ports: {
    path: "ports",
    takes: LIST,
    async render(body: List<PortJson>, { api, names }, screen) {
      if (names.length > 0)
        return body.items.flatMap((port, n) => [...(n > 0 ? [""] : []), ...renderPort(port, screen)]);
      const bridges = await api.get<List<BridgeJson>>("bridges");
      const isMirrored = body.items.some(({ mirrors }) => mirrors !== undefined);
      const mirrors = isMirrored ? await api.get<List<MirrorJson>>("mirrors") : undefined;
      return renderPorts(bridges.items, body.items, screen, mirrors?.items);
    },
  },
  flows: {
    path: "flows",
    takes: LIST,
    render: (body: List<FlowJson>, { options }, screen) => renderFlows(body, options.sort ?? DEFAULT_SORT, screen),
  },
  macs: { path: "macs", takes: LIST, render: (body: List<MacJson>, _asked, screen) => renderMacs(body, screen) },
  rules: { path: "rules", takes: LIST, render: (body: List<RuleJson>, _asked, screen) => renderRules(body, screen) },
  drops: {
    path: "drops",
    takes: [...LIST, "since", "all"],
    render: (body: List<DropJson> & DropsExtra, { options }, screen) =>
      renderDrops(body, options.since ?? "60s", screen),
  },
  mirrors: {
    path: "mirrors",
    takes: LIST,
    render: (body: List<MirrorJson>, _asked, screen) => renderMirrors(body, screen),
  },
  exporters: {
    path: "exporters",
    takes: LIST,
    render: (body: List<ExporterJson>, _asked, screen) => renderExporters(body, screen),
  },
  tenants: {
    path: "tenants",
    takes: LIST,
    render: (body: List<TenantJson>, _asked, screen) => renderTenants(body, screen),
  },
  audit: {
    path: "audit",
    takes: LIST,
    render: (body: List<AuditJson>, _asked, screen) =>
      body.items.flatMap((audit, n) => [...(n > 0 ? [""] : []), ...renderAudit(audit, screen)]),
    bad: (body: List<AuditJson>) => body.items.some((audit) => !audit.ok),
  },
  system: { path: "system", takes: [], render: (body: SystemJson, _asked, screen) => renderSystem(body, screen) },
  config: {
    path: "config",
    takes: [],
    // Not `import("yaml")`: of a bundled CommonJS package that gives the default export alone.
    render: async (body: unknown) => (await import("./render/config.ts")).renderConfig(body),
  },
};

/** ?name= chooses among things with names; the flows of a port are chosen by a filter. */
function query(what: string, { names, options }: Asked): Record<string, string | undefined> {
  const where = [...(names.length > 0 && what === "flows" ? [`port=${names.join(",")}`] : []), options.where]
    .filter((part) => part !== undefined)
    .join(" ");
  return {
    name: names.length > 0 && what !== "flows" ? names.join(",") : undefined,
    where: where === "" ? undefined : where,
    sort: options.sort,
    limit: options.limit,
    since: options.since,
    all: options.all ? "1" : undefined,
  };
}

function refuseUseless(what: string, view: View, names: readonly string[], options: ShowOptions): void {
  for (const key of ["limit", "sort", "where", "since", "all"] as const)
    if (options[key] !== undefined && !view.takes.includes(key))
      throw new UsageError(`weir show ${what} takes no --${key}`);
  if (names.length > 0 && view.takes.length === 0) throw new UsageError(`weir show ${what} takes no names`);
  if (options.limit !== undefined && !/^\d+$/.test(options.limit))
    throw new UsageError("--limit: write a whole number, 0 for all");
}

async function showOnce(what: string, view: View, asked: Asked, deps: Deps): Promise<boolean> {
  const { api, options } = asked;
  const parameters = query(what, asked);
  if (options.json && options.limit === "0") {
    for await (const item of api.lines<unknown>(view.path, parameters)) {
      deps.out.write(JSON.stringify(item) + "\n");
      await deps.out.drain();
      if (deps.signal.aborted) break;
    }
    return false;
  }
  // Only flows are many enough to stream; other lists come whole when no limit is said.
  const whole = options.limit === "0" ? { ...parameters, limit: undefined } : parameters;
  const streamed = options.limit === "0" && what === "flows";
  const body = await (streamed ? collect(api, view.path, parameters, deps) : api.get(view.path, whole));
  if (options.json) printJson(deps, body);
  else {
    const lines = await view.render(body as never, asked, screen(deps));
    // On a terminal a repeated screen replaces the last one.
    if (options.every !== undefined && deps.out.isTTY) deps.out.write("\u001b[H\u001b[2J");
    printLines(deps.out, lines);
  }
  return view.bad?.(body as never) ?? false;
}

/** A table needs all rows to know its widths. */
async function collect(
  api: ApiClient,
  path: string,
  parameters: Record<string, string | undefined>,
  deps: Deps,
): Promise<List<unknown>> {
  const items: unknown[] = [];
  for await (const item of api.lines<unknown>(path, parameters)) items.push(item);
  return { at: new Date(deps.now()).toISOString(), total: items.length, items };
}

async function show(what: string, names: readonly string[], options: ShowOptions, command: Command, deps: Deps) {
  const view = VIEWS[what]!;
  refuseUseless(what, view, names, options);
  const everyMs = options.every === undefined ? undefined : parseDuration("--every", options.every);
  if (everyMs !== undefined && everyMs < 100) throw new UsageError("--every: at least 100ms");
  const asked: Asked = { api: client(command, deps), names, options };
  let bad = false;
  await repeat(deps, everyMs, async () => {
    bad = await showOnce(what, view, asked, deps);
  });
  if (bad) throw new BadNews();
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("show")
    .description("ask the running switch for one of its lists")
    .addArgument(new Argument("<what>", "what to show").choices(Object.keys(VIEWS)))
    .argument("[names...]", "only these (ports, tenants, …; of flows: those that came in by these ports)")
    .option("-j, --json", "the API's answer as one JSON value; with --limit 0 one object a line")
    .option("--limit <n>", "at most so many rows; 0 = all")
    .option("--sort <key>", "by this key of the JSON; -key = largest first")
    .option("--where <filter>", "only what matches: 'tenant=acme dstPort=443'")
    .option("--since <time>", "drops: the window, 60s, 1h or start")
    .option("--all", "drops: the expected ones too")
    .option("--every <time>", "again and again, until Ctrl-C: 2s")
    .action((what: string, names: string[], options: ShowOptions) => show(what, names, options, command, deps));
  example(
    command,
    "weir show ports",
    "weir show flows --where 'tenant=acme dstPort=443' --limit 50",
    "weir show drops --since 1h",
    "weir show flows --json --limit 0 | jq .bytes",
  );
}
