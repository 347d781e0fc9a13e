/** Which ports a selection means now, and the sentence where it means none. */
import type { MirrorConfig, PortConfig } from "../config/config.ts";

export interface SelectablePort {
  readonly no: number;
  readonly name: string;
  readonly config: Pick<PortConfig, "owner">;
  readonly status: { readonly mac?: string | undefined };
}

type Select = MirrorConfig["select"];

export function selectPorts<T extends SelectablePort>(select: Select, ports: readonly T[]): T[] {
  return ports.filter(
    (port) => select.all || select.ports.includes(port.name) || select.owners.some((owner) => owns(owner, port)),
  );
}

function owns(asked: Select["owners"][number], { config: { owner }, status }: SelectablePort): boolean {
  return Object.entries(asked).every(([key, value]) =>
    key === "mac"
      ? status.mac === value || owner?.labels?.mac === value
      : owner?.[key as "vm" | "vmId" | "tenant" | "ifaceId"] === value,
  );
}

/** "matches no port: there is no port web9, and none has owner vm db1" */
export function matchesNothing(select: Select): string {
  const parts: string[] = [];
  if (select.ports.length > 0) parts.push(`there is no port ${select.ports.join(" or ")}`);
  for (const owner of select.owners)
    parts.push(
      `no port has owner ${Object.entries(owner)
        .map(([key, value]) => `${key} ${value}`)
        .join(", ")}`,
    );
  if (select.all) parts.push("the bridge has no ports");
  return `matches no port: ${parts.join(", and ")}`;
}
