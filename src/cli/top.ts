/** weir top: live in the terminal. Draws on the alternate screen and always gives the terminal back. */
import { type Command, Option } from "commander";
import type { ApiClient } from "../api/client.ts";
import type { FlowJson, PortJson, SystemJson, TenantJson } from "../bridge/views/json.ts";
import { client, example, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { explain, UsageError } from "./errors.ts";
import type { List } from "./render/context.ts";
import {
  portRows,
  press,
  renderTop,
  tenantRows,
  type TopData,
  type TopRow,
  type TopState,
  VIEWS,
} from "./render/top.ts";

const EVERY_MS = 2000;
/** A minute of history. */
const HISTORY = 60_000 / EVERY_MS;

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

/** A row that left takes its history along: memory is bounded by what is shown. */
function remember(history: Map<string, number[]>, rows: readonly TopRow[]): Map<string, number[]> {
  return new Map(rows.map((row) => [row.name, [...(history.get(row.name) ?? []), row.rxBps].slice(-HISTORY)]));
}

async function ask(api: ApiClient, state: TopState, rows: number): Promise<Omit<TopData, "history">> {
  const where = state.filter === "" || state.editing ? undefined : state.filter;
  const system = await api.get<SystemJson>("system");
  if (state.by === "flow") {
    const flows = await api.get<List<FlowJson>>("flows", { where, sort: "-bps", limit: String(rows) });
    return { system, rows: [], flows: flows.items };
  }
  if (state.by === "tenant") {
    const tenants = await api.get<List<TenantJson>>("tenants", { where });
    return { system, rows: tenantRows(tenants.items), flows: [] };
  }
  const ports = await api.get<List<PortJson>>("ports", { where });
  return { system, rows: portRows(ports.items, state.by), flows: [] };
}

class Top {
  private state: TopState;
  private data: TopData | undefined;
  private history = new Map<string, number[]>();
  private readonly deps: Deps;
  private readonly api: ApiClient;
  private over = false;
  private wake = (): void => {};

  constructor(deps: Deps, api: ApiClient, by: TopState["by"]) {
    this.deps = deps;
    this.api = api;
    this.state = { by, sort: "rxBps", filter: "", editing: false, frozen: false };
  }

  async run(): Promise<void> {
    const { deps } = this;
    await this.refresh(true);
    this.over = deps.signal.aborted;
    const leave = (): void => {
      this.over = true;
      this.wake();
    };
    deps.signal.addEventListener("abort", leave);
    deps.out.write(ENTER);
    const stopKeys = deps.keys.onKeys((key) => this.key(key, leave));
    try {
      while (!this.over) {
        this.draw();
        // A key wakes at once, so that another view does not wait for the clock.
        await Promise.race([deps.sleep(EVERY_MS), new Promise<void>((resolve) => (this.wake = resolve))]);
        if (!this.over && !this.state.frozen && !this.state.editing) await this.refresh(false);
      }
    } finally {
      stopKeys();
      deps.signal.removeEventListener("abort", leave);
      deps.out.write(LEAVE);
    }
  }

  private key(key: string, leave: () => void): void {
    const next = press(this.state, key);
    if (next === undefined) return leave();
    if (next.by !== this.state.by) {
      this.history = new Map();
      this.data = undefined;
    }
    const asks = next.by !== this.state.by || (this.state.editing && !next.editing);
    this.state = next;
    if (asks) this.wake();
    this.draw();
  }

  /** The first failure ends the command with its code; a later one is shown, and asked again. */
  private async refresh(first: boolean): Promise<void> {
    const asked = this.state.by;
    try {
      const found = await ask(this.api, this.state, this.deps.out.rows);
      if (asked !== this.state.by) return;
      this.history = remember(this.history, found.rows);
      this.data = { ...found, history: this.history };
      const { trouble: _gone, ...state } = this.state;
      this.state = state;
    } catch (error) {
      if (first) throw error;
      this.state = { ...this.state, trouble: explain(error).text };
    }
  }

  private draw(): void {
    const { out } = this.deps;
    const lines = renderTop(this.data, this.state, out, screen(this.deps));
    out.write(`\u001b[H${lines.map((line) => `${line}\u001b[K`).join("\r\n")}`);
  }
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("top")
    .description("live in the terminal: t v p f choose, s sorts, / filters, space freezes, q quits")
    .addOption(new Option("--by <what>", "what a row is").choices(VIEWS).default("tenant"))
    .action(async (options: { by: TopState["by"] }) => {
      if (!deps.out.isTTY || !deps.keys.isTTY)
        throw new UsageError("weir top needs a terminal; weir show tenants --every 2s works without");
      await new Top(deps, client(command, deps), options.by).run();
    });
  example(command, "weir top --by vm");
}
