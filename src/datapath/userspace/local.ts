/**
 * The userspace datapath in the caller's thread: replay and tests. The caller steps it with its own time; a miss is
 * answered by `resolve` before the next frame; what is retired is quiet at once. Equal input gives equal output.
 */
import type { ActionBlock } from "../../pipeline/actions.ts";
import type { Port, PortStatus } from "../../ports/port.ts";
import type { CounterSnapshot } from "../../shm/counters.ts";
import { attach, createFlowMemory, type FlowMemoryOptions, type FlowViews } from "../../shm/memory.ts";
import type { RecordRing, WordRing } from "../../shm/ring.ts";
import type { FlowSlots } from "../../shm/slots.ts";
import type {
  Datapath,
  Generation,
  Miss,
  MissSource,
  PortNo,
  PortSpec,
  RuleChange,
  Unattributed,
} from "../datapath.ts";
import { readCounters, readUnattributed, release, takeMisses, takeQuiesced } from "./control-side.ts";
import { type DueFlows, Engine, type ReadFrames } from "./engine.ts";

export interface LocalOptions extends FlowMemoryOptions {
  readonly seed: number;
  /** Makes the port of a spec. */
  readonly open: (spec: PortSpec) => Port;
  /** False: nothing is sent, only decided and counted. */
  readonly transmits?: boolean;
}

export class LocalDatapath implements Datapath {
  readonly kind = "userspace";
  readonly slots: FlowSlots;
  readonly free: WordRing;
  readonly samples: RecordRing;
  readonly notices: RecordRing;
  readonly misses: MissSource;
  readonly copies: RecordRing;
  readonly sessions: Float64Array;
  readonly engine: Engine;
  /** Answers misses; set by who owns the pipeline before the first frame. Absent: misses wait in the ring. */
  resolve: ((miss: Miss) => RuleChange) | undefined;
  /** Asked before a flow is hit (replay's exact timeouts): the bridge's sweeper. */
  due: DueFlows | undefined;
  private readonly views: FlowViews;
  private readonly open: LocalOptions["open"];
  private generation = 0;
  private now = 0;
  /** Within `receiveFrames`: now is when the frame in hand came. */
  private isReading = false;

  constructor(options: LocalOptions) {
    this.views = attach(createFlowMemory(options));
    this.open = options.open;
    this.engine = new Engine({
      memory: this.views,
      seed: options.seed,
      hooks: this,
      ...(options.transmits !== undefined && { transmits: options.transmits }),
    });
    this.slots = this.views.slots;
    this.free = this.views.free;
    this.samples = this.views.samples;
    this.notices = this.views.notices;
    this.copies = this.views.copies;
    this.sessions = this.views.sessions;
    this.misses = { take: (limit) => takeMisses(this.views, limit) };
  }

  /** One batch from every port, at `nowNs`. Returns the number of frames. */
  step(nowNs: number): number {
    this.now = nowNs;
    return this.engine.breathe(nowNs);
  }

  /** Frames from ..< to, each received by its port at its time. */
  receiveFrames(frames: ReadFrames, from: number, to: number): void {
    this.isReading = true;
    this.engine.receiveFrames(frames, from, to);
    this.isReading = false;
    if (to > from) this.now = frames.timeNs[to - 1]!;
  }

  nowNs(): number {
    return this.isReading ? this.engine.frameNs : this.now;
  }

  async addPort(spec: PortSpec): Promise<void> {
    this.engine.attach(spec.no, await this.open(spec));
  }

  async removePort(no: PortNo): Promise<void> {
    this.engine.detach(no);
  }

  portStatus(no: PortNo): PortStatus | undefined {
    return this.engine.ports.find((entry) => entry.no === no)?.port.status();
  }

  program(change: RuleChange): Generation {
    this.engine.apply(change);
    return ++this.generation;
  }

  applied(): Generation {
    return this.generation;
  }

  retire(slots: readonly number[]): void {
    for (const slot of slots) {
      if (this.views.retire.push(slot)) continue;
      this.engine.serveRetire();
      this.views.retire.push(slot);
    }
    this.engine.serveRetire();
  }

  quiesced(out: number[]): number {
    return takeQuiesced(this.views, out);
  }

  release(slots: readonly number[]): void {
    release(this.views, slots, true);
  }

  counters(out: CounterSnapshot): CounterSnapshot {
    this.engine.commit();
    return readCounters(this.views, out);
  }

  unattributed(): Unattributed[] {
    return readUnattributed(this.views);
  }

  inject(frame: Uint8Array, actions: ActionBlock): void {
    this.engine.inject(frame, actions);
  }

  async close(): Promise<void> {
    for (const entry of this.engine.ports) this.engine.detach(entry.no);
  }
}
