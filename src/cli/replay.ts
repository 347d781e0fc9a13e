/** weir replay: captures through the same engine; ends when all is exported. */
import { type Command, Option } from "commander";
import { collect, example, printJson, printLines, screen } from "./common.ts";
import type { Deps, ReplayOptions } from "./deps.ts";
import { BadNews, UsageError } from "./errors.ts";
import { renderReplay, replayFailed } from "./render/replay.ts";
import { bytes, count } from "./render/units.ts";

interface Options {
  readonly netflow: string[];
  readonly ipfix: string[];
  readonly sflow: string[];
  readonly config?: string;
  readonly ports: "by-mac" | "single";
  readonly sampling?: string;
  readonly speed: string;
  readonly pace?: string;
  readonly json?: true;
}

function whole(option: string, value: string | undefined): number | undefined {
  if (value === undefined) return undefined;
  if (!/^\d{1,9}$/.test(value)) throw new UsageError(`${option} ${value}: write a whole number`);
  return Number(value);
}

/** A line that overwrites itself, for a person who waits. */
function progress(deps: Deps): ReplayOptions["progress"] {
  if (!deps.err.isTTY) return undefined;
  return ({ packets, bytes: done, total }) => {
    const share = total > 0 ? ` ${Math.floor((done * 100) / total)} %` : "";
    deps.err.write(`\r${count(packets)} packets, ${bytes(done)}${share}\u001b[K`);
  };
}

async function replay(files: string[], options: Options, deps: Deps): Promise<void> {
  if (!/^(max|realtime|\d+(\.\d+)?)$/.test(options.speed) || Number(options.speed) === 0)
    throw new UsageError(`--speed ${options.speed}: write max, realtime or a factor`);
  const sampling = whole("--sampling", options.sampling);
  const pace = whole("--pace", options.pace);
  const tell = progress(deps);
  const result = await deps.engine.replay({
    files,
    netflow: options.netflow,
    ipfix: options.ipfix,
    sflow: options.sflow,
    ports: options.ports,
    speed: options.speed,
    ...(options.config === undefined ? {} : { config: options.config }),
    ...(sampling === undefined ? {} : { sampling }),
    ...(pace === undefined ? {} : { pace }),
    ...(tell === undefined ? {} : { progress: tell }),
  });
  if (tell !== undefined) deps.err.write("\r\u001b[K");
  if (options.json) printJson(deps, result);
  else printLines(deps.out, renderReplay(result, screen(deps)));
  if (replayFailed(result)) throw new BadNews();
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("replay")
    .description("capture files (pcap, pcapng) through the same engine, at their own time")
    .argument("<files...>", "captures, one after the other")
    .option("--netflow <host:port>", "export NetFlow v5 there; again for more collectors", collect, [])
    .option("--ipfix <host:port>", "export IPFIX there; again for more collectors", collect, [])
    .option("--sflow <host:port>", "export sFlow there; again for more collectors", collect, [])
    .option("--sampling <n>", "sample 1 in n frames, 0 = off; 400 with --sflow unless given")
    .option("--config <file>", "timeouts, tenants and exporters from this configuration")
    .addOption(
      new Option(
        "--ports <how>",
        "each source MAC is a port (at most 256, the rest one port `others`), or one port for all",
      )
        .choices(["by-mac", "single"])
        .default("by-mac"),
    )
    .option("--speed <speed>", "max, realtime, or a factor", "max")
    .option("--pace <n>", "datagrams a second at most; 0 = no limit")
    .option("--json", "one JSON value")
    .action((files: string[], options: Options) => replay(files, options, deps));
  example(command, "weir replay trace.pcapng --netflow 127.0.0.1:2055", "weir replay --json a.pcap b.pcap | jq .audit");
}
