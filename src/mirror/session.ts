/** One mirror session: what it selects, where its copies go, what was counted, when it ends. */
import type { MirrorJson, MirrorOutputJson } from "../bridge/views/json.ts";
import type { MirrorConfig } from "../config/config.ts";
import * as M from "../shm/copies.ts";
import type { CopyOutput } from "./output.ts";

export interface SessionOptions {
  readonly bridge: string;
  readonly bit: number;
  readonly epoch: number;
  readonly config: MirrorConfig;
  readonly origin: MirrorJson["origin"];
  readonly startedBy: string;
  readonly startedMs: number;
}

export class Session {
  readonly options: SessionOptions;
  /** Outputs that the control thread serves; readers of a stream come and go. */
  readonly outputs: CopyOutput[] = [];
  /** Ports by number and by name that it means now. */
  ports = new Set<number>();
  names: readonly string[] = [];
  /** Its outputs as the datapath counts them (MirrorGate). */
  counted: readonly number[] = [];
  /** Why it copies nothing, or why it ended. */
  message: string | undefined;
  state: MirrorJson["state"] = "running";
  /** Every reader that ever was: its stream ends the session. */
  hadReader = false;

  constructor(options: SessionOptions) {
    this.options = options;
  }

  get name(): string {
    return this.options.config.name;
  }

  get endsMs(): number | undefined {
    const { durationMs } = this.options.config.limit;
    return durationMs === 0 ? undefined : this.options.startedMs + durationMs;
  }

  /** The configuration asks for a stream: it ends with its reader. */
  get isStreamed(): boolean {
    return this.options.config.outputs.some(({ type }) => type === "stream");
  }

  json(counters: Float64Array, spanState: (port: string) => MirrorOutputJson["state"]): MirrorJson {
    const { bridge, origin, startedBy, startedMs, config, bit } = this.options;
    const get = (counter: number): number => counters[bit * M.SESSION_COUNTERS + counter]!;
    const { endsMs, message } = this;
    const { all, ports, owners, vlans, direction, filter, dropped } = config.select;
    const { pps, bps, packets } = config.limit;
    const sum = (key: "failed" | "queueDropped"): number => this.outputs.reduce((total, one) => total + one[key], 0);
    return {
      bridge,
      name: config.name,
      origin,
      startedBy,
      startedMs,
      ...(endsMs !== undefined && { endsMs }),
      state: this.state,
      ...(message !== undefined && { message }),
      select: {
        ...(all && { all: true as const }),
        ...(ports.length > 0 && { ports: [...ports] }),
        ...(owners.length > 0 && { owners: [...owners] }),
        ...(vlans !== undefined && { vlans: [...vlans] }),
        direction,
        ...(filter !== undefined && { filter }),
        dropped,
      },
      outputs: this.outputsJson(get, spanState),
      ...(config.snaplen > 0 && { snaplen: config.snaplen }),
      sample: config.sample,
      limit: { ...(pps > 0 && { pps }), ...(bps > 0 && { bps }), ...(packets > 0 && { packets }) },
      ports: [...this.names],
      matched: get(M.M_MATCHED),
      sent: get(M.M_SENT),
      bytesBefore: get(M.M_BYTES_BEFORE),
      bytesAfter: get(M.M_BYTES_AFTER),
      sampledOut: get(M.M_SAMPLED_OUT),
      rateDropped: get(M.M_RATE_DROPPED),
      queueDropped: get(M.M_QUEUE_DROPPED) + sum("queueDropped"),
      failed: get(M.M_FAILED) + sum("failed"),
    };
  }

  private outputsJson(
    get: (counter: number) => number,
    spanState: (port: string) => MirrorOutputJson["state"],
  ): MirrorOutputJson[] {
    const sent = (at: number) => ({ sent: get(at), bytes: get(at + 1), failed: get(at + 2), queueDropped: 0 });
    const ended = this.state === "ended";
    const outputJson = (one: CopyOutput): MirrorOutputJson => {
      const { kind, target, lastError, sent: count, bytes, failed, queueDropped, truncated } = one;
      const state = ended && one.state === "running" ? "ended" : one.state;
      const more = { ...(lastError !== undefined && { lastError }), ...(truncated !== undefined && { truncated }) };
      return { kind, target, state, sent: count, bytes, failed, queueDropped, ...more };
    };
    // Files and tunnels in the configuration's order, then readers.
    const served = [...this.outputs];
    const found = this.options.config.outputs.flatMap((output, n): MirrorOutputJson[] => {
      const counter = M.M_OUTPUTS + n * M.OUTPUT_COUNTERS;
      if (output.type === "span") {
        const state = ended ? "ended" : spanState(output.port);
        return [{ kind: "span", target: output.port, state, ...sent(counter) }];
      }
      if (output.type === "rspan") {
        const state = ended ? "ended" : "running";
        return [{ kind: "rspan", target: `VLAN ${output.vlan}`, state, ...sent(counter) }];
      }
      if (output.type !== "stream") return served.splice(0, 1).map(outputJson);
      const none = { sent: 0, bytes: 0, failed: 0, queueDropped: 0 };
      const state = ended ? "ended" : "waiting";
      return this.hadReader ? [] : [{ kind: "stream", target: "nobody reads it yet", state, ...none }];
    });
    return [...found, ...served.map(outputJson)];
  }
}
