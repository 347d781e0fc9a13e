/** weir mirror start|list|stop: copies of frames, to a port, a VLAN, a file or a pipe. */
import { randomBytes } from "node:crypto";
import type { Command } from "commander";
import type { MirrorJson } from "../bridge/views/json.ts";
import { client, collect, example, printJson, printLines, screen } from "./common.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";
import type { List } from "./render/context.ts";
import { renderMirrors } from "./render/mirrors.ts";
import { visible } from "./render/text.ts";
import { receive } from "./receive.ts";

interface StartOptions {
  readonly port: string[];
  readonly vm: string[];
  readonly tenant: string[];
  readonly vlan: string[];
  readonly all?: true;
  readonly to: string[];
  readonly direction?: string;
  readonly filter?: string;
  readonly dropped?: string;
  readonly snaplen?: string;
  readonly sample?: string;
  readonly rate?: string;
  readonly bandwidth?: string;
  readonly packets?: string;
  readonly for?: string;
  readonly bridge?: string;
}

export const path = (name: string): string => `mirrors/${encodeURIComponent(name)}`;

/** Who asks, for the switch's log. */
export function asker(deps: Deps): { origin: "cli"; startedBy: string } {
  const { SUDO_USER, USER, LOGNAME } = deps.env;
  return { origin: "cli", startedBy: SUDO_USER || USER || LOGNAME || `uid ${deps.uid}` };
}

/** The filter without the caller's own ssh connection, which would fill a capture with its own pictures. */
export function withoutSsh(filter: string | undefined, deps: Deps): string | undefined {
  const [client_, clientPort, server, serverPort] = (deps.env.SSH_CONNECTION ?? "").split(" ");
  if (serverPort === undefined || !/^[\da-f.:]+$/i.test(client_!) || !/^[\da-f.:]+$/i.test(server!)) return filter;
  if (!/^\d+$/.test(clientPort!) || !/^\d+$/.test(serverPort)) return filter;
  const own = `host ${client_} and host ${server} and tcp port ${clientPort} and tcp port ${serverPort}`;
  deps.err.write(`weir: your own ssh connection (${client_} port ${clientPort}) is left out\n`);
  return filter === undefined ? `not (${own})` : `(${filter}) and not (${own})`;
}

function whole(option: string, text: string | undefined): number | undefined {
  if (text === undefined) return undefined;
  if (!/^\d{1,15}$/.test(text)) throw new UsageError(`${option} ${text}: write a whole number`);
  return Number(text);
}

const DESTINATIONS = "-, FILE.pcapng, port:NAME, rspan:VLAN or erspan:HOST[,type=II,session=7]";
/** Keys of an erspan output that are numbers, and all: the configuration's names, `type` and `session` for short. */
const NUMBERS = ["session", "ttl", "tos", "hardware"];
const KEYS = ["type", "source", "oversize", "granularity", ...NUMBERS];

/** "192.0.2.9,type=III,session=7" */
function erspan(text: string, rest: string): object {
  const [remote = "", ...options] = rest.split(",");
  if (remote === "") throw new UsageError(`--to ${text}: write erspan:HOST[,type=II,session=7]`);
  const entries = options.map((option): [string, string | number] => {
    const [key, value = ""] = [option.slice(0, option.indexOf("=")), option.slice(option.indexOf("=") + 1)];
    if (!option.includes("=") || !KEYS.includes(key))
      throw new UsageError(`--to ${text}: "${option}" is none of ${KEYS.map((one) => `${one}=`).join(", ")}`);
    const name = key === "type" ? "erspanType" : key;
    return [name, NUMBERS.includes(key) ? whole(`--to ${text}: ${key}`, value)! : value];
  });
  return { type: "erspan", remote, ...Object.fromEntries(entries) };
}

function destination(text: string): { output?: object; file?: string; stream?: true } {
  if (text === "-") return { stream: true };
  const [kind, rest = ""] = [text.slice(0, text.indexOf(":")), text.slice(text.indexOf(":") + 1)];
  if (kind === "port" && rest !== "") return { output: { type: "span", port: rest } };
  if (kind === "rspan") {
    const vlan = whole("--to rspan:", rest)!;
    return { output: { type: "rspan", vlan } };
  }
  if (kind === "erspan") return { output: erspan(text, rest) };
  if (text.endsWith(".pcapng")) return { file: text, stream: true };
  throw new UsageError(`--to ${text}: write ${DESTINATIONS}`);
}

