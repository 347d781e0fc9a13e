/**
 * The mirror sessions of one bridge: started by the configuration, commands and the API, kept equal to the ports that
 * there are, fed from the datapath's ring of copies, ended by their limits. Time is an argument.
 */
import { isDeepStrictEqual } from "node:util";
import type { MirrorJson } from "../bridge/views/json.ts";
import type { BridgeConfig, MirrorConfig, PortConfig } from "../config/config.ts";
import type { Datapath, Generation } from "../datapath/datapath.ts";
import { COPY_RSPAN, COPY_SPAN } from "../pipeline/actions.ts";
import type { MirrorPlan, MirrorSession } from "../pipeline/mirror-plan.ts";
import * as M from "../shm/copies.ts";
import { nativeVlan } from "../pipeline/snapshot.ts";
import { type ErspanConfig, ErspanOutput, type TunnelEnv } from "./erspan.ts";
import { FileOutput } from "./file.ts";
import { type CopyFrame, drain } from "./frames.ts";
import type { CopyEnv, CopyOutput } from "./output.ts";
import { compileFitting, MirrorRefused, refuse, refuseLong } from "./refuse.ts";
import type { Remotes } from "./remotes.ts";
import { matchesNothing, type SelectablePort, selectPorts } from "./select.ts";
import { Session } from "./session.ts";
import { StreamOutput } from "./stream.ts";

export interface MirrorPort extends SelectablePort {
  readonly attached: boolean;
  readonly config: SelectablePort["config"] & Pick<PortConfig, "vlan">;
  readonly ifIndex: number;
}

export interface KeeperOptions extends CopyEnv {
  readonly bridge: string;
  readonly datapath: Pick<Datapath, "kind" | "copies" | "sessions" | "program" | "applied" | "nowNs">;
  readonly capturesDir: string;
  /** The host's network; and where the ERSPAN of all bridges goes. */
  readonly tunnels: TunnelEnv;
  readonly remotes: Remotes;
  ports(): readonly MirrorPort[];
  /** A bridge in observe mode sends nothing. */
  mode(): BridgeConfig["mode"];
  setPlan(plan: MirrorPlan): void;
  /** Was this port made from a "{device}" template? Its name may be another guest's tomorrow. */
  isTemplated(name: string): boolean;
  tell(message: string, fields: Readonly<Record<string, string | number>>): void;
}

export interface StartedBy {
  readonly origin: MirrorJson["origin"];
  readonly startedBy: string;
}

/** Frames handed out in one turn. */
const FRAMES_A_TURN = 4096;
/** More than the ring of copies holds. */
const TURNS_AT_THE_END = 16;
/** Sessions that are over and still shown. */
const MAX_ENDED = 16;
/** A datapath that has not obeyed by then has stopped counting, too. */
const CLOSE_NS = 1e9;
const LOOK_AGAIN_MS = 2;

export class MirrorKeeper {
  private readonly options: KeeperOptions;
  private readonly byBit: (Session | undefined)[] = Array.from({ length: M.MAX_SESSIONS }, () => undefined);
  private ended: MirrorJson[] = [];
  /** Sessions that are over and whose last copies are still on their way. */
  private readonly endings = new Set<Promise<unknown>>();
  private epoch = 0;
  private lastBit = -1;
  private plan: MirrorPlan | undefined;
  private guardVersion = 0;
  private guarded: readonly string[] = [];
  /** By port: its VLAN of frames without a tag, its ifIndex. */
  private readonly vlans: number[] = [];
  private readonly ifIndexes: number[] = [];
  private readonly frame: CopyFrame = {
    bytes: new Uint8Array(0),
    off: 0,
    captured: 0,
    length: 0,
    timeNs: 0.5,
    port: 0,
    direction: "in",
    vlan: 0,
    ifIndex: 0,
    reason: 0,
    sessions: 0,
  };

  constructor(options: KeeperOptions) {
    this.options = options;
  }

  get sessions(): Session[] {
    return this.byBit.filter((one) => one?.state === "running") as Session[];
  }

  list(): MirrorJson[] {
    return [...this.byBit.flatMap((one) => (one === undefined ? [] : this.json(one))), ...this.ended];
  }

