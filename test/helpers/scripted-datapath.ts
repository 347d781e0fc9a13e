/**
 * A datapath without frames: a test hands it keys, one a frame, and sees what became of each. It keeps the contract of
 * src/datapath/datapath.ts (rules, misses that wait, order of a change) and counts every frame once.
 */
import type {
  Datapath,
  Generation,
  Miss,
  PortNo,
  PortSpec,
  RuleChange,
  Unattributed,
} from "../../src/datapath/datapath.ts";
import { CONSUMED, DROPPED, FORWARDED } from "../../src/flow/disposition.ts";
import { detail, disposition, drop, type ActionBlock } from "../../src/pipeline/actions.ts";
import { RuleCache } from "../../src/pipeline/classify.ts";
import type { PortStatus } from "../../src/ports/port.ts";
import {
  C_CONSUMED,
  C_DROP_REASON,
  C_DROPPED,
  C_FORWARDED,
  C_OBSERVED,
  C_PENDING,
  C_RX_PACKETS,
  C_UNATTRIBUTED,
  COUNTERS_PER_PORT,
  CounterSnapshot,
} from "../../src/shm/counters.ts";
import { RecordRing, WordRing } from "../../src/shm/ring.ts";
import { FlowSlots } from "../../src/shm/slots.ts";

const PORTS = 64;

/** What became of a frame, in order. */
export interface Fate {
  readonly key: Uint32Array;
  readonly actions: ActionBlock;
}

export class ScriptedDatapath implements Datapath {
  readonly kind = "userspace";
  readonly slots = FlowSlots.create(64);
  readonly free = WordRing.create(64);
  readonly samples = RecordRing.create(1024);
  readonly notices = RecordRing.create(1024);
  readonly rules: RuleCache;
  readonly misses = { take: (limit: number): Miss[] => this.waiting.splice(0, limit) };
  /** Everything programmed, in order. */
  readonly changes: RuleChange[] = [];
  readonly fates: Fate[] = [];
  readonly specs = new Map<PortNo, PortSpec>();
  /** Set by the test: what `portStatus` says. */
  readonly statuses = new Map<PortNo, PortStatus>();
  /** Set by the test: names whose `addPort` fails, and why. */
  readonly refusals = new Map<string, string>();
  timeNs = 0;
  private readonly waiting: Miss[] = [];
  private readonly held = new Map<number, Uint32Array>();
  private readonly count = new Float64Array(PORTS * COUNTERS_PER_PORT);
  private nextMiss = 1;

  constructor(maxRules = 1024, maxMasks = 32) {
    this.rules = new RuleCache(maxRules, maxMasks);
    for (let slot = 0; slot < this.slots.capacity - 1; slot++) this.free.push(slot);
  }

  /** A frame arrives. Its actions, or undefined: it waits for a rule. */
  receive(key: Uint32Array): ActionBlock | undefined {
    this.add(key, C_RX_PACKETS, 1);
    this.add(key, C_PENDING, 1);
    return this.classify(key);
  }

  private classify(key: Uint32Array): ActionBlock | undefined {
    const index = this.rules.lookup(key);
    if (index >= 0) return this.settle(key, this.rules.actionsByIndex[index]!);
    const id = this.nextMiss++;
    this.held.set(id, key);
    this.waiting.push({ id, key: key.slice() });
    return undefined;
  }

  private settle(key: Uint32Array, actions: ActionBlock): ActionBlock {
    const kind = disposition(actions);
    const counter = { [FORWARDED]: C_FORWARDED, [DROPPED]: C_DROPPED, [CONSUMED]: C_CONSUMED }[kind] ?? C_OBSERVED;
    this.add(key, C_PENDING, -1);
    this.add(key, counter, 1);
    // No flow table here: every frame is unattributed.
    this.add(key, C_UNATTRIBUTED, 1);
    if (kind === DROPPED) this.add(key, C_DROP_REASON + detail(actions), 1);
    this.fates.push({ key, actions });
    return actions;
  }

  private add(key: Uint32Array, counter: number, amount: number): void {
    const at = (key[0]! >>> 16) * COUNTERS_PER_PORT + counter;
    this.count[at] = this.count[at]! + amount;
  }

  nowNs(): number {
    return this.timeNs;
  }

  program(change: RuleChange): Generation {
    this.changes.push(change);
    this.rules.apply(change);
    for (const { miss, refuse } of change.resume ?? []) {
      const key = this.held.get(miss);
      if (key === undefined) throw new Error(`miss ${miss} is not waiting`);
      this.held.delete(miss);
      if (refuse === undefined) this.classify(key);
      else this.settle(key, drop(refuse));
    }
    return this.changes.length;
  }

  applied(): Generation {
    return this.changes.length;
  }

  async addPort(spec: PortSpec): Promise<void> {
    const why = this.refusals.get(spec.name);
    if (why !== undefined) throw new Error(why);
    if (this.specs.has(spec.no)) throw new Error(`port number ${spec.no} is in use`);
    this.specs.set(spec.no, spec);
  }

  async removePort(no: PortNo): Promise<void> {
    if (!this.specs.delete(no)) throw new Error(`no port ${no}`);
  }

  portStatus(no: PortNo): PortStatus | undefined {
    return this.statuses.get(no);
  }

  retire(): void {}

  quiesced(): number {
    return 0;
  }

  release(): void {}

  counters(out: CounterSnapshot): CounterSnapshot {
    out.values.fill(0);
    out.values.set(this.count.subarray(0, out.values.length));
    return out;
  }

  unattributed(): Unattributed[] {
    return [];
  }

  inject(): void {}

  async close(): Promise<void> {}
}

export function status(more: Partial<PortStatus> = {}): PortStatus {
  return { state: "up", mtu: 1500, speed: 0, ifIndex: 0, lost: { ring: 0, nic: 0, tap: 0, qdisc: 0 }, ...more };
}
