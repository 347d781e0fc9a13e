/** The plain lists: MAC table, rules, tenants, exporters. */
import type { ExporterJson, MacJson, RuleJson, TenantJson } from "../../bridge/views/json.ts";
import { isTrouble } from "../../telemetry/exporter.ts";
import type { List, Screen } from "./context.ts";
import { left, right, table } from "./table.ts";
import { visible } from "./text.ts";
import { age, clock, count, si } from "./units.ts";
import { listCounts, ownerName, plural, tenantName, total } from "./words.ts";

function heading(list: List<unknown>, what: string): string {
  const all = list.items.length === list.total ? "" : `${count(list.items.length)} of `;
  return `${all}${plural(list.total, what)}`;
}

export function renderMacs(list: List<MacJson>, screen: Screen): string[] {
  const columns = [
    left("BRIDGE", (mac: MacJson) => visible(mac.bridge)),
    right("VLAN", (mac: MacJson) => (mac.vlan === 0 ? "-" : String(mac.vlan))),
    left("MAC", (mac: MacJson) => mac.mac),
    left("PORT", (mac: MacJson) => visible(mac.port)),
    left("OWNER", (mac: MacJson) => ownerName(mac.owner, mac.tenant)),
    right("AGE", (mac: MacJson) => age(mac.ageMs)),
  ];
  const title = heading(list, "learned address").replace("addresss", "addresses");
  return [title, ...(list.items.length > 0 ? table(columns, list.items, { paint: screen.paint }) : [])];
}

export function renderRules(list: List<RuleJson>, screen: Screen): string[] {
  const columns = [
    left("BRIDGE", (rule: RuleJson) => visible(rule.bridge)),
    left("RULE", (rule: RuleJson) => rule.id),
    right("FLOWS", (rule: RuleJson) => (rule.flows === undefined ? "-" : count(rule.flows))),
    left("DECISION", (rule: RuleJson) =>
      rule.dropReason === undefined ? rule.disposition : screen.paint("red", `${rule.disposition} ${rule.dropReason}`),
    ),
    left("OUT", (rule: RuleJson) => rule.output.map(visible).join(",") || "-"),
    left("EVERY FRAME WITH", (rule: RuleJson) => visible(rule.match) || "(any)"),
  ];
  const title = heading(list, "rule");
  return [title, ...(list.items.length > 0 ? table(columns, list.items, { paint: screen.paint }) : [])];
}

export function renderTenants(list: List<TenantJson>, screen: Screen): string[] {
  const columns = [
    left("TENANT", tenantName),
    left("VLANS", (tenant: TenantJson) => tenant.vlans ?? "-"),
    right("PORTS", (tenant: TenantJson) => count(tenant.ports.length)),
    right("IN bit/s", (tenant: TenantJson) => si(tenant.rxBps)),
    right("OUT bit/s", (tenant: TenantJson) => si(tenant.txBps)),
    right("pps", (tenant: TenantJson) => si(tenant.rxPps)),
    right("FLOWS", (tenant: TenantJson) => count(tenant.flows)),
    right("NEW/s", (tenant: TenantJson) => si(tenant.newFlowsPps)),
    right("REFUSED/s", (tenant: TenantJson) => si(tenant.dropPps)),
    right("LOST/s", (tenant: TenantJson) => si(tenant.lostPps)),
    right("PACKETS", (tenant: TenantJson) => count(tenant.rxPackets)),
    right("REFUSED", (tenant: TenantJson) => count(tenant.dropped)),
    right("UNATTRIBUTED", (tenant: TenantJson) => count(total(tenant.unattributed))),
  ];
  return [
    `${heading(list, "tenant")}; IN = into the switch (the guest sent it); rates: 10 s`,
    ...table(columns, list.items, { paint: screen.paint }),
  ];
}

function exporterDetail(exporter: ExporterJson, screen: Screen): string[] {
  const lines = exporter.detail.length > 0 ? [exporter.detail.map(visible).join("  ")] : [];
  for (const collector of exporter.collectors) {
    if (collector.sendErrors === 0) continue;
    const when = collector.lastErrorMs === undefined ? "" : ` at ${clock(collector.lastErrorMs)}`;
    const to = exporter.collectors.length > 1 ? `${visible(collector.collector)}: ` : "";
    const why = visible(collector.lastError ?? "unknown");
    lines.push(screen.paint("yellow", `${to}${plural(collector.sendErrors, "send error")}, last${when}: ${why}`));
  }
  return lines.map((line) => `            ${line}`);
}

export function renderExporters(list: List<ExporterJson>, screen: Screen): string[] {
  if (list.items.length === 0) return ["no exporters (exporters: in the configuration)"];
  const columns = [
    left("NAME", (exporter: ExporterJson) => visible(exporter.name)),
    left("TO", (exporter: ExporterJson) => exporter.to.map(visible).join(", ") || "-"),
    left("STATE", (exporter: ExporterJson) =>
      isTrouble(exporter.state) ? screen.paint("red", exporter.state) : exporter.state,
    ),
    right("DATAGRAMS", (exporter: ExporterJson) => count(exporter.datagrams)),
    right("RECORDS", (exporter: ExporterJson) => count(exporter.records)),
    right("PACKETS", ({ packets, sampling }: ExporterJson) =>
      sampling ? `in ${si(sampling.pool)} pool` : count(packets),
    ),
    right("OCTETS", ({ octets, sampling }: ExporterJson) =>
      sampling ? `${count(sampling.lost)} lost` : count(octets),
    ),
    left("BASIS", (exporter: ExporterJson) => exporter.basis),
    right("PENDING", (exporter: ExporterJson) => si(exporter.pendingPackets)),
    left("NOT EXPORTABLE (packets)", (exporter: ExporterJson) => listCounts(exporter.notExportable) || "-"),
  ];
  return table(columns, list.items, { paint: screen.paint, below: (exporter) => exporterDetail(exporter, screen) });
}
