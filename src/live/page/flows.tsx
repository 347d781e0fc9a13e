/** The top flows. Rows change place at most every 2 s and not while the pointer or the keyboard is on them. */
import { useRef } from "preact/hooks";
import type { FlowJson } from "../../bridge/views/json.ts";
import { age, count, destination, protocol, short, source } from "./format.ts";
import { Name, Spark, Swatch, ownerName } from "./parts.tsx";
import { flowHistory, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

const SETTLE_MS = 2000;
const COLUMNS = [
  ["port", "Port"],
  ["output", "Out"],
  ["tenant", "Owner"],
  ["vlan", "VLAN"],
  ["proto", "Proto"],
  ["ipSrc", "Source"],
  ["ipDst", "Destination"],
  ["packets", "Packets"],
  ["bytes", "Bytes"],
  ["bps", "bit/s"],
  ["firstMs", "Age"],
  ["disposition", "Fate"],
] as const;
const NUMBERS = new Set(["packets", "bytes", "bps", "firstMs", "vlan"]);

/** Keeps the order that people see; what is new goes to the end until the next settling. */
function settled(flows: FlowJson[], order: Map<string, number>): FlowJson[] {
  return flows.toSorted((a, b) => (order.get(a.id) ?? Infinity) - (order.get(b.id) ?? Infinity) || 0);
}

export const fate = (flow: FlowJson): string =>
  flow.disposition === "dropped"
    ? `refused ${flow.dropReason ?? ""}`
    : flow.output.length > 1
      ? `${flow.disposition} (flood)`
      : flow.disposition;

function Row({ flow, nowMs, pinned }: { flow: FlowJson; nowMs: number; pinned: boolean }) {
  const idle = nowMs - flow.lastMs;
  return (
    <tr
      class={`${idle > 5000 ? "old" : ""} ${pinned ? "pinned" : ""} ${flow.mirrors?.length ? "rec" : ""}`}
      onClick={() => go({ open: `flow:${flow.id}` })}
    >
      <td>
        <Name class="strong">{flow.port}</Name>
      </td>
      <td>{flow.output.length > 1 ? `${flow.output.length} out` : <Name>{flow.output[0] ?? "–"}</Name>}</td>
      <td>
        <Swatch tenant={flow.tenant ?? ""} /> <Name>{ownerName(flow.owner) || flow.tenant || "–"}</Name>
      </td>
      <td class="n">{flow.vlan ?? "–"}</td>
      <td>{protocol(flow)}</td>
      <td>
        <button class="plain" onClick={(event) => (event.stopPropagation(), go({ open: `flow:${flow.id}` }))}>
          <Name>{source(flow)}</Name>
        </button>
      </td>
      <td>
        <Name>{destination(flow)}</Name>
      </td>
      <td class="n">{count(flow.packets)}</td>
      <td class="n">{short(flow.bytes)}</td>
      <td class="n rate">
        <Spark from={flowHistory} series={flow.id} />
        <span>{short(flow.bps)}</span>
      </td>
      <td class="n">{age(nowMs - flow.firstMs)}</td>
      <td class={flow.disposition === "dropped" ? "red" : ""}>{fate(flow)}</td>
      <td>
        <button
          class="pin"
          aria-pressed={pinned}
          aria-label={`${pinned ? "Unpin" : "Pin"} ${source(flow)}`}
          onClick={(event) => (event.stopPropagation(), go({ pin: pinned ? "" : flow.id }))}
        >
          {pinned ? "★" : "☆"}
        </button>
      </td>
    </tr>
  );
}

export function Flows() {
  const now = useLive();
  const place = usePlace();
  const busy = useRef(false);
  const order = useRef(new Map<string, number>());
  const at = useRef(0);
  const key = useRef("");
  const wanted = `${place.sort} ${place.filter}`;
  if (key.current !== wanted || (!busy.current && now.atMs - at.current >= SETTLE_MS)) {
    order.current = new Map(now.flows.map((flow, i) => [flow.id, i]));
    at.current = now.atMs;
    key.current = wanted;
  }
  const sortBy = (name: string): void => go({ sort: place.sort === `-${name}` ? name : `-${name}` });
  return (
    <section
      class="flows"
      aria-label="Flows"
      onMouseEnter={() => (busy.current = true)}
      onMouseLeave={() => (busy.current = false)}
      onFocusCapture={() => (busy.current = true)}
      onBlurCapture={() => (busy.current = false)}
    >
      <header>
        <h2>Flows</h2>
        <span class="sub">{`${now.flows.length} of ${count(now.flowsTotal)}${place.filter === "" ? "" : " that match"}`}</span>
      </header>
      <div class="scroll" tabIndex={0} role="region" aria-label="Table of flows">
        <table>
          <thead>
            <tr>
              {COLUMNS.map(([name, label]) => {
                const on = place.sort.replace("-", "") === name;
                return (
                  <th
                    key={name}
                    scope="col"
                    class={NUMBERS.has(name) ? "n" : ""}
                    aria-sort={on ? (place.sort.startsWith("-") ? "descending" : "ascending") : "none"}
                  >
                    <button onClick={() => sortBy(name)}>
                      {label}
                      {on ? (place.sort.startsWith("-") ? " ↓" : " ↑") : ""}
                    </button>
                  </th>
                );
              })}
              <th scope="col">Pin</th>
            </tr>
          </thead>
          <tbody>
            {settled(now.flows, order.current).map((flow) => (
              <Row key={flow.id} flow={flow} nowMs={now.atMs} pinned={flow.id === place.pin} />
            ))}
          </tbody>
        </table>
        {now.flows.length === 0 && (
          <p class="empty">
            {place.filter === "" ? "No flow yet: nothing has been received." : "No flow matches the filter."}
          </p>
        )}
      </div>
    </section>
  );
}
