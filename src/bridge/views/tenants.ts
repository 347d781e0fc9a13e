/** Tenants as JSON: the sums of the ports that are theirs. Each port belongs to one tenant or to none. */
import { vlanSetText } from "../../pipeline/snapshot.ts";
import { addCounts, addLost, noLost } from "./counts.ts";
import type { PortJson, TenantJson } from "./json.ts";

const SUMS = [
  "rxPackets",
  "rxBytes",
  "txPackets",
  "txBytes",
  "forwarded",
  "dropped",
  "consumed",
  "flows",
  "rxPps",
  "rxBps",
  "txPps",
  "txBps",
  "dropPps",
  "lostPps",
  "newFlowsPps",
] as const;

function empty(tenant: string | undefined, vlans: readonly number[]): TenantJson {
  return {
    ...(tenant !== undefined && { tenant }),
    ...(vlans.length > 0 && { vlans: vlanSetText(vlans.toSorted((a, b) => a - b)) }),
    ports: [],
    rxPackets: 0,
    rxBytes: 0,
    txPackets: 0,
    txBytes: 0,
    forwarded: 0,
    dropped: 0,
    consumed: 0,
    lost: noLost(),
    unattributed: {},
    flows: 0,
    rxPps: 0,
    rxBps: 0,
    txPps: 0,
    txBps: 0,
    dropPps: 0,
    lostPps: 0,
    newFlowsPps: 0,
  };
}

/** Configured tenants first, in their order; then those that only owners name; last the ports of nobody. */
export function tenantsJson(
  ports: readonly PortJson[],
  tenants: Readonly<Record<string, { readonly vlans: readonly number[] }>>,
): TenantJson[] {
  const rows = new Map<string | undefined, TenantJson>();
  for (const [name, { vlans }] of Object.entries(tenants)) rows.set(name, empty(name, vlans));
  for (const port of ports.toSorted((a, b) => Number(a.tenant === undefined) - Number(b.tenant === undefined))) {
    const row = rows.get(port.tenant) ?? empty(port.tenant, []);
    rows.set(port.tenant, row);
    row.ports.push(port.name);
    for (const key of SUMS) row[key] += port[key];
    addLost(row.lost, port.lost);
    addCounts(row.unattributed, port.unattributed);
  }
  return [...rows.values()];
}
