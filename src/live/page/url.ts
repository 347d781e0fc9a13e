/** The address holds filter, sort, pin and drawer: copy it, and a colleague sees the same. The key of a one-time link is
 * taken out of it at once. */
import { useEffect, useState } from "preact/hooks";

export interface Place {
  filter: string;
  sort: string;
  /** A flow's id, followed. */
  pin: string;
  /** "", "port:bridge/name", "flow:id", "drop:bridge/port/reason", "mirror:name", "capture", "trace", "exporters", "audit". */
  open: string;
}

const params = new URLSearchParams(location.hash.slice(1));

/** The secret of a one-time link; kept out of the address bar, the history and what people copy. */
export const linkKey = params.get("k") ?? undefined;

const read = (from: URLSearchParams): Place => ({
  filter: from.get("f") ?? "",
  sort: from.get("s") ?? "-bps",
  pin: from.get("pin") ?? "",
  open: from.get("open") ?? "",
});

let place = read(params);
const listeners = new Set<() => void>();
const tell = (): void => listeners.forEach((listener) => listener());

function write(): void {
  const out = new URLSearchParams();
  if (place.filter !== "") out.set("f", place.filter);
  if (place.sort !== "-bps") out.set("s", place.sort);
  if (place.pin !== "") out.set("pin", place.pin);
  if (place.open !== "") out.set("open", place.open);
  const hash = out.toString();
  history.replaceState(null, "", hash === "" ? location.pathname : `#${hash}`);
}

if (linkKey !== undefined) write();

addEventListener("hashchange", () => {
  place = read(new URLSearchParams(location.hash.slice(1)));
  tell();
});

export const current = (): Place => place;

export function go(change: Partial<Place>): void {
  place = { ...place, ...change };
  write();
  tell();
}

export function onPlace(listener: () => void): () => void {
  listeners.add(listener);
  return () => void listeners.delete(listener);
}

export function usePlace(): Place {
  const [, draw] = useState(place);
  useEffect(() => onPlace(() => draw(place)), []);
  return place;
}
