import type { ReplayJson } from "../../bridge/views/json.ts";
import type { Screen } from "./context.ts";
import { visible } from "./text.ts";
import { bytes, count, si } from "./units.ts";
import { listCounts, plural } from "./words.ts";

export type ReplayResult = ReplayJson;

/** Bad news: a damaged file, datagrams that did not leave, sums that do not hold. */
export function replayFailed(result: ReplayResult): boolean {
  return (
    !result.audit.ok ||
    result.files.some((file) => file.error !== undefined || !file.complete) ||
    result.exporters.some((exporter) => exporter.sendErrors > 0)
  );
}

export function renderReplay(result: ReplayResult, screen: Screen): string[] {
  const lines: string[] = [];
  for (const file of result.files) {
    lines.push(`${visible(file.path)}  ${plural(file.packets, "packet")}, ${bytes(file.bytes)}`);
    if (file.error !== undefined)
      lines.push(screen.paint("red", `  ends at byte ${count(file.error.offset)}: ${visible(file.error.message)}`));
  }
  const rate = result.durationMs > 0 ? `, ${si((result.packets * 1000) / result.durationMs)} packets/s` : "";
  lines.push(
    `${plural(result.packets, "packet")}, ${plural(result.flows, "flow")}, ${plural(result.records, "record")} on ` +
      `${plural(result.ports, "port")} in ${(result.durationMs / 1000).toFixed(2)} s${rate}`,
  );
  if (result.malformed > 0)
    lines.push(`${plural(result.malformed, "packet")} with a bad header above VLAN (switched, counted)`);
  for (const exporter of result.exporters) {
    const missing = listCounts(exporter.notExportable);
    lines.push(
      `${visible(exporter.name)} -> ${visible(exporter.collector)}  ${plural(exporter.records, "record")} in ` +
        `${plural(exporter.datagrams, "datagram")}: ${plural(exporter.packets, "packet")}, ${plural(exporter.octets, "octet")}` +
        (missing === "" ? "" : `; not exportable (packets): ${missing}`),
    );
    if (exporter.sendErrors > 0)
      lines.push(
        screen.paint("red", `  ${plural(exporter.sendErrors, "send error")}: the collector did not take everything`),
      );
  }
  const drops = listCounts(result.drops);
  const { ok, rx, forwarded, dropped, consumed, unattributed } = result.audit;
  lines.push(
    `in ${count(rx)} = forwarded ${count(forwarded)} + refused ${count(dropped)} + consumed ${count(consumed)}` +
      `   ${ok ? "every frame accounted for" : screen.paint("red", "DOES NOT ADD UP")}`,
  );
  if (drops !== "") lines.push(`refused: ${drops}`);
  if (unattributed > 0) lines.push(`without a flow: ${count(unattributed)}`);
  return lines;
}
