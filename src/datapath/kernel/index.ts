/**
 * The kernel datapath as the control thread sees it: BPF programs on the ports' ways in, maps as shared memory, and a
 * private veth for frames that met no rule. README.md has the picture and what is missing.
 */
import { join } from "node:path";
import { Worker } from "node:worker_threads";
import { Ledger } from "../../flow/ledger.ts";
import type { ActionBlock } from "../../pipeline/actions.ts";
import type { PortStatus } from "../../ports/port.ts";
import type { CopyRing } from "../../shm/copies.ts";
import * as C from "../../shm/counters.ts";
import { releaseSlot } from "../../shm/memory.ts";
import { RecordRing, type WordRing } from "../../shm/ring.ts";
import { type FlowSlots, SLOT_KEY, SLOT_WORDS } from "../../shm/slots.ts";
import { OTHER_VLAN, type UnattributedTable } from "../../shm/unattributed.ts";
import { gracePeriodLater } from "../../sys/bpf.ts";
import { updateElement } from "../../sys/bpf-maps.ts";
import { wake } from "../../sys/poll.ts";
import {
  type Datapath,
  type Generation,
  type KeptState,
  MAX_PORTS,
  type MirrorGate,
  type MissSource,
  type PortNo,
  type PortSpec,
  type RuleChange,
  type Unattributed,
} from "../datapath.ts";
import { monotonicNs } from "../userspace/clock.ts";
import { type KernelPort, openKernelPort } from "./device.ts";
import { unlinkSlot } from "./flow-index.ts";
import { type Injector, openInjector } from "./inject.ts";
import {
  AWAY_TICKS,
  HEARTBEAT_SHIFT,
  P_HEADER,
  P_RATE,
  PORT_WORDS,
  S_SKIP,
  SAMPLE_DATA_BYTES,
  SET_MAX_FLOWS,
  SET_HEARTBEAT,
  SET_OBSERVE,
  SET_STANDALONE,
  STRIPE_WORDS,
} from "./layout.ts";
import { type KernelMaps, openMaps } from "./maps.ts";
import { KernelMirrors } from "./mirror.ts";
import { deviceName, linksFolder, type PinOwner, prepareFolder, removeBridgePins, removeIfEmpty } from "./pins.ts";
import { moveRecords } from "./records.ts";
import { KernelRules } from "./rules.ts";
import { leavePort, takeOver } from "./take-over.ts";
import { readCounters, readUnattributed } from "./tally.ts";
import { Uplink } from "./uplink.ts";
import type { WatchData } from "./watch.ts";

export interface KernelOptions {
  /** Flow slots. */
  readonly capacity: number;
  /** Records that its log holds; absent: few (a test). */
  readonly records?: number;
  /** What the bridge is; absent: switch. */
  readonly mode?: "switch" | "observe";
  /** Whose it is: then maps and programs outlive the process, and the next one of this owner goes on with them. */
  readonly owner?: PinOwner;
  /** Misses, samples or notices wait. */
  readonly onAttention: () => void;
  /** The watching thread ended by itself: a defect. Frames with a rule are still forwarded. */
  readonly onFailure: (error: Error) => void;
}

const RECORDS_MS = 20;
const FOLLOW_MS = 500;
const SAMPLE_WORDS = 1 << 18;
const NOTICE_WORDS = 1 << 16;
const EMPTY_ROW = new Uint8Array(24);
const FEW_RECORDS = 1024;

export class KernelDatapath implements Datapath {
  readonly kind = "kernel";
  readonly slots: FlowSlots;
  readonly free: WordRing;
  readonly samples = RecordRing.create(SAMPLE_WORDS);
  readonly notices = RecordRing.create(NOTICE_WORDS);
  readonly misses: MissSource;
  readonly copies: CopyRing;
  private readonly options: KernelOptions;
  private readonly maps: KernelMaps;
  private readonly rules: KernelRules;
  private readonly mirrors: KernelMirrors;
  private readonly uplink: Uplink;
  private readonly injector: Injector;
  private readonly watcher: Worker;
  private readonly watchState = new Int32Array(new SharedArrayBuffer(16));
  private readonly ports = new Map<PortNo, KernelPort>();
  private portsInUse = 1;
  /** What this process counts; the programs' counts are added on reading. */
  private readonly own: Float64Array;
  private readonly ownUnattributed: UnattributedTable;
  readonly kept: KeptState;
  private readonly ledger: Ledger;
  private readonly folder: string | undefined;
  private readonly timers: NodeJS.Timeout[];
  private generation = 0;
  /** Generations, oldest first, that closed mirrors and wait for a grace period. */
  private readonly closing: Generation[] = [];
  /** Slots whose keys are deleted: waiting for a grace period; and those that nobody can touch any more. */
  private unlinked: number[] = [];
  private quiet: number[] = [];
  private grace: Promise<void> | undefined;
  private isClosing = false;
  private isLeaving = false;

