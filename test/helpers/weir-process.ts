/**
 * The built command as a user runs it: `weir run` with a configuration in a folder of its own, commands asked of its
 * socket, its end. Everything is stopped and removed after the test.
 */
import { type ChildProcess, spawn, spawnSync } from "node:child_process";
import { existsSync, mkdirSync, mkdtempSync, rmSync, writeFileSync } from "node:fs";
import { request } from "node:http";
import { tmpdir } from "node:os";
import { join } from "node:path";
import type { TestContext } from "node:test";
import { KERNEL_PORT_TYPES } from "../../src/config/semantics.ts";
import { detach, left } from "../../src/run/left.ts";
import { projectRoot } from "./captures.ts";

export const COMMAND = join(projectRoot, "dist/weir.js");
const READY_MS = 20_000;
const STOP_MS = 15_000;

export interface Answer {
  readonly status: number | null;
  readonly stdout: string;
  readonly stderr: string;
}

/** A folder with a configuration file, a state directory and a place for the socket. */
export interface WeirHome {
  readonly folder: string;
  readonly config: string;
  readonly stateDir: string;
  readonly socket: string;
  /** How to end what was started in it. */
  readonly stops: (() => Promise<unknown>)[];
  /** Write the configuration (`bridges`, `exporters`, …; `host` and `api` are put in), or a text as it is. */
  write(config: object | string): void;
  /** A command asked of the socket; `--json` is read by `json`. */
  run(...args: string[]): Answer;
  /** stdout of a command that must succeed. */
  ok(...args: string[]): string;
  json<T = any>(...args: string[]): T;
}

export interface WeirProcess extends WeirHome {
  readonly child: ChildProcess;
  /** Both streams so far. */
  said(): string;
  signal(signal: NodeJS.Signals): void;
  /** Exit code; null where a signal ended it. */
  readonly ended: Promise<number | null>;
  /** SIGTERM, and wait for the end. */
  stop(): Promise<number | null>;
  /** `weir reload` of a new configuration; throws where it does not exit 0. */
  reload(config: object): void;
}

const HOMES = join(tmpdir(), "weir-system-");

/** What tests that were killed left in the kernel: their homes carry their process ids. */
function reap(): void {
  for (const { stateDir } of left()) {
    const pid = stateDir.startsWith(HOMES) ? parseInt(stateDir.slice(HOMES.length), 10) : NaN;
    if (Number.isNaN(pid) || existsSync(`/proc/${pid}`)) continue;
    detach(stateDir);
  }
}

export function weirHome(t: TestContext): WeirHome {
  if (process.getuid?.() === 0) reap();
  const folder = mkdtempSync(`${HOMES}${process.pid}-`);
  const stops: (() => Promise<unknown>)[] = [];
  t.after(async () => {
    for (const stop of stops) await stop();
    if (process.getuid?.() === 0) detach(join(folder, "state"));
    rmSync(folder, { recursive: true, force: true });
  });
  const [config, stateDir, socket] = ["weir.yaml", "state", "weir.sock"].map((name) => join(folder, name)) as [
    string,
    string,
    string,
  ];
  mkdirSync(stateDir);
  const env = { ...process.env, WEIR_API: `unix:${socket}`, NOTIFY_SOCKET: "" };
  const run = (...args: string[]): Answer =>
    spawnSync(process.execPath, [COMMAND, ...args], { env, encoding: "utf8", timeout: 20_000 });
  const ok = (...args: string[]): string => {
    const { status, stdout, stderr } = run(...args);
    if (status !== 0) throw new Error(`weir ${args.join(" ")}: exit ${status}\n${stdout}${stderr}`);
    return stdout;
  };
  return {
    folder,
    config,
    stateDir,
    socket,
    write(content) {
      // JSON is YAML.
      const whole = onAskedDatapath({ host: { stateDir }, api: { socket }, ...(content as object) });
      writeFileSync(config, typeof content === "string" ? content : JSON.stringify(whole, undefined, 2));
    },
    stops,
    run,
    ok,
    json: (...args) => JSON.parse(ok(...args, "--json")),
  };
}

