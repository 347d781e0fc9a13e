/**
 * The datapath: parses, looks up, counts, samples, executes. It has no opinions; what should happen to a flow comes in
 * as rules (plain data), what did happen goes out through shared memory (src/shm). Implementations: userspace/ (a worker
 * thread), later kernel/ (eBPF); test/conformance/datapath.ts runs against each.
 */
import type { Ledger } from "../flow/ledger.ts";
import type { ActionBlock } from "../pipeline/actions.ts";
import type { PortStatus } from "../ports/port.ts";
import type { CopyRing } from "../shm/copies.ts";
import type { CounterSnapshot } from "../shm/counters.ts";
import type { Cursor } from "../shm/cursors.ts";
import type { RecordLog } from "../shm/log.ts";
import type { RecordRing, WordRing } from "../shm/ring.ts";
import type { FlowSlots } from "../shm/slots.ts";

/** A port's number on its bridge: 1 … MAX_PORTS − 1, chosen by the control thread, never reused while a slot holds it. */
export type PortNo = number;
export const MAX_PORTS = 1024;

export interface PortSpec {
  readonly no: PortNo;
  readonly name: string;
  readonly type: string;
  /** Given to the port type's `open`. */
  readonly options: unknown;
}

/** A cached decision: every frame of which `key & mask` equals this gets these actions. */
export interface Rule {
  /** Place in the rule table, 0 … MAX_RULES − 1; with `gen` its identity. */
  readonly index: number;
  readonly gen: number;
  /** KEY_WORDS words each. */
  readonly mask: Uint32Array;
  readonly key: Uint32Array;
  readonly actions: ActionBlock;
}

export const MAX_RULES = 65536;
export const MAX_MASKS = 32;

/** Applied in this order, as one step. */
export interface RuleChange {
  /** Same index and gen, other actions: flows of the rule follow at once, their counters go on. */
  readonly replace?: readonly { readonly index: number; readonly actions: ActionBlock }[];
  /** Flows of these rules are classified again at their next frame. */
  readonly remove?: readonly number[];
  readonly add?: readonly Rule[];
  /** Frames of these misses that wait for a rule: classify them again now (or refuse them, `refuse` = drop reason). */
  readonly resume?: readonly { readonly miss: number; readonly refuse?: number }[];
  readonly sampling?: readonly { readonly port: PortNo; readonly rate: number; readonly header: number }[];
  /** Administrative state: a port that is not enabled receives nothing and refuses output (dev_ready). New ports are not. */
  readonly enabled?: readonly { readonly port: PortNo; readonly up: boolean }[];
  readonly limits?: { readonly maxFlowsPerPort: number };
  /**
   * What meets frames without a rule while nobody answers: all of it; none: they are refused. A block's output to the port that
   * the frame came by is left out. For datapaths that outlive the process.
   */
  readonly away?: readonly { readonly port: PortNo; readonly vid: number; readonly actions: ActionBlock }[];
  /** Nobody will answer from now on. */
  readonly leaving?: true;
  /** Sessions that begin, change (same bit and epoch) or end. */
  readonly mirrors?: readonly MirrorGate[];
}

/** What a mirror session limits, asked of every frame that its actions want to copy. */
export interface MirrorGate {
  readonly bit: number;
  /** Another number: another session; its counters begin at 0. 0: no session. */
  readonly epoch: number;
  readonly snaplen: number;
  /** 1 in N. */
  readonly sample: number;
  /** Packets and bits a second, packets in all; 0 = no limit. */
  readonly pps: number;
  readonly bps: number;
  readonly packets: number;
  /** Classic BPF (src/wire/bpf.ts) for frames without a tag and with one. */
  readonly filter?: { readonly plain: Int32Array; readonly tagged: Int32Array };
  /**
   * What the session's outputs are, for their counters (M_OUTPUTS): COPY_SPAN or COPY_RSPAN << 24 | port number or VLAN;
   * 0 = nothing that the datapath sends.
   */
  readonly outputs: readonly number[];
}

export type Generation = number;

/** A frame that met no rule. Its key is a copy; the frame waits in the datapath's bounded queue. */
export interface Miss {
  readonly id: number;
  readonly key: Uint32Array;
}

