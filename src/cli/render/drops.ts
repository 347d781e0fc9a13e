import type { DropJson, DropsExtra, LostRowJson } from "../../bridge/views/json.ts";
import type { List, Screen } from "./context.ts";
import { left, right, table } from "./table.ts";
import { visible } from "./text.ts";
import { count, duration, si } from "./units.ts";
import { ownerName, plural } from "./words.ts";

function ago(unixMs: number | undefined, screen: Screen): string {
  return unixMs === undefined ? "-" : duration(screen.nowMs - unixMs);
}

function evidence(drop: DropJson): string[] {
  const lines: string[] = [];
  if (drop.last !== undefined) lines.push(`      last: ${visible(drop.last)}`);
  if (drop.trace !== undefined) lines.push(`      why:  weir trace ${visible(drop.trace)}`);
  return lines;
}

const columns = (screen: Screen) => [
  left("PORT", (drop: DropJson) => visible(drop.port)),
  left("OWNER", (drop: DropJson) => ownerName(drop.owner, drop.tenant)),
  left("REASON", (drop: DropJson) => (drop.class === "expected" ? drop.reason : screen.paint("red", drop.reason))),
  right("PACKETS", (drop: DropJson) => count(drop.packets)),
  right("/s", (drop: DropJson) => si(drop.pps)),
  right("TOTAL", (drop: DropJson) => count(drop.totalPackets)),
  right("LAST", (drop: DropJson) => ago(drop.lastMs, screen)),
  left("", (drop: DropJson) => visible(drop.text)),
];

const lostColumns = (screen: Screen) => [
  left("PORT", (row: LostRowJson) => visible(row.port)),
  left("OWNER", (row: LostRowJson) => ownerName(row.owner)),
  left("WHERE", (row: LostRowJson) => screen.paint("yellow", row.where)),
  right("PACKETS", (row: LostRowJson) => count(row.packets)),
  right("TOTAL", (row: LostRowJson) => count(row.totalPackets)),
  right("LAST", (row: LostRowJson) => ago(row.lastMs, screen)),
  left("", (row: LostRowJson) => visible(row.text)),
];

export function renderDrops(list: List<DropJson> & DropsExtra, since: string, screen: Screen): string[] {
  const window = since === "start" ? "since the start" : `last ${duration(list.windowMs).replace(/\.0 s$/, " s")}`;
  const lines = [`refused, ${window}  (--since 1h|start, --all)`];
  if (list.items.length === 0) lines.push("nothing was refused");
  else lines.push(...table(columns(screen), list.items, { paint: screen.paint, below: evidence }));
  if (list.lost.length > 0)
    lines.push("lost around the switch", ...table(lostColumns(screen), list.lost, { paint: screen.paint }));
  const { packets, reasons } = list.expected;
  if (packets > 0)
    lines.push(`expected, not shown: ${plural(packets, "packet")}, ${plural(reasons, "reason")} (--all)`);
  return lines;
}
