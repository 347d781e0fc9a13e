/**
 * The userspace datapath as the control thread sees it: a worker thread, messages in order, and shared memory. Nothing
 * here waits for the worker but the calls that return a promise.
 */
import { randomInt } from "node:crypto";
import { Worker } from "node:worker_threads";
import type { ActionBlock } from "../../pipeline/actions.ts";
import type { PortStatus } from "../../ports/port.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";
import { attach, CONTROL_APPLIED, createFlowMemory, type FlowMemoryOptions, type FlowViews } from "../../shm/memory.ts";
import type { RecordRing, WordRing } from "../../shm/ring.ts";
import type { FlowSlots } from "../../shm/slots.ts";
import { preferControl } from "../../sys/scheduling.ts";
import type { Datapath, Generation, MissSource, PortNo, PortSpec, RuleChange, Unattributed } from "../datapath.ts";
import { monotonicNs } from "./clock.ts";
import { readCounters, readUnattributed, release, takeMisses, takeQuiesced } from "./control-side.ts";
import type { FromWorker, ToWorker, WorkerStart } from "./messages.ts";
import { CONTROL_ATTENTION, countMessage, wake } from "./wake.ts";

export interface UserspaceOptions extends FlowMemoryOptions {
  readonly bridge: string;
  /** Where relative file names of ports begin. */
  readonly baseDir: string;
  /** What the bridge is; absent: switch. */
  readonly mode?: "switch" | "observe";
  readonly seed?: number;
  /** Misses wait in their ring. */
  readonly onAttention: () => void;
  /** The thread ended by itself: a defect. Forwarding has stopped. */
  readonly onFailure: (error: Error) => void;
}

export class UserspaceDatapath implements Datapath {
  readonly kind = "userspace";
  readonly slots: FlowSlots;
  readonly free: WordRing;
  readonly samples: RecordRing;
  readonly notices: RecordRing;
  readonly misses: MissSource;
  readonly copies: RecordRing;
  readonly sessions: Float64Array;
  private readonly views: FlowViews;
  private readonly worker: Worker;
  private readonly calls = new Map<number, { resolve: () => void; reject: (error: Error) => void }>();
  private readonly statuses = new Map<PortNo, PortStatus>();
  private nextCall = 1;
  private generation = 0;
  private isClosing = false;
  /** Slots that found the retire ring full; tried again at the next look. */
  private waitingRetire: number[] = [];

  constructor(options: UserspaceOptions) {
    const memory = createFlowMemory(options);
    this.views = attach(memory);
    this.slots = this.views.slots;
    this.free = this.views.free;
    this.samples = this.views.samples;
    this.notices = this.views.notices;
    this.copies = this.views.copies;
    this.sessions = this.views.sessions;
    this.misses = { take: (limit) => takeMisses(this.views, limit) };
    const start: WorkerStart = {
      memory,
      seed: options.seed ?? randomInt(1, 2 ** 31),
      bridge: options.bridge,
      baseDir: options.baseDir,
      mode: options.mode ?? "switch",
      priority: preferControl(),
    };
    this.worker = new Worker(new URL("./worker.js", import.meta.url), { workerData: start });
    this.worker.on("message", (message: FromWorker) => this.hear(message, options.onAttention));
    this.worker.on("error", (error) => this.fail(error, options.onFailure));
    this.worker.on("exit", () => this.fail(new Error("the datapath's thread ended"), options.onFailure));
  }

  private hear(message: FromWorker, onAttention: () => void): void {
    switch (message.kind) {
      case "attention":
        Atomics.store(this.views.control, CONTROL_ATTENTION, 0);
        return onAttention();
      case "status":
        for (const [no, status] of message.ports) this.statuses.set(no, status);
        return;
      case "done": {
        const call = this.calls.get(message.call);
        this.calls.delete(message.call);
        if (message.error === undefined) call?.resolve();
        else call?.reject(new Error(message.error));
      }
    }
  }

  private fail(error: Error, onFailure: (error: Error) => void): void {
    for (const call of this.calls.values()) call.reject(error);
    this.calls.clear();
    if (!this.isClosing) onFailure(error);
    this.isClosing = true;
  }

  private tell(message: ToWorker): void {
    this.worker.postMessage(message);
    countMessage(this.views.control);
    wake(this.views.control);
  }

  private call(make: (call: number) => ToWorker): Promise<void> {
    const call = this.nextCall++;
    return new Promise((resolve, reject) => {
      this.calls.set(call, { resolve, reject });
      this.tell(make(call));
    });
  }

  nowNs(): number {
    return monotonicNs();
  }

  addPort(spec: PortSpec): Promise<void> {
    return this.call((call) => ({ kind: "addPort", call, spec }));
  }

  async removePort(no: PortNo): Promise<void> {
    await this.call((call) => ({ kind: "removePort", call, no }));
    this.statuses.delete(no);
  }

  portStatus(no: PortNo): PortStatus | undefined {
    return this.statuses.get(no);
  }

  program(change: RuleChange): Generation {
    this.generation = (this.generation + 1) | 0;
    this.tell({ kind: "program", generation: this.generation, change });
    return this.generation;
  }

  applied(): Generation {
    return Atomics.load(this.views.control, CONTROL_APPLIED);
  }

  retire(slots: readonly number[]): void {
    this.waitingRetire.push(...slots);
    this.pushRetire();
  }

  private pushRetire(): void {
    let done = 0;
    while (done < this.waitingRetire.length && this.views.retire.push(this.waitingRetire[done]!)) done++;
    if (done > 0) {
      this.waitingRetire.splice(0, done);
      wake(this.views.control);
    }
  }

  quiesced(out: number[]): number {
    const count = takeQuiesced(this.views, out);
    if (this.waitingRetire.length > 0) this.pushRetire();
    return count;
  }

  release(slots: readonly number[]): void {
    release(this.views, slots);
  }

  counters(out: CounterSnapshot): CounterSnapshot {
    return readCounters(this.views, out);
  }

  unattributed(): Unattributed[] {
    return readUnattributed(this.views);
  }

  inject(frame: Uint8Array, actions: ActionBlock): void {
    this.tell({ kind: "inject", frame, actions });
  }

  /** Ends the thread; nothing is forwarded any more (`keepForwarding` is the kernel datapath's). */
  async close(): Promise<void> {
    if (this.isClosing) return;
    this.isClosing = true;
    await this.call((call) => ({ kind: "close", call }));
    await this.worker.terminate();
  }
}
