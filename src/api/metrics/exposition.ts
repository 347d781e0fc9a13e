/**
 * Prometheus' text format 0.0.4 and OpenMetrics 1.0: families in, text out. Pure.
 *
 * A family's name has no `_total`: counters get it here, where the format asks for it.
 */
export interface Sample {
  readonly labels: Readonly<Record<string, string>>;
  readonly value: number;
}

export interface Family {
  /** Without `_total`; with its unit: "weir_port_receive_bytes". */
  readonly name: string;
  readonly type: "counter" | "gauge";
  /** One sentence. */
  readonly help: string;
  readonly samples: readonly Sample[];
}

export type Format = "text" | "openmetrics";

export const CONTENT_TYPES: Readonly<Record<Format, string>> = {
  text: "text/plain; version=0.0.4; charset=utf-8",
  openmetrics: "application/openmetrics-text; version=1.0.0; charset=utf-8",
};

/** The format that an Accept header asks for; a weight of 0 refuses one (RFC 9110 section 12.5.1). */
export function formatOf(accept: string): Format {
  const asked = accept
    .split(",")
    .some((one) => /^\s*application\/openmetrics-text\b/.test(one) && !/;\s*q=0(\.0*)?\s*$/.test(one));
  return asked ? "openmetrics" : "text";
}

export function exposition(families: readonly Family[], format: Format): string {
  const lines: string[] = [];
  for (const { name, type, help, samples } of families) {
    if (samples.length === 0) continue;
    const whole = type === "counter" ? `${name}_total` : name;
    // OpenMetrics names the family, the older format what its samples are called.
    const called = format === "openmetrics" ? name : whole;
    lines.push(`# HELP ${called} ${escapeHelp(help)}`, `# TYPE ${called} ${type}`);
    for (const { labels, value } of samples) lines.push(`${whole}${labelText(labels)} ${number(value)}`);
  }
  if (format === "openmetrics") lines.push("# EOF");
  return lines.join("\n") + "\n";
}

function labelText(labels: Readonly<Record<string, string>>): string {
  const parts = Object.entries(labels).map(([name, value]) => `${name}="${escapeLabel(value)}"`);
  return parts.length === 0 ? "" : `{${parts.join(",")}}`;
}

function escapeHelp(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n");
}

function escapeLabel(text: string): string {
  return text.replaceAll("\\", "\\\\").replaceAll("\n", "\\n").replaceAll('"', '\\"');
}

/** All digits of whole numbers. */
function number(value: number): string {
  if (Number.isNaN(value)) return "NaN";
  if (!Number.isFinite(value)) return value > 0 ? "+Inf" : "-Inf";
  return Number.isInteger(value) && Math.abs(value) < 1e21 ? BigInt(value).toString() : String(value);
}
