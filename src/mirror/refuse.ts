/** What a session cannot be, said before anything is done. */
import type { BridgeConfig, MirrorConfig } from "../config/config.ts";
import type { Datapath } from "../datapath/datapath.ts";
import { MAX_FILTER } from "../shm/copies.ts";
import { compileBoth, type FilterPair } from "../sys/pcap-filter.ts";
import { ANY_ERSPAN } from "./remotes.ts";
import { type SelectablePort, selectPorts } from "./select.ts";

const INSTRUCTION_WORDS = 4;
/** Instructions that leave room for a guard whatever the compiler makes of it. */
const SURELY_FITS = MAX_FILTER / 8;

/** Why a session cannot be; the message is for people. */
export class MirrorRefused extends Error {
  /** 404 there is none, 409 in the way of something, 422 not to be understood. */
  readonly status: 404 | 409 | 422;
  constructor(status: 404 | 409 | 422, message: string) {
    super(message);
    this.status = status;
  }
}

export interface Around {
  readonly bridge: string;
  readonly datapath: Pick<Datapath, "kind" | "copies">;
  readonly mode: BridgeConfig["mode"];
  readonly capturesDir: string;
  readonly ports: readonly SelectablePort[];
  readonly sessions: readonly { readonly name: string; readonly options: { readonly config: MirrorConfig } }[];
}

/** Throws a MirrorRefused. */
export function refuse(config: MirrorConfig, around: Around): void {
  const { bridge, datapath, mode, capturesDir, ports, sessions } = around;
  if (datapath.copies === undefined)
    throw new MirrorRefused(
      409,
      `the ${datapath.kind} datapath of ${bridge} makes no mirrors yet: write datapath: userspace`,
    );
  const { select, outputs } = config;
  if (mode === "observe" && select.vlans !== undefined && datapath.kind === "kernel")
    throw new MirrorRefused(
      422,
      `vlans: ${bridge} is in observe mode, where the kernel datapath decides by the port; write filter: vlan ${select.vlans[0]}`,
    );
  for (const output of outputs) {
    if (mode === "observe" && (output.type === "span" || output.type === "rspan"))
      throw new MirrorRefused(
        422,
        `${output.type}: ${bridge} is in observe mode and sends nothing; write to a file, a stream or a tunnel`,
      );
    if (output.type === "file" && (output.path.startsWith("/") || output.path.split("/").includes("..")))
      throw new MirrorRefused(422, `${output.path}: capture files are below ${capturesDir}; write the path from there`);
    if (output.type === "span" && select.ports.includes(output.port))
      throw new MirrorRefused(422, `${output.port} is selected and is the output: its copies would be copied again`);
    if (output.type === "span") {
      const owner = ports.find(({ name }) => name === output.port);
      if (owner !== undefined && !select.all && selectPorts(select, [owner]).length > 0)
        throw new MirrorRefused(422, `${output.port} belongs to who is selected: its copies would be copied again`);
      for (const other of sessions)
        if (other.name !== config.name && other.options.config.select.ports.includes(output.port))
          throw new MirrorRefused(409, `${output.port} is selected by the mirror ${other.name}`);
    }
    if (output.type === "rspan" && select.vlans?.includes(output.vlan))
      throw new MirrorRefused(
        422,
        `VLAN ${output.vlan} is selected and is the output: its copies would be copied again`,
      );
  }
}

/** Instructions of the longer program. */
function longest(filter: FilterPair | undefined): number {
  return filter === undefined ? 0 : Math.max(filter.plain.length, filter.tagged.length) / INSTRUCTION_WORDS;
}

/** Throws where a datapath has no room for the filter, now or once there is ERSPAN that it must not copy. */
export function refuseLong(config: MirrorConfig): void {
  const own = longest(compile(config));
  if (own <= SURELY_FITS) return;
  const whole = longest(compile(config, ANY_ERSPAN));
  if (whole > MAX_FILTER)
    throw new MirrorRefused(
      422,
      `filter: ${own} instructions, and ${whole - own} more leave the switch's own ERSPAN out; a session has room for ${MAX_FILTER}. ` +
        "Write it shorter (net 10.1.0.0/16 instead of its hosts), or share it out to several sessions",
    );
}

/** The session's filter without what is guarded: by the first of the guards that there is room for. */
export function compileFitting(config: MirrorConfig, guards: readonly string[]): FilterPair | undefined {
  const [first, ...shorter] = guards;
  const filter = compile(config, first);
  return shorter.length === 0 || longest(filter) <= MAX_FILTER ? filter : compileFitting(config, shorter);
}

/** What was compiled of a session: a long filter takes a second. */
const compiled = new WeakMap<MirrorConfig, Map<string, FilterPair>>();
const COMPILED_AT_ONCE = 4;

/** The session's filter without the frames that `but` names (pcap's language); undefined: every frame. */
export function compile(config: MirrorConfig, but = ""): FilterPair | undefined {
  const { filter = "" } = config.select;
  if (filter === "" && but === "") return undefined;
  const known = compiled.get(config) ?? new Map<string, FilterPair>();
  compiled.set(config, known);
  const make = (without: string): FilterPair => {
    const pair = known.get(without) ?? compileBoth(filter, without);
    if (known.size >= COMPILED_AT_ONCE) known.clear();
    known.set(without, pair);
    return pair;
  };
  try {
    // Alone first: it must be an expression by itself.
    const own = make("");
    return but === "" ? own : make(but);
  } catch (error) {
    throw new MirrorRefused(422, `filter: ${(error as Error).message}`);
  }
}
