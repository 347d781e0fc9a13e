/** Ports as JSON: what was configured, what the device says, what the datapath counted. */
import type { PortConfig } from "../../config/config.ts";
import type { VlanConfig } from "../../flow/attachment.ts";
import { vlanSetText } from "../../pipeline/snapshot.ts";
import type { PortStatus } from "../../ports/port.ts";
import * as C from "../../shm/counters.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";
import { drops, lost, malformed, unattributed } from "./counts.ts";
import type { PortJson, VlanJson } from "./json.ts";
import * as R from "./rates.ts";
import type { Rates } from "./rates.ts";

export interface PortSource {
  readonly no: number;
  readonly name: string;
  readonly ifIndex: number;
  readonly config: PortConfig;
  readonly status: PortStatus;
}

export interface PortContext {
  readonly bridge: string;
  readonly counters: CounterSnapshot;
  readonly rates: Rates;
  /** Tenant of a VLAN, for ports whose owner has none. */
  tenantOfVlan(vlan: number): string | undefined;
  /** Unix ms until which a port is off, where somebody said `--for`. */
  disabledUntilMs(port: string): number | undefined;
}

export function vlanJson(config: VlanConfig): VlanJson {
  if (config.mode === "access") return { mode: "access", tag: config.tag };
  const trunks = vlanSetText(config.trunks);
  return config.mode === "trunk" ? { mode: "trunk", trunks } : { mode: config.mode, tag: config.tag, trunks };
}

/** The owner's tenant, else that of the port's only VLAN. */
function tenantOf(config: PortConfig, context: PortContext): string | undefined {
  if (config.owner?.tenant !== undefined) return config.owner.tenant;
  return config.vlan?.mode === "access" ? context.tenantOfVlan(config.vlan.tag) : undefined;
}

export function portJson(port: PortSource, context: PortContext): PortJson {
  const { no, config, status } = port;
  const { counters, rates } = context;
  const get = (counter: number): number => counters.get(no, counter);
  const perSecond = (meter: number): number => Math.round(rates.perSecond(no, meter) * 10) / 10;
  const tenant = tenantOf(config, context);
  const until = context.disabledUntilMs(port.name);
  return {
    bridge: context.bridge,
    name: port.name,
    type: config.type,
    state: status.state,
    ...(status.message !== undefined && { message: status.message }),
    enabled: config.enabled,
    ...(until !== undefined && !config.enabled && { disabledUntilMs: until }),
    origin: config.origin,
    ...(status.device !== undefined && { device: status.device }),
    ...(status.mac !== undefined && { mac: status.mac }),
    mtu: status.mtu,
    speed: status.speed,
    ifIndex: port.ifIndex,
    ...(config.vlan !== undefined && { vlan: vlanJson(config.vlan) }),
    ...(config.owner !== undefined && { owner: config.owner }),
    ...(tenant !== undefined && { tenant }),
    rxPackets: get(C.C_RX_PACKETS),
    rxBytes: get(C.C_RX_BYTES),
    txPackets: get(C.C_TX_PACKETS),
    txBytes: get(C.C_TX_BYTES),
    txFailed: get(C.C_TX_FAILED),
    forwarded: get(C.C_FORWARDED),
    dropped: get(C.C_DROPPED),
    consumed: get(C.C_CONSUMED),
    observed: get(C.C_OBSERVED),
    pending: get(C.C_PENDING),
    drops: drops(counters, no),
    malformed: malformed(counters, no),
    unattributed: unattributed(counters, no),
    lost: lost(counters, no),
    flows: get(C.C_FLOWS),
    flowsCreated: get(C.C_FLOWS_CREATED),
    samplePool: get(C.C_SAMPLE_POOL),
    samples: get(C.C_SAMPLES),
    sampleDrops: get(C.C_SAMPLE_DROPS),
    rxPps: perSecond(R.RX_PACKETS),
    rxBps: perSecond(R.RX_BYTES) * 8,
    txPps: perSecond(R.TX_PACKETS),
    txBps: perSecond(R.TX_BYTES) * 8,
    dropPps: perSecond(R.REFUSED),
    lostPps: perSecond(R.LOST),
    newFlowsPps: perSecond(R.NEW_FLOWS),
  };
}
