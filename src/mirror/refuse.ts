/** What a session cannot be, said before anything is done. */
import type { BridgeConfig, MirrorConfig } from "../config/config.ts";
import type { Datapath } from "../datapath/datapath.ts";
import { MAX_FILTER } from "../shm/copies.ts";
import { compileBoth, type FilterPair } from "../sys/pcap-filter.ts";
import { type SelectablePort, selectPorts } from "./select.ts";

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

/** What is put to a filter later (`but`) has to find room. */
const SPARE = 512;

/** Throws where the filter is too long for a datapath. */
export function refuseLong(filter: FilterPair | undefined): void {
  const most = MAX_FILTER - SPARE;
  for (const program of filter === undefined ? [] : [filter.plain, filter.tagged])
    if (program.length / 4 > most)
      throw new MirrorRefused(
        422,
        `filter: ${program.length / 4} instructions, ${most} are the most: name fewer hosts`,
      );
}

/** The session's filter without the frames that `but` names (pcap's language); undefined: every frame. */
export function compile({ select: { filter } }: MirrorConfig, but?: string): FilterPair | undefined {
  if (filter === undefined && but === undefined) return undefined;
  try {
    return compileBoth(filter ?? "", but);
  } catch (error) {
    throw new MirrorRefused(422, `filter: ${(error as Error).message}`);
  }
}
