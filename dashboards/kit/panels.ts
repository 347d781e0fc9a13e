/** The kinds of panels, in the house's style; each says what it shows, in which unit, and what it says of nothing. */
import * as bargauge from "@grafana/grafana-foundation-sdk/bargauge";
import type { Builder } from "@grafana/grafana-foundation-sdk/cog";
import * as common from "@grafana/grafana-foundation-sdk/common";
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import * as stat from "@grafana/grafana-foundation-sdk/stat";
import * as table from "@grafana/grafana-foundation-sdk/table";
import * as timeline from "@grafana/grafana-foundation-sdk/statetimeline";
import * as timeseries from "@grafana/grafana-foundation-sdk/timeseries";
import { sourceOf, type Target } from "./target.ts";

export interface Panel extends Builder<dashboard.Panel> {
  id(id: number): this;
  gridPos(place: dashboard.GridPos): this;
}

export interface Look {
  readonly title: string;
  /** One or two sentences behind the "i" of the panel. */
  readonly description: string;
  readonly targets: readonly (Target | readonly Target[])[];
  /** Instead of the targets' own. */
  readonly unit?: string;
  /** Values from which a panel is yellow and red. */
  readonly warn?: number;
  readonly alarm?: number;
  /** Said where there is no value. */
  readonly empty?: string;
  /** Links of values to other boards, as URLs. */
  readonly links?: Readonly<Record<string, string>>;
}

const built = <T>(value: T): Builder<T> => ({ build: () => value });
const all = ({ targets }: Look): readonly Target[] => targets.flat();
const first = (look: Look): Target => all(look)[0]!;
const targetsOf = (look: Look) => all(look).map((target, n) => built(target.build(String.fromCharCode(65 + n))));

export const link = (title: string, url: string): dashboard.DashboardLink => ({
  title,
  url,
  type: dashboard.DashboardLinkType.Link,
  icon: "external link",
  tooltip: "",
  tags: [],
  asDropdown: false,
  targetBlank: false,
  includeVars: false,
  keepTime: false,
});
const linksOf = ({ links = {} }: Look) => Object.entries(links).map(([title, url]) => built(link(title, url)));

function thresholds({ warn, alarm }: Look, good = "green"): Builder<dashboard.ThresholdsConfig> {
  const steps: dashboard.Threshold[] = [{ value: null, color: good }];
  if (warn !== undefined) steps.push({ value: warn, color: "yellow" });
  if (alarm !== undefined) steps.push({ value: alarm, color: "red" });
  return built({ mode: dashboard.ThresholdsMode.Absolute, steps });
}

export type Calculation = "lastNotNull" | "max" | "mean" | "sum";

export interface Lines extends Look {
  /** Lines on top of each other: where their sum means something. */
  readonly isStacked?: boolean;
  /** In the legend's table. */
  readonly calculations?: readonly Calculation[];
}

export function lines(look: Lines): Panel {
  const { isStacked = false, calculations = ["mean", "max", "lastNotNull"] } = look;
  return (
    new timeseries.PanelBuilder()
      .title(look.title)
      .description(look.description)
      .datasource(sourceOf(first(look).source))
      .targets(targetsOf(look))
      .unit(look.unit ?? first(look).unit)
      .min(0)
      .noValue(look.empty ?? "nothing in this range")
      .colorScheme(built({ mode: dashboard.FieldColorModeId.PaletteClassicByName }))
      .thresholds(thresholds(look))
      .thresholdsStyle(
        built({
          mode: look.alarm === undefined ? common.GraphThresholdsStyleMode.Off : common.GraphThresholdsStyleMode.Dashed,
        }),
      )
      .dataLinks(linksOf(look))
      .drawStyle(common.GraphDrawStyle.Line)
      .lineInterpolation(common.LineInterpolation.Linear)
      .lineWidth(1)
      .fillOpacity(isStacked ? 30 : 8)
      .showPoints(common.VisibilityMode.Auto)
      // Up to a minute without a row is the way between two rows; more is a gap and looks like one.
      .spanNulls(60_000)
      .stacking(built({ mode: isStacked ? common.StackingMode.Normal : common.StackingMode.None, group: "A" }))
      .legend(
        built({
          displayMode: common.LegendDisplayMode.Table,
          placement: common.LegendPlacement.Bottom,
          showLegend: true,
          sortBy: "Mean",
          sortDesc: true,
          calcs: [...calculations],
        }),
      )
      .tooltip(built({ mode: common.TooltipDisplayMode.Multi, sort: common.SortOrder.Descending }))
  );
}

export interface Single extends Look {
  readonly calculation?: Calculation;
  /** Words for values, as 0 and 1. */
  readonly words?: Readonly<Record<string, { readonly text: string; readonly color: string }>>;
}

export const TROUBLE = { "1": { text: "well", color: "green" }, "0": { text: "in trouble", color: "red" } } as const;

const mappings = (words: NonNullable<Single["words"]>): dashboard.ValueMapping[] => [
  {
    type: dashboard.MappingType.ValueToText,
    options: Object.fromEntries(Object.entries(words).map(([value, word], index) => [value, { ...word, index }])),
  },
];

