/** Whose a flow is. A tenant owns ports and VLANs; a flow's is its ingress port's, else its VLAN's, else its output's. */
import type { Owner } from "../flow/attachment.ts";

export class Tenants {
  private readonly byVlan = new Map<number, string>();

  /** Tenant → VLAN ids that are its own, as in the configuration. */
  constructor(tenants: Readonly<Record<string, { readonly vlans: readonly number[] }>>) {
    for (const [name, { vlans }] of Object.entries(tenants)) for (const vlan of vlans) this.byVlan.set(vlan, name);
  }

  ofVlan(vlan: number): string | undefined {
    return this.byVlan.get(vlan);
  }

  /** `vlan` is the one that the bridge put the flow into (0 = untagged domain), `output` the owner of its only output. */
  ofFlow(ingress: Owner | undefined, vlan: number, output: Owner | undefined): string | undefined {
    return ingress?.tenant ?? this.byVlan.get(vlan) ?? output?.tenant;
  }

  /** Every tenant that has a part in the flow: what `tenant=` matches. */
  allOfFlow(ingress: Owner | undefined, vlan: number, output: Owner | undefined): string[] {
    const all = [ingress?.tenant, this.byVlan.get(vlan), output?.tenant];
    return [...new Set(all.filter((name) => name !== undefined))];
  }
}
