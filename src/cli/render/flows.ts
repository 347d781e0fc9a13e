import type { FlowJson } from "../../bridge/views/json.ts";
import type { List, Screen } from "./context.ts";
import { left, right, table } from "./table.ts";
import { visible } from "./text.ts";
import { age, count, si } from "./units.ts";
import { flowEnds, protocolName } from "./words.ts";

function output(flow: FlowJson): string {
  if (flow.outputKnown === false) return "?";
  if (flow.output.length === 0) return "-";
  return flow.output.length === 1 ? visible(flow.output[0]!) : `${flow.output.length} out`;
}

function fate(flow: FlowJson, screen: Screen): string {
  const refused = flow.disposition === "dropped";
  const words = refused ? `dropped ${flow.dropReason ?? ""}` : flow.disposition;
  const flood = flow.disposition === "forwarded" && flow.output.length > 1 ? " (flood)" : "";
  const some = !refused && (flow.droppedPackets ?? 0) > 0 ? ` (${count(flow.droppedPackets!)} refused)` : "";
  const bad = flow.malformed === undefined ? "" : ` (bad ${flow.malformed} header)`;
  return refused ? screen.paint("red", words + bad) : words + flood + some + bad;
}

export const flowColumns = (screen: Screen) => [
  left("PORT", (flow: FlowJson) => visible(flow.port)),
  left("OUT", output),
  left("TENANT", (flow: FlowJson) => visible(flow.tenant ?? "-")),
  right("VLAN", (flow: FlowJson) => (flow.vlan === undefined ? "-" : String(flow.vlan))),
  left("PROTO", protocolName),
  left("SOURCE", (flow: FlowJson) => flowEnds(flow).source),
  left("DESTINATION", (flow: FlowJson) => flowEnds(flow).destination),
  right("PACKETS", (flow: FlowJson) => count(flow.packets)),
  right("BYTES", (flow: FlowJson) => si(flow.bytes)),
  right("BIT/S", (flow: FlowJson) => si(flow.bps)),
  right("AGE", (flow: FlowJson) => age(screen.nowMs - flow.firstMs)),
  left("FATE", (flow: FlowJson) => fate(flow, screen)),
];

const KEYS: Readonly<Record<string, string>> = {
  bps: "bit/s",
  pps: "packets/s",
  bytes: "bytes",
  packets: "packets",
  lastMs: "last packet",
  firstMs: "age",
};

export function renderFlows(list: List<FlowJson>, sort: string, screen: Screen): string[] {
  const key = sort.replace(/^-/, "");
  const title = `${count(list.items.length)} of ${count(list.total)} flows by ${KEYS[key] ?? key}`;
  const help = "(--limit, --sort, --where 'tenant=acme dstPort=443')";
  if (list.items.length === 0) return [`no flows ${help}`];
  return [`${title} ${help}`, ...table(flowColumns(screen), list.items, { paint: screen.paint })];
}

/** One line about a flow: "acme web1 10.1.0.5:443 > 10.1.0.77:51514 tcp". */
export function flowLine(flow: FlowJson): string {
  const { source, destination } = flowEnds(flow);
  const who = [flow.tenant, flow.port].filter((part): part is string => part !== undefined).map(visible);
  return `${who.join(" ")} ${source} > ${destination} ${protocolName(flow)}`;
}
