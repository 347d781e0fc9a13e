/** weir port add|del|disable|enable: for VM hooks, and for a noisy port. */
import type { Command } from "commander";
import type { PortJson } from "../bridge/views/json.ts";
import { client, example, parseDuration } from "./common.ts";
import type { Deps } from "./deps.ts";
import { UsageError } from "./errors.ts";
import { visible } from "./render/text.ts";
import { duration } from "./render/units.ts";

interface AddOptions {
  readonly device: string;
  readonly vlan?: string;
  readonly owner?: string;
  readonly bridge?: string;
}

const OWNER_KEYS = ["tenant", "vm", "vmId", "ifaceId"];

/** "tenant=acme,vm=web1"; keys that are none of an owner's are labels. */
function parseOwner(text: string): object {
  const owner: Record<string, unknown> = {};
  const labels: Record<string, string> = {};
  for (const pair of text.split(",")) {
    const at = pair.indexOf("=");
    if (at < 1) throw new UsageError(`--owner ${text}: write tenant=acme,vm=web1`);
    const key = pair.slice(0, at);
    if (OWNER_KEYS.includes(key)) owner[key] = pair.slice(at + 1);
    else labels[key] = pair.slice(at + 1);
  }
  return Object.keys(labels).length > 0 ? { ...owner, labels } : owner;
}

function parseVlan(text: string): object {
  if (!/^\d{1,4}$/.test(text) || Number(text) < 1 || Number(text) > 4094)
    throw new UsageError(`--vlan ${text}: a VLAN id is 1..4094`);
  return { mode: "access", tag: Number(text) };
}

function said(deps: Deps, port: PortJson): void {
  const why = port.message === undefined ? "" : ` (${visible(port.message)})`;
  const state = port.enabled ? visible(port.state) : "disabled";
  deps.out.write(`${visible(port.name)}  ${state}${why}  ifIndex ${port.ifIndex}\n`);
}

const path = (name: string): string => `ports/${encodeURIComponent(name)}`;

export function register(program: Command, deps: Deps): void {
  const port = program.command("port").description("add, remove, disable and enable ports of the running switch");
  const add = port
    .command("add")
    .description("add a port, or change one that was added; kept across restarts")
    .argument("<name>", "1..15 characters, unique on its bridge")
    .requiredOption("--device <device>", "network device; one that is not there yet is waited for")
    .option("--vlan <id>", "access VLAN; none = untagged")
    .option("--owner <k=v,...>", "tenant=, vm=, vmId=, ifaceId=, or labels")
    .option("--bridge <name>", "where there are several")
    .action(async (name: string, options: AddOptions) => {
      const entry = {
        type: "netdev",
        device: options.device,
        ...(options.bridge === undefined ? {} : { bridge: options.bridge }),
        ...(options.vlan === undefined ? {} : { vlan: parseVlan(options.vlan) }),
        ...(options.owner === undefined ? {} : { owner: parseOwner(options.owner) }),
      };
      said(deps, await client(add, deps).send<PortJson>("PUT", path(name), entry));
    });
  example(add, "weir port add web1 --device vnet7 --vlan 100 --owner tenant=acme,vm=web1");
  const del = port
    .command("del")
    .description("remove a port that was added at run time")
    .argument("<name>")
    .action(async (name: string) => {
      await client(del, deps).send<undefined>("DELETE", path(name));
      deps.out.write(`${visible(name)}  removed\n`);
    });
  example(del, "weir port del web1");
  const disable = port
    .command("disable")
    .description("stop forwarding from and to a port")
    .argument("<name>")
    .option("--for <time>", "and enable it again after so long: 10m")
    .action(async (name: string, options: { for?: string }) => {
      const forMs = options.for === undefined ? undefined : parseDuration("--for", options.for);
      const patch = { enabled: false, ...(options.for === undefined ? {} : { for: options.for }) };
      said(deps, await client(disable, deps).send<PortJson>("PATCH", path(name), patch));
      if (forMs !== undefined) deps.out.write(`  enabled again in ${duration(forMs)}\n`);
    });
  example(disable, "weir port disable lab7 --for 10m");
  const enable = port
    .command("enable")
    .description("forward again")
    .argument("<name>")
    .action(async (name: string) => {
      said(deps, await client(enable, deps).send<PortJson>("PATCH", path(name), { enabled: true }));
    });
  example(enable, "weir port enable lab7");
  example(port, "weir port add web1 --device vnet7 --vlan 100 --owner tenant=acme,vm=web1");
}
