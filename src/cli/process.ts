/** The terminal, keyboard and signals of this process, as commands see them. */
import type { Deps, Engine, Keyboard, Terminal } from "./deps.ts";

type Out = NodeJS.WriteStream;

export function terminal(stream: Out): Terminal {
  return {
    write: (text) => void stream.write(text),
    drain: () =>
      new Promise((resolve) => {
        if (!stream.writableNeedDrain || stream.destroyed) return resolve();
        const done = (): void => {
          stream.off("drain", done).off("close", done);
          resolve();
        };
        stream.on("drain", done).on("close", done);
      }),
    get isTTY() {
      return stream.isTTY === true;
    },
    get columns() {
      return stream.columns ?? 120;
    },
    get rows() {
      return stream.rows ?? 24;
    },
  };
}

/** `weir show flows | head`: the reader has what it wanted. */
export function exitWhenReaderLeaves(stream: Out, exit: (code: number) => void): void {
  stream.on("error", (error: NodeJS.ErrnoException) => {
    if (error.code === "EPIPE" || error.code === "ERR_STREAM_DESTROYED") return exit(0);
    throw error;
  });
}

/** End the process when what was written is out; nothing that still waits (a stream, a timer) holds it up. */
export function exit(code: number): void {
  process.exitCode = code;
  process.stdout.write("", () => process.stderr.write("", () => process.exit(code)));
}

export function keyboard(stdin: NodeJS.ReadStream): Keyboard {
  return {
    isTTY: stdin.isTTY === true,
    onKeys(listener) {
      const onData = (data: Buffer): void => {
        // One key a call; an escape sequence (an arrow, a paste mark) is one key and is not spelt out.
        const text = data.toString("utf8");
        if (text.startsWith("\u001b")) listener(text.length === 1 ? text : "\u001b[");
        else for (const key of text) listener(key);
      };
      stdin.setRawMode(true);
      stdin.resume();
      stdin.on("data", onData);
      return () => {
        stdin.off("data", onData);
        stdin.setRawMode(false);
        stdin.pause();
      };
    },
    async text() {
      const chunks: Buffer[] = [];
      for await (const chunk of stdin as AsyncIterable<Buffer>) chunks.push(chunk);
      return Buffer.concat(chunks).toString("utf8");
    },
  };
}

export interface ProcessParts {
  readonly engine: Engine;
  readonly version: string;
  /** Unix ms. */
  now(): number;
}

/** This process, as commands see it. Ctrl-C is taken over only by commands that stream: the others die of it as usual. */
export function processDeps(parts: ProcessParts): Deps {
  const controller = new AbortController();
  let installed = false;
  const stop = (): void => {
    if (controller.signal.aborted) process.exit(130);
    controller.abort();
  };
  for (const stream of [process.stdout, process.stderr])
    exitWhenReaderLeaves(stream, (code) => process.exit(process.exitCode ?? code));
  return {
    ...parts,
    now: parts.now,
    out: terminal(process.stdout),
    err: terminal(process.stderr),
    keys: keyboard(process.stdin),
    env: process.env,
    uid: process.getuid?.() ?? 0,
    get signal() {
      if (!installed) for (const name of ["SIGINT", "SIGTERM"] as const) process.on(name, stop);
      installed = true;
      return controller.signal;
    },
    sleep: (ms) =>
      new Promise((resolve) => {
        const end = (): void => {
          clearTimeout(timer);
          controller.signal.removeEventListener("abort", end);
          resolve();
        };
        const timer = setTimeout(end, ms);
        controller.signal.addEventListener("abort", end);
      }),
  };
}
