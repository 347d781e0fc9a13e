/** The MAC table as JSON. */
import type { Owner } from "../../flow/attachment.ts";
import type { MacEntry } from "../../pipeline/mac-table.ts";
import type { MacJson } from "./json.ts";

export interface MacContext {
  readonly bridge: string;
  port(no: number): { readonly name: string; readonly owner?: Owner } | undefined;
  tenantOfVlan(vlan: number): string | undefined;
}

export function macJson(entry: MacEntry, context: MacContext): MacJson {
  const port = context.port(entry.port);
  const tenant = port?.owner?.tenant ?? context.tenantOfVlan(entry.vlan);
  return {
    bridge: context.bridge,
    vlan: entry.vlan,
    mac: entry.mac,
    port: port?.name ?? `#${entry.port}`,
    ageMs: Math.round(entry.ageNs / 1e6),
    ...(port?.owner !== undefined && { owner: port.owner }),
    ...(tenant !== undefined && { tenant }),
  };
}
