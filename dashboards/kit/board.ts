/** A board: rows of panels, laid out from left to right; its variables; links to its siblings that keep them and the time. */
import * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import type { Panel } from "./panels.ts";
import type { SourceType } from "./target.ts";
import { sourceVariable } from "./variables.ts";

/** Grafana's grid is 24 wide; a unit of height is about 30 px. */
const WIDTH = 24;

export interface Section {
  readonly title: string;
  readonly height: number;
  /** Panels with their widths; what does not fit begins a new line. */
  readonly panels: readonly (readonly [width: number, panel: Panel])[];
}

export interface Board {
  /** Stable: links and bookmarks are made of it. */
  readonly uid: string;
  readonly title: string;
  readonly description: string;
  readonly source: SourceType;
  readonly variables: readonly dashboard.VariableModel[];
  readonly sections: readonly Section[];
  /** How far back it looks when it is opened. */
  readonly from?: string;
}

const NAMES: Readonly<Record<SourceType, string>> = { influxdb: "InfluxDB", prometheus: "Prometheus" };
const tagOf = (source: SourceType): string => `weir-${source}`;

export function buildBoard(board: Board): dashboard.Dashboard {
  const { source } = board;
  const whole = new dashboard.DashboardBuilder(`Weir: ${board.title} (${NAMES[source]})`)
    .uid(board.uid)
    .description(board.description)
    .tags(["weir", tagOf(source)])
    .timezone("browser")
    .time({ from: board.from ?? "now-1h", to: "now" })
    .refresh("30s")
    .tooltip(dashboard.DashboardCursorSync.Crosshair)
    .variables([sourceVariable(source), ...board.variables].map((variable) => ({ build: () => variable })))
    .links([{ build: () => siblings(source) }])
    .build();
  return { ...whole, panels: laidOut(board.sections) };
}

/** All boards of the same data source, with this board's variables and time. */
function siblings(source: SourceType): dashboard.DashboardLink {
  return {
    title: "Weir",
    type: dashboard.DashboardLinkType.Dashboards,
    icon: "external link",
    tooltip: "",
    tags: [tagOf(source)],
    asDropdown: false,
    targetBlank: false,
    includeVars: true,
    keepTime: true,
  };
}

function laidOut(sections: readonly Section[]): (dashboard.Panel | dashboard.RowPanel)[] {
  const placed: (dashboard.Panel | dashboard.RowPanel)[] = [];
  let y = 0;
  for (const { title, height, panels } of sections) {
    placed.push(
      new dashboard.RowBuilder(title)
        .id(placed.length + 1)
        .gridPos({ x: 0, y, w: WIDTH, h: 1 })
        .build(),
    );
    y++;
    let x = 0;
    for (const [w, panel] of panels) {
      if (x + w > WIDTH) [x, y] = [0, y + height];
      placed.push(
        panel
          .id(placed.length + 1)
          .gridPos({ x, y, w, h: height })
          .build(),
      );
      x += w;
    }
    y += height;
  }
  return placed;
}

/** A link of a value to a board, with all that is chosen here; `more` as "var-port=…". */
export const toBoard = (uid: string, keep: readonly string[], more: string): string =>
  `/d/${uid}?${[...["DS", ...keep].map((name) => `\${${name}:queryparam}`), more, "${__url_time_range}"].join("&")}`;
