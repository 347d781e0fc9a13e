/** The top flows. Rows change place at most every 2 s and not while the pointer or the keyboard is on them. */
import { useRef } from "preact/hooks";
import type { FlowJson } from "../../bridge/views/json.ts";
import { bits, count, destination, pps, protocol, short, source, wholeAge } from "./format.ts";
import { Name, Spark, Swatch, ownerName } from "./parts.tsx";
import { flowHistory, type Live, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

const SETTLE_MS = 2000;
const ANSWER_MS = 1500;
const COLUMNS = [
  ["port", "Port"],
  ["output", "Out"],
  ["tenant", "Owner"],
  ["vlan", "VLAN"],
  ["proto", "Proto"],
  ["ipSrc", "Source"],
  ["ipDst", "Destination"],
  ["bps", "bit/s"],
  ["packets", "Packets"],
  ["bytes", "Bytes"],
  ["firstMs", "Age"],
  ["disposition", "Fate"],
] as const;
const NUMBERS = new Set(["packets", "bytes", "bps", "firstMs", "vlan"]);

/** Keeps the order that people see; what is new goes to the end until the next settling. */
function settled(flows: FlowJson[], order: Map<string, number>): FlowJson[] {
  return flows.toSorted((a, b) => (order.get(a.id) ?? Infinity) - (order.get(b.id) ?? Infinity) || 0);
}

let made = 0;

/**
 * The table's row of each flow, by the flow's id. A flow keeps its row; one that is new takes over the row of one that is
 * gone, for a row costs more to make than to fill. But never under a pointer or the focus: there nobody shall meet another flow.
 */
function rowsOf(flows: readonly FlowJson[], before: ReadonlyMap<string, number>, busy: boolean): Map<string, number> {
  const rows = new Map<string, number>();
  for (const { id } of flows) if (before.has(id)) rows.set(id, before.get(id)!);
  const free = busy ? [] : [...before].filter(([id]) => !rows.has(id)).map(([, row]) => row);
  for (const { id } of flows) if (!rows.has(id)) rows.set(id, free.shift() ?? ++made);
  return rows;
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
      <td class="star">
        <button
          class="pin"
          aria-pressed={pinned}
          aria-label={`${pinned ? "Unpin" : "Pin"} ${source(flow)}`}
          onClick={(event) => (event.stopPropagation(), go({ pin: pinned ? "" : flow.id }))}
        >
          {pinned ? "★" : "☆"}
        </button>
      </td>
      <td>
        <Name class="strong">{flow.port}</Name>
      </td>
      <td class="output">
        {flow.output.length > 1 ? `${flow.output.length} ports` : <Name>{flow.output[0] ?? "–"}</Name>}
      </td>
      <td class="tenant">
        <Swatch tenant={flow.tenant ?? ""} /> <Name>{ownerName(flow.owner) || flow.tenant || "–"}</Name>
      </td>
      <td class="n vlan">{flow.vlan ?? "–"}</td>
      <td class="proto">{protocol(flow)}</td>
      <td>
        <button class="plain" onClick={(event) => (event.stopPropagation(), go({ open: `flow:${flow.id}` }))}>
          <Name>{source(flow)}</Name>
        </button>
      </td>
      <td>
        <Name>{destination(flow)}</Name>
      </td>
      <td class="n rate">
        <Spark from={flowHistory} series={flow.id} />
        <span>{short(flow.bps)}</span>
      </td>
      <td class="n packets">{count(flow.packets)}</td>
      <td class="n bytes">{short(flow.bytes)}</td>
      <td class="n firstMs">{wholeAge(nowMs - flow.firstMs)}</td>
      <td class={flow.disposition === "dropped" ? "red" : ""}>{fate(flow)}</td>
    </tr>
  );
}

/** The pinned flow, whether it is among the top flows or not; what was last known of it once it has ended. */
function Following({ now }: { now: Live }) {
  const flow = now.followed;
  const unpin = (
    <button onClick={() => go({ pin: "" })} aria-label="Unpin the flow">
      Unpin
    </button>
  );
  if (flow === undefined)
    return (
      <div class="following">
        <b aria-hidden="true">★</b>
        <p>{now.isFollowedGone ? "The pinned flow has ended." : "Looking for the pinned flow …"}</p>
        {unpin}
      </div>
    );
  return (
    <div class="following" role="group" aria-label="Pinned flow">
      <b aria-hidden="true">★</b>
      <p>
        <Name class="strong">{`${flow.port} → ${flow.output.join(", ") || "nowhere"}`}</Name>{" "}
        <span class="sub">
          <Name>{`${protocol(flow)} ${source(flow)} → ${destination(flow)}`}</Name>
        </span>
      </p>
      <Spark from={flowHistory} series={flow.id} />
      <span class="n">
        {now.isFollowedGone ? "ended" : `${bits(flow.bps)} · ${pps(flow.pps)}`} · {count(flow.packets)} packets ·{" "}
        <span class={flow.disposition === "dropped" ? "red" : ""}>{fate(flow)}</span>
      </span>
      <span class="acts">
        <button onClick={() => go({ open: `flow:${flow.id}` })}>Details</button>
        {unpin}
      </span>
    </div>
  );
}

export function Flows() {
  const now = useLive();
  const place = usePlace();
  const busy = useRef(false);
  const order = useRef(new Map<string, number>());
  const at = useRef(0);
  const key = useRef("");
  const asked = useRef(0);
  const rows = useRef(new Map<string, number>());
  const wanted = `${place.sort} ${place.filter}`;
  // The answer to a new question comes a moment after it, wherever the pointer rests.
  if (key.current !== wanted || now.isAsking) asked.current = Date.now();
  const isNew = Date.now() - asked.current < ANSWER_MS;
  if (isNew || (!busy.current && now.atMs - at.current >= SETTLE_MS)) {
    order.current = new Map(now.flows.map((flow, i) => [flow.id, i]));
    at.current = now.atMs;
    key.current = wanted;
  }
  const flows = settled(now.flows, order.current);
  rows.current = rowsOf(flows, rows.current, busy.current);
  /** The largest first; of ages, the oldest. */
  const sortBy = (name: string): void => {
    const [first, second] = name === "firstMs" ? [name, `-${name}`] : [`-${name}`, name];
    go({ sort: place.sort === first ? second : first });
  };
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
        <span class="sub" role="status">
          {now.isAsking
            ? "asking …"
            : `${now.flows.length} of ${count(now.flowsTotal)}${place.filter === "" ? "" : " that match"}`}
        </span>
      </header>
      {place.pin !== "" && <Following now={now} />}
      <div class="scroll" tabIndex={0} role="region" aria-label="Table of flows">
        <table>
          <thead>
            <tr>
              <th scope="col" class="star">
                <span class="unseen">Pin</span>
              </th>
              {COLUMNS.map(([name, label]) => {
                const on = place.sort.replace("-", "") === name;
                // The oldest flow is the one that began first.
                const isDown = place.sort.startsWith("-") !== (name === "firstMs");
                return (
                  <th
                    key={name}
                    scope="col"
                    class={`${NUMBERS.has(name) ? "n" : ""} ${name}`}
                    aria-sort={on ? (isDown ? "descending" : "ascending") : "none"}
                  >
                    <button onClick={() => sortBy(name)}>
                      {label}
                      {on ? (isDown ? " ↓" : " ↑") : ""}
                    </button>
                  </th>
                );
              })}
            </tr>
          </thead>
          <tbody>
            {flows.map((flow) => (
              <Row key={rows.current.get(flow.id)} flow={flow} nowMs={now.atMs} pinned={flow.id === place.pin} />
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
