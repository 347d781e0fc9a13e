/** Ports as cards, in alphabetical order that never changes under the pointer. */
import type { PortJson } from "../../bridge/views/json.ts";
import { short } from "./format.ts";
import { Name, Spark, Swatch, ownerName } from "./parts.tsx";
import { history, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

export function vlanText(port: PortJson): string {
  const vlan = port.vlan;
  if (vlan === undefined) return "untagged";
  if (vlan.mode === "access") return vlan.tag === undefined ? "untagged" : `VLAN ${vlan.tag}`;
  return `trunk ${vlan.trunks ?? "all"}${vlan.tag === undefined ? "" : `, native ${vlan.tag}`}`;
}

export const lostOf = (port: PortJson): number => port.lost.ring + port.lost.nic + port.lost.tap + port.lost.qdisc;

function Card({ port, role, recorded, open }: { port: PortJson; role: string; recorded: boolean; open: boolean }) {
  const used = port.speed > 0 ? Math.max(port.rxBps, port.txBps) / port.speed : undefined;
  const tenant = port.owner?.tenant ?? port.tenant ?? "";
  return (
    <li>
      <button
        class={`card ${recorded ? "rec" : ""} ${port.state === "up" ? "" : "off"} ${role}`}
        aria-expanded={open}
        onClick={() => go({ open: `port:${port.bridge}/${port.name}` })}
      >
        <span class="line">
          <Swatch tenant={tenant} />
          <Name class="strong">{port.name}</Name>
          <span class={port.state === "up" ? "word" : "word amber"}>{port.state}</span>
        </span>
        <span class="line sub">
          <Name>{ownerName(port.owner) || "no owner"}</Name>
          <span class="word">{vlanText(port)}</span>
        </span>
        <Spark from={history} series={`rx ${port.bridge} ${port.name}`} />
        <Spark from={history} series={`tx ${port.bridge} ${port.name}`} down />
        <span class="line n">
          <span>↑ {short(port.rxBps)}</span>
          <span>↓ {short(port.txBps)}</span>
          {port.dropPps > 0 && <b class="red">{short(port.dropPps)} refused/s</b>}
          {port.lostPps > 0 && <b class="amber">{short(port.lostPps)} lost/s</b>}
          {role !== "" && <b>{role}</b>}
          {recorded && <b class="blue">REC</b>}
        </span>
        {used !== undefined && (
          <span class="bar" title={`${(used * 100).toFixed(1)} % of ${short(port.speed)}bit/s`}>
            <i style={{ width: `${Math.min(100, used * 100)}%` }} />
          </span>
        )}
      </button>
    </li>
  );
}

export function Ports() {
  const now = useLive();
  const place = usePlace();
  const pinned = now.flows.find((flow) => flow.id === place.pin);
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
        <span class="sub">{now.ports.length} · ↑ into the switch, ↓ out of it</span>
      </header>
      {sorted.length === 0 && <p class="empty">No port matches.</p>}
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
    </section>
  );
}
