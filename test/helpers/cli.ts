/** Runs command lines in this process, with a terminal that is a string. */
import { mkdtempSync, rmSync } from "node:fs";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { startApi } from "../../src/api/server.ts";
import type { SwitchView } from "../../src/api/switch.ts";
import type { Deps, Engine, Terminal } from "../../src/cli/deps.ts";
import { main } from "../../src/cli/program.ts";
import { feedOf } from "./fake-feed.ts";
import { fakeSwitch, type FakeSwitch, NOW } from "./fake-switch.ts";

export interface Ran {
  readonly code: number;
  readonly out: string;
  readonly err: string;
}

function capture(): Terminal & { text: string } {
  return {
    text: "",
    write(text) {
      this.text += text;
    },
    drain: () => Promise.resolve(),
    isTTY: false,
    columns: 200,
    rows: 24,
  };
}

const noEngine: Engine = {
  run: () => Promise.reject(new Error("no engine here")),
  observe: () => Promise.reject(new Error("no engine here")),
  demo: () => Promise.reject(new Error("no engine here")),
  replay: () => Promise.reject(new Error("no engine here")),
  check: () => Promise.reject(new Error("no engine here")),
  schema: () => Promise.reject(new Error("no engine here")),
  left: () => Promise.resolve([]),
  detach: () => Promise.resolve([]),
};

export interface RunWith {
  readonly env?: Readonly<Record<string, string>>;
  readonly engine?: Partial<Engine>;
  readonly stdin?: string;
  readonly signal?: AbortSignal;
  readonly sleep?: (ms: number) => Promise<void>;
}

export async function weir(args: readonly string[], more: RunWith = {}): Promise<Ran> {
  const out = capture();
  const err = capture();
  const deps: Deps = {
    out,
    err,
    keys: { isTTY: false, onKeys: () => () => {}, text: () => Promise.resolve(more.stdin ?? "") },
    env: more.env ?? {},
    uid: process.getuid!(),
    version: "0.1.0",
    now: () => NOW,
    sleep: more.sleep ?? ((ms) => new Promise((resolve) => setTimeout(resolve, ms))),
    signal: more.signal ?? new AbortController().signal,
    engine: { ...noEngine, ...more.engine },
  };
  const code = await main(args, deps);
  return { code, out: out.text, err: err.text };
}

/** A fake switch behind a real socket, and the command line that asks it. */
export async function served(t: TestContext, more: Partial<SwitchView> = {}) {
  const folder = mkdtempSync(join(tmpdir(), "weir-cli-"));
  const view: FakeSwitch = fakeSwitch(more);
  const socket = join(folder, "weir.sock");
  const server = await startApi({
    view,
    socket,
    uid: process.getuid!(),
    now: () => NOW,
    live: feedOf(view),
    log: () => {},
  });
  t.after(async () => {
    await server.close();
    rmSync(folder, { recursive: true, force: true });
  });
  const run = (args: readonly string[], extra: RunWith = {}): Promise<Ran> =>
    weir(args, { ...extra, env: { WEIR_API: `unix:${socket}`, ...extra.env } });
  return { view, socket, folder, run };
}
