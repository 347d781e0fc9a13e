/** weir trace: why a frame goes where it goes. */
import type { Command } from "commander";
import { readFile } from "node:fs/promises";
import type { TraceJson } from "../bridge/views/json.ts";
import { client, example, printJson, printLines, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";
import { renderTrace } from "./render/trace.ts";

interface Options {
  readonly port?: string;
  readonly flow?: string;
  readonly pcap?: string;
  readonly json?: true;
}

/** At least an Ethernet header, written in hex with or without blanks, colons and 0x. */
function asHex(text: string): string | undefined {
  const hex = text.replaceAll(/^0x|[\s:]/g, "");
  return /^([0-9a-f]{2}){14,}$/i.test(hex) ? hex.toLowerCase() : undefined;
}

async function question(frame: readonly string[], options: Options): Promise<object> {
  const text = frame.join(" ").trim();
  const ways = [text !== "", options.flow !== undefined, options.pcap !== undefined].filter(Boolean).length;
  if (ways !== 1)
    throw new UsageError("weir trace takes one of: fields ('ipSrc=10.1.0.5 proto=tcp'), hex, --pcap FILE, --flow ID");
  if (options.flow !== undefined) return { flow: options.flow };
  if (options.port === undefined) throw new UsageError("weir trace needs --port: where does the frame come in?");
  if (options.pcap !== undefined) return { port: options.port, frame: await firstFrame(options.pcap) };
  const hex = asHex(text);
  return { port: options.port, ...(hex === undefined ? { match: text } : { frame: hex }) };
}

/** The first frame of a capture, hex. Reads the head of the file only. */
async function firstFrame(path: string): Promise<string> {
  const { readFirstFrame } = await import("./pcap.ts");
  const frame = readFirstFrame(await readFile(path));
  return Buffer.from(frame).toString("hex");
}

async function trace(frame: readonly string[], options: Options, command: Command, deps: Deps): Promise<void> {
  const answer = await client(command, deps).send<TraceJson>("POST", "trace", await question(frame, options));
  if (options.json) printJson(deps, answer);
  else printLines(deps.out, renderTrace(answer, screen(deps)));
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("trace")
    .description("why a frame goes where it goes; changes nothing, sends nothing")
    .argument("[frame...]", "fields in the filter language, or a whole frame in hex")
    .option("--port <name>", "where the frame comes in")
    .option("--flow <id>", "a live flow (id of weir show flows --json)")
    .option("--pcap <file>", "the first frame of a capture")
    .option("-j, --json", "the API's answer as one JSON value")
    .action((frame: string[], options: Options) => trace(frame, options, command, deps));
  example(command, "weir trace --port web1 'ipSrc=10.1.0.5 ipDst=10.1.0.9 proto=tcp dstPort=443'");
}