  /** Throws an Error that names the fix where this host cannot run it. */
  constructor(options: KernelOptions) {
    this.options = options;
    const { capacity, owner, mode = "switch", records = FEW_RECORDS } = options;
    this.folder = owner && prepareFolder(owner);
    const pins = owner && { folder: this.folder!, meta: { ...owner, mode } };
    try {
      this.maps = openMaps({ capacity, records, ...(pins && { pins }) });
    } catch (error) {
      if (this.folder !== undefined) removeIfEmpty(this.folder);
      throw error;
    }
    const { kept } = this.maps;
    this.maps.settings[SET_OBSERVE] = mode === "observe" ? 1 : 0;
    this.slots = this.maps.slots;
    this.free = this.maps.free;
    this.own = kept.counters;
    this.ledger = new Ledger(this.slots, kept.ledger);
    this.ownUnattributed = kept.withoutFlow;
    this.rules = new KernelRules(this.maps);
    this.mirrors = new KernelMirrors(this.maps);
    this.copies = this.mirrors.copies;
    try {
      const left = takeOver(this.maps, this.rules, () => this.leaveUnattached());
      this.maps.finish();
      const { log, ledger, recorded, retired } = kept;
      this.kept = { log, ledger, recorded, retired, cursors: kept, ...(left && { left }) };
      const named = owner && { device: deviceName(owner), link: join(linksFolder(this.folder!), "resume") };
      this.uplink = new Uplink(this.maps, this.notices, named);
    } catch (error) {
      this.maps.close();
      // What an earlier process left goes on as it did.
      if (this.folder !== undefined && !this.maps.isTakenOver && this.maps.old.length === 0)
        removeBridgePins(this.folder);
      throw error;
    }
    for (const { no } of kept.ports()) this.portsInUse = Math.max(this.portsInUse, no + 1);
    this.injector = openInjector(this.own, (no) => this.sendingIfIndex(no));
    this.misses = {
      take: (limit) => {
        this.uplink.drain();
        return this.uplink.questionsUpTo(limit);
      },
    };
    const workerData: WatchData = { fds: this.uplink.fds, state: this.watchState };
    this.watcher = new Worker(new URL("./watch.js", import.meta.url), { workerData });
    this.watcher.on("message", () => this.takeIn());
    const fail = (error: Error): void => {
      if (!this.isClosing) options.onFailure(error);
    };
    this.watcher.on("error", fail);
    this.watcher.on("exit", () => fail(new Error("the thread that watches for missed frames ended")));
    this.beat();
    this.timers = [setInterval(() => this.moveRecords(), RECORDS_MS), setInterval(() => this.follow(), FOLLOW_MS)];
  }

  nowNs(): number {
    return monotonicNs();
  }

  // ---- ports ----------------------------------------------------------------------------------------------------------

  async addPort(spec: PortSpec): Promise<void> {
    const { no } = spec;
    if (no < 1 || no >= MAX_PORTS) throw new RangeError(`port number ${no} is not in 1..${MAX_PORTS - 1}`);
    const other = new Uint8Array(Uint32Array.of((no << 16) | OTHER_VLAN).buffer);
    updateElement(this.maps.object.map("without_flow"), other, EMPTY_ROW, `port ${no}`);
    const links = this.folder && linksFolder(this.folder);
    this.maps.kept.setPort(no, spec.name);
    this.ports.set(no, openKernelPort(this.maps, spec, this.uplink.fds[0]!, this.options.mode, links));
    this.portsInUse = Math.max(this.portsInUse, no + 1);
  }

  async removePort(no: PortNo): Promise<void> {
    const port = this.ports.get(no);
    if (port === undefined && this.folder !== undefined) leavePort(this.maps, linksFolder(this.folder), no);
    port?.close();
    this.ports.delete(no);
    await this.graceful();
  }

