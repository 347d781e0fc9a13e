/** A whole switch in one thread and in virtual time: a bridge over the in-thread datapath, with memory ports. */
import { Bridge, type BridgeEvent } from "../../src/bridge/bridge.ts";
import type { BridgeConfig, FlowsConfig, PortConfig } from "../../src/config/config.ts";
import { MAX_PORTS } from "../../src/datapath/datapath.ts";
import { LocalDatapath } from "../../src/datapath/userspace/local.ts";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import memoryPort, { memory, type MemoryChannel, type MemoryOptions } from "../../src/ports/memory/index.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { bridgeConfig } from "./bridge-config.ts";

export const FLOWS: FlowsConfig = {
  activeTimeoutMs: 60_000,
  idleTimeoutMs: 15_000,
  tcpEndTimeoutMs: 2000,
  max: 4096,
  maxPerPort: 0.5,
};

export interface LocalBedOptions {
  readonly flows?: Partial<FlowsConfig>;
  readonly bridge?: Partial<BridgeConfig>;
  readonly logRecords?: number;
}

export class LocalBed {
  readonly datapath: LocalDatapath;
  readonly bridge: Bridge;
  readonly log: RecordLog;
  readonly events: BridgeEvent[] = [];
  readonly channels = new Map<string, MemoryChannel>();
  nowNs = 1e9;
  private readonly extra: Partial<BridgeConfig>;

  constructor(options: LocalBedOptions = {}) {
    const flows = { ...FLOWS, ...options.flows };
    this.extra = options.bridge ?? {};
    this.log = RecordLog.create(options.logRecords ?? 65536);
    const env = { bridge: "weir0", baseDir: ".", nowNs: 0 };
    this.datapath = new LocalDatapath({
      capacity: flows.max,
      ports: MAX_PORTS,
      seed: 1,
      open: (spec) => memoryPort.open(spec.options as MemoryOptions, { ...env, name: spec.name }),
    });
    this.bridge = new Bridge({
      config: this.config({}),
      flows,
      datapath: this.datapath,
      log: this.log,
      boot: { unixMs: 0, ns: 0 },
      ifIndexFor: (_bridge, name) => 20000 + Number(name.replace(/\D/g, "")),
      onEvent: (event) => this.events.push(event),
      exact: true,
    });
    this.datapath.resolve = (miss) => this.bridge.resolve(miss);
    this.datapath.due = this.bridge.sweeper;
  }

  /** Ports by name; a port that was there before keeps its channel. */
  config(vlans: Readonly<Record<string, VlanConfig | undefined>>): BridgeConfig {
    const ports = Object.entries(vlans).map(([name, vlan]): PortConfig => {
      let channel = this.channels.get(name);
      if (channel === undefined) this.channels.set(name, (channel = memory()));
      const base = { name, type: "memory", enabled: true, options: channel.options, origin: "config" as const };
      return { ...base, ...(vlan && { vlan }) };
    });
    for (const name of this.channels.keys()) if (!(name in vlans)) this.channels.delete(name);
    return bridgeConfig({ name: "weir0", datapath: "userspace", ports, ...this.extra });
  }

  async configure(vlans: Readonly<Record<string, VlanConfig | undefined>>): Promise<void> {
    const failures = await this.bridge.apply(this.config(vlans));
    if (failures.length > 0) throw new Error(JSON.stringify(failures));
    this.work();
  }

  /** All the work that waits. */
  work(): void {
    for (let n = 0; n < 1000; n++) if (!this.bridge.tick(this.nowNs)) return;
    throw new Error("the bridge is never done");
  }

  /** One frame in; everything that comes out, by port. */
  send(name: string, frame: Uint8Array): Map<string, Uint8Array[]> {
    this.channels.get(name)!.inject(frame);
    while (this.datapath.step(this.nowNs) > 0);
    this.work();
    const out = new Map<string, Uint8Array[]>();
    for (const [port, channel] of this.channels) {
      const frames = channel.take().map(({ bytes }) => bytes);
      if (frames.length > 0) out.set(port, frames);
    }
    return out;
  }
}