export interface MissSource {
  /** Up to `limit` misses, oldest first. */
  take(limit: number): Miss[];
}

/** Totals without a flow, by port and outer VLAN id (0 = untagged). */
export interface Unattributed {
  readonly port: PortNo;
  readonly vlan: number;
  readonly packets: number;
  readonly bytes: number;
  readonly l3Bytes: number;
}

/** Where exporters stand in a log, by name. */
export interface CursorStore {
  read(exporter: string): Cursor | undefined;
  write(exporter: string, cursor: Cursor): void;
}

/** Flows in memory of another layout that nothing counts into any more, to be made records, slot by slot. */
export interface QuietFlows {
  readonly capacity: number;
  /** Rules that its flows name. */
  readonly rules: readonly Rule[];
  /** All ports have their new programs: resolves when the flows are quiet. Before everything else. */
  settle(): Promise<void>;
  /** Slot to look at next. */
  next(): number;
  /** Fill slot 0 of `into`, and what its ledger says, from a slot; false: there is nothing in it. */
  load(slot: number, into: FlowSlots, ledger: Ledger): boolean;
  /** The slot's record is about to be appended to the log; was. */
  begin(slot: number): void;
  end(slot: number): void;
  /** All are records. */
  remove(): void;
}

/** What an earlier process left in force. */
export interface LeftBehind {
  readonly ports: readonly { readonly no: PortNo; readonly name: string }[];
  readonly rules: readonly Rule[];
  /** Packets that met no rule while nobody answered: flooded, refused. */
  readonly away: { readonly flooded: number; readonly refused: number };
  /** New rules begin with this generation: no flow names one of it or above. */
  readonly nextGen: number;
  readonly quiet: readonly QuietFlows[];
}

/** What outlives the process, beside the slots (src/shm/README.md, "After a crash"). */
export interface KeptState {
  readonly log: RecordLog;
  /** Rows of the ledger (src/flow/ledger.ts); COUNTS doubles a port each. */
  readonly ledger: Float64Array;
  readonly recorded: Float64Array;
  readonly retired: Float64Array;
  readonly cursors: CursorStore;
  /** Absent: a fresh start. */
  readonly left?: LeftBehind;
}

export interface Datapath {
  readonly kind: "userspace" | "kernel";
  /** Read in place by the sweeper. */
  readonly slots: FlowSlots;
  /** Slots that nobody uses: popped by the datapath, pushed by `release` alone. */
  readonly free: WordRing;
  /** Sampled frames, and notices of refused ones (src/shm/samples.ts). */
  readonly samples: RecordRing;
  readonly notices: RecordRing;
  readonly misses: MissSource;
  /** Frames that mirrors want and what is counted of their sessions (src/shm/copies.ts); absent: it makes no copies. */
  readonly copies?: CopyRing;
  readonly sessions?: Float64Array;
  /** Absent: all of it ends with the process. */
  readonly kept?: KeptState;
  /** Now, in ns of the clock that stamps the slots. */
  nowNs(): number;
  /**
   * Attach a port. It neither receives nor sends until `program` enables it: no frame meets half a configuration. Rejects
   * with an Error that names the fix; the number is then free again.
   */
  addPort(spec: PortSpec): Promise<void>;
  /** After this, no new slot has the port's number. */
  removePort(no: PortNo): Promise<void>;
  portStatus(no: PortNo): PortStatus | undefined;
  program(change: RuleChange): Generation;
  /** The generation in force. */
  applied(): Generation;
  /**
   * Unlink these slots from the flow table; they come back from `quiesced` when no frame can touch them any more. The list
   * is lent for the call.
   */
  retire(slots: readonly number[]): void;
  /** Fills `out` from index 0; returns how many. */
  quiesced(out: number[]): number;
  /** Give slots back after their last record: zeroed, gen raised, FREE. */
  release(slots: readonly number[]): void;
  counters(out: CounterSnapshot): CounterSnapshot;
  unattributed(): Unattributed[];
  /** Send a frame through these actions (a control protocol's answer, a test's frame). */
  inject(frame: Uint8Array, actions: ActionBlock, inPort?: PortNo): void;
  close(options: { readonly keepForwarding: boolean }): Promise<void>;
}
