/**
 * What the commands need of the world, given by the composition root: terminal, environment, clock, and the engine. A
 * command is a function of these; tests give others.
 */
import type { ReplayResult } from "./render/replay.ts";

export interface Terminal {
  /** Bytes are for readers that are no person: captures. */
  write(text: string | Uint8Array): void;
  /** Resolves when what was written is out; at once for a reader that keeps up. */
  drain(): Promise<void>;
  readonly isTTY: boolean;
  readonly columns: number;
  readonly rows: number;
}

export interface Keyboard {
  readonly isTTY: boolean;
  /** Raw keys, until `stop` is called; the terminal is put back then. */
  onKeys(listener: (key: string) => void): () => void;
  /** All of standard input as text. */
  text(): Promise<string>;
}

export interface RunOptions {
  readonly config?: string;
  readonly detachOnExit: boolean;
}

export interface ObserveOptions {
  /** Linux bridges, devices, patterns of devices. */
  readonly devices: readonly string[];
  /** Collectors, host:port. */
  readonly netflow: readonly string[];
  readonly ipfix: readonly string[];
  readonly sflow: readonly string[];
}

export interface DemoOptions {
  readonly config?: string;
}

export interface ReplayOptions {
  readonly files: readonly string[];
  readonly netflow: readonly string[];
  readonly ipfix?: readonly string[];
  readonly sflow?: readonly string[];
  readonly config?: string;
  readonly ports: "by-mac" | "single";
  /** 1 in N, 0 = off; undefined: the configuration's. */
  readonly sampling?: number;
  /** "max", "realtime" or a factor. */
  readonly speed: string;
  /** Datagrams a second, 0 = no limit. */
  readonly pace?: number;
  /** Told now and then, for a person who waits. */
  readonly progress?: (done: { readonly packets: number; readonly bytes: number; readonly total: number }) => void;
}

/** What only the composition root can give: it alone knows engines, port types and exporters. */
export interface Engine {
  /** Runs until stopped; the exit code. */
  run(options: RunOptions): Promise<number>;
  /** The same, looking on at what something else forwards, without a file. */
  observe(options: ObserveOptions): Promise<number>;
  /** The same with generated tenants, telling `started` where its API is ("" where that did not start), and the live view. */
  demo(options: DemoOptions, started: (api: string, page?: string) => void): Promise<number>;
  replay(options: ReplayOptions): Promise<ReplayResult>;
  /** Every fault of a configuration, none when it is sound. `name` is what messages call it. */
  check(text: string, name: string): Promise<readonly string[]>;
  schema(): Promise<unknown>;
  /** Bridges that a process which is gone left forwarding in the kernel. */
  left(): Promise<readonly LeftJson[]>;
  /** End them, or those of one state directory; refuses where a process runs them. */
  detach(stateDir: string | undefined): Promise<readonly LeftJson[]>;
}

/** A bridge that forwards without a process. */
export interface LeftJson {
  readonly bridge: string;
  readonly stateDir: string;
  readonly mode: "switch" | "observe";
  readonly ports: readonly string[];
  /** A process was there within the last 3 s. */
  readonly isAnswered: boolean;
  /** Unix ms. */
  readonly lastSeenMs: number;
  /** What meets frames without a rule meanwhile, and how many packets that were. */
  readonly failMode: "standalone" | "secure";
  readonly flooded: number;
  readonly refused: number;
}

export interface Deps {
  readonly out: Terminal;
  readonly err: Terminal;
  readonly keys: Keyboard;
  readonly env: Readonly<Record<string, string | undefined>>;
  readonly uid: number;
  readonly version: string;
  /** Unix ms. */
  now(): number;
  sleep(ms: number): Promise<void>;
  /** Aborted by Ctrl-C and SIGTERM. */
  readonly signal: AbortSignal;
  readonly engine: Engine;
}
