/** GET /metrics: the switch, read once, in the format and by the names that are asked for. */
import type { Answer } from "../http.ts";
import { Problem } from "../problem.ts";
import { onlyKnown } from "../query.ts";
import type { SwitchView } from "../switch.ts";
import { CONTENT_TYPES, exposition, formatOf } from "./exposition.ts";
import { families, type Facts } from "./families.ts";
import { ovsFamilies } from "./ovs-names.ts";

export async function metrics(view: SwitchView, query: URLSearchParams, accept: string): Promise<Answer> {
  onlyKnown(query, ["names"]);
  const names = query.get("names") ?? "weir";
  if (names !== "weir" && names !== "ovs") throw new Problem(400, `names: weir or ovs, not ${JSON.stringify(names)}`);
  const facts: Facts = {
    system: await view.system(),
    ports: await view.ports(),
    tenants: await view.tenants(),
    exporters: await view.exporters(),
    mirrors: await view.mirrors(),
  };
  const format = formatOf(accept);
  const told = names === "ovs" ? ovsFamilies(facts) : families(facts);
  return { text: exposition(told, format), type: CONTENT_TYPES[format] };
}
