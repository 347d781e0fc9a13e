/** A run that every panel has something to show of: the demo's traffic on two hosts, drops, tenants, a mirror session. */
import type { TestContext } from "node:test";
import type { MirrorJson, PortJson, TenantJson } from "../../src/bridge/views/json.ts";
import { api } from "./api.ts";
import { pause, startWeir, weirHome, type WeirHome, type WeirProcess } from "./weir-process.ts";

interface List<T> {
  readonly items: readonly T[];
}

/** A switch's own numbers, when its sources stood still. */
export interface Said {
  readonly host: string;
  readonly ports: readonly PortJson[];
  readonly tenants: readonly TenantJson[];
  readonly mirrors: readonly MirrorJson[];
}

export interface Host {
  readonly name: string;
  readonly home: WeirHome;
  weir: WeirProcess;
}

/** A host with the demo's tenants and traffic; packets a second by `rate`. */
export async function startHost(
  t: TestContext,
  name: string,
  rate: string,
  exporters: readonly object[],
): Promise<Host> {
  const home = weirHome(t);
  const tenants = ["acme", "globex", "initech", "hooli", "wonka"];
  home.write({
    host: { name, stateDir: home.stateDir },
    flows: { activeTimeout: "1s", idleTimeout: "1s" },
    tenants: Object.fromEntries(tenants.map((tenant, n) => [tenant, { vlans: [`${100 + 10 * n}-${109 + 10 * n}`] }])),
    bridges: [
      {
        name: "weir0",
        sampling: { rate: 50 },
        ports: [{ name: "gen", type: "traffic", profile: "tenants", seed: name.length, rate }],
        mirrors: [
          {
            name: "watch",
            select: { all: true, ports: [] },
            outputs: [{ type: "file", path: "watch.pcapng" }],
            snaplen: 64,
            limit: { rate: "400pps" },
          },
        ],
      },
    ],
    exporters,
  });
  return { name, home, weir: await startWeir(t, home) };
}

/** Stops the sources and reads every counter. */
export async function standstill({ name, home }: Host): Promise<Said> {
  const ask = async <T>(path: string): Promise<readonly T[]> => (await api<List<T>>(home.socket, "GET", path)).items;
  const ports = await ask<PortJson>("ports");
  await Promise.all(ports.map((port) => api(home.socket, "PATCH", `ports/${port.name}`, { enabled: false })));
  await pause(300);
  return { host: name, ports: await ask("ports"), tenants: await ask("tenants"), mirrors: await ask("mirrors") };
}

/** Sums of what several runs said, by a name; the order of runs does not matter. */
export function summed<T>(
  items: readonly T[],
  key: (item: T) => string,
  value: (item: T) => number,
): Map<string, number> {
  const sums = new Map<string, number>();
  for (const item of items) sums.set(key(item), (sums.get(key(item)) ?? 0) + value(item));
  return sums;
}
