/** What would let a refused frame pass: a piece of configuration, as it would stand in the file. */
import type { VlanConfig, VlanSet } from "../flow/attachment.ts";
import { MAX_VID, vlanSetText, type SnapshotPort } from "./snapshot.ts";

export interface Advice {
  /** Port whose entry would change; absent: the bridge's own. */
  readonly port?: string;
  /** The key and its value: "vlan: { mode: trunk, trunks: [100, 200] }". */
  readonly change: string;
}

/** For a frame that arrived at `port` with tag `vid` (≤ 0: none). Undefined advice would be a lie for vid 4095. */
export function admit(port: SnapshotPort, vid: number): Advice {
  if (vid > MAX_VID) return { port: port.name, change: "nothing: VLAN id 4095 is reserved (IEEE 802.1Q, table 9-2)" };
  if (vid > 0) return carry(port, vid);
  const trunks = port.vlan?.mode === "trunk" ? port.vlan.trunks : [];
  return {
    port: port.name,
    change: `vlan: { mode: nativeUntagged, tag: <VLAN of untagged frames>, trunks: ${list(trunks)} }`,
  };
}

/** For a port that should carry `vlan` beside what it carries now. */
export function carry(port: SnapshotPort, vlan: number): Advice {
  return { port: port.name, change: `vlan: ${configText(withVlan(port.vlan, vlan))}` };
}

export function keepMalformed(): Advice {
  return { change: "dropMalformed: false" };
}

function withVlan(config: VlanConfig | undefined, vlan: number): VlanConfig | undefined {
  if (vlan === 0) return undefined;
  if (config === undefined) return { mode: "trunk", trunks: [vlan] };
  if (config.mode === "access") return { mode: "trunk", trunks: join([config.tag], vlan) };
  return { ...config, trunks: join(config.trunks, vlan) };
}

function join(set: VlanSet, vlan: number): VlanSet {
  return set === "all" ? "all" : [...new Set([...set, vlan])].toSorted((a, b) => a - b);
}

function configText(config: VlanConfig | undefined): string {
  if (config === undefined) return "(none)";
  const tag = config.mode === "trunk" ? "" : `tag: ${config.tag}, `;
  const trunks = config.mode === "access" ? "" : `trunks: ${list(config.trunks)}`;
  return `{ mode: ${config.mode}, ${(tag + trunks).replace(/, $/, "")} }`;
}

function list(set: VlanSet): string {
  return set === "all" ? "all" : `[${set.length ? vlanSetText(set).replaceAll(",", ", ") : ""}]`;
}
