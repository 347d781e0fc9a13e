/** weir init --from br0: a configuration out of a Linux bridge, on stdout. Reads, changes nothing. */
import type { Command } from "commander";
import { execFile } from "node:child_process";
import { promisify } from "node:util";
import { example } from "./common.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";

/** `ip -j link show master br0` and `bridge -j vlan show`, as far as they matter. */
export interface IpLink {
  readonly ifname: string;
  readonly ifindex: number;
  readonly linkinfo?: { readonly info_kind?: string; readonly info_data?: Readonly<Record<string, unknown>> };
}

export interface BridgeVlan {
  readonly ifname: string;
  readonly vlans?: readonly { readonly vlan: number; readonly vlanEnd?: number; readonly flags?: readonly string[] }[];
}

export interface LinuxBridge {
  readonly bridge: IpLink;
  readonly members: readonly IpLink[];
  readonly vlans: readonly BridgeVlan[];
}

const quoted = (text: string): string => JSON.stringify(text);

/** A port's VLANs in Weir's words; undefined = no vlan entry. Unfiltered bridges know no VLANs. */
export function vlanEntry(entry: BridgeVlan | undefined): string | undefined {
  const vlans = entry?.vlans ?? [];
  const native = vlans.find((vlan) => vlan.flags?.includes("PVID"));
  const tagged = vlans.filter((vlan) => vlan !== native);
  const trunks = `[${tagged.map(({ vlan, vlanEnd }) => (vlanEnd === undefined ? `${vlan}` : `${vlan}-${vlanEnd}`)).join(", ")}]`;
  if (native === undefined) return tagged.length > 0 ? `{ mode: trunk, trunks: ${trunks} }` : undefined;
  if (tagged.length === 0) return `{ mode: access, tag: ${native.vlan} }`;
  const mode = native.flags?.includes("Egress Untagged") ? "nativeUntagged" : "nativeTagged";
  return `{ mode: ${mode}, tag: ${native.vlan}, trunks: ${trunks} }`;
}

const isFiltering = (bridge: IpLink): boolean => bridge.linkinfo?.info_data?.vlan_filtering === 1;

/** Names in a configuration have at most 15 characters, as devices do: a device's name is a port's name. */
export function toYaml(from: LinuxBridge): string {
  const data = from.bridge.linkinfo?.info_data ?? {};
  const filtering = isFiltering(from.bridge);
  // The kernel counts it in 1/100 s (USER_HZ).
  const ageing = typeof data.ageing_time === "number" ? Math.round(data.ageing_time / 100) : 300;
  const lines = [
    `# From Linux bridge ${from.bridge.ifname}. Before weir run takes a port over, take it out of that bridge:`,
    ...from.members.map((member) => `#   ip link set ${member.ifname} nomaster`),
    "bridges:",
    `  - name: ${quoted("weir0")}`,
    `    macAging: ${ageing}s`,
    ...(from.members.length === 0 ? ["    ports: []"] : ["    ports:"]),
  ];
  for (const member of from.members) {
    const vlan = filtering ? vlanEntry(from.vlans.find((entry) => entry.ifname === member.ifname)) : undefined;
    const parts = [`name: ${quoted(member.ifname)}`, "type: netdev", `device: ${quoted(member.ifname)}`];
    if (vlan !== undefined) parts.push(`vlan: ${vlan}`);
    lines.push(`      - { ${parts.join(", ")} }`);
  }
  return lines.join("\n") + "\n";
}

const run = promisify(execFile);

async function json<T>(tool: string, args: readonly string[]): Promise<T> {
  const path = `${process.env.PATH ?? ""}:/usr/sbin:/sbin`;
  try {
    const { stdout } = await run(tool, [...args], { maxBuffer: 64 << 20, env: { ...process.env, PATH: path } });
    return JSON.parse(stdout === "" ? "[]" : stdout) as T;
  } catch (error) {
    const { code, stderr, message } = error as NodeJS.ErrnoException & { stderr?: string };
    if (code === "ENOENT") throw new UsageError(`${tool} is not here: apt-get install iproute2`);
    throw new UsageError(`${tool} ${args.join(" ")}: ${(stderr || message).trim()}`);
  }
}

export async function readLinuxBridge(name: string): Promise<LinuxBridge> {
  const [bridge] = await json<IpLink[]>("ip", ["-j", "-d", "link", "show", "dev", name]);
  if (bridge?.linkinfo?.info_kind !== "bridge") throw new UsageError(`${name} is not a Linux bridge`);
  const members = await json<IpLink[]>("ip", ["-j", "-d", "link", "show", "master", name]);
  // A kernel without VLAN filtering has nothing to show, and says so with an error.
  const vlans = isFiltering(bridge) ? await json<BridgeVlan[]>("bridge", ["-j", "vlan", "show"]) : [];
  return { bridge, members: members.filter((member) => member.ifname !== undefined), vlans };
}

export function register(program: Command, deps: Deps): void {
  const command = program
    .command("init")
    .description("a configuration from a Linux bridge, on stdout; changes nothing")
    .requiredOption("--from <bridge>", "the Linux bridge")
    .action(async (options: { from: string }) => {
      if (!/^[^\s/-][^\s/]{0,14}$/.test(options.from))
        throw new UsageError(`--from ${options.from}: not a device name`);
      deps.out.write(toYaml(await readLinuxBridge(options.from)));
    });
  example(command, "weir init --from br0 > weir.yaml && weir check weir.yaml");
}