async function start(given: string | undefined, options: StartOptions, command: Command, deps: Deps): Promise<void> {
  const name = given ?? `cli-${randomBytes(3).toString("hex")}`;
  if (options.to.length === 0) throw new UsageError(`--to is missing: ${DESTINATIONS}`);
  const destinations = options.to.map(destination);
  const streams = destinations.filter(({ stream }) => stream);
  if (streams.length > 1) throw new UsageError("--to: one of - and FILE.pcapng, not several");
  const filter = withoutSsh(options.filter, deps);
  const vlans = options.vlan.map((text) => (/^\d+$/.test(text) ? Number(text) : text));
  const entry = {
    ...asker(deps),
    ...(options.bridge !== undefined && { bridge: options.bridge }),
    select: {
      ...(options.all && { all: true }),
      ports: options.port,
      owners: [...options.vm.map((vm) => ({ vm })), ...options.tenant.map((tenant) => ({ tenant }))],
      ...(vlans.length > 0 && { vlans }),
      ...(options.direction !== undefined && { direction: options.direction }),
      ...(filter !== undefined && { filter }),
      ...(options.dropped !== undefined && { dropped: options.dropped }),
    },
    outputs: [
      ...destinations.flatMap(({ output }) => output ?? []),
      ...(streams.length > 0 ? [{ type: "stream" }] : []),
    ],
    ...(options.snaplen !== undefined && { snaplen: whole("--snaplen", options.snaplen) }),
    ...(options.sample !== undefined && { sample: whole("--sample", options.sample) }),
    limit: {
      ...(options.rate !== undefined && { rate: options.rate }),
      ...(options.bandwidth !== undefined && { bandwidth: options.bandwidth }),
      ...(options.packets !== undefined && { packets: whole("--packets", options.packets) }),
      ...(options.for !== undefined && { duration: options.for }),
    },
  };
  const api = client(command, deps);
  const mirror = await api.send<MirrorJson>("PUT", path(name), entry);
  if (mirror.message !== undefined) deps.err.write(`weir: ${visible(mirror.name)} ${visible(mirror.message)}\n`);
  if (streams.length > 0) return receive(api, name, streams[0]!.file ?? "-", deps);
  printLines(deps.out, renderMirrors({ at: "", total: 1, items: [mirror] }, screen(deps)));
}

export function register(program: Command, deps: Deps): void {
  const mirror = program.command("mirror").description("copies of frames: to a port, a VLAN, a file or a pipe");
  const begin = mirror
    .command("start")
    .description("start a session: 10 min, 10 kpps and 100 Mbit unless said otherwise")
    .argument("[name]", "a name of its own unless given")
    .option("--port <name>", "frames of this port (again for more)", collect, [])
    .option("--vm <name>", "of all ports of this VM, now and later", collect, [])
    .option("--tenant <name>", "of all ports of this tenant", collect, [])
    .option("--vlan <id>", "only of this VLAN, or range 100-200", collect, [])
    .option("--all", "of every port")
    .option(
      "--to <dest>",
      "- (pcapng on stdout), FILE.pcapng, port:NAME, rspan:VLAN, erspan:HOST[,type=II,session=7]",
      collect,
      [],
    )
    .option("--direction <way>", "ingress (the guest sent it), egress or both")
    .option("--filter <expression>", "in tcpdump's language")
    .option("--dropped <which>", "refused frames: include, exclude or only")
    .option("--snaplen <bytes>", "so many bytes of each frame")
    .option("--sample <n>", "one frame in n")
    .option("--rate <pps>", "at most: 10kpps")
    .option("--bandwidth <bit/s>", "at most: 100Mbit")
    .option("--packets <n>", "and then stop")
    .option("--for <time>", "so long: 10m")
    .option("--bridge <name>", "where there are several")
    .action((name: string | undefined, options: StartOptions) => start(name, options, begin, deps));
  example(begin, "weir mirror start x --port web1 --to - | tshark -r -", "weir mirror start --vm web1 --to port:mon0");
  const list = mirror
    .command("list")
    .description("sessions and what they copied")
    .option("-j, --json", "the API's answer as one JSON value")
    .action(async (options: { json?: true }) => {
      const body = await client(list, deps).get<List<MirrorJson>>("mirrors");
      if (options.json) printJson(deps, body);
      else printLines(deps.out, renderMirrors(body, screen(deps)));
    });
  example(list, "weir mirror list");
  const stop = mirror
    .command("stop")
    .description("stop a session, or all that were started by hand")
    .argument("[name]")
    .option("--all", "all that are not the configuration's")
    .action(async (name: string | undefined, options: { all?: true }) => {
      if ((name === undefined) === (options.all === undefined)) throw new UsageError("say which session, or --all");
      const api = client(stop, deps);
      const names =
        name === undefined
          ? (await api.get<List<MirrorJson>>("mirrors")).items
              .filter(({ state, origin }) => state === "running" && origin !== "config")
              .map((one) => one.name)
          : [name];
      for (const one of names) {
        const { matched, sent } = await api.send<MirrorJson>("DELETE", path(one));
        deps.out.write(`${visible(one)}  stopped: ${matched} matched, ${sent} sent\n`);
      }
    });
  example(stop, "weir mirror stop x", "weir mirror stop --all");
  example(mirror, "weir mirror start x --port web1 --to - | tshark -r -");
}
