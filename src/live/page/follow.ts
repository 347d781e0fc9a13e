/** The pinned flow is followed wherever it is: among the flows of the feed, or asked for by its id. */
import type { FlowJson } from "../../bridge/views/json.ts";
import { ask } from "./api.ts";
import { changed, live } from "./store.ts";
import { current } from "./url.ts";

const ASK_EVERY_MS = 2000;

/** By the switch's clock. */
let askedMs = 0;
let asking = false;
let known = "";

/** Flows that match, largest first. Quotes cannot be written in the filter language; no id or address has one. */
export async function findFlows(where: string, limit = 1): Promise<FlowJson[]> {
  const answer = await ask(`flows?${new URLSearchParams({ where, limit: String(limit) }).toString()}`);
  return ((await answer.json()) as { items: FlowJson[] }).items;
}

export const byId = (id: string): string => `id="${id.replaceAll('"', "")}"`;

/** After each message and each change of the address. */
export function follow(): void {
  const { pin } = current();
  if (known !== pin) {
    known = pin;
    delete live.followed;
    live.isFollowedGone = false;
    askedMs = 0;
  }
  if (pin === "" || live.frozen) return;
  const shown = live.flows.find(({ id }) => id === pin);
  if (shown !== undefined) {
    live.followed = shown;
    live.isFollowedGone = false;
    return;
  }
  // An id is never given to another flow: what is gone does not come back.
  if (asking || live.isFollowedGone || live.atMs - askedMs < ASK_EVERY_MS || live.connection !== "live") return;
  asking = true;
  askedMs = live.atMs;
  findFlows(byId(pin))
    .then(([found]) => {
      if (current().pin !== pin) return;
      if (found !== undefined) live.followed = found;
      live.isFollowedGone = found === undefined;
      changed();
    })
    .catch(() => {})
    .finally(() => (asking = false));
}
