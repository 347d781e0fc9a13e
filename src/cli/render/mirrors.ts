/** Mirror sessions as a table, with a line for what is wrong with one. */
import type { MirrorJson } from "../../bridge/views/json.ts";
import type { List, Screen } from "./context.ts";
import { visible } from "./text.ts";
import { duration } from "./units.ts";

export function selectText({ select }: MirrorJson): string {
  const parts = [
    ...(select.all ? ["all"] : []),
    ...(select.ports ?? []),
    ...(select.owners ?? []).flatMap((owner) => Object.entries(owner).map(([key, value]) => `${key}=${value}`)),
    ...(select.vlans === undefined ? [] : [`vlan ${select.vlans.join(",")}`]),
    ...(select.direction === "both" ? [] : [select.direction]),
    ...(select.dropped === "include" ? [] : [`dropped ${select.dropped}`]),
    ...(select.filter === undefined ? [] : [`"${select.filter}"`]),
  ];
  return visible(parts.join(" "));
}

export function renderMirrors({ items }: List<MirrorJson>, { nowMs }: Screen): string[] {
  if (items.length === 0) return ["no mirrors"];
  const rows = items.flatMap((mirror) => {
    const { name, state, endsMs, startedBy, matched, sent, rateDropped, queueDropped, failed, message } = mirror;
    const left =
      state === "ended" ? "ended" : endsMs === undefined ? "no end" : `${duration(Math.max(0, endsMs - nowMs))} left`;
    const lost = rateDropped + queueDropped + failed;
    const where = mirror.outputs.map(({ kind, target }) => `${kind} ${visible(target)}`).join(", ");
    return [
      `${visible(name)}  ${left}  by ${visible(startedBy)}  ${selectText(mirror)} -> ${where}`,
      `  matched ${matched}  sent ${sent}  not copied ${lost}${message === undefined ? "" : `  ${visible(message)}`}`,
      ...mirror.outputs.flatMap(({ kind, target, state: how, lastError }) =>
        lastError === undefined
          ? []
          : [`  ${kind} ${visible(target)}${how === "failed" ? " failed" : ""}: ${visible(lastError)}`],
      ),
    ];
  });
  return rows;
}
