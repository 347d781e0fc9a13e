/**
 * sFlow version 5: the policy. Which sample becomes what, by which data source, how often counters are told, how many
 * discards; encode.ts and counters.ts have the bytes. README.md has structures, profiles, and what is not supported.
 */
import * as z from "zod";
import { CONSUMED, DROP_REASONS, DROPPED } from "../../src/flow/disposition.ts";
import { TCI_PRESENT, TCI_VID } from "../../src/flow/key.ts";
import * as C from "../../src/shm/counters.ts";
import type { CounterSnapshot } from "../../src/shm/counters.ts";
import type { Sample } from "../../src/shm/samples.ts";
import type { Exporter, ExporterEnv, ExporterStatus, ExporterType, Moment } from "../../src/telemetry/exporter.ts";
import { parseIpv4, parseIpv6 } from "../../src/wire/address.ts";
import { duration } from "../../src/text/fields.ts";
import { Datagrams } from "./datagrams.ts";
import {
  FCS_BYTES,
  FORMAT_DISCARDED,
  FORMAT_IFINDEX,
  FORMAT_SEVERAL,
  INTERNAL,
  writeDiscard,
  writeFlowSample,
} from "./encode.ts";
import type { DiscardFields, FlowFields, FrameFields } from "./encode.ts";
import { Poller } from "./poller.ts";
import { PROFILE_NAMES, PROFILES } from "./profiles.ts";
import type { Profile } from "./profiles.ts";

/** Bytes of a frame that one sample tells at most: the configuration's limit too. */
export const MAX_HEADER = 512;
/** sFlow's code where none fits. */
const REASON_UNKNOWN = 256;
const MAX_OUTPUTS = 0x3fffffff;
const PCP_SHIFT = 13;

const schema = z.strictObject({
  profile: z.enum(PROFILE_NAMES).default("standard"),
  /** How often the counters of each port are told; 0s = never. */
  polling: duration({ min: 0, max: 86_400_000 }).prefault("30s"),
  /** Address by which collectors know this host; its own first one unless given. */
  agent: z.union([z.ipv4(), z.ipv6()]).optional(),
  /** Tells exporters of one agent apart. */
  subAgent: z.int().min(0).max(0x7fffffff).default(0),
  /** Discard notifications (sample format 5): whether, where the profile would say otherwise. */
  discards: z.boolean().optional(),
  /** Discard notifications a second for each reason; what is above is counted in their `drops`. */
  discardLimit: z.int().min(1).max(100_000).default(50),
  /** Local address that datagrams leave from. */
  source: z.union([z.ipv4(), z.ipv6()]).optional(),
});

export type SflowOptions = z.output<typeof schema>;

const sflow: ExporterType<SflowOptions> = {
  schema,
  defaultPort: 6343,
  identity: ({ agent, subAgent }) => `agent ${agent ?? "address"}/${subAgent}`,
  source: ({ source }) => source,
  open: (options, env) => new Sflow(options, env),
};

export default sflow;

/** Of one ingress interface. */
interface DataSource {
  flowSequence: number;
  discardSequence: number;
  /** Notifications that the limit held back. */
  heldBack: number;
  pool: number;
}

class Sflow implements Exporter {
  private readonly env: ExporterEnv;
  private readonly options: SflowOptions;
  private readonly profile: Profile;
  private readonly agentAddress: string;
  private readonly datagrams: Datagrams;
  private readonly poller: Poller | undefined;
  private readonly discardsWanted: boolean;
  /** By ifIndex. */
  private readonly sources = new Map<number, DataSource>();
  private committed: number;

  /** Notifications of each reason in the second that began at `windowMs`. */
  private readonly inWindow = new Uint32Array(DROP_REASONS.length);
  private windowMs = -Infinity;
  private discards = 0;
  private heldBack = 0;

  private samplesSent = 0;
  private packets = 0;
  private octets = 0;
  private unnamed = 0;
  private readonly rates = new Map<number, number>();
  private readonly totals = new Map<string, { pool: number; lost: number }>();

