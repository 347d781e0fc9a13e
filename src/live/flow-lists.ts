/**
 * The flows that clients ask for, each list once whoever wants it. Lists that are due together are made in one pass over
 * the flows; one pass runs at a time, so that what many clients ask in many ways is late, and not heavy.
 */
import type { FlowChoice, FlowList, SwitchView } from "../api/switch.ts";
import type { FlowJson } from "../bridge/views/json.ts";
import { asPart, type Part } from "./board.ts";
import type { Subscription } from "./subscription.ts";

export interface FlowsPart {
  readonly choice: FlowChoice;
  users: number;
  flows: Part | undefined;
  total: Part | undefined;
  /** When the pass that made it began, ms; −∞: none has yet. */
  readMs: number;
}

/** Flows that are made text in one go: about a millisecond. */
const TEXT_SLICE = 256;

export class FlowLists {
  private readonly view: SwitchView;
  private readonly uptime: () => number;
  private readonly lists = new Map<string, FlowsPart>();
  private isPassing = false;

  constructor(view: SwitchView, uptime: () => number) {
    this.view = view;
    this.uptime = uptime;
  }

  /** Throws where the filter or the sort cannot be. Every `take` wants a `give`. */
  take({ where, sort, top, scope }: Subscription): FlowsPart {
    const key = JSON.stringify([where, sort, top, scope]);
    let list = this.lists.get(key);
    if (list === undefined) {
      const choice = this.view.chooseFlows({ ...(where !== "" && { where }), sort, limit: top });
      const { bridge, tenant, port } = scope;
      const { matches } = choice;
      const isPlain = bridge === "" && tenant === "" && port === "";
      const within: FlowChoice["matches"] = (flow) =>
        (bridge === "" || flow.bridge === bridge) &&
        (tenant === "" || flow.tenant === tenant) &&
        (port === "" || flow.port === port || flow.output.includes(port)) &&
        (matches === undefined || matches(flow));
      const whole = isPlain ? choice : { ...choice, matches: within };
      list = { choice: whole, users: 0, flows: undefined, total: undefined, readMs: -Infinity };
      this.lists.set(key, list);
    }
    list.users++;
    return list;
  }

  give(list: FlowsPart): void {
    if (--list.users > 0) return;
    for (const [key, one] of this.lists) if (one === list) this.lists.delete(key);
  }

  /** Make these lists anew, unless a pass runs. `done` hears when it is over, and what went wrong. */
  pass(lists: ReadonlySet<FlowsPart>, done: (error: Error | undefined) => void): void {
    if (this.isPassing || lists.size === 0) return;
    this.isPassing = true;
    const startMs = this.uptime();
    const asked = [...lists];
    this.view
      .flowLists(asked.map(({ choice }) => choice))
      .then((found) => writeLists(asked, found, startMs))
      .then(
        () => undefined,
        (error: Error) => error,
      )
      .finally(() => (this.isPassing = false))
      .then(done);
  }
}

/** As text: a flow once, in however many lists it is. */
async function writeLists(lists: readonly FlowsPart[], found: readonly FlowList[], readMs: number): Promise<void> {
  const texts = new Map<FlowJson, string>();
  let breathedAt = 0;
  for (const [n, list] of lists.entries()) {
    const { items, total } = found[n]!;
    const flows = items.map((flow) => {
      let text = texts.get(flow);
      if (text === undefined) texts.set(flow, (text = JSON.stringify(flow)));
      return text;
    });
    list.flows = asPart(`[${flows.join(",")}]`, list.flows);
    list.total = asPart(String(total), list.total);
    list.readMs = readMs;
    if (texts.size - breathedAt < TEXT_SLICE) continue;
    breathedAt = texts.size;
    await new Promise((resolve) => setImmediate(resolve));
  }
}
