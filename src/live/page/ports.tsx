/** Ports as cards, in alphabetical order that never changes under the pointer; a wire joins the ends of the pinned flow. */
import { useLayoutEffect, useRef, useState } from "preact/hooks";
import type { FlowJson, PortJson } from "../../bridge/views/json.ts";
import { percent, short, speed } from "./format.ts";
import { Name, Spark, Swatch, ownerName } from "./parts.tsx";
import { history, live, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

export function vlanText(port: PortJson): string {
  const vlan = port.vlan;
  if (vlan === undefined) return "untagged";
  if (vlan.mode === "access") return vlan.tag === undefined ? "untagged" : `VLAN ${vlan.tag}`;
  return `trunk ${vlan.trunks ?? "all"}${vlan.tag === undefined ? "" : `, native ${vlan.tag}`}`;
}

export const lostOf = (port: PortJson): number => port.lost.ring + port.lost.nic + port.lost.tap + port.lost.qdisc;

/** The busier direction as a share of the speed; undefined where that is unknown. */
export const used = (port: PortJson): number | undefined =>
  port.speed > 0 ? Math.max(port.rxBps, port.txBps) / port.speed : undefined;

function Card({ port, role, recorded, open }: { port: PortJson; role: string; recorded: boolean; open: boolean }) {
  const share = used(port);
  const isUp = port.state === "up";
  const notes =
    port.dropPps > 0 || port.lostPps > 0 || recorded || role !== "" || (!isUp && port.message !== undefined);
  return (
    <li>
      <button
        class={`card ${recorded ? "rec" : ""} ${isUp ? "" : "off"} ${role}`}
        data-port={`${port.bridge}/${port.name}`}
        aria-expanded={open}
        onClick={() => go({ open: `port:${port.bridge}/${port.name}` })}
      >
        <span class="line">
          <Swatch tenant={port.owner?.tenant ?? port.tenant ?? ""} />
          <Name class="strong">{port.name}</Name>
          <span class={isUp && port.enabled ? "word" : "word amber"}>{port.enabled ? port.state : "disabled"}</span>
        </span>
        <span class="line sub">
          <Name>{ownerName(port.owner) || "no owner"}</Name>
          <span class="word">{vlanText(port)}</span>
        </span>
        <span class="pair n">
          <Spark from={history} series={`rx ${port.bridge} ${port.name}`} />
          <span>
            <i aria-label="in">↑</i> {short(port.rxBps)}
          </span>
          <Spark from={history} series={`tx ${port.bridge} ${port.name}`} down />
          <span>
            <i aria-label="out">↓</i> {short(port.txBps)}
          </span>
        </span>
        {share !== undefined && (
          <span class="use n">
            <span class="bar">
              <i style={{ width: `${Math.min(100, share * 100)}%` }} />
            </span>
            {percent(share)} of {speed(port.speed)}
          </span>
        )}
        {notes && (
          <span class="notes n">
            {port.dropPps > 0 && <b class="red">■ {short(port.dropPps)} refused/s</b>}
            {port.lostPps > 0 && <b class="amber">▨ {short(port.lostPps)} lost/s</b>}
            {!isUp && port.message !== undefined && <Name class="amber">{port.message}</Name>}
            {role !== "" && <b>★ {role === "from" ? "comes in here" : "goes out here"}</b>}
            {recorded && <b class="blue">● REC</b>}
          </span>
        )}
      </button>
    </li>
  );
}

/** From the card where the flow comes in to the one where it goes out, beside both. */
function Wire({ flow }: { flow: FlowJson }) {
  const ref = useRef<SVGSVGElement>(null);
  const [path, setPath] = useState("");
  useLayoutEffect(() => {
    const list = ref.current?.parentElement?.querySelector(".cards");
    const box = list?.getBoundingClientRect();
    const middle = (name: string): { x: number; y: number } | undefined => {
      const card = list?.querySelector(`[data-port=${CSS.escape(`${flow.bridge}/${name}`)}]`)?.getBoundingClientRect();
      if (card === undefined || box === undefined) return undefined;
      return { x: card.right - box.left, y: Math.max(0, Math.min(box.height, card.top + card.height / 2 - box.top)) };
    };
    const from = middle(flow.port);
    const to = flow.output.length === 1 ? middle(flow.output[0]!) : undefined;
    const out = from && to && Math.max(from.x, to.x) + 15;
    setPath(from && to ? `M${from.x} ${from.y} C${out} ${from.y} ${out} ${to.y} ${to.x} ${to.y}` : "");
  });
  // A new path only when something moved: setPath with an equal text draws nothing.
  useLayoutEffect(() => {
    const list = ref.current?.parentElement?.querySelector(".cards");
    const draw = (): void => setPath((before) => `${before} `);
    list?.addEventListener("scroll", draw, { passive: true });
    return () => list?.removeEventListener("scroll", draw);
  }, []);
  return (
    <svg class="wire" ref={ref} aria-hidden="true">
      <path d={path} />
    </svg>
  );
}

export function Ports() {
  const now = useLive();
  const place = usePlace();
  const pinned = live.followed;
  const role = (port: PortJson): string =>
    pinned === undefined || pinned.bridge !== port.bridge
      ? ""
      : pinned.port === port.name
        ? "from"
        : pinned.output.includes(port.name)
          ? "to"
          : "";
  const sorted = now.ports.toSorted((a, b) => (a.name < b.name ? -1 : a.name > b.name ? 1 : 0));
  return (
    <section class="ports" aria-label="Ports">
      <header>
        <h2>Ports</h2>
        <span class="sub" title="in: into the switch, what the guest sent">
          {now.ports.length} · ↑ in, ↓ out, bit/s
        </span>
      </header>
      {sorted.length === 0 && (
        <p class="empty">{place.filter === "" ? "This switch has no port yet." : "No port matches the filter."}</p>
      )}
      <div class="wired">
        <ul class="cards" tabIndex={0} aria-label="All ports">
          {sorted.map((port) => (
            <Card
              key={`${port.bridge}/${port.name}`}
              port={port}
              role={role(port)}
              recorded={now.mirrors.some(
                (m) => m.state === "running" && m.bridge === port.bridge && m.ports.includes(port.name),
              )}
              open={place.open === `port:${port.bridge}/${port.name}`}
            />
          ))}
        </ul>
        {pinned !== undefined && <Wire flow={pinned} />}
      </div>
    </section>
  );
}
