import { DROP_REASONS } from "../../flow/disposition.ts";
import type { AuditJson, Counts } from "../../bridge/views/json.ts";
import type { Screen } from "./context.ts";
import { padEnd, padStart, visible } from "./text.ts";
import { count, dateTime } from "./units.ts";
import { listCounts } from "./words.ts";

const EXPECTED = new Set(DROP_REASONS.filter((reason) => reason.class === "expected").map((reason) => reason.name));

function reasons(drops: Counts): string {
  return Object.entries(drops)
    .filter(([, packets]) => packets > 0)
    .toSorted((a, b) => b[1] - a[1])
    .map(([name, packets]) => `${visible(name)} ${count(packets)}${EXPECTED.has(name) ? " (expected)" : ""}`)
    .join(", ");
}

const LABEL = 34;
const NUMBER = 15;

function term(label: string, value: number, note = ""): string {
  return `${padEnd(label, LABEL)}${padStart(count(value), NUMBER)}${note === "" ? "" : `   ${note}`}`;
}

function sum(value: number, rx: number, ok: boolean, screen: Screen): string {
  const verdict = ok ? "yes" : screen.paint("red", "NO");
  const off = Math.abs(rx - value);
  const relation = off === 0 || !ok ? "= received" : `= received, but for ${count(off)} in flight`;
  return `${" ".repeat(LABEL)}${padStart(count(value), NUMBER)}   ${padEnd(relation, 56)}${verdict}`;
}

export function renderAudit(audit: AuditJson, screen: Screen): string[] {
  const verdict = audit.ok ? `OK, ${audit.exact ? "exact" : `within ${count(audit.inFlight)} frames in flight`}` : "";
  const title = `${visible(audit.bridge)}  ${audit.datapath} datapath  ${dateTime(Date.parse(audit.at))}`;
  const lines = [
    `${padEnd(screen.paint("bold", title), 80)}${audit.ok ? verdict : screen.paint("red", "DOES NOT ADD UP")}`,
    term("received by ports", audit.rx),
    term("  forwarded", audit.forwarded),
    term("  dropped", audit.dropped, reasons(audit.drops)),
    term("  consumed", audit.consumed),
  ];
  if (audit.observed > 0) lines.push(term("  observed", audit.observed));
  if (audit.pending > 0) lines.push(term("  waiting for a rule", audit.pending));
  const dispositions = audit.forwarded + audit.dropped + audit.consumed + audit.observed + audit.pending;
  lines.push(
    sum(dispositions, audit.rx, audit.dispositionsOk, screen),
    term("in records written", audit.inRecords),
    term("in the table, not yet in a record", audit.inTable),
    term("unattributed", audit.unattributed, listCounts(audit.causes)),
  );
  if (audit.pending > 0) lines.push(term("waiting for a rule", audit.pending));
  lines.push(
    sum(audit.inRecords + audit.inTable + audit.unattributed + audit.pending, audit.rx, audit.flowsOk, screen),
  );
  for (const exporter of audit.exporters) {
    const terms = [`sent ${count(exporter.packets)}`];
    for (const [why, packets] of Object.entries(exporter.notExportable))
      if (packets > 0) terms.push(`${visible(why)} ${count(packets)}`);
    if (exporter.pending > 0) terms.push(`not yet sent ${count(exporter.pending)}`);
    if (exporter.lost > 0) terms.push(`overrun ${count(exporter.lost)}`);
    const packets = exporter.packets + Object.values(exporter.notExportable).reduce((a, b) => a + b, 0);
    const equation = `${visible(exporter.name)}: ${terms.join(" + ")} = ${count(packets + exporter.pending + exporter.lost)} in records`;
    lines.push(`${padEnd(equation, 98)} ${exporter.ok ? "yes" : screen.paint("red", "NO")}`);
  }
  const { ring, nic, tap, qdisc } = audit.lost;
  lines.push(
    "outside the sum (Weir cannot answer for these)",
    `  before us   ring ${count(ring)}, nic ${count(nic)}`,
    `  after us    tap ${count(tap)}, qdisc ${count(qdisc)}`,
  );
  return lines;
}
