/** The variables of a board: its data source, and choices that depend on those before them. */
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { SOURCE_VARIABLE, sourceOf, type SourceType } from "./target.ts";

/** Several, or all; what has no such name at all (a port of nobody) is in "All". */
export function choice(
  type: SourceType,
  name: string,
  label: string,
  query: string | Record<string, unknown>,
  definition: string,
): dashboard.VariableModel {
  return new dashboard.QueryVariableBuilder(name)
    .label(label)
    .datasource(sourceOf(type))
    .query(query)
    .definition(definition)
    .refresh(dashboard.VariableRefresh.OnTimeRangeChanged)
    .sort(dashboard.VariableSort.NaturalAsc)
    .multi(true)
    .includeAll(true)
    .allValue(".*")
    .current({ selected: true, text: ["All"], value: ["$__all"] })
    .build();
}

export function sourceVariable(type: SourceType): dashboard.VariableModel {
  return new dashboard.DatasourceVariableBuilder(SOURCE_VARIABLE)
    .label("Data source")
    .type(type)
    .description(type === "influxdb" ? "InfluxDB with InfluxQL" : "Prometheus")
    .build();
}
