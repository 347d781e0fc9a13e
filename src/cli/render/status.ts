import type { BridgeJson, SystemJson } from "../../bridge/views/json.ts";
import { isTrouble } from "../../telemetry/exporter.ts";
import type { Screen } from "./context.ts";
import { padEnd, visible } from "./text.ts";
import { bytes, clock, count, dateTime, duration, si } from "./units.ts";
import { addLost, listCounts, plural, total } from "./words.ts";

const STATES = ["up", "down", "absent", "conflict", "failed", "ended", "disabled"];

function portStates(bridge: BridgeJson): string {
  const states = STATES.filter((state) => (bridge.ports[state] ?? 0) > 0);
  return `${plural(bridge.ports.total, "port")}: ${states.map((state) => `${bridge.ports[state]} ${state}`).join(", ") || "none"}`;
}

function bridgeLine(bridge: BridgeJson): string {
  const what = `${bridge.state}  ${bridge.datapath} datapath (${visible(bridge.datapathWhy)})`;
  return `${padEnd(visible(bridge.name), 9)}${padEnd(what, 72)} ${portStates(bridge)}`;
}

export function renderStatus(system: SystemJson, screen: Screen): string[] {
  const flows = system.bridges.reduce((sum, bridge) => sum + bridge.flows, 0);
  const most = system.bridges.reduce((sum, bridge) => sum + bridge.maxFlows, 0);
  const exporters = system.exporters
    .map(({ name, state, message }) => {
      const said = isTrouble(state) ? screen.paint("red", `${state} ${visible(message ?? "")}`.trim()) : "ok";
      return `${visible(name)} ${said}`;
    })
    .join(" · ");
  const lost = addLost(system.bridges.map((bridge) => bridge.lost));
  const full = system.bridges.reduce((sum, bridge) => sum + (bridge.unattributed.tableFull ?? 0), 0);
  const conserved = system.bridges.every((bridge) => bridge.conserved);
  const lostWords = total(lost) > 0 ? `${count(total(lost))} (${listCounts(lost)})` : "0";
  const counts = [
    conserved ? "conserved" : screen.paint("red", "NOT CONSERVED"),
    `table full ${count(full)}`,
    `lost ${lostWords}`,
  ].join(" · ");
  const { config } = system;
  const file =
    config === undefined
      ? "none"
      : `${visible(config.path)}  loaded ${clock(config.loadedMs)}  sha256 ${config.sha256.slice(0, 4)}…`;
  const verdict =
    system.state === "ok" ? "healthy" : screen.paint("red", `DEGRADED: ${system.problems.map(visible).join("; ")}`);
  const revert =
    config?.revertsMs === undefined
      ? []
      : [`         goes back in ${duration(config.revertsMs - screen.nowMs)} unless kept: weir reload --keep`];
  return [
    ...system.bridges.map(bridgeLine),
    `telemetry  ${padEnd(exporters || "no exporters", 70)} flows ${count(flows)} of ${count(most)}`,
    `counts   ${counts}`,
    `config   ${file}  ${verdict}`,
    ...revert,
  ];
}

export function renderSystem(system: SystemJson, screen: Screen): string[] {
  const row = (name: string, text: string): string => `${padEnd(name, 12)}${text}`;
  const lines = [
    row("weir", `${system.version}  on ${visible(system.host.name)}, Node ${system.node}, Linux ${system.kernel}`),
    row("process", `${system.pid}, up ${duration(system.upMs)} since ${dateTime(system.startedMs)}`),
    row(
      "memory",
      `resident ${bytes(system.memory.rss)}, heap ${bytes(system.memory.heapUsed)}, shared with datapaths ${bytes(system.memory.shared)}`,
    ),
    row("api", [system.api.socket ?? "no socket", ...system.api.listen].map(visible).join("  ")),
  ];
  if (system.config !== undefined)
    lines.push(
      row(
        "config",
        `${visible(system.config.path)}, loaded ${dateTime(system.config.loadedMs)}, generation ${system.config.generation}`,
      ),
      row("", `sha256 ${system.config.sha256}`),
    );
  for (const bridge of system.bridges) {
    const { rates } = bridge;
    lines.push(
      row(
        "bridge",
        `${visible(bridge.name)}  ${bridge.mode}, ${bridge.datapath} datapath (${visible(bridge.datapathWhy)})`,
      ),
      row("", `${portStates(bridge)}`),
      row(
        "",
        `in ${si(rates.rxPps)} pps ${si(rates.rxBps)} bit/s, refused ${si(rates.refusedPps)} pps, lost ${si(rates.lostPps)} pps`,
      ),
      row(
        "",
        `flows ${count(bridge.flows)} of ${count(bridge.maxFlows)} (+${si(rates.newFlowsPps)}/s), rules ${count(bridge.rules)}, MACs ${count(bridge.macs)} of ${count(bridge.macTableSize)}`,
      ),
    );
  }
  for (const problem of system.problems) lines.push(row("problem", screen.paint("red", visible(problem))));
  return lines;
}