/**
 * WEIR_TEST_DATAPATH=kernel runs these tests on that datapath where their ports allow: bridges whose configuration says
 * nothing, with ports of its types only.
 */
function onAskedDatapath(whole: object): object {
  const datapath = process.env.WEIR_TEST_DATAPATH;
  const { bridges } = whole as { bridges?: { ports?: { type: string }[] }[] };
  if (datapath === undefined || bridges === undefined) return whole;
  const isFit = (ports: { type: string }[] = []): boolean =>
    ports.every(({ type }) => KERNEL_PORT_TYPES.includes(type));
  return { ...whole, bridges: bridges.map((bridge) => (isFit(bridge.ports) ? { datapath, ...bridge } : bridge)) };
}

/**
 * Start `weir run` on what was written to `home`, and wait until its API says that it is ready. `keep`: what it made in the
 * kernel outlives it, until the test ends. `under`: a command that runs it (setpriv).
 */
export async function startWeir(
  _t: TestContext,
  home: WeirHome,
  { keep = false, command = COMMAND, under = [] as readonly string[] } = {},
): Promise<WeirProcess> {
  const env = { ...process.env, NOTIFY_SOCKET: "" };
  const weir = [process.execPath, command, "run", "--config", home.config, ...(keep ? [] : ["--detach-on-exit"])];
  const [program, ...args] = [...under, ...weir];
  const child = spawn(program!, args, { env, stdio: ["ignore", "pipe", "pipe"] });
  let said = "";
  for (const stream of [child.stdout, child.stderr]) stream.on("data", (chunk: Buffer) => (said += chunk.toString()));
  const ended = new Promise<number | null>((resolve) => child.once("close", resolve));
  const isRunning = (): boolean => child.exitCode === null && child.signalCode === null;
  const stop = async (): Promise<number | null> => {
    if (isRunning()) child.kill("SIGTERM");
    const timer = setTimeout(() => child.kill("SIGKILL"), STOP_MS);
    const code = await ended;
    clearTimeout(timer);
    return code;
  };
  home.stops.push(stop);
  for (const from = performance.now(); !(await isReady(home.socket)); await pause(30)) {
    if (!isRunning()) throw new Error(`weir run ended:\n${said}`);
    if (performance.now() - from > READY_MS) throw new Error(`weir run is not ready:\n${said}`);
  }
  return {
    ...home,
    child,
    said: () => said,
    signal: (signal) => void child.kill(signal),
    ended,
    stop,
    reload(config) {
      home.write(config);
      home.ok("reload");
    },
  };
}

/** `weir run` that must refuse: it ends by itself. */
export function refusedWeir(home: WeirHome): Answer {
  return home.run("run", "--config", home.config);
}

function isReady(socketPath: string): Promise<boolean> {
  return new Promise((resolve) => {
    const asked = request({ socketPath, path: "/readyz", headers: { host: "localhost" } }, (answer) => {
      answer.resume();
      resolve(answer.statusCode === 200);
    });
    asked.on("error", () => resolve(false));
    asked.end();
  });
}

export function pause(ms: number): Promise<void> {
  return new Promise((resolve) => setTimeout(resolve, ms));
}

/** Ask until the answer pleases; fails with the last one. */
export async function eventually<T>(
  ask: () => T,
  pleases: (answer: T) => boolean,
  what: string,
  timeoutMs = 8000,
): Promise<T> {
  for (const from = performance.now(); ; await pause(50)) {
    const answer = ask();
    if (pleases(answer)) return answer;
    if (performance.now() - from > timeoutMs)
      throw new Error(`${what}: not within ${timeoutMs} ms: ${JSON.stringify(answer)}`);
  }
}
