/** A whole switch on the kernel datapath: ports are veth devices whose other ends the test holds in a namespace. */
import { setTimeout as sleep } from "node:timers/promises";
import { Bridge } from "../../src/bridge/bridge.ts";
import type { BridgeConfig, PortConfig } from "../../src/config/config.ts";
import { MAX_PORTS } from "../../src/datapath/datapath.ts";
import { KernelDatapath } from "../../src/datapath/kernel/index.ts";
import type { VlanConfig } from "../../src/flow/attachment.ts";
import { CounterSnapshot } from "../../src/shm/counters.ts";
import { RecordLog } from "../../src/shm/log.ts";
import { bridgeConfig } from "./bridge-config.ts";
import { FLOWS } from "./local-bed.ts";
import type { MirrorHarness } from "./mirror-bed.ts";
import { type VethEnd, type VethEnds, wireEnds } from "./wire-ends.ts";

const QUIET_MS = 2;
const QUIET_LOOKS = 3;

export class KernelBed implements MirrorHarness {
  readonly datapath: KernelDatapath;
  readonly bridge: Bridge;
  readonly log = RecordLog.create(16384);
  readonly wires: VethEnds;
  private readonly failures: Error[] = [];
  private readonly extra: Partial<BridgeConfig>;
  private readonly direction: "ingress" | "both";
  /** Which wire a port has. */
  private readonly wireOf = new Map<string, number>();
  private readonly snapshot = new CounterSnapshot(MAX_PORTS);

  /** `direction`: of ports that are observed. */
  constructor(wires: number, extra: Partial<BridgeConfig> = {}, direction: "ingress" | "both" = "ingress") {
    this.extra = extra;
    this.direction = direction;
    this.wires = wireEnds(wires);
    try {
      this.datapath = new KernelDatapath({
        capacity: FLOWS.max,
        mode: extra.mode ?? "switch",
        onAttention: () => {},
        onFailure: (error) => this.failures.push(error),
      });
    } catch (error) {
      this.wires.close();
      throw error;
    }
    this.bridge = new Bridge({
      config: this.config({}),
      flows: FLOWS,
      datapath: this.datapath,
      log: this.log,
      boot: { unixMs: 0, ns: 0 },
      ifIndexFor: (_bridge, name) => 20000 + Number(name.replace(/\D/g, "")),
    });
  }

  nowNs(): number {
    return this.datapath.nowNs();
  }

  private config(vlans: Readonly<Record<string, VlanConfig | undefined>>): BridgeConfig {
    const ports = Object.entries(vlans).map(([name, vlan]): PortConfig => {
      let wire = this.wireOf.get(name);
      if (wire === undefined) this.wireOf.set(name, (wire = this.wireOf.size));
      const options = { device: this.wires.ends[wire]!.device, takeOver: false, slots: 256, direction: this.direction };
      return { name, type: "netdev", enabled: true, options, origin: "config", ...(vlan && { vlan }) };
    });
    return bridgeConfig({ name: "weir0", datapath: "kernel", ports, ...this.extra });
  }

  async configure(vlans: Readonly<Record<string, VlanConfig | undefined>>): Promise<void> {
    const failures = await this.bridge.apply(this.config(vlans));
    if (failures.length > 0) throw new Error(JSON.stringify(failures));
    await this.settle();
    this.taken();
  }

  work(): void {
    for (let n = 0; n < 1000; n++) if (!this.bridge.tick(this.nowNs())) return;
    throw new Error("the bridge is never done");
  }

  /** Until nothing has moved for a few milliseconds. */
  async settle(): Promise<void> {
    let before = "";
    for (let quiet = 0; quiet < QUIET_LOOKS; quiet++) {
      this.work();
      const now = this.datapath.counters(this.snapshot).values.join();
      if (now !== before) quiet = 0;
      before = now;
      await sleep(QUIET_MS);
    }
  }

  wire(port: string): VethEnd {
    return this.wires.ends[this.wireOf.get(port)!]!;
  }

  /** What has come out since the last call, by port. */
  taken(): Map<string, Uint8Array[]> {
    const out = new Map<string, Uint8Array[]>();
    for (const [port, wire] of this.wireOf) {
      const frames = this.wires.ends[wire]!.received();
      if (frames.length > 0) out.set(port, frames);
    }
    return out;
  }

  async send(port: string, frame: Uint8Array): Promise<Map<string, Uint8Array[]>> {
    this.wire(port).send(frame);
    await this.settle();
    return this.taken();
  }

  /** No ports any more, and nothing of those that were: for the next test. */
  async clear(): Promise<void> {
    await this.bridge.apply({ ...this.bridge.config, ports: [] });
    this.wireOf.clear();
  }

  async close(): Promise<void> {
    await this.bridge.apply({ ...this.bridge.config, ports: [] });
    await this.datapath.close();
    this.wires.close();
    if (this.failures.length > 0) throw this.failures[0]!;
  }
}
