/** weir capture: a mirror session in the words of those who know tcpdump. */
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import { client, example } from "./common.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";
import { asker, path, withoutSsh } from "./mirror.ts";
import { receive } from "./receive.ts";

interface CaptureOptions {
  readonly interface: string;
  readonly direction?: string;
  readonly count?: string;
  readonly snaplen?: string;
  readonly write?: string;
}

const DIRECTIONS: Readonly<Record<string, string>> = { in: "ingress", out: "egress", inout: "both" };

async function capture(words: readonly string[], options: CaptureOptions, command: Command, deps: Deps): Promise<void> {
  const direction = DIRECTIONS[options.direction ?? "inout"];
  if (direction === undefined) throw new UsageError(`-Q ${options.direction}: in, out or inout`);
  for (const [option, text] of [
    ["-c", options.count],
    ["-s", options.snaplen],
  ] as const)
    if (text !== undefined && !/^\d{1,12}$/.test(text)) throw new UsageError(`${option} ${text}: write a whole number`);
  const filter = withoutSsh(words.length === 0 ? undefined : words.join(" "), deps);
  const name = `capture-${randomBytes(3).toString("hex")}`;
  const api = client(command, deps);
  const snaplen = Number(options.snaplen ?? 0);
  await api.send("PUT", path(name), {
    ...asker(deps),
    select: {
      ...(options.interface === "any" ? { all: true } : { ports: [options.interface] }),
      direction,
      ...(filter !== undefined && { filter }),
    },
    outputs: [{ type: "stream" }],
    ...(snaplen > 0 && snaplen < 65_536 && { snaplen }),
    limit: options.count === undefined ? {} : { packets: Number(options.count) },
  });
  await receive(api, name, options.write ?? "-", deps);
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("capture")
    .description("capture a port's frames as pcapng, in tcpdump's words")
    .argument("[expression...]", "filter, in tcpdump's language")
    .requiredOption("-i, --interface <port>", "the port, or any")
    .option("-Q, --direction <way>", "in (the guest sent it), out or inout")
    .option("-c, --count <n>", "end after so many frames")
    .option("-s, --snaplen <bytes>", "so many bytes of each frame; 0 = all")
    .option("-w, --write <file>", "FILE, or - for standard output")
    .action((words: string[], options: CaptureOptions) => capture(words, options, command, deps));
  example(command, "weir capture -i web1 -c 100 -w web1.pcapng tcp port 443", "weir capture -i web1 | tshark -r -");
}
