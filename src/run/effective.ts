/**
 * From the configuration of the file to what the bridges run: ports that were added at run time join, templates become
 * the ports of the devices that are there now, and what must not be attached is refused before anything is touched.
 */
import type { BridgeConfig, PortConfig, WeirConfig } from "../config/config.ts";
import { readPortEntry, type Registries } from "../config/check.ts";
import type { AddedPort } from "../config/identity.ts";
import type { PortType } from "../ports/port.ts";

/** Loaded port types by name. */
export type PortTypes = ReadonlyMap<string, PortType>;

export async function loadPortTypes(config: WeirConfig, registries: Registries): Promise<PortTypes> {
  const types = new Map<string, PortType>();
  for (const { type } of config.bridges.flatMap(({ ports }) => ports))
    if (!types.has(type)) types.set(type, await registries.portTypes[type]!());
  return types;
}

/** The ports that `weir port add` made join their bridges; one whose name the file has taken since is left out. */
export async function withAddedPorts(
  config: WeirConfig,
  added: readonly AddedPort[],
  registries: Registries,
): Promise<WeirConfig> {
  const bridges: BridgeConfig[] = [];
  for (const bridge of config.bridges) {
    const names = new Set(bridge.ports.map(({ name }) => name));
    const extra: PortConfig[] = [];
    for (const { bridge: name, entry } of added)
      if (name === bridge.name && !names.has(String(entry.name)))
        extra.push(...(await readPortEntry(entry, `port ${String(entry.name)}`, "cli", registries)));
    bridges.push(extra.length === 0 ? bridge : { ...bridge, ports: [...bridge.ports, ...extra] });
  }
  return { ...config, bridges };
}

/** Templates expanded to the devices of this moment. The same object where the bridge has none. */
export function expandTemplates(bridge: BridgeConfig, types: PortTypes): BridgeConfig {
  if (!bridge.ports.some(({ name }) => name.includes("{"))) return bridge;
  const ports = bridge.ports.flatMap((port) => {
    if (!port.name.includes("{")) return [port];
    const expand = types.get(port.type)?.expand;
    const others = bridge.ports.filter((other) => other !== port && other.type === port.type);
    return expand === undefined ? [] : expand(port, others).map((made) => ({ ...port, ...made }));
  });
  return { ...bridge, ports };
}

/**
 * Why these ports must not be attached, a sentence each, led by its place in the configuration. Those that are attached
 * already need no second permission.
 */
export function refusals(
  config: WeirConfig,
  types: PortTypes,
  isAttached: (bridge: string, port: PortConfig) => boolean = () => false,
): string[] {
  const entries = config.bridges.flatMap(({ name, mode, ports }, b) =>
    ports.map((port, p) => ({
      type: port.type,
      where: port.origin === "config" ? `bridges[${b}].ports[${p}]` : `port ${port.name}`,
      options: port.options,
      mode,
      isAttached: isAttached(name, port),
    })),
  );
  return [...types].flatMap(([name, type]) => {
    const own = entries.filter((entry) => entry.type === name);
    return own.length === 0 ? [] : (type.guards?.(own) ?? []);
  });
}
