import type { ReloadJson, TraceJson } from "../../bridge/views/json.ts";
import type { Screen } from "./context.ts";
import { padEnd, visible, width } from "./text.ts";

export function renderTrace(trace: TraceJson, screen: Screen): string[] {
  const row = (name: string, text: string): string => `${padEnd(name, 10)} ${text}`;
  const invented = trace.invented.length > 0 ? `   (invented fields: ${trace.invented.join(", ")})` : "";
  const texts = trace.steps.map((step, n) => `${padEnd(`${n + 1} ${visible(step.name)}`, 10)} ${visible(step.text)}`);
  const edge = Math.min(84, Math.max(0, ...texts.map((text) => width(text))) + 2);
  const steps = trace.steps.map((step, n) =>
    step.verdict === undefined ? texts[n]! : `${padEnd(texts[n]!, edge)} -> ${visible(step.verdict)}`,
  );
  const dropped = trace.disposition === "dropped";
  const codes = dropped ? `(sFlow ${trace.sflow}, forwardingStatus ${trace.forwardingStatus})` : "";
  const out = trace.output.length > 0 ? `out by ${trace.output.map(visible).join(", ")}` : "";
  const verdict = `${trace.disposition.toUpperCase()}  ${[trace.dropReason, codes, out].filter(Boolean).join("   ")}`;
  const covers = trace.rule === undefined ? "" : `=> rule ${visible(trace.rule)}`;
  const lines = [
    row("frame", visible(trace.frame) + invented),
    ...steps,
    row("verdict", dropped ? screen.paint("red", verdict) : screen.paint("bold", verdict.trimEnd())),
    row("looked at", `${trace.lookedAt.join(", ").padEnd(27)} ${covers}`.trimEnd()),
  ];
  if (trace.wouldMake.length > 0) lines.push(`would make ${trace.wouldMake.map(visible).join(" · ")}`);
  if (trace.toAllow !== undefined) lines.push(`to allow   ${visible(trace.toAllow)}`);
  lines.push("nothing was changed, nothing was sent");
  return lines;
}

export function renderReload(reload: ReloadJson, screen: Screen): string[] {
  const head = `${visible(reload.path)} -> running (generation ${reload.generation})`;
  const wide = Math.max(0, ...reload.plan.filter((line) => line.op !== "=").map((line) => width(visible(line.path))));
  const textWide = Math.max(
    0,
    ...reload.plan.filter((line) => line.op !== "=").map((line) => width(visible(line.text))),
  );
  const plan = reload.plan.map((line) => {
    if (line.op === "=") return `  = ${visible(line.text)}`;
    const text = padEnd(visible(line.text), textWide);
    return `  ${line.op} ${padEnd(visible(line.path), wide)}  ${text}  ${visible(line.note ?? "")}`.trimEnd();
  });
  const failed = reload.failed.map(({ path, message }) =>
    screen.paint("red", `failed: ${visible(path)}: ${visible(message)}`),
  );
  const changes = reload.plan.some((line) => line.op !== "=");
  const verdict = reload.dryRun
    ? "dry run: nothing was changed"
    : reload.applied
      ? changes
        ? "applied"
        : "nothing to change"
      : "not applied";
  return [head, ...plan, ...failed, verdict];
}