  /** Ports of an earlier process that found no device here run its programs no longer. */
  private leaveUnattached(): void {
    for (const { no } of this.maps.kept.ports())
      if (!this.ports.get(no)?.ifIndex) leavePort(this.maps, linksFolder(this.folder!), no);
  }

  portStatus(no: PortNo): PortStatus | undefined {
    return this.ports.get(no)?.status();
  }

  /** Look at the devices: by itself twice a second. */
  follow(): void {
    for (const port of this.ports.values()) port.follow();
    this.uplink.findLost(this.portsInUse);
    if (this.rules.masks.isOutOfOrder) void this.graceful();
  }

  private sendingIfIndex(no: PortNo): number {
    const port = this.ports.get(no);
    return port?.status().state === "up" ? port.ifIndex : 0;
  }

  // ---- rules ----------------------------------------------------------------------------------------------------------

  program(change: RuleChange): Generation {
    for (const gate of change.mirrors ?? []) this.mirrors.set(gate);
    const closed = (change.mirrors ?? []).filter(({ epoch }) => epoch === 0);
    this.rules.apply(change);
    for (const { port, rate, header } of change.sampling ?? []) this.setSampling(port, rate, header);
    for (const { port, up } of change.enabled ?? []) this.ports.get(port)?.enable(up);
    if (change.limits !== undefined)
      this.maps.settings[SET_MAX_FLOWS] = Math.min(change.limits.maxFlowsPerPort, 0x7fffffff);
    if (change.away) {
      this.rules.setAway(change.away);
      this.maps.settings[SET_STANDALONE] = change.away.length > 0 ? 1 : 0;
    }
    if (change.leaving) {
      this.isLeaving = true;
      this.beat();
    }
    for (const { miss, refuse } of change.resume ?? []) this.uplink.resume(miss, refuse ?? 0);
    this.generation = (this.generation + 1) | 0;
    if (closed.length > 0) void this.closeGates(closed, this.generation);
    return this.generation;
  }

  /** What `program` does is in force when it returns; but programs that were under way still count for a mirror that was closed. */
  applied(): Generation {
    return this.closing.length > 0 ? (this.closing[0]! - 1) | 0 : this.generation;
  }

  private async closeGates(gates: readonly MirrorGate[], generation: Generation): Promise<void> {
    const sessions = gates.map(({ bit }) => ({ bit, epoch: this.mirrors.epochOf(bit) }));
    this.closing.push(generation);
    await this.graceful();
    for (const session of sessions) this.mirrors.settle(session);
    this.closing.splice(this.closing.indexOf(generation), 1);
  }

  private setSampling(port: PortNo, rate: number, header: number): void {
    const { maps } = this;
    for (let cpu = 0; cpu < maps.cpus; cpu++) {
      const at = ((port * maps.cpus + cpu) * STRIPE_WORDS + S_SKIP) * 2;
      maps.stripes[at] = 1 + Math.floor(Math.random() * (2 * rate - 1));
      maps.stripes[at + 1] = 0;
    }
    maps.ports[(port * PORT_WORDS + P_HEADER) * 2] = Math.min(header, SAMPLE_DATA_BYTES);
    Atomics.store(maps.ports, (port * PORT_WORDS + P_RATE) * 2, rate);
  }

  // ---- flows ----------------------------------------------------------------------------------------------------------

  retire(slots: readonly number[]): void {
    if (slots.length === 0) return;
    const { u32, i32 } = this.slots;
    const ended = new Map<PortNo, number>();
    for (const slot of slots) {
      const at = slot * SLOT_WORDS + SLOT_KEY;
      unlinkSlot(this.maps, slot, u32, at);
      const port = i32[at]! >>> 16;
      ended.set(port, (ended.get(port) ?? 0) + 1);
    }
    // Once a port: each time takes the counters' line from the processor that makes flows.
    for (const [port, flows] of ended)
      Atomics.sub(this.maps.counters, (port * C.COUNTERS_PER_PORT + C.C_FLOWS) * 2, flows);
    this.unlinked.push(...slots);
    void this.graceful();
  }

  quiesced(out: number[]): number {
    const count = this.quiet.length;
    for (let n = 0; n < count; n++) out[n] = this.quiet[n]!;
    this.quiet = [];
    return count;
  }