  // Scratch: what is being written.
  private readonly flow: FlowFields = {
    sequence: 0,
    ifIndex: 0,
    rate: 0,
    pool: 0,
    drops: 0,
    outputFormat: 0,
    output: 0,
  };
  private readonly discard: DiscardFields = { sequence: 0, ifIndex: 0, drops: 0, reason: 0 };
  private readonly frame: FrameFields;

  constructor(options: SflowOptions, env: ExporterEnv) {
    this.env = env;
    this.options = options;
    this.profile = PROFILES[options.profile];
    this.discardsWanted = options.discards ?? this.profile.discards;
    this.agentAddress = options.agent ?? env.agentAddress;
    this.committed = env.resume.sequence;
    this.datagrams = new Datagrams(
      env.collectors,
      agentBytes(this.agentAddress),
      options.subAgent,
      env.resume.sequence,
    );
    const { counters } = this.profile;
    if (counters !== "none" && options.polling > 0)
      this.poller = new Poller(env, this.datagrams, options.polling, counters === "all");
    const none = new Uint8Array(0);
    const { vlan } = this.profile;
    this.frame = {
      length: 0,
      header: none,
      headerBytes: 0,
      hasVlan: vlan,
      inVlan: 0,
      inPriority: 0,
      outVlan: 0,
      outPriority: 0,
    };
  }

  samples(batch: readonly Sample[], bridge: string, now: Moment): void {
    for (const sample of batch) {
      if (sample.kind === "drop" && !this.discardsWanted) continue;
      const ifIndex = this.env.port(bridge, sample.port)?.ifIndex ?? 0;
      if (ifIndex === 0) {
        this.unnamed++;
        continue;
      }
      if (sample.kind === "flow") this.tellFlow(sample, ifIndex, bridge, now);
      else this.tellDiscard(sample, ifIndex, now);
    }
    this.commit();
  }

  counters(snapshot: CounterSnapshot, bridge: string, now: Moment): void {
    let [pool, lost] = [0, 0];
    for (let port = 0; port < snapshot.ports; port++) {
      pool += snapshot.get(port, C.C_SAMPLE_POOL);
      lost += snapshot.get(port, C.C_SAMPLE_DROPS);
    }
    this.totals.set(bridge, { pool, lost });
    this.poller?.counters(snapshot, bridge, now);
    this.commit();
  }

  tick(now: Moment): void {
    this.datagrams.tick(now);
    this.commit();
  }

  flush(now: Moment): void {
    this.datagrams.flush(now);
    this.commit();
  }

  status(): ExporterStatus {
    const { options, agentAddress, profile } = this;
    const detail = [`agent ${agentAddress}/${options.subAgent}`, ratesText(this.rates), `profile ${options.profile}`];
    if (this.discardsWanted) detail.push(`drops ${this.discards} sent, ${this.heldBack} held back`);
    if (profile.counters !== "none") detail.push(`${this.poller?.samples ?? 0} counter samples`);
    detail.push(`next sequence ${this.datagrams.sequence}`);
    const unnamed: Record<string, number> = this.unnamed > 0 ? { noIfIndex: this.unnamed } : {};
    let [pool, lost] = [0, 0];
    for (const total of this.totals.values()) {
      pool += total.pool;
      lost += total.lost;
    }
    return {
      records: this.samplesSent,
      packets: this.packets,
      octets: this.octets,
      basis: "l2+fcs",
      notExportable: unnamed,
      notExportableRecords: unnamed,
      sampling: { samples: this.samplesSent, pool, lost },
      detail: detail.filter((line) => line !== ""),
    };
  }

  async close(): Promise<void> {}

  private tellFlow(sample: Sample, ifIndex: number, bridge: string, now: Moment): void {
    const source = this.sourceOf(ifIndex);
    // The port was attached anew: its pool began again, and so does the sequence (section 5, flow_sample).
    if (sample.pool < source.pool) source.flowSequence = 0;
    source.pool = sample.pool;
    const { flow, frame } = this;
    flow.sequence = ++source.flowSequence;
    flow.ifIndex = ifIndex;
    flow.rate = sample.rate;
    flow.pool = sample.pool;
    flow.drops = sample.drops;
    this.setOutput(sample, bridge);
    this.setFrame(sample);
    this.datagrams.add("flow", now, (x) => writeFlowSample(x, flow, frame));
    this.samplesSent++;
    this.packets += sample.rate;
    this.octets += sample.rate * (sample.wireLength + FCS_BYTES);
    this.rates.set(ifIndex, sample.rate);
  }

