/** weir top: the live feed in the terminal. Draws on the alternate screen and always gives the terminal back. */
import { type Command, Option } from "commander";
import type { ApiClient } from "../api/client.ts";
import { FeedClient, type Wish } from "../api/feed-client.ts";
import { filterItems } from "../api/lists.ts";
import type { FeedParts, PartName } from "../live/messages.ts";
import { client, example, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { explain, UsageError } from "./errors.ts";
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
/** The feed has no more. */
const MOST_FLOWS = 200;

const ENTER = "\u001b[?1049h\u001b[?25l";
const LEAVE = "\u001b[?25h\u001b[?1049l";

/** A row that left takes its history along: memory is bounded by what is shown. */
function remember(history: Map<string, number[]>, rows: readonly TopRow[]): Map<string, number[]> {
  return new Map(rows.map((row) => [row.name, [...(history.get(row.name) ?? []), row.rxBps].slice(-HISTORY)]));
}

const PARTS: Readonly<Record<TopState["by"], readonly PartName[]>> = {
  tenant: ["system", "tenants"],
  vm: ["system", "ports"],
  port: ["system", "ports"],
  flow: ["system", "flows"],
};

/** What to ask of the feed. Rows but flows are filtered here: the feed's filter is of flows. */
function wishOf({ by, filter }: TopState, rows: number): Wish {
  const flows = { top: Math.max(1, Math.min(MOST_FLOWS, rows)), ...(filter !== "" && { where: filter }) };
  return { intervalMs: EVERY_MS, parts: [...PARTS[by]], ...(by === "flow" && flows) };
}

/** Throws a Problem where the filter cannot be. */
function rowsOf({ tenants = [], ports = [] }: Partial<FeedParts>, { by, filter }: TopState): TopRow[] {
  const chosen = <T>(items: readonly T[]): readonly T[] => (filter === "" ? items : filterItems(items, filter));
  if (by === "flow") return [];
  return by === "tenant" ? tenantRows(chosen(tenants)) : portRows(chosen(ports), by);
}

class Top {
  private state: TopState;
  /** What the feed told last, and what of it is shown. */
  private parts: Partial<FeedParts> = {};
  private data: TopData | undefined;
  private history = new Map<string, number[]>();
  private feed: FeedClient | undefined;
  private readonly deps: Deps;
  private readonly api: ApiClient;

  constructor(deps: Deps, api: ApiClient, by: TopState["by"]) {
    this.deps = deps;
    this.api = api;
    this.state = { by, sort: "rxBps", filter: "", editing: false, frozen: false };
  }

  /** The first failure ends the command with its code; a later one is shown, and tried again. */
  async run(): Promise<void> {
    const { deps } = this;
    let leave = (): void => {};
    const over = new Promise<void>((resolve) => (leave = resolve));
    this.feed = await FeedClient.open(this.api, wishOf(this.state, deps.out.rows), {
      told: (parts, isSnapshot) => this.told(parts, isSnapshot),
      trouble: (error) => this.trouble(error),
    });
    if (deps.signal.aborted) leave();
    deps.signal.addEventListener("abort", leave);
    deps.out.write(ENTER);
    const stopKeys = deps.keys.onKeys((key) => this.key(key, leave));
    try {
      this.draw();
      await over;
    } finally {
      this.feed.close();
      stopKeys();
      deps.signal.removeEventListener("abort", leave);
      deps.out.write(LEAVE);
    }
  }

  private told(parts: Partial<FeedParts>, isSnapshot: boolean): void {
    this.parts = isSnapshot ? parts : { ...this.parts, ...parts };
    if (this.state.frozen) return;
    this.show(true);
    this.draw();
  }

  /** `isNews`: a moment has passed, the history goes on. */
  private show(isNews: boolean): void {
    const { system, flows = [] } = this.parts;
    if (system === undefined) return;
    // While a filter is typed, the one before is in force; it is not known any more, so what is there stays.
    if (this.state.editing && this.data !== undefined) return;
    try {
      const rows = rowsOf(this.parts, this.state);
      if (isNews) this.history = remember(this.history, rows);
      this.data = { system, rows, flows, history: this.history };
      const { trouble: _gone, ...state } = this.state;
      this.state = state;
    } catch (error) {
      this.trouble(error as Error);
    }
  }

  private trouble(error: Error): void {
    this.state = { ...this.state, trouble: explain(error).text };
    this.draw();
  }

  private key(key: string, leave: () => void): void {
    const before = this.state;
    const next = press(before, key);
    if (next === undefined) return leave();
    this.state = next;
    const isDone = before.editing && !next.editing;
    if (next.by !== before.by) {
      this.history = new Map();
      this.data = undefined;
    }
    // Ports do for vm and port alike: those are there.
    if (next.by !== before.by || (isDone && next.by === "flow")) this.feed?.subscribe(wishOf(next, this.deps.out.rows));
    if (isDone || (before.frozen && !next.frozen)) this.show(false);
    this.draw();
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
