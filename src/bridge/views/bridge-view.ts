/** One running bridge as the API shows it: its counters with their rates, its ports, flows, MACs and rules as JSON. */
import { MAX_PORTS } from "../../datapath/datapath.ts";
import { UNATTRIBUTED_CAUSES } from "../../flow/disposition.ts";
import { COUNT_PACKETS } from "../../flow/totals.ts";
import * as C from "../../shm/counters.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";
import { SLOT_RULE, SLOT_RULE_GEN, SLOT_STATE, SLOT_WORDS, STATE_LIVE } from "../../shm/slots.ts";
import { nativeVlan } from "../../pipeline/snapshot.ts";
import type { Bridge } from "../bridge.ts";
import type { Tenants } from "../owners.ts";
import { named } from "./counts.ts";
import { FlowRates, type Breath } from "./flow-rates.ts";
import type { FlowSource } from "./flows.ts";
import type { AuditJson, BridgeJson, MacJson, PortJson, RuleJson } from "./json.ts";
import { macJson } from "./macs.ts";
import { portJson } from "./ports.ts";
import * as R from "./rates.ts";
import { Rates } from "./rates.ts";
import { ruleJson } from "./rules.ts";

export interface BridgeViewOptions {
  readonly bridge: Bridge;
  /** Why it has the datapath that it has: "no root: no kernel datapath". */
  readonly datapathWhy: string;
  /** Unix ms. */
  readonly startedMs: number;
  readonly breath: Breath;
}

export class BridgeView {
  readonly bridge: Bridge;
  readonly rates = new Rates(MAX_PORTS);
  readonly flowRates: FlowRates;
  /** Unix ms until which a port is off, where somebody said so. */
  readonly disabledUntilMs = new Map<string, number>();
  private readonly options: BridgeViewOptions;

  constructor(options: BridgeViewOptions) {
    this.options = options;
    this.bridge = options.bridge;
    const { sweeper, datapath } = options.bridge;
    this.flowRates = new FlowRates(datapath.slots, () => sweeper.blocksInUse(), options.breath);
  }

  /** Once a second, with the counters. */
  look(counters: CounterSnapshot, nowMs: number): void {
    this.rates.look(counters, nowMs);
    this.flowRates.forget(this.bridge.datapath.nowNs());
  }

  json(nowMs: number): BridgeJson {
    const { bridge, rates } = this;
    const counters = bridge.counters();
    const total = (counter: number): number => sumPorts(counters, counter);
    const ports: Record<string, number> & { total: number } = { total: 0 };
    for (const entry of bridge.ports()) {
      ports.total++;
      const state = entry.config.enabled ? entry.status.state : "disabled";
      ports[state] = (ports[state] ?? 0) + 1;
    }
    const sums = {
      forwarded: total(C.C_FORWARDED),
      dropped: total(C.C_DROPPED),
      consumed: total(C.C_CONSUMED),
      observed: total(C.C_OBSERVED),
      pending: total(C.C_PENDING),
    };
    const rxPackets = total(C.C_RX_PACKETS);
    const perSecond = (meter: number): number => Math.round(rates.total(meter) * 10) / 10;
    return {
      name: bridge.name,
      mode: bridge.config.mode,
      datapath: bridge.datapath.kind,
      datapathWhy: this.options.datapathWhy,
      state: bridge.config.mode === "observe" ? "observing" : "forwarding",
      upMs: nowMs - this.options.startedMs,
      ports,
      flows: total(C.C_FLOWS),
      maxFlows: bridge.datapath.slots.capacity,
      rules: bridge.rules.stats().rules,
      macs: bridge.macStats().entries,
      macTableSize: bridge.config.macTableSize,
      generation: bridge.datapath.applied(),
      rxPackets,
      rxBytes: total(C.C_RX_BYTES),
      ...sums,
      unattributed: named(UNATTRIBUTED_CAUSES, (n) => total(C.C_UNATTRIBUTED + n)),
      lost: {
        ring: total(C.C_LOST_RING),
        nic: total(C.C_LOST_NIC),
        tap: total(C.C_LOST_TAP),
        qdisc: total(C.C_LOST_QDISC),
      },
      conserved: rxPackets === sums.forwarded + sums.dropped + sums.consumed + sums.observed + sums.pending,
      rates: {
        rxPps: perSecond(R.RX_PACKETS),
        rxBps: perSecond(R.RX_BYTES) * 8,
        txPps: perSecond(R.TX_PACKETS),
        txBps: perSecond(R.TX_BYTES) * 8,
        forwardedPps: perSecond(R.FORWARDED),
        droppedPps: perSecond(R.DROPPED),
        refusedPps: perSecond(R.REFUSED),
        consumedPps: perSecond(R.CONSUMED),
        lostPps: perSecond(R.LOST),
        newFlowsPps: perSecond(R.NEW_FLOWS),
      },
    };
  }