  /** What became of the frame, not what a lookup hoped for: mirror copies never count as outputs. */
  private setOutput(sample: Sample, bridge: string): void {
    const { flow } = this;
    flow.outputFormat = FORMAT_IFINDEX;
    flow.output = 0;
    if (sample.disposition === DROPPED) {
      flow.outputFormat = FORMAT_DISCARDED;
      flow.output = DROP_REASONS[sample.reason]?.sflow || REASON_UNKNOWN;
    } else if (sample.disposition === CONSUMED) flow.output = INTERNAL;
    else if (sample.outputs === 1) flow.output = this.env.port(bridge, sample.outputPort)?.ifIndex ?? 0;
    else if (sample.outputs > 1) {
      flow.outputFormat = FORMAT_SEVERAL;
      flow.output = Math.min(sample.outputs, MAX_OUTPUTS);
    }
  }

  private setFrame(sample: Sample): void {
    const { frame } = this;
    frame.length = sample.wireLength;
    frame.header = sample.data;
    frame.headerBytes = Math.min(sample.data.length, sample.wireLength, MAX_HEADER);
    frame.inVlan = vlanOf(sample.inTci);
    frame.inPriority = priorityOf(sample.inTci);
    frame.outVlan = vlanOf(sample.outTci);
    frame.outPriority = priorityOf(sample.outTci);
  }

  private tellDiscard(sample: Sample, ifIndex: number, now: Moment): void {
    const source = this.sourceOf(ifIndex);
    const { discard, frame, inWindow } = this;
    const reason = sample.reason < inWindow.length ? sample.reason : 0;
    if (now.uptimeMs - this.windowMs >= 1000 || now.uptimeMs < this.windowMs) {
      this.windowMs = now.uptimeMs;
      inWindow.fill(0);
    }
    if (++inWindow[reason]! > this.options.discardLimit) {
      source.heldBack++;
      this.heldBack++;
      return;
    }
    discard.sequence = ++source.discardSequence;
    discard.ifIndex = ifIndex;
    discard.drops = sample.drops + source.heldBack;
    discard.reason = DROP_REASONS[reason]!.sflow || REASON_UNKNOWN;
    this.setFrame(sample);
    this.datagrams.add("discard", now, (x) => writeDiscard(x, discard, frame));
    this.discards++;
  }

  private sourceOf(ifIndex: number): DataSource {
    let source = this.sources.get(ifIndex);
    if (source === undefined) {
      source = { flowSequence: 0, discardSequence: 0, heldBack: 0, pool: 0 };
      this.sources.set(ifIndex, source);
    }
    return source;
  }

  /** The datagrams' sequence goes on after a restart: a collector sees no gap that is none. */
  private commit(): void {
    if (this.datagrams.sequence === this.committed) return;
    this.committed = this.datagrams.sequence;
    this.env.sent("", 0, this.committed);
  }
}

function vlanOf(tci: number): number {
  return (tci & TCI_PRESENT) === 0 ? 0 : tci & TCI_VID;
}

function priorityOf(tci: number): number {
  return (tci & TCI_PRESENT) === 0 ? 0 : (tci >>> PCP_SHIFT) & 7;
}

/** "1:400", or the range where ports differ. */
function ratesText(rates: ReadonlyMap<number, number>): string {
  if (rates.size === 0) return "";
  const all = [...rates.values()];
  const [least, most] = [Math.min(...all), Math.max(...all)];
  return least === most ? `1:${least}` : `1:${least} to 1:${most}`;
}

function agentBytes(address: string): Uint8Array {
  const v4 = parseIpv4(address);
  if (v4 === undefined) return parseIpv6(address) ?? new Uint8Array(4);
  return Uint8Array.of(v4 >>> 24, v4 >>> 16, v4 >>> 8, v4);
}
