/** The real feed of a fake switch, for its API's `live`. */
import { Access } from "../../src/api/access.ts";
import type { SwitchView } from "../../src/api/switch.ts";
import { openFeed, type OpenFeed } from "../../src/live/server.ts";
import { NOW } from "./fake-switch.ts";

export function feedOf(view: SwitchView): OpenFeed["live"] {
  return openFeed({ view, now: () => NOW, uptime: () => performance.now(), access: new Access() }).live;
}
