/**
 * What a datapath may do with frames that meet no rule while nobody answers (failMode: standalone): flood them in their VLAN. One
 * block a VLAN and way of arrival, for all its ports: the datapath leaves out the port that the frame came by.
 */
import { type ActionBlock, forward, type Output, TAG_POP, TAG_PUSH } from "./actions.ts";
import { carries, leavesTagged, nativeVlan, type Snapshot, type SnapshotPort } from "./snapshot.ts";

export interface AwayFlood {
  readonly port: number;
  /** VLAN id of the frame's tag; −1: it has none. */
  readonly vid: number;
  readonly actions: ActionBlock;
}

/** At most `limit`: untagged frames first, then VLANs that some port names, then those that only trunks of all VLANs carry. */
export function awayFloods(snapshot: Snapshot, limit: number): AwayFlood[] {
  const blocks = new Map<string, ActionBlock | undefined>();
  const found: AwayFlood[] = [];
  const add = (port: SnapshotPort, vid: number, vlan: number): void => {
    if (found.length >= limit) return;
    const key = `${vlan} ${vid < 0}`;
    if (!blocks.has(key)) blocks.set(key, floodAll(snapshot, vlan, vid >= 0));
    const actions = blocks.get(key);
    if (actions !== undefined) found.push({ port: port.no, vid, actions });
  };
  const senders = snapshot.ports.filter(({ no, enabled }) => enabled && !snapshot.mirrors.outputPorts.has(no));
  for (const port of senders) if (nativeVlan(port.vlan) >= 0) add(port, -1, nativeVlan(port.vlan));
  const tagged = senders.filter(({ vlan }) => vlan !== undefined && vlan.mode !== "access");
  for (const vlan of namedVlans(snapshot))
    for (const port of tagged) if (carries(port.vlan, vlan)) add(port, vlan, vlan);
  return found;
}

/** Undefined: there are not two ports for it. A port that would show an inner tag to a switch behind it is left out. */
function floodAll(snapshot: Snapshot, vlan: number, isTagged: boolean): ActionBlock | undefined {
  const ports = snapshot.floodPorts(vlan);
  const outputs = ports.flatMap(({ no, vlan: config }): Output[] => {
    const leaves = leavesTagged(config, vlan);
    if (!isTagged) return [leaves ? { port: no, tag: TAG_PUSH, tci: vlan } : { port: no }];
    if (leaves) return [{ port: no }];
    return config?.mode === "nativeUntagged" ? [] : [{ port: no, tag: TAG_POP }];
  });
  return outputs.length === 0 ? undefined : forward(outputs);
}

/** VLANs of access and native ports, then others that are listed, then the rest where two trunks carry everything. */
function namedVlans(snapshot: Snapshot): Set<number> {
  const vlans = new Set<number>();
  let everything = 0;
  for (const { vlan } of snapshot.ports) if (vlan && vlan.mode !== "trunk") vlans.add(vlan.tag);
  for (const { vlan } of snapshot.ports) {
    if (vlan === undefined || vlan.mode === "access") continue;
    if (vlan.trunks === "all") everything++;
    else for (const one of vlan.trunks) vlans.add(one);
  }
  if (everything > 1) for (let one = 1; one <= 4094; one++) vlans.add(one);
  return vlans;
}