  find(name: string): Session | undefined {
    return this.sessions.find((one) => one.name === name);
  }

  /** Start a session. The same again changes nothing, another of its name ends the one before. */
  start(config: MirrorConfig, by: StartedBy, nowMs: number): MirrorJson {
    const old = this.find(config.name);
    if (old !== undefined) {
      if (old.options.origin === "config" && by.origin !== "config")
        throw new MirrorRefused(409, `${config.name} is the configuration's; change it there and reload`);
      if (isDeepStrictEqual(old.options.config, config)) return this.json(old);
    }
    refuse(config, {
      ...this.options,
      mode: this.options.mode(),
      ports: this.options.ports(),
      sessions: this.sessions,
    });
    refuseLong(config);
    if (old !== undefined) void this.end(old, "started anew");
    const bit = this.freeBit();
    if (bit < 0) throw new MirrorRefused(409, `${M.MAX_SESSIONS} mirrors are all that one bridge can have: stop one`);
    this.ended = this.ended.filter(({ name }) => name !== config.name);
    const { bridge, capturesDir } = this.options;
    const session = new Session({
      bridge,
      bit,
      epoch: ++this.epoch,
      config,
      ...by,
      startedMs: nowMs,
    });
    // A file of one that is ending may be the same.
    const after = Promise.all(this.endings);
    for (const output of config.outputs)
      if (output.type === "file")
        session.outputs.push(new FileOutput(config.name, capturesDir, output, config.snaplen, this.options, after));
      else if (output.type === "erspan") session.outputs.push(this.tunnel(output, session.outputs, nowMs));
    this.byBit[bit] = session;
    this.guard();
    this.gate(session, session.options.epoch);
    this.follow();
    this.options.tell(`mirror ${config.name} started by ${by.startedBy}`, { mirror: config.name, ...by });
    return this.json(session);
  }

  /** Stop a session that a command or the API started. */
  async stop(name: string): Promise<MirrorJson> {
    const session = this.find(name);
    if (session === undefined) throw new MirrorRefused(404, `there is no mirror ${JSON.stringify(name)}`);
    if (session.options.origin === "config")
      throw new MirrorRefused(409, `${name} is the configuration's; take it out there and reload`);
    await this.end(session, "stopped");
    return this.ended.findLast((one) => one.name === name) ?? this.json(session);
  }

  /** The configuration's sessions become these; those of commands stay. Returns what could not be started. */
  configure(configs: readonly MirrorConfig[], nowMs: number): { name: string; message: string }[] {
    const failed: { name: string; message: string }[] = [];
    for (const session of this.sessions)
      if (session.options.origin === "config" && !configs.some(({ name }) => name === session.name))
        void this.end(session, "taken out of the configuration");
    for (const config of configs)
      try {
        this.start(config, { origin: "config", startedBy: "configuration" }, nowMs);
      } catch (error) {
        failed.push({ name: config.name, message: (error as Error).message });
      }
    return failed;
  }

  /** The session's frames from now on. */
  async *capture(name: string, signal: AbortSignal): AsyncIterable<Uint8Array> {
    const session = this.find(name);
    if (session === undefined) throw new MirrorRefused(404, `there is no mirror ${JSON.stringify(name)}`);
    const stream = new StreamOutput(name, "a reader", session.options.config.snaplen, this.options);
    session.outputs.push(stream);
    session.hadReader = true;
    this.follow();
    try {
      yield* stream.read(signal);
    } finally {
      const others = session.outputs.filter((one) => one !== stream);
      if (session.state === "running") {
        if (session.isStreamed && !others.some(({ kind }) => kind === "stream"))
          await this.end(session, "its reader is gone");
        session.outputs.splice(0, session.outputs.length, ...others);
        this.follow();
      }
    }
  }

