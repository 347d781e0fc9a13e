/**
 * The ports of a bridge: number by name, what was configured, what the datapath says of them. A number belongs to its name
 * for the bridge's life and is given to another name only when all numbers are used up, so that no flow, record or
 * sample ever means another port than it says.
 */
import type { PortConfig } from "../config/config.ts";
import { MAX_PORTS } from "../datapath/datapath.ts";
import type { PortStatus } from "../ports/port.ts";
import type { SnapshotPort } from "../pipeline/snapshot.ts";
import type { PortInfo } from "../telemetry/exporter.ts";

export interface PortEntry {
  readonly no: number;
  readonly name: string;
  config: PortConfig;
  /** The datapath has it. */
  attached: boolean;
  status: PortStatus;
  ifIndex: number;
  /** When it was taken off the bridge, ns; −1 = it is on it. */
  goneNs: number;
  /** The datapath said something of it, and an ifIndex was given. */
  known: boolean;
}

/** Before the datapath has said anything of it; frames may be sent to it. */
export const STARTING: PortStatus = {
  state: "down",
  message: "starting",
  mtu: 0,
  speed: 0,
  ifIndex: 0,
  lost: { ring: 0, nic: 0, tap: 0, qdisc: 0 },
};

export class PortBook {
  private readonly byNo: (PortEntry | undefined)[] = [];
  private readonly byName = new Map<string, PortEntry>();
  private nextNo = 1;

  /** Ports on the bridge, by number. */
  present(): PortEntry[] {
    return this.byNo.filter((entry): entry is PortEntry => entry !== undefined && entry.goneNs < 0);
  }

  /** Also ports that are gone, as long as their number is theirs. */
  all(): PortEntry[] {
    return this.byNo.filter((entry): entry is PortEntry => entry !== undefined);
  }

  at(no: number): PortEntry | undefined {
    return this.byNo[no];
  }

  find(name: string): PortEntry | undefined {
    const entry = this.byName.get(name);
    return entry && entry.goneNs < 0 ? entry : undefined;
  }

  /** The entry of a name, with its old number where it had one. Throws when no number can be given. */
  add(config: PortConfig, mayReuse: (entry: PortEntry) => boolean): PortEntry {
    const known = this.byName.get(config.name);
    if (known) {
      known.config = config;
      known.goneNs = -1;
      known.status = STARTING;
      known.known = false;
      return known;
    }
    const no = this.freeNumber(mayReuse);
    const entry: PortEntry = {
      no,
      name: config.name,
      config,
      attached: false,
      status: STARTING,
      ifIndex: 0,
      goneNs: -1,
      known: false,
    };
    this.byNo[no] = entry;
    this.byName.set(config.name, entry);
    return entry;
  }

  /** A number that an earlier process gave; `isPresent`: its port is on the datapath. */
  restore(no: number, config: PortConfig, isPresent: boolean): void {
    const { name } = config;
    const goneNs = isPresent ? -1 : 0;
    const entry = { no, name, config, attached: isPresent, status: STARTING, ifIndex: 0, goneNs, known: isPresent };
    this.byNo[no] = entry;
    this.byName.set(name, entry);
    this.nextNo = Math.max(this.nextNo, no + 1);
  }

  /** Off the bridge; its number and counters stay its own. */
  remove(entry: PortEntry, nowNs: number): void {
    entry.goneNs = nowNs;
    entry.attached = false;
    entry.status = { ...entry.status, state: "absent", message: "not configured any more" };
  }

  private freeNumber(mayReuse: (entry: PortEntry) => boolean): number {
    if (this.nextNo < MAX_PORTS) return this.nextNo++;
    const old = this.all()
      .filter((entry) => entry.goneNs >= 0 && mayReuse(entry))
      .toSorted((a, b) => a.goneNs - b.goneNs)[0];
    if (old === undefined) throw new Error(`a bridge has at most ${MAX_PORTS - 1} ports`);
    this.byName.delete(old.name);
    return old.no;
  }
}

/** Can it take frames? A port whose file has ended still counts as a place to send to. */
export function canSend(status: PortStatus): boolean {
  return status === STARTING || status.state === "up" || status.state === "ended";
}

export function snapshotPort(entry: PortEntry): SnapshotPort {
  const { no, name, config } = entry;
  const up = canSend(entry.status);
  return { no, name, enabled: config.enabled, up, ...(config.vlan && { vlan: config.vlan }) };
}

export function portInfo(entry: PortEntry, bridge: string): PortInfo {
  const { no, name, ifIndex, status, config } = entry;
  return {
    no,
    name,
    bridge,
    ifIndex,
    speed: status.speed,
    up: config.enabled && status.state === "up",
    enabled: config.enabled,
    gone: entry.goneNs >= 0,
    ...(status.mac !== undefined && { mac: status.mac }),
    ...(status.device !== undefined && { device: status.device }),
    ...(config.owner && { owner: config.owner }),
  };
}
