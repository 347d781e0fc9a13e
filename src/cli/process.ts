/** The terminal, keyboard and signals of this process, as commands see them. */
import type { Keyboard, Terminal } from "./deps.ts";

type Out = NodeJS.WriteStream;

export function terminal(stream: Out): Terminal {
  return {
    write: (text) => void stream.write(text),
    drain: () =>
      stream.writableNeedDrain && !stream.destroyed
        ? new Promise((resolve) => void stream.once("drain", resolve).once("close", resolve))
        : Promise.resolve(),
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
