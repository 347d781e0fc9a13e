import type { BridgeJson, MirrorJson, PortJson } from "../../bridge/views/json.ts";
import type { Screen } from "./context.ts";
import { left, right, table } from "./table.ts";
import { padEnd, visible } from "./text.ts";
import { bytes, count, duration, linkSpeed, si } from "./units.ts";
import { listCounts, ownerName, total, vlanName } from "./words.ts";

function state(port: PortJson): string {
  if (!port.enabled) return "disabled";
  return port.state === "up" ? `up ${linkSpeed(port.speed)}`.trim() : visible(port.state);
}

/** "* mirrored by anna, 4 m left": who sees what this port's guest says. */
function mirrorText(port: PortJson, mirrors: readonly MirrorJson[], screen: Screen): string {
  const own = mirrors.filter(
    ({ bridge, name, state }) => state === "running" && bridge === port.bridge && port.mirrors?.includes(name),
  );
  if (own.length === 0) return "";
  const texts = own.map(({ startedBy, endsMs }) =>
    endsMs === undefined
      ? `mirrored by ${visible(startedBy)}`
      : `mirrored by ${visible(startedBy)}, ${duration(Math.max(0, endsMs - screen.nowMs))} left`,
  );
  return `* ${texts.join("; ")}`;
}

/** What is not as it should be, behind the row. */
function remark(port: PortJson, screen: Screen): string {
  const notes: string[] = [];
  if (port.message !== undefined) notes.push(visible(port.message));
  if (port.disabledUntilMs !== undefined) notes.push(`on again in ${duration(port.disabledUntilMs - screen.nowMs)}`);
  if (port.dropPps > 0) notes.push(listNames(port.drops));
  if (port.lostPps > 0) notes.push(`lost: ${listNames({ ...port.lost })}`);
  if (notes.length === 0) return "";
  return screen.paint(port.enabled && port.state !== "up" ? "yellow" : "red", `! ${notes.join("; ")}`);
}

function listNames(counts: Record<string, number>): string {
  return Object.entries(counts)
    .filter(([, value]) => value > 0)
    .toSorted((a, b) => b[1] - a[1])
    .map(([name]) => visible(name))
    .join(", ");
}

const live =
  (value: (port: PortJson) => number) =>
  (port: PortJson): string =>
    port.state === "up" && port.enabled ? si(value(port)) : "-";

export function renderPorts(
  bridges: readonly BridgeJson[],
  ports: readonly PortJson[],
  screen: Screen,
  mirrors: readonly MirrorJson[] = [],
): string[] {
  const lines: string[] = [];
  for (const bridge of bridges) {
    const own = ports.filter((port) => port.bridge === bridge.name);
    if (own.length === 0 && bridges.length > 1) continue;
    if (lines.length > 0) lines.push("");
    const title = `${visible(bridge.name)}  ${bridge.mode}, ${bridge.datapath} datapath, up ${duration(bridge.upMs)}`;
    lines.push(`${padEnd(screen.paint("bold", title), 62)} IN = into the switch (the guest sent it); rates: 10 s`);
    if (own.length === 0) lines.push("no ports");
    else lines.push(...table(columns(screen, mirrors), own, { paint: screen.paint }));
  }
  lines.push("DROP: refused by Weir (weir show drops). LOST: ring, NIC or tap, not by Weir (weir show ports NAME).");
  return lines;
}

const columns = (screen: Screen, mirrors: readonly MirrorJson[]) => [
  left("PORT", (port: PortJson) => visible(port.name)),
  left("STATE", state),
  left("DEVICE", (port: PortJson) => visible(port.device ?? "-")),
  right("IFINDEX", (port: PortJson) => String(port.ifIndex)),
  left("VLAN", (port: PortJson) => (port.mirrorOutputOf === undefined ? vlanName(port.vlan) : "mirror output")),
  left("OWNER", (port: PortJson) => ownerName(port.owner)),
  right(
    "IN bit/s",
    live((port) => port.rxBps),
  ),
  right(
    "pps",
    live((port) => port.rxPps),
  ),
  right(
    "OUT bit/s",
    live((port) => port.txBps),
  ),
  right(
    "pps",
    live((port) => port.txPps),
  ),
  right(
    "DROP/s",
    live((port) => port.dropPps),
  ),
  right(
    "LOST/s",
    live((port) => port.lostPps),
  ),
  left("", (port: PortJson) => [mirrorText(port, mirrors, screen), remark(port, screen)].filter(Boolean).join("  ")),
];

/** One port in full: `weir show ports NAME`. */
export function renderPort(port: PortJson, screen: Screen): string[] {
  const rows: [string, string][] = [
    ["port", `${visible(port.name)}  ${visible(port.bridge)}, ${visible(port.type)}, from ${port.origin}`],
    ["state", `${state(port)} ${remark(port, screen)}`],
    [
      "device",
      `${visible(port.device ?? "-")}  ${port.mac ?? ""}  mtu ${port.mtu || "unlimited"}  ifIndex ${port.ifIndex}`,
    ],
    ["vlan", vlanName(port.vlan)],
    ["owner", ownerName(port.owner, port.tenant)],
    ["in", `${count(port.rxPackets)} packets, ${bytes(port.rxBytes)}   ${si(port.rxPps)} pps, ${si(port.rxBps)} bit/s`],
    ["  forwarded", count(port.forwarded)],
    ["  dropped", withList(port.dropped, listCounts(port.drops))],
    ["  consumed", count(port.consumed)],
    ...(port.observed > 0 ? ([["  observed", count(port.observed)]] as [string, string][]) : []),
    ["  pending", count(port.pending)],
    [
      "out",
      `${count(port.txPackets)} packets, ${bytes(port.txBytes)}   ${si(port.txPps)} pps, ${si(port.txBps)} bit/s`,
    ],
    ["  not sent", count(port.txFailed)],
    ["lost around", withList(total(port.lost), listCounts(port.lost))],
    ["malformed", withList(total(port.malformed), listCounts(port.malformed))],
    ["unattributed", withList(total(port.unattributed), listCounts(port.unattributed))],
    ...(port.mirrors === undefined
      ? []
      : ([["mirrored by", port.mirrors.map(visible).join(", ")]] as [string, string][])),
    ...(port.mirrorOutputOf === undefined
      ? []
      : ([["copies of", port.mirrorOutputOf.map(visible).join(", ")]] as [string, string][])),
    ["flows", `${count(port.flows)} live, ${count(port.flowsCreated)} ever`],
    ["samples", `${count(port.samples)} of ${count(port.samplePool)} packets, ${count(port.sampleDrops)} lost`],
  ];
  return rows.map(([name, text]) => `${padEnd(name, 14)} ${text}`.trimEnd());
}

function withList(sum: number, list: string): string {
  return list === "" ? count(sum) : `${count(sum)}   ${list}`;
}
