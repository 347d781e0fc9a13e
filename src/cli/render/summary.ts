/** The running summary of the demo: who sends how much, what was refused and why, and whether it adds up. */
import type { DropJson, FlowJson, SystemJson, TenantJson } from "../../bridge/views/json.ts";
import type { Screen } from "./context.ts";
import { flowLine } from "./flows.ts";
import { padEnd, padStart, visible } from "./text.ts";
import { bitRate, count, si, stopwatch } from "./units.ts";
import { plural } from "./words.ts";

export interface Summary {
  readonly system: SystemJson;
  readonly tenants: readonly TenantJson[];
  readonly top: FlowJson | undefined;
  readonly drops: readonly DropJson[];
}

const BAR = 20;

interface Share {
  readonly name: string;
  readonly share: number;
}

/** The three largest by bits in, the rest as one. Shares sum to 100. */
function shares(tenants: readonly TenantJson[]): Share[] {
  const all = tenants.reduce((sum, tenant) => sum + tenant.rxBps, 0);
  if (all <= 0) return [];
  const sorted = tenants.filter((tenant) => tenant.tenant !== undefined).toSorted((a, b) => b.rxBps - a.rxBps);
  const top = sorted.slice(0, 3).map((tenant) => ({
    name: visible(tenant.tenant!),
    share: Math.round((tenant.rxBps * 100) / all),
  }));
  const rest = 100 - top.reduce((sum, entry) => sum + entry.share, 0);
  return rest > 0 ? [...top, { name: "other", share: rest }] : top;
}

export function renderSummary(summary: Summary, screen: Screen): string[] {
  const { system } = summary;
  const bridge = system.bridges[0];
  if (bridge === undefined) return ["no bridge"];
  const { rates } = bridge;
  const tenants = summary.tenants.filter((tenant) => tenant.tenant !== undefined).length;
  const head =
    ` ${stopwatch(system.upMs)}  ${plural(tenants, "tenant")}, ${plural(bridge.ports.total, "port")}, ` +
    `${bridge.datapath} datapath (${visible(bridge.datapathWhy)})`;
  const pps = (value: number): string => `${padStart(count(Math.round(value)), 7)} pps`;
  const figures = [
    `in        ${pps(rates.rxPps)}   ${bitRate(rates.rxBps)}`,
    `forwarded ${pps(rates.forwardedPps)}`,
    `refused   ${pps(rates.droppedPps)}`,
    `consumed  ${pps(rates.consumedPps)}`,
  ];
  const bars = shares(summary.tenants).map(
    ({ name, share }) =>
      `${padEnd(name, 9)} ${padEnd("#".repeat(Math.max(1, Math.round((share * BAR) / 100))), BAR)} ${padStart(String(share), 3)} %`,
  );
  const lines = [screen.paint("bold", head)];
  for (let n = 0; n < Math.max(figures.length, bars.length); n++)
    lines.push(`        ${padEnd(figures[n] ?? "", 42)}${bars[n] ?? ""}`.trimEnd());
  const conserved = system.bridges.every((entry) => entry.conserved);
  lines.push(
    `        flows     ${padStart(count(bridge.flows), 7)}   ${padEnd(`(+${si(rates.newFlowsPps)}/s)`, 20)}   every frame accounted for: ${conserved ? "yes" : screen.paint("red", "NO")}`,
  );
  if (summary.top !== undefined) lines.push(`        top flow  ${flowLine(summary.top)}   ${bitRate(summary.top.bps)}`);
  summary.drops.slice(0, 2).forEach((drop, n) => {
    const who = `${visible(drop.port)}${drop.tenant === undefined ? "" : ` (${visible(drop.tenant)})`}`;
    const label = n === 0 ? "refused   " : "          ";
    lines.push(
      `        ${label}${padEnd(`${who}: ${visible(drop.text)}`, 56)} ${padStart(si(drop.pps), 4)} pps   ${drop.reason}`,
    );
  });
  return lines;
}
