/**
 * What the pipeline knows of a bridge when it decides: its options, its ports, and a view of the MAC table. Values only;
 * a changed configuration is a new snapshot, so a decision never sees half of a change.
 */
import { vlanSetText, type VlanConfig } from "../flow/attachment.ts";
import type { ActionBlock } from "./actions.ts";
import { type MirrorPlan, NO_MIRRORS } from "./mirror-plan.ts";

export { vlanSetText };

/** The VLAN of frames without a tag between ports without a VLAN configuration. */
export const UNTAGGED_DOMAIN = 0;
export const MAX_VID = 4094;
/** Floods that a snapshot remembers: at 1,000 outputs, 8 kB each. */
const MAX_FLOODS = 1024;

export interface SnapshotPort {
  readonly no: number;
  readonly name: string;
  /** Absent: access to the untagged domain. */
  readonly vlan?: VlanConfig;
  /** Administrative state. */
  readonly enabled: boolean;
  /** The device is there and its link is up. */
  readonly up: boolean;
}

/** Where addresses were learned. */
export interface MacView {
  /** Port number of (VLAN, MAC), 0 = not known. */
  portOf(vlan: number, high: number, low: number): number;
  /** Would the table take (VLAN, MAC) at `port` now, were it not there yet? */
  wouldLearn(vlan: number, high: number, low: number, port: number): boolean;
}

export interface SnapshotOptions {
  readonly mode: "switch" | "observe";
  readonly dropMalformed: boolean;
  readonly ports: readonly SnapshotPort[];
  readonly macs: MacView;
  readonly mirrors?: MirrorPlan;
}

export class Snapshot {
  readonly mode: "switch" | "observe";
  readonly dropMalformed: boolean;
  readonly ports: readonly SnapshotPort[];
  readonly macs: MacView;
  readonly mirrors: MirrorPlan;
  private readonly byNo: (SnapshotPort | undefined)[] = [];
  private readonly members = new Map<number, readonly SnapshotPort[]>();
  private readonly untagging = new Map<number, boolean>();
  private readonly floods = new Map<number, ActionBlock>();

  constructor(options: SnapshotOptions) {
    this.mode = options.mode;
    this.dropMalformed = options.dropMalformed;
    this.ports = options.ports.toSorted((a, b) => a.no - b.no);
    this.macs = options.macs;
    this.mirrors = options.mirrors ?? NO_MIRRORS;
    for (const port of this.ports) this.byNo[port.no] = port;
  }

  port(no: number): SnapshotPort | undefined {
    return this.byNo[no];
  }

  /** Ports that carry a VLAN and can send now, by number. */
  floodPorts(vlan: number): readonly SnapshotPort[] {
    let found = this.members.get(vlan);
    if (found === undefined) {
      found = this.ports.filter(
        ({ no, enabled, up, vlan: config }) =>
          enabled && up && carries(config, vlan) && !this.mirrors.outputPorts.has(no),
      );
      this.members.set(vlan, found);
    }
    return found;
  }

  /** Some port sends frames of this VLAN untagged though others come with tags: what it may send hangs on the frame. */
  isNativeSomewhere(vlan: number): boolean {
    let found = this.untagging.get(vlan);
    if (found === undefined) {
      found = this.floodPorts(vlan).some(
        ({ vlan: config }) => config?.mode === "nativeUntagged" && config.tag === vlan,
      );
      this.untagging.set(vlan, found);
    }
    return found;
  }

  /**
   * The flood of frames of one port and tag (`vid` −1 = none), which `make` works out where it is not known: stations that
   * were not heard yet make a rule each, and hundreds of ports are not walked for every one of them.
   */
  flood(port: number, vid: number, make: () => ActionBlock): ActionBlock {
    const key = port * 4096 + vid + 1;
    let actions = this.floods.get(key);
    if (actions === undefined) {
      actions = make();
      if (this.floods.size === MAX_FLOODS) this.floods.clear();
      this.floods.set(key, actions);
    }
    return actions;
  }
}

/** Does a port with this configuration carry `vlan` (0 = the untagged domain)? */
export function carries(config: VlanConfig | undefined, vlan: number): boolean {
  if (config === undefined) return vlan === UNTAGGED_DOMAIN;
  if (vlan < 1 || vlan > MAX_VID) return false;
  if (config.mode === "access") return config.tag === vlan;
  if (config.mode !== "trunk" && config.tag === vlan) return true;
  return config.trunks === "all" || config.trunks.includes(vlan);
}

/** VLAN of an untagged or priority-tagged frame received here, −1 = such frames are not taken. */
export function nativeVlan(config: VlanConfig | undefined): number {
  if (config === undefined) return UNTAGGED_DOMAIN;
  return config.mode === "trunk" ? -1 : config.tag;
}

/** Do frames of `vlan`, which the port carries, leave it with a tag? */
export function leavesTagged(config: VlanConfig | undefined, vlan: number): boolean {
  if (config === undefined || config.mode === "access") return false;
  return config.mode !== "nativeUntagged" || config.tag !== vlan;
}

/** "access VLAN 100", "trunk 100-105,200", "native 5 untagged, trunk all", "untagged" */
export function vlanText(config: VlanConfig | undefined): string {
  if (config === undefined) return "untagged";
  if (config.mode === "access") return `access VLAN ${config.tag}`;
  const trunk = `trunk ${vlanSetText(config.trunks)}`;
  if (config.mode === "trunk") return trunk;
  return `native VLAN ${config.tag} ${config.mode === "nativeTagged" ? "tagged" : "untagged"}, ${trunk}`;
}
