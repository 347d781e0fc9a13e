/** The switch as the commands see it: run, demo, replay, check, schema. What each needs is loaded when it is asked for. */
import { randomBytes } from "node:crypto";
import { mkdirSync, readFileSync, rmSync } from "node:fs";
import { createServer } from "node:net";
import { dirname, join } from "node:path";
import { fileURLToPath } from "node:url";
import type { DemoOptions, Engine, ObserveOptions, ReplayOptions, RunOptions } from "../cli/deps.ts";
import type { HostDefaults } from "../config/host.ts";
import type { LoadedConfig } from "../config/load.ts";
import { exporterTypes, portTypes } from "../registry.gen.ts";
import { hostPort } from "../text/host-port.ts";

const registries = { exporterTypes, portTypes };

export interface EngineEnv {
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly version: string;
  readonly uid: number;
  readonly isTerminal: boolean;
}

export function createEngine(env: EngineEnv): Engine {
  return {
    run: ({ config, detachOnExit }: RunOptions) =>
      runForeground(env, config ?? "/etc/weir/weir.yaml", { detachOnExit }, () => {}),
    async observe(options: ObserveOptions) {
      const { observeConfig } = await import("./observe.ts");
      const { links } = await import("../sys/links.ts");
      const text = JSON.stringify(observeConfig(options, links()));
      return runForeground(env, text, { detachOnExit: true }, () => {}, "weir observe");
    },
    async demo(options: DemoOptions, started) {
      const host = demoHost(env);
      const oneTimeKey = randomBytes(12).toString("base64url");
      try {
        const path = options.config ?? join(projectRoot(), "config", "demo.yaml");
        return await runForeground(env, path, { detachOnExit: true, host }, started, undefined, oneTimeKey);
      } finally {
        rmSync(host.stateDir, { recursive: true, force: true });
      }
    },
    async replay(options: ReplayOptions) {
      const { replay } = await import("./replay.ts");
      return replay(options, { now: () => Date.now(), ...registries });
    },
    async check(text, name) {
      const { loadText } = await import("../config/load.ts");
      const { ConfigError, formatProblem } = await import("../config/problem.ts");
      try {
        await loadText(text, name, registries, undefined, name === "-" ? "." : dirname(name));
        return [];
      } catch (error) {
        if (error instanceof ConfigError) return error.problems.map(formatProblem);
        throw error;
      }
    },
    async left() {
      return (await import("./left.ts")).left();
    },
    async detach(stateDir) {
      return (await import("./left.ts")).detach(stateDir);
    },
    async schema() {
      const { configJsonSchema } = await import("../config/json-schema.ts");
      return configJsonSchema(registries);
    },
  };
}

/** The folder with config/: two above dist/weir.js, or above dist/js/src/run in tests. */
function projectRoot(): string {
  const here = dirname(fileURLToPath(import.meta.url));
  return here.endsWith("/dist") ? dirname(here) : join(here, "../../../..");
}

/** The demo leaves a switch of this host alone: state and socket of its own, below the user's runtime directory. */
function demoHost({ env, uid }: EngineEnv): Pick<HostDefaults, "stateDir" | "socket"> {
  const runtime = env.XDG_RUNTIME_DIR?.startsWith("/") ? join(env.XDG_RUNTIME_DIR, "weir") : `/tmp/weir-${uid}`;
  mkdirSync(runtime, { recursive: true, mode: 0o700 });
  return { stateDir: join(runtime, `demo-${process.pid}`), socket: join(runtime, "weir.sock") };
}

/**
 * Run until a signal or a failure; the exit code. `source` is the configuration's path or, where `name` says what to call it, its
 * text. `started` hears where the API is. A kernel datapath goes on when the process ends, unless `detachOnExit` or Ctrl-C
 * on a terminal.
 */
async function runForeground(
  env: EngineEnv,
  source: string,
  { detachOnExit, host }: { readonly detachOnExit: boolean; readonly host?: Partial<HostDefaults> },
  started: (api: string, page?: string) => void,
  name?: string,
  oneTimeKey?: string,
): Promise<number> {
  const { loadConfig, loadText, thisHost } = await import("../config/load.ts");
  const { LiveSwitch } = await import("./live.ts");
  const { createLog } = await import("./log.ts");
  const { createNotify } = await import("./notify.ts");
  const { preferControlThread } = await import("./control-thread.ts");
  preferControlThread();
  const log = createLog(env.isTerminal);
  const notify = createNotify(env.env, process.pid);
  const defaults = { ...thisHost(), ...host };
  const path = name ?? source;
  const read = () =>
    name === undefined ? loadConfig(source, registries, defaults) : loadText(source, name, registries, defaults);
  let ours = (): readonly string[] => [];
  // The demo gives way to whoever has its port.
  const load = oneTimeKey === undefined ? read : async () => withFreePorts(await read(), ours());

  const live = await LiveSwitch.start({
    loaded: await load(),
    path,
    registries,
    version: env.version,
    machineId: machineId(),
    log,
    load,
    ...(oneTimeKey !== undefined && { oneTimeKey }),
  });
  ours = () => live.listening;
  const watchdog = notify.watchdogMs > 0 ? setInterval(() => notify("WATCHDOG=1"), notify.watchdogMs) : undefined;
  notify(`READY=1\nSTATUS=forwarding: ${live.summary}`);
  const [page] = live.listening;
  const link = page === undefined ? undefined : `http://${page}/${oneTimeKey === undefined ? "" : `#k=${oneTimeKey}`}`;
  started(live.socket === undefined ? "" : `unix:${live.socket}`, link);

  let keepForwarding = !detachOnExit;
  const stopped = new Promise<number>((resolve) => {
    const stop = (): void => resolve(0);
    process.on("SIGTERM", stop);
    process.on("SIGINT", () => {
      if (env.isTerminal) keepForwarding = false;
      stop();
    });
    process.on("SIGHUP", () => {
      // On a terminal it says that the terminal is gone.
      if (env.isTerminal) return stop();
      notify("RELOADING=1");
      void live
        .reload()
        .catch((error: Error) => log("error", `reload: ${error.message}`))
        .finally(() => notify(`READY=1\nSTATUS=forwarding: ${live.summary}`));
    });
  });
  let code: number;
  try {
    code = await Promise.race([stopped, live.failed]);
  } catch (error) {
    log("error", `forwarding has stopped: ${(error as Error).message}`);
    code = 1;
  }
  notify("STOPPING=1");
  clearInterval(watchdog);
  await live.stop({ keepForwarding });
  return code;
}

/** Listening ports that others have are replaced by the next free ones. */
async function withFreePorts(loaded: LoadedConfig, ours: readonly string[]): Promise<LoadedConfig> {
  const { api } = loaded.config;
  const listen: { host: string; port: number }[] = [];
  for (const { host, port } of api.listen) {
    let free = port;
    while (free < port + 20 && !ours.includes(hostPort(host, free)) && !(await isFree(host, free))) free++;
    listen.push({ host, port: free });
  }
  return { ...loaded, config: { ...loaded.config, api: { ...api, listen } } };
}

function isFree(host: string, port: number): Promise<boolean> {
  return new Promise((resolve) => {
    const probe = createServer();
    probe.once("error", () => resolve(false));
    probe.listen(port, host, () => probe.close(() => resolve(true)));
  });
}

function machineId(): string | undefined {
  try {
    return readFileSync("/etc/machine-id", "utf8");
  } catch {
    return undefined;
  }
}