  /** Hand out copies and end what is over. True: more is waiting. */
  tick(nowMs: number): boolean {
    const { copies, sessions: counters } = this.options.datapath;
    if (copies === undefined || counters === undefined) return false;
    const done = drain(copies, FRAMES_A_TURN, this.frame, (frame) => this.hand(frame));
    const sessions = this.sessions;
    for (const session of sessions) for (const output of session.outputs) output.tick?.(nowMs);
    this.guard();
    if (done > 0) for (const session of sessions) for (const output of session.outputs) output.flush();
    for (const session of sessions) {
      const { packets } = session.options.config.limit;
      const { endsMs } = session;
      if (endsMs !== undefined && nowMs >= endsMs) void this.end(session, "its time is over");
      else if (
        packets > 0 &&
        counters[session.options.bit * M.SESSION_COUNTERS + M.M_SENT]! >= packets &&
        done < FRAMES_A_TURN
      )
        void this.end(session, `${packets} packets were copied`);
    }
    return done === FRAMES_A_TURN;
  }

  /** Ports came, went or changed owners: selections mean others now. */
  follow(): void {
    const ports = this.options.ports();
    for (const { no, config, ifIndex } of ports) {
      this.vlans[no] = Math.max(0, nativeVlan(config.vlan));
      this.ifIndexes[no] = ifIndex;
    }
    const planned: MirrorSession[] = [];
    const outputPorts = new Set<number>();
    const rspanVlans = new Set<number>();
    for (const session of this.sessions) {
      const { select, outputs } = session.options.config;
      const number = (name: string): number | undefined => ports.find((port) => port.name === name)?.no;
      const spans = outputs.flatMap((one) => (one.type === "span" ? (number(one.port) ?? []) : []));
      const rspans = outputs.filter((one) => one.type === "rspan");
      const chosen = selectPorts(select, ports).filter(({ no }) => !spans.includes(no));
      const gone = [...session.names].find(
        (name) =>
          select.ports.includes(name) &&
          number(name) === undefined &&
          session.options.config.select.ports.includes(name) &&
          this.options.isTemplated(name),
      );
      if (gone !== undefined) {
        void this.end(session, `port gone: ${gone}`);
        continue;
      }
      session.ports = new Set(chosen.map(({ no }) => no));
      session.names = chosen.map(({ name }) => name);
      session.message = chosen.length === 0 ? matchesNothing(select) : this.uncut(session.options.config);
      const counted = outputs.map((one) => {
        if (one.type === "span") return (COPY_SPAN << 24) | (number(one.port) ?? 0);
        return one.type === "rspan" ? (COPY_RSPAN << 24) | one.vlan : 0;
      });
      if (!isDeepStrictEqual(counted, session.counted)) {
        session.counted = counted;
        this.gate(session, session.options.epoch);
      }
      for (const no of spans) outputPorts.add(no);
      for (const { vlan } of rspans) rspanVlans.add(vlan);
      planned.push({
        name: session.name,
        bit: session.options.bit,
        ports: session.ports,
        ingress: select.direction !== "egress",
        egress: select.direction !== "ingress",
        ...(select.vlans !== undefined && { vlans: new Set(select.vlans) }),
        dropped: select.dropped,
        spans,
        rspans,
        copies: session.outputs.length > 0,
      });
    }
    const plan = { sessions: planned, outputPorts, rspanVlans };
    if (isDeepStrictEqual(plan, this.plan ?? { sessions: [], outputPorts: new Set(), rspanVlans: new Set() })) return;
    this.plan = plan;
    this.options.setPlan(plan);
  }

  /** What ports and flows show: names of the sessions that mean this port. */
  sessionsOf(port: number): Session[] {
    return this.sessions.filter((one) => one.ports.has(port));
  }

  async close(): Promise<void> {
    await Promise.all(this.sessions.map((one) => this.end(one, "the switch stops")));
  }

  /** In turn: copies that still wait for an ended session are not the next one's. */
  private freeBit(): number {
    for (let n = 1; n <= M.MAX_SESSIONS; n++) {
      const bit = (this.lastBit + n) % M.MAX_SESSIONS;
      if (this.byBit[bit] === undefined) return (this.lastBit = bit);
    }
    return -1;
  }

  private json(session: Session): MirrorJson {
    const { sessions = new Float64Array(M.MAX_SESSIONS * M.SESSION_COUNTERS) } = this.options.datapath;
    return session.json(sessions, (name) => {
      const port = this.options.ports().find((one) => one.name === name);
      return port?.attached ? "running" : "waiting";
    });
  }

