/** What a port is to the bridge, beside its attachment: its VLANs and its owner. Plain configuration values. */

export type VlanConfig =
  | { readonly mode: "access"; readonly tag: number }
  | { readonly mode: "trunk"; readonly trunks: VlanSet }
  | { readonly mode: "nativeTagged" | "nativeUntagged"; readonly tag: number; readonly trunks: VlanSet };

/** VLAN ids, expanded and sorted; "all" = every one. */
export type VlanSet = readonly number[] | "all";

/** A sorted list as ranges: "100-105,200". */
/** A sorted set as ranges: "100-105,200". */
export function vlanSetText(set: "all" | readonly number[]): string {
  if (set === "all") return "all";
  const ranges: string[] = [];
  for (let n = 0; n < set.length;) {
    let end = n;
    while (set[end + 1] === set[end]! + 1) end++;
    ranges.push(end === n ? `${set[n]}` : `${set[n]}-${set[end]}`);
    n = end + 1;
  }
  return ranges.join(",") || "none";
}

export interface Owner {
  readonly tenant?: string;
  readonly vm?: string;
  readonly vmId?: string;
  readonly ifaceId?: string;
  readonly labels?: Readonly<Record<string, string>>;
}

/** One line for collectors that know ports by a description: "acme/web1 4c4c4544-…"; empty where nothing is known. */
export function ownerText(owner: Owner | undefined): string {
  if (!owner) return "";
  const { tenant, vm, vmId } = owner;
  const name = [tenant, vm].filter((part) => part !== undefined).join("/");
  return [name, vmId].filter(Boolean).join(" ");
}
