/** Ports and their attachments: on and off the datapath, what it says of them, the ifIndex they are known by outside. */
import { isDeepStrictEqual } from "node:util";
import type { PortConfig } from "../config/config.ts";
import type { Datapath } from "../datapath/datapath.ts";
import { canSend, PortBook, STARTING, type PortEntry } from "./port-book.ts";

/** A port that could not be brought to what the configuration says. */
export interface PortFailure {
  readonly port: string;
  readonly message: string;
}

export interface PortKeeperEnv {
  readonly datapath: Pick<Datapath, "addPort" | "removePort" | "portStatus" | "program">;
  readonly ifIndexFor: (port: string, physical: number) => number;
  readonly onIfIndex: (no: number, ifIndex: number) => void;
  readonly tell: (port: string, message: string, fields: Readonly<Record<string, string>>) => void;
}

export class PortKeeper {
  readonly book = new PortBook();
  private readonly env: PortKeeperEnv;

  constructor(env: PortKeeperEnv) {
    this.env = env;
  }

  /**
   * Give a configured port to the datapath unless it has it; it is still until `programEnabled`. Undefined: done; else why not, and
   * the port is `failed`.
   */
  async attach(config: PortConfig, mayReuse: (old: PortEntry) => boolean): Promise<PortFailure | undefined> {
    const { name } = config;
    let entry = this.book.find(name);
    if (entry?.attached) return undefined;
    try {
      entry ??= this.book.add(config, mayReuse);
      await this.env.datapath.addPort({ no: entry.no, name, type: config.type, options: config.options });
    } catch (error) {
      const message = error instanceof Error ? error.message : String(error);
      if (entry) entry.status = { ...entry.status, state: "failed", message };
      this.env.tell(name, `${name} failed: ${message}`, { state: "failed" });
      return { port: name, message };
    }
    entry.attached = true;
    entry.status = STARTING;
    entry.known = false;
    return undefined;
  }

  async detach(entry: PortEntry): Promise<void> {
    if (!entry.attached) return;
    entry.attached = false;
    await this.env.datapath.removePort(entry.no);
  }

  programEnabled(...entries: readonly PortEntry[]): void {
    this.env.datapath.program({ enabled: entries.map(({ no, config }) => ({ port: no, up: config.enabled })) });
  }

  /** Before they leave one by one: none refuses what another one that leaves still sends it. */
  silence(entries: readonly PortEntry[]): void {
    if (entries.length > 0) this.env.datapath.program({ enabled: entries.map(({ no }) => ({ port: no, up: false })) });
  }

  /** Read what the datapath says of each port. True: one became able to send, or unable. */
  poll(): boolean {
    let isOther = false;
    for (const entry of this.book.present()) {
      const status = entry.attached ? this.env.datapath.portStatus(entry.no) : undefined;
      if (status === undefined) continue;
      const { status: before, known } = entry;
      entry.status = status;
      entry.known = true;
      if (!known || status.ifIndex !== before.ifIndex) this.giveIfIndex(entry);
      isOther ||= canSend(before) !== canSend(status);
      const isNews = known ? before.state !== status.state || before.message !== status.message : status.state !== "up";
      if (isNews) this.tellState(entry);
    }
    return isOther;
  }

  giveIfIndex(entry: PortEntry): void {
    entry.ifIndex = entry.config.ifIndex ?? this.env.ifIndexFor(entry.name, entry.status.ifIndex);
    this.env.onIfIndex(entry.no, entry.ifIndex);
  }

  private tellState(entry: PortEntry): void {
    const { state, message, device } = entry.status;
    const on = device === undefined ? "" : ` (${device})`;
    const why = message === undefined ? "" : `: ${message}`;
    this.env.tell(entry.name, `${entry.name} is ${state}${on}${why}`, { state });
  }
}

/** Has to be taken off and attached anew; VLAN, owner, ifIndex, sampling and state change in place. */
export function isOtherAttachment(a: PortConfig, b: PortConfig): boolean {
  return a.type !== b.type || !isDeepStrictEqual(a.options, b.options);
}
