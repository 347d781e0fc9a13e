import type { EventJson } from "../../bridge/views/json.ts";
import { padEnd, visible } from "./text.ts";
import { clock, count } from "./units.ts";

/** "03:14:07  mac       weir0/web1        52:54:00:… moved from web2" */
export function renderEvent(event: EventJson | { readonly lost: number }): string {
  if ("lost" in event) return `(this reader is too slow: ${count(event.lost)} events were not told)`;
  const where = [event.bridge, event.port].filter((part): part is string => part !== undefined).map(visible);
  return `${clock(event.atMs)}  ${padEnd(visible(event.kind), 9)} ${padEnd(where.join("/") || "-", 16)}  ${visible(event.message)}`;
}