  ports(tenants: Tenants): PortJson[] {
    const { bridge, rates } = this;
    const counters = bridge.counters();
    const context = {
      bridge: bridge.name,
      counters,
      rates,
      tenantOfVlan: (vlan: number) => tenants.ofVlan(vlan),
      disabledUntilMs: (port: string) => this.disabledUntilMs.get(port),
    };
    return bridge.ports().map((entry) => portJson(entry, context));
  }

  macs(tenants: Tenants): MacJson[] {
    const { bridge } = this;
    const context = {
      bridge: bridge.name,
      port: (no: number) => bridge.portInfo(no),
      tenantOfVlan: (vlan: number) => tenants.ofVlan(vlan),
    };
    return [...bridge.macEntries(bridge.datapath.nowNs())].map((entry) => macJson(entry, context));
  }

  rules(): RuleJson[] {
    const { bridge } = this;
    const { cache } = bridge.rules;
    const context = {
      bridge: bridge.name,
      portName: (no: number) => bridge.portAt(no)?.name ?? `#${no}`,
      flows: this.flowsByRule(),
    };
    return [...cache.indexes()].map((index) => ruleJson(cache, index, context));
  }

  flowSource(tenants: Tenants): FlowSource {
    const { bridge } = this;
    const { cache } = bridge.rules;
    return {
      name: bridge.name,
      slots: bridge.datapath.slots,
      inUse: bridge.sweeper.blocksInUse(),
      rates: this.flowRates,
      outcomes: bridge.outcomes,
      boot: bridge.sweeper.boot,
      outputKnown: bridge.config.mode === "switch",
      port: (no) => {
        const entry = bridge.portAt(no);
        if (entry === undefined) return undefined;
        const { name, ifIndex, config } = entry;
        return { name, ifIndex, nativeVlan: nativeVlan(config.vlan), ...(config.owner && { owner: config.owner }) };
      },
      rule: (index, gen) => (cache.genOf(index) === gen ? cache.actionsOf(index) : undefined),
      mirrors: (sessions) =>
        bridge.mirrorPlan.sessions.filter(({ bit }) => (sessions >>> bit) & 1).map(({ name }) => name),
      tenant: (ingress, vlan, output) => tenants.ofFlow(ingress, vlan, output),
    };
  }

  /** Packets that records have told of until now. */
  get recordedPackets(): number {
    return this.bridge.sweeper.recorded.total(COUNT_PACKETS);
  }

  /** Without exporters: they read the records of several bridges. */
  async audit(at: string): Promise<AuditJson> {
    const { bridge } = this;
    const { breath } = this.options;
    const { failing: _failing, drops, causes, lost, ...found } = await bridge.auditInSlices(() => breath.breathe());
    return {
      bridge: bridge.name,
      datapath: bridge.datapath.kind,
      at,
      ...found,
      drops: { ...drops },
      causes: { ...causes },
      exporters: [],
      lost: { ...lost },
    };
  }

  private flowsByRule(): Map<number, number> {
    const { slots } = this.bridge.datapath;
    const { cache } = this.bridge.rules;
    const flows = new Map<number, number>();
    for (let at = 0; at < slots.capacity * SLOT_WORDS; at += SLOT_WORDS) {
      if (slots.u32[at + SLOT_STATE] !== STATE_LIVE) continue;
      const rule = slots.u32[at + SLOT_RULE]!;
      if (slots.u32[at + SLOT_RULE_GEN] === cache.genOf(rule)) flows.set(rule, (flows.get(rule) ?? 0) + 1);
    }
    return flows;
  }
}

function sumPorts(counters: CounterSnapshot, counter: number): number {
  let sum = 0;
  for (let port = 0; port < counters.ports; port++) sum += counters.get(port, counter);
  return sum;
}