export function number(look: Single): Panel {
  const { calculation = "lastNotNull", words } = look;
  return new stat.PanelBuilder()
    .title(look.title)
    .description(look.description)
    .datasource(sourceOf(first(look).source))
    .targets(targetsOf(look))
    .unit(look.unit ?? first(look).unit)
    .noValue(look.empty ?? "–")
    .thresholds(thresholds(look, look.alarm === undefined && look.warn === undefined ? "text" : "green"))
    .colorScheme(built({ mode: dashboard.FieldColorModeId.Thresholds }))
    .mappings(words === undefined ? [] : mappings(words))
    .dataLinks(linksOf(look))
    .graphMode(common.BigValueGraphMode.Area)
    .colorMode(common.BigValueColorMode.Value)
    .justifyMode(common.BigValueJustifyMode.Auto)
    .textMode(common.BigValueTextMode.Auto)
    .reduceOptions(built({ values: false, calcs: [calculation], fields: "" }));
}

/** One bar for each row of a table: shares of a whole. */
export function bars(look: Look): Panel {
  return (
    new bargauge.PanelBuilder()
      .title(look.title)
      .description(look.description)
      .datasource(sourceOf(first(look).source))
      .targets(targetsOf(look))
      .unit(look.unit ?? first(look).unit)
      .min(0)
      .noValue(look.empty ?? "nothing in this range")
      .colorScheme(built({ mode: dashboard.FieldColorModeId.ContinuousBlues }))
      .orientation(common.VizOrientation.Horizontal)
      .displayMode(common.BarGaugeDisplayMode.Basic)
      .valueMode(common.BarGaugeValueMode.Text)
      .namePlacement(common.BarGaugeNamePlacement.Auto)
      .showUnfilled(true)
      // Rows, not series: each is a value of its own.
      .reduceOptions(built({ values: true, calcs: [], fields: "/.*/", limit: 50 }))
  );
}

/** States over time, in words. */
export function states(look: Single): Panel {
  return new timeline.PanelBuilder()
    .title(look.title)
    .description(look.description)
    .datasource(sourceOf(first(look).source))
    .targets(targetsOf(look))
    .noValue(look.empty ?? "nothing in this range")
    .mappings(mappings(look.words ?? {}))
    .colorScheme(built({ mode: dashboard.FieldColorModeId.Thresholds }))
    .thresholds(thresholds(look))
    .dataLinks(linksOf(look))
    .mergeValues(true)
    .showValue(common.VisibilityMode.Never)
    .rowHeight(0.8)
    .fillOpacity(70)
    .spanNulls(60_000)
    .legend(
      built({
        displayMode: common.LegendDisplayMode.List,
        placement: common.LegendPlacement.Bottom,
        showLegend: true,
        calcs: [],
      }),
    );
}

export interface Column {
  /** Its name in the answer, after the transformations. */
  readonly of: string;
  /** Its heading, where it is another. */
  readonly as?: string;
  readonly unit?: string;
  /** Drawn as a bar behind the number. */
  readonly isBar?: boolean;
  readonly links?: Readonly<Record<string, string>>;
}

export interface Table extends Look {
  /** In their order; what is not among them is left out. */
  readonly columns: readonly Column[];
  /** The heading of the column that it is sorted by, largest first. */
  readonly sortBy: string;
  /** Before the columns are put in order. */
  readonly transformations?: readonly dashboard.DataTransformerConfig[];
}

export function rowsOf(look: Table): Panel {
  const { columns, transformations = [] } = look;
  const heading = ({ of, as }: Column): string => as ?? of;
  const panel = new table.PanelBuilder()
    .title(look.title)
    .description(look.description)
    .datasource(sourceOf(first(look).source))
    .targets(targetsOf(look))
    .unit(look.unit ?? first(look).unit)
    .noValue(look.empty ?? "–")
    .filterable(true)
    .showHeader(true)
    .footer(built({ show: false, reducer: [] }))
    .sortBy([built({ displayName: look.sortBy, desc: true })])
    .transformations([
      // Of each query a table: rows of the same names become one.
      ...(all(look).length > 1 ? [{ id: "merge", options: {} }] : []),
      ...transformations,
      { id: "filterFieldsByName", options: { include: { names: columns.map(({ of }) => of) } } },
      {
        id: "organize",
        options: {
          excludeByName: {},
          indexByName: Object.fromEntries(columns.map(({ of }, n) => [of, n])),
          renameByName: Object.fromEntries(columns.map((column) => [column.of, heading(column)])),
        },
      },
    ]);
  for (const column of columns) {
    const properties: dashboard.DynamicConfigValue[] = [];
    if (column.unit !== undefined) properties.push({ id: "unit", value: column.unit });
    if (column.isBar)
      properties.push(
        {
          id: "custom.cellOptions",
          value: { type: common.TableCellDisplayMode.Gauge, mode: common.BarGaugeDisplayMode.Basic },
        },
        { id: "color", value: { mode: dashboard.FieldColorModeId.ContinuousBlues } },
        { id: "min", value: 0 },
      );
    if (column.links)
      properties.push({ id: "links", value: Object.entries(column.links).map(([title, url]) => link(title, url)) });
    if (properties.length) panel.overrideByName(heading(column), properties);
  }
  return panel;
}