  release(slots: readonly number[]): void {
    const forget = (slot: number): void => this.ledger.clear(slot);
    for (const slot of slots) releaseSlot(this.slots, this.free, slot, false, forget);
  }

  /** Resolves after a grace period that began after this call; slots and action blocks of before it are then free. */
  private async graceful(): Promise<void> {
    // One at a time: what came while one was under way needs the next.
    if (this.grace !== undefined) await this.grace;
    if (this.grace === undefined) this.grace = this.oneGrace().finally(() => (this.grace = undefined));
    await this.grace;
  }

  /** Resolves when no grace period is under way. */
  async settled(): Promise<void> {
    while (this.grace !== undefined) await this.grace;
  }

  private async oneGrace(): Promise<void> {
    const slots = this.unlinked;
    this.unlinked = [];
    const blocks = this.rules.takeOld();
    const { turns } = this.rules.masks;
    await gracePeriodLater();
    this.quiet = this.quiet.concat(slots);
    this.rules.free(blocks);
    this.rules.masks.order(turns);
  }

  // ---- counting -------------------------------------------------------------------------------------------------------

  counters(out: C.CounterSnapshot): C.CounterSnapshot {
    readCounters(this.maps, this.own, this.portsInUse, (port, which) => this.uplink.pendingOf(port, which), out);
    return out;
  }

  get sessions(): Float64Array {
    return this.mirrors.sessions();
  }

  unattributed(): Unattributed[] {
    return readUnattributed(this.maps, this.ownUnattributed.read());
  }

  // ---- frames -----------------------------------------------------------------------------------------------------------

  inject(frame: Uint8Array, actions: ActionBlock): void {
    this.injector.send(frame, actions);
  }

  /** The programs see that somebody answers; or, leaving, that nobody does any more. */
  private beat(): void {
    const now = Math.floor(monotonicNs() / 2 ** HEARTBEAT_SHIFT) - (this.isLeaving ? AWAY_TICKS + 1 : 0);
    Atomics.store(this.maps.settings, SET_HEARTBEAT, now | 0);
  }

  private takeIn(): void {
    if (this.isClosing) return;
    const isAsked = this.uplink.drain();
    Atomics.store(this.watchState, 0, 0);
    Atomics.notify(this.watchState, 0);
    if (isAsked) this.options.onAttention();
  }

  private moveRecords(): void {
    this.beat();
    const lost = (port: number, counter: number, instead: number): void => {
      this.own[port * C.COUNTERS_PER_PORT + counter]! += 1;
      this.own[port * C.COUNTERS_PER_PORT + instead]! -= 1;
    };
    const samples = moveRecords(this.maps.samples, this.samples, (port) => lost(port, C.C_SAMPLE_DROPS, C.C_SAMPLES));
    const notices = moveRecords(this.maps.notices, this.notices, (port) => lost(port, C.C_NOTICES_LOST, C.C_NOTICES));
    if (samples + notices > 0 || this.mirrors.isWaiting) this.options.onAttention();
  }

  /** Everything that was made in the kernel is removed, unless it has an owner and is to be kept. */
  async close({ keepForwarding }: { readonly keepForwarding: boolean } = { keepForwarding: false }): Promise<void> {
    if (this.isClosing) return;
    const keep = keepForwarding && this.folder !== undefined;
    this.isClosing = true;
    for (const timer of this.timers) clearInterval(timer);
    const ended = new Promise((resolve) => this.watcher.once("exit", resolve));
    Atomics.store(this.watchState, 1, 1);
    Atomics.store(this.watchState, 0, 0);
    Atomics.notify(this.watchState, 0);
    const wakeFd = Atomics.load(this.watchState, 2);
    if (wakeFd > 0) wake(wakeFd);
    if (!keep && this.folder !== undefined)
      for (const { no } of this.maps.kept.ports())
        if (!this.ports.has(no)) leavePort(this.maps, linksFolder(this.folder), no);
    for (const port of this.ports.values()) port.close(keep);
    this.ports.clear();
    await ended;
    if (this.grace !== undefined) await this.grace;
    this.injector.close();
    this.uplink.close(keep);
    this.maps.close();
    if (!keep && this.folder !== undefined) removeBridgePins(this.folder);
  }
}
