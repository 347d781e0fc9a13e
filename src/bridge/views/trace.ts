/** A trace as JSON: the steps of the decision, and what the frame would have made. */
import { describeKey } from "../../flow/describe.ts";
import { DISPOSITIONS } from "../../flow/disposition.ts";
import type { Trace } from "../../pipeline/trace.ts";
import { keyText } from "../../telemetry/frame-text.ts";
import type { TraceJson } from "./json.ts";

export interface TraceContext {
  readonly bridge: string;
  readonly port: string;
  readonly key: Uint32Array;
  /** Fields that were not given. */
  readonly invented: readonly string[];
  /** 1 in N frames of this port is sampled, 0 = none. */
  readonly sampling: number;
  /** Exporters that take records of this bridge. */
  readonly recordExporters: readonly string[];
  /** Filters of mirror sessions by their names. */
  readonly filters: ReadonlyMap<string, string>;
  /** The rule that covers the frame now, if there is one. */
  readonly rule: number;
  ifIndex(port: string): number;
}

const STATUS: Readonly<Record<string, number>> = { forwarded: 64, dropped: 128, consumed: 192, observed: 64 };

/** NetFlow's output: ifIndex, 0 where it is not forwarded, 65535 for several. */
function recordOutput(trace: Trace, context: TraceContext): number {
  if (trace.disposition !== "forwarded" || trace.outputs.length === 0) return 0;
  return trace.outputs.length > 1 ? 65535 : context.ifIndex(trace.outputs[0]!.port);
}

function wouldMake(trace: Trace, context: TraceContext, text: string): string[] {
  const vlan = /vlan [\d.]+/.exec(text)?.[0];
  const made = [`one flow ${context.bridge}/${context.port}${vlan === undefined ? "" : ` ${vlan}`}`];
  for (const exporter of context.recordExporters)
    made.push(`record: ${exporter} output ${recordOutput(trace, context)}`);
  if (context.sampling > 0) made.push(`sample 1 in ${context.sampling}`);
  for (const { name, whyNot } of trace.mirrors) {
    const filter = context.filters.get(name);
    const yes = filter === undefined ? "yes" : `yes, if "${filter}"`;
    made.push(`mirror ${name}: ${whyNot === undefined ? yes : `no (${whyNot})`}`);
  }
  return made;
}

function tagText(output: Trace["outputs"][number]): string {
  if (output.tag === "keep") return output.port;
  if (output.tag === "pop") return `${output.port} (untagged)`;
  return `${output.port} (tag ${output.vid})`;
}

export function traceJson(trace: Trace, context: TraceContext): TraceJson {
  const text = keyText(describeKey(context.key));
  const covers = `every frame with ${trace.covers || "any content"}`;
  const { dropReason } = trace;
  const on = trace.allow?.port === undefined ? "" : ` on port ${trace.allow.port}`;
  return {
    bridge: context.bridge,
    port: context.port,
    frame: text,
    invented: [...context.invented],
    steps: trace.steps.map(({ step, text, verdict }) => ({
      name: step,
      text,
      ...(verdict !== undefined && { verdict }),
    })),
    disposition: trace.disposition,
    ...(dropReason !== undefined && { dropReason: dropReason.name, sflow: dropReason.sflow }),
    forwardingStatus: dropReason?.forwardingStatus ?? STATUS[trace.disposition] ?? STATUS[DISPOSITIONS[0]]!,
    output: trace.outputs.map(tagText),
    lookedAt: [...trace.lookedAt],
    rule: context.rule < 0 ? `(new) would cover ${covers}` : `r${context.rule} covers ${covers}`,
    wouldMake: wouldMake(trace, context, text),
    ...(trace.allow !== undefined && { toAllow: `${trace.allow.change}${on}` }),
  };
}
