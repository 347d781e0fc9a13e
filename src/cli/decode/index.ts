/** weir decode: a small collector. Listens, and says what comes in: a line a sample or record, or JSON. */
import { createSocket, type Socket } from "node:dgram";
import { isIP } from "node:net";
import type { Command } from "commander";
import { collect, example } from "../common.ts";
import type { Deps } from "../deps.ts";
import { UsageError } from "../errors.ts";
import { decodeNetflowV5 } from "./netflow-v5.ts";
import { netflowLines, sflowLines, templateLines } from "../render/decoded.ts";
import { TemplateReader } from "./templates.ts";

interface Options {
  readonly sflow: string[];
  readonly netflow: string[];
  readonly ipfix: string[];
  readonly json?: true;
}

/** Datagrams that wait for a slow reader; what is above is left out, and said. */
const MAX_WAITING = 4096;
const RECEIVE_BUFFER = 4 << 20;

interface Arrived {
  readonly protocol: "sflow" | "netflow" | "ipfix";
  readonly from: string;
  readonly bytes: Uint8Array;
}

interface Listener {
  readonly host: string | undefined;
  readonly port: number;
}

/** ":6343", "6343", "127.0.0.1:6343", "[::1]:6343". */
function parseListen(option: string, text: string): Listener {
  const match = /^(?:\[([^\]]+)\]:|([^:[\]]*):)?(\d{1,5})$/.exec(text);
  const host = match?.[1] ?? match?.[2] ?? "";
  const port = Number(match?.[3] ?? NaN);
  if (!(port >= 1 && port <= 65535) || (host !== "" && isIP(host) === 0))
    throw new UsageError(`${option} ${text}: write :PORT or ADDRESS:PORT`);
  return { host: host === "" ? undefined : host, port };
}

/** Without an address: every one, IPv6 and IPv4, or IPv4 alone where the host has no IPv6. */
async function listen({ host, port }: Listener, option: string): Promise<Socket> {
  try {
    return await bound(host === undefined || isIP(host) === 6 ? "udp6" : "udp4", host, port);
  } catch (error) {
    const { code } = error as NodeJS.ErrnoException;
    if (host === undefined && code === "EAFNOSUPPORT") return bound("udp4", undefined, port);
    const known: Record<string, string> = {
      EADDRINUSE: "another program has that port",
      EACCES: "ports below 1024 need root",
      EADDRNOTAVAIL: "that is no address of this host",
    };
    throw new UsageError(`${option} ${host ?? ""}:${port}: ${known[code ?? ""] ?? (error as Error).message}`);
  }
}

function bound(type: "udp4" | "udp6", address: string | undefined, port: number): Promise<Socket> {
  const socket = createSocket({ type, recvBufferSize: RECEIVE_BUFFER });
  return new Promise((resolve, reject) => {
    socket.once("error", (error) => {
      socket.close();
      reject(error);
    });
    socket.bind({ port, ...(address !== undefined && { address }) }, () => {
      socket.removeAllListeners("error");
      resolve(socket);
    });
  });
}

async function decode(options: Options, deps: Deps): Promise<void> {
  const wanted = [
    ...options.sflow.map((text) => ({ protocol: "sflow" as const, option: "--sflow", text })),
    ...options.netflow.map((text) => ({ protocol: "netflow" as const, option: "--netflow", text })),
    ...options.ipfix.map((text) => ({ protocol: "ipfix" as const, option: "--ipfix", text })),
  ];
  if (wanted.length === 0)
    throw new UsageError("nothing to listen on: --sflow :6343, --netflow :2055 or --ipfix :4739, or several");
  const places = wanted.map((each) => ({ ...each, at: parseListen(each.option, each.text) }));
  // Loaded here: no other command needs it.
  const sflow = await import("sflow-decoder");
  const templates = new TemplateReader();
  const sockets: Socket[] = [];
  const waiting: Arrived[] = [];
  let leftOut = 0;
  let wake = (): void => {};
  try {
    for (const { protocol, option, at } of places) {
      const socket = await listen(at, option);
      sockets.push(socket);
      socket.on("message", (message, { address, port }) => {
        const from = `${address.replace(/^::ffff:(?=\d+\.)/, "")}:${port}`;
        if (waiting.length < MAX_WAITING) waiting.push({ protocol, from, bytes: new Uint8Array(message) });
        else leftOut++;
        wake();
      });
    }
    deps.signal.addEventListener("abort", () => wake());
    if (deps.err.isTTY) deps.err.write(`listening on ${wanted.map(({ text }) => text).join(", ")}; Ctrl-C ends it\n`);
    while (!deps.signal.aborted) {
      const next = waiting.shift();
      if (next === undefined) {
        await new Promise<void>((resolve) => (wake = resolve));
        continue;
      }
      const { protocol, from, bytes } = next;
      // Version 5, or 9 and IPFIX: the first two bytes tell, whichever port they came to.
      const isV5 = bytes[0] === 0 && bytes[1] === 5;
      const lines =
        protocol === "sflow"
          ? told(sflow.decode(bytes), sflowLines)
          : isV5
            ? told(decodeNetflowV5(bytes), netflowLines)
            : told(templates.decode(bytes, from), templateLines);
      function told<T extends object>(decoded: T, render: (decoded: T, from: string) => string[]): string[] {
        return options.json ? [json({ protocol, from, receivedMs: deps.now(), ...decoded })] : render(decoded, from);
      }
      deps.out.write(lines.map((line) => `${line}\n`).join(""));
      await deps.out.drain();
    }
  } finally {
    for (const socket of sockets) socket.close();
    if (leftOut > 0) deps.err.write(`weir: ${leftOut} datagrams left out: the reader was slower than they came\n`);
  }
}

/** One line; 64-bit counters with all their digits, bytes as hex. */
function json(value: unknown): string {
  const text = JSON.stringify(value, (_key, each: unknown) => {
    if (typeof each === "bigint") return `\u0000${each}\u0000`;
    return each instanceof Uint8Array ? Buffer.from(each).toString("hex") : each;
  });
  // A NUL in a name is followed by other things than digits and a NUL, or is a number as good as any.
  return text.replaceAll(/"\\u0000(\d+)\\u0000"/g, "$1");
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("decode")
    .description("a small collector: listens, and shows each sample and record that comes in")
    .option("--sflow <listen>", "sFlow version 5 there: :PORT or ADDRESS:PORT", collect, [])
    .option("--netflow <listen>", "NetFlow version 5 and 9 there", collect, [])
    .option("--ipfix <listen>", "IPFIX there, over UDP", collect, [])
    .option("-j, --json", "one JSON object a datagram and line")
    .action((options: Options) => decode(options, deps));
  example(
    command,
    "weir decode --sflow :6343 --netflow :2055 --ipfix :4739",
    "weir decode --sflow :6343 --json | jq .datagram.samples[]",
  );
}