  private hand(frame: CopyFrame): void {
    frame.vlan = this.vlans[frame.port] ?? 0;
    frame.ifIndex = this.ifIndexes[frame.port] ?? 0;
    for (let left = frame.sessions; left !== 0; left &= left - 1) {
      const session = this.byBit[31 - Math.clz32(left & -left)];
      if (session === undefined) continue;
      const { snaplen } = session.options.config;
      const captured = snaplen === 0 ? frame.captured : Math.min(frame.captured, snaplen);
      for (const output of session.outputs) output.write(frame, captured);
    }
  }

  /** A sentence where the snap length is not for all outputs. */
  private uncut({ snaplen, outputs }: MirrorConfig): string | undefined {
    if (snaplen === 0 || this.options.datapath.kind !== "kernel") return undefined;
    const whole = outputs.flatMap((one) => {
      if (one.type === "span") return `port ${one.port}`;
      return one.type === "rspan" ? `VLAN ${one.vlan}` : [];
    });
    if (whole.length === 0) return undefined;
    return `sends whole frames to ${whole.join(", ")}: the kernel datapath cuts for files, streams and tunnels only`;
  }

  private tunnel(output: ErspanConfig, before: readonly CopyOutput[], nowMs: number): ErspanOutput {
    try {
      return new ErspanOutput(output, this.options, this.options.tunnels, this.options.remotes, nowMs);
    } catch (error) {
      for (const one of before) void one.close({ matched: 0, lost: 0 });
      throw new MirrorRefused(409, `${output.remote}: ${(error as Error).message}`);
    }
  }

  /** Another remote of ERSPAN, here or on another bridge: what is sent there is not copied any more. */
  private guard(): void {
    const { version } = this.options.remotes;
    if (version === this.guardVersion) return;
    this.guardVersion = version;
    this.guarded = this.options.remotes.guards();
    for (const session of this.sessions) this.gate(session, session.options.epoch);
  }

  private gate(session: Session, epoch: number): Generation {
    const { config, bit } = session.options;
    const { snaplen, sample, limit } = config;
    const filter = epoch === 0 ? undefined : compileFitting(config, this.guarded);
    const { pps, bps, packets } = limit;
    const limits = { snaplen, sample, pps, bps, packets };
    const gate = { bit, epoch, ...limits, outputs: session.counted, ...(filter !== undefined && { filter }) };
    return this.options.datapath.program({ mirrors: [gate] });
  }

  private async end(session: Session, why: string): Promise<void> {
    if (session.state === "ended") return;
    session.state = "ended";
    session.message = why;
    const ending = this.finish(session, why);
    this.endings.add(ending);
    await ending.finally(() => this.endings.delete(ending));
  }

  /** Its numbers are final, and its copies all in the ring, when the datapath has closed the gate. */
  private async finish(session: Session, why: string): Promise<void> {
    const { bit } = session.options;
    const { datapath } = this.options;
    const closed = this.gate(session, 0);
    this.follow();
    const untilNs = datapath.nowNs() + CLOSE_NS;
    while (((datapath.applied() - closed) | 0) < 0 && datapath.nowNs() < untilNs)
      await new Promise((resolve) => setTimeout(resolve, LOOK_AGAIN_MS));
    for (let turn = 0; turn < TURNS_AT_THE_END; turn++)
      if (drain(datapath.copies!, FRAMES_A_TURN, this.frame, (frame) => this.hand(frame)) < FRAMES_A_TURN) break;
    const counters = datapath.sessions!;
    const get = (counter: number): number => counters[bit * M.SESSION_COUNTERS + counter]!;
    const totals = {
      matched: get(M.M_MATCHED),
      lost: get(M.M_SAMPLED_OUT) + get(M.M_RATE_DROPPED) + get(M.M_QUEUE_DROPPED),
    };
    const json = this.json(session);
    this.byBit[bit] = undefined;
    const others = this.ended.filter(({ name }) => name !== session.name);
    // One of its name may have been started meanwhile.
    if (this.find(session.name) === undefined) this.ended = [...others, json].slice(-MAX_ENDED);
    this.options.tell(`mirror ${session.name} ended: ${why}`, { mirror: session.name, why, sent: json.sent });
    await Promise.all(session.outputs.map((output) => output.close(totals)));
  }
}
