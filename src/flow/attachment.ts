/** What a port is to the bridge, beside its attachment: its VLANs and its owner. Plain configuration values. */

export type VlanConfig =
  | { readonly mode: "access"; readonly tag: number }
  | { readonly mode: "trunk"; readonly trunks: VlanSet }
  | { readonly mode: "nativeTagged" | "nativeUntagged"; readonly tag: number; readonly trunks: VlanSet };

/** VLAN ids, expanded and sorted; "all" = every one. */
export type VlanSet = readonly number[] | "all";

export interface Owner {
  readonly tenant?: string;
  readonly vm?: string;
  readonly vmId?: string;
  readonly ifaceId?: string;
  readonly labels?: Readonly<Record<string, string>>;
}
