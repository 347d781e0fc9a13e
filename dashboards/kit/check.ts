/** What types cannot say of a set of boards: identities, places, variables, links. */
import type * as dashboard from "@grafana/grafana-foundation-sdk/dashboard";
import { SOURCE_VARIABLE } from "./target.ts";

/** Variables that Grafana itself has. */
const OWN = /^(__|timeFilter$|tag_|col$)/;

/** Sentences, one for each thing that is wrong; none where all is well. */
export function problems(boards: readonly dashboard.Dashboard[]): string[] {
  const uids = boards.map(({ uid }) => uid);
  const wrong: string[] = [];
  if (new Set(uids).size !== uids.length) wrong.push(`a uid is there twice: ${uids.join(" ")}`);
  for (const board of boards) {
    const say = (what: string): void => void wrong.push(`${board.uid}: ${what}`);
    const panels = board.panels ?? [];
    if (!board.uid || board.uid.length > 40 || !board.title || !board.description)
      say("lacks uid, title or description");
    if (board.id !== undefined && board.id !== null) say("has an id of one Grafana");
    if (new Set(panels.map(({ id }) => id)).size !== panels.length) say("an id is there twice");
    for (const [n, one] of panels.entries()) {
      checkPlace(one, say);
      for (const other of panels.slice(n + 1))
        if (overlap(one.gridPos!, other.gridPos!)) say(`"${one.title}" and "${other.title}" overlap`);
      if (one.type !== "row") checkPanel(one as dashboard.Panel, say);
    }
    checkSources(board, say);
    checkVariables(board, say);
    checkLinks(board, boards, say);
  }
  return wrong;
}

type Say = (what: string) => void;

function checkPlace({ title, gridPos }: dashboard.Panel | dashboard.RowPanel, say: Say): void {
  if (gridPos === undefined) return say(`"${title}" has no place`);
  const { x, y, w, h } = gridPos;
  if (x < 0 || y < 0 || w < 1 || h < 1 || x + w > 24) say(`"${title}" is beyond the grid`);
}

function overlap(a: dashboard.GridPos, b: dashboard.GridPos): boolean {
  return a.x < b.x + b.w && b.x < a.x + a.w && a.y < b.y + b.h && b.y < a.y + a.h;
}

function checkPanel({ title, description, targets = [], fieldConfig, options }: dashboard.Panel, say: Say): void {
  if (!title || !description) say(`a panel lacks title or description: "${title}"`);
  const refs = targets.map((target) => (target as { refId?: string }).refId);
  if (refs.length === 0 || refs.includes(undefined) || new Set(refs).size !== refs.length)
    say(`"${title}": each target needs a refId of its own`);
  if (fieldConfig?.defaults.noValue === undefined) say(`"${title}" does not say what it shows of nothing`);
  if (options === undefined) say(`"${title}" has no options`);
}

/** Every data source is the board's variable. */
function checkSources(board: dashboard.Dashboard, say: Say): void {
  JSON.stringify(board, (key, value: unknown) => {
    if (key === "datasource" && (value as { uid?: string }).uid !== `\${${SOURCE_VARIABLE}}`)
      say(`a fixed data source: ${JSON.stringify(value)}`);
    return value;
  });
}

function checkVariables(board: dashboard.Dashboard, say: Say): void {
  const defined = (board.templating.list ?? []).map(({ name }) => name);
  const used = (value: unknown): string[] =>
    [...JSON.stringify(value).matchAll(/\$\{?([A-Za-z_]\w*)/g)]
      .map(([, name]) => name!)
      .filter((name) => !OWN.test(name));
  for (const name of new Set(used(board))) if (!defined.includes(name)) say(`variable ${name} is not defined`);
  for (const [n, variable] of (board.templating.list ?? []).entries())
    for (const name of used([variable.query ?? "", variable.datasource ?? ""]))
      if (!defined.slice(0, n).includes(name)) say(`variable ${variable.name} needs ${name}, which comes after it`);
  for (const name of defined) if (!used([board.panels]).includes(name)) say(`variable ${name} is not used`);
}

function checkLinks(board: dashboard.Dashboard, boards: readonly dashboard.Dashboard[], say: Say): void {
  for (const { type, tags, includeVars, keepTime, title } of board.links ?? []) {
    if (type === "dashboards" && !boards.some((other) => tags.every((tag) => other.tags?.includes(tag))))
      say(`link "${title}" leads nowhere`);
    if (!includeVars || !keepTime) say(`link "${title}" loses variables or time`);
  }
  for (const [, uid, query] of JSON.stringify(board.panels).matchAll(/"\/d\/([^?"]*)\??([^"]*)"/g)) {
    const target = boards.find((other) => other.uid === uid);
    if (target === undefined) {
      say(`a link to ${uid}, which is not there`);
      continue;
    }
    if (!query!.includes("${__url_time_range}") || !query!.includes(`\${${SOURCE_VARIABLE}:queryparam}`))
      say(`a link to ${uid} loses data source or time`);
    const known = (target.templating.list ?? []).map(({ name }) => name);
    for (const [, name] of query!.matchAll(/(?:\$\{|var-)(\w+)(?::queryparam\}|=)/g))
      if (!known.includes(name!)) say(`a link to ${uid} says ${name}, which it does not know`);
  }
}
