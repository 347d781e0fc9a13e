/** The right drawer: what was clicked, in detail, and what can be asked of it. Its place is in the address. */
import { useEffect, useRef, useState } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { FlowJson, PortJson } from "../../bridge/views/json.ts";
import { Audit, Exporters } from "./audit.tsx";
import { Events } from "./events.tsx";
import { fate } from "./flows.tsx";
import { byId, findFlows } from "./follow.ts";
import { age, ago, bits, bytes, count, destination, percent, pps, protocol, speed, source, term } from "./format.ts";
import { captures } from "./api.ts";
import { CaptureForm, Mirror, Mirrors, sessions } from "./mirrors.tsx";
import { Fact, Facts, Name, Spark, ownerName } from "./parts.tsx";
import { lostOf, used, vlanText } from "./ports.tsx";
import { flowHistory, history, live, useLive, type Live } from "./store.ts";
import { TraceForm, TraceOf } from "./trace.tsx";
import { go, usePlace } from "./url.ts";

const ownerOf = (one: { owner?: PortJson["owner"] } | undefined): { owner?: NonNullable<PortJson["owner"]> } =>
  one?.owner === undefined ? {} : { owner: one.owner };

function PortView({ port }: { port: PortJson }) {
  return (
    <>
      {port.message !== undefined && (
        <p class="problem">
          <bdi>{port.message}</bdi>
        </p>
      )}
      <Spark from={history} series={`rx ${port.bridge} ${port.name}`} />
      <Spark from={history} series={`tx ${port.bridge} ${port.name}`} down />
      <Facts>
        <Fact name="state">
          {port.state}
          {port.enabled ? "" : ", disabled"}
        </Fact>
        <Fact name="owner">
          <Name>{ownerName(port.owner) || "–"}</Name>
        </Fact>
        <Fact name="VLAN">{vlanText(port)}</Fact>
        <Fact name="device">
          <Name>{port.device ?? port.type}</Name>
        </Fact>
        <Fact name="ifIndex">{port.ifIndex}</Fact>
        <Fact name="in">
          {bits(port.rxBps)} · {pps(port.rxPps)} · {count(port.rxPackets)} packets · {bytes(port.rxBytes)}
        </Fact>
        <Fact name="out">
          {bits(port.txBps)} · {pps(port.txPps)} · {count(port.txPackets)} packets · {bytes(port.txBytes)}
        </Fact>
        <Fact name="speed">{port.speed > 0 ? `${speed(port.speed)}, ${percent(used(port)!)} used` : "unknown"}</Fact>
        <Fact name="refused">
          {count(port.dropped)} packets{Object.entries(port.drops).map(([why, n]) => ` · ${why} ${count(n)}`)}
        </Fact>
        <Fact name="lost">
          {count(lostOf(port))} packets around the switch
          {Object.entries(port.lost).map(([where, n]) => (n > 0 ? ` · ${where} ${count(n)}` : ""))}
        </Fact>
        <Fact name="flows">{count(port.flows)}</Fact>
      </Facts>
      <p class="acts">
        <button onClick={() => go({ filter: term("port", port.name) })}>Only its flows</button>
        {port.owner?.tenant !== undefined && (
          <button onClick={() => go({ filter: term("tenant", port.owner!.tenant!) })}>Only its tenant</button>
        )}
      </p>
      <CaptureForm port={port.name} {...ownerOf(port)} />
    </>
  );
}

/** A flow in pcap's language. */
function pcapFilter(flow: FlowJson): string {
  if (flow.ipSrc === undefined || flow.ipDst === undefined)
    return `ether host ${flow.ethSrc} and ether host ${flow.ethDst}`;
  const name = protocol(flow);
  const ports =
    flow.srcPort === undefined || flow.dstPort === undefined
      ? ""
      : ` and port ${flow.srcPort} and port ${flow.dstPort}`;
  const proto = name === "tcp" || name === "udp" || name === "icmp" || name === "icmp6" ? `${name} and ` : "";
  return `${proto}host ${flow.ipSrc} and host ${flow.ipDst}${ports}`;
}

/** The same conversation the other way, in the filter language. */
function reverseWhere(flow: FlowJson): string {
  const pairs: [string, string | number | undefined][] = [
    ["ethSrc", flow.ethDst],
    ["ipSrc", flow.ipDst],
    ["ipDst", flow.ipSrc],
    ["proto", flow.proto],
    ["srcPort", flow.dstPort],
    ["dstPort", flow.srcPort],
  ];
  return pairs.flatMap(([key, value]) => (value === undefined ? [] : [term(key, String(value))])).join(" ");
}

/** A flow that is asked for while it is looked at; null: there is none. */
function useFlow(where: string | undefined): FlowJson | null | undefined {
  const [found, setFound] = useState<FlowJson | null>();
  useEffect(() => {
    let isGone = false;
    setFound(undefined);
    const look = (): void => {
      if (where === undefined || live.frozen) return;
      findFlows(where).then(
        ([flow]) => !isGone && setFound((before) => flow ?? (before === undefined ? null : before)),
        () => {},
      );
    };
    look();
    const timer = setInterval(look, 2000);
    return () => ((isGone = true), clearInterval(timer));
  }, [where]);
  return found;
}

function Direction({ flow, nowMs }: { flow: FlowJson; nowMs: number }) {
  return (
    <article class="session">
      <p class="line">
        <Name class="strong">{`${flow.port} → ${flow.output.join(", ") || "nowhere"}`}</Name>
        <span class={flow.disposition === "dropped" ? "red" : "sub"}>{fate(flow)}</span>
      </p>
      <p class="frame">
        <bdi>{`${protocol(flow)} ${source(flow)} → ${destination(flow)}`}</bdi>
      </p>
      <Spark from={flowHistory} series={flow.id} />
      <Facts>
        <Fact name="rate">
          {bits(flow.bps)} · {pps(flow.pps)}
        </Fact>
        <Fact name="total">
          {count(flow.packets)} packets · {bytes(flow.bytes)}
        </Fact>
        <Fact name="MACs">
          <bdi>{`${flow.ethSrc} → ${flow.ethDst}`}</bdi>
        </Fact>
        {flow.vlan !== undefined && <Fact name="VLAN">{flow.vlan}</Fact>}
        <Fact name="owner">
          <Name>{ownerName(flow.owner) || flow.tenant || "–"}</Name>
        </Fact>
        <Fact name="age">
          {age(nowMs - flow.firstMs)}, last packet {ago(nowMs - flow.lastMs)}
        </Fact>
        {flow.rule !== undefined && <Fact name="rule">{flow.rule}</Fact>}
        {flow.malformed !== undefined && <Fact name="malformed">{flow.malformed}</Fact>}
      </Facts>
    </article>
  );
}

function FlowView({ id, now, pin }: { id: string; now: Live; pin: string }) {
  const shown = now.flows.find((flow) => flow.id === id);
  const asked = useFlow(shown === undefined ? byId(id) : undefined);
  const last = useRef<FlowJson | undefined>(undefined);
  const followed = now.followed?.id === id ? now.followed : undefined;
  const found = shown ?? asked ?? last.current ?? followed;
  last.current = found ?? undefined;
  const back = useFlow(found === undefined ? undefined : reverseWhere(found));
  if (found === undefined)
    return <p class="empty">{asked === null ? "This flow has ended." : "Looking for the flow …"}</p>;
  return (
    <>
      {shown === undefined && asked === null && <p class="note">This flow has ended: these are its last numbers.</p>}
      <p class="acts">
        <button aria-pressed={pin === id} onClick={() => go({ pin: pin === id ? "" : id })}>
          {pin === id ? "★ Following" : "☆ Pin and follow"}
        </button>
      </p>
      <Direction flow={found} nowMs={now.atMs} />
      {back === undefined || back === null ? (
        <p class="sub">{back === null ? "Nothing came the other way." : "Looking for the other way …"}</p>
      ) : (
        <Direction flow={back} nowMs={now.atMs} />
      )}
      <details>
        <summary>Why it goes there (trace)</summary>
        <TraceOf question={{ flow: id }} />
      </details>
      <CaptureForm port={found.port} {...ownerOf(found)} filter={pcapFilter(found)} />
    </>
  );
}

function content(open: string, now: Live, pin: string): { title: string; body: ComponentChildren } {
  const [kind = ""] = open.split(":", 1);
  const rest = open.slice(kind.length + 1);
  const portAt = (path: string): PortJson | undefined => now.ports.find((p) => `${p.bridge}/${p.name}` === path);
  if (kind === "port") {
    const port = portAt(rest);
    return {
      title: port?.name ?? rest,
      body:
        port === undefined ? (
          <p class="empty">This port is not there, or the filter leaves it out.</p>
        ) : (
          <PortView key={open} port={port} />
        ),
    };
  }
  if (kind === "flow") return { title: "Flow", body: <FlowView key={open} id={rest} now={now} pin={pin} /> };
  if (kind === "drop") {
    const drop = now.drops.find((d) => `${d.bridge}/${d.port}/${d.reason}` === rest);
    if (drop === undefined)
      return { title: "Refused", body: <p class="empty">Nothing of this kind was refused lately.</p> };
    const flow = /--flow (\S+)/.exec(drop.trace ?? "")?.[1];
    const match = /'([^']*)'/.exec(drop.trace ?? "")?.[1];
    return {
      title: drop.reason,
      body: (
        <>
          <p>
            <Name class="strong">{drop.port}</Name> <bdi>{drop.text}</bdi>
          </p>
          {drop.last !== undefined && (
            <p class="frame">
              <bdi>{drop.last}</bdi>
            </p>
          )}
          {flow !== undefined ? (
            <TraceOf question={{ flow }} />
          ) : match !== undefined ? (
            <TraceOf question={{ port: drop.port, match }} />
          ) : (
            <p class="sub">The newest frame was not sampled: build one below.</p>
          )}
          {flow === undefined && match === undefined && <TraceForm />}
        </>
      ),
    };
  }
  if (kind === "capture") {
    const [bridge = "", name = "", dropped = ""] = rest.split(/[/:]/);
    return {
      title: `Capture ${name}`,
      body: (
        <CaptureForm
          key={open}
          port={name}
          {...ownerOf(portAt(`${bridge}/${name}`))}
          dropped={dropped === "only" ? "only" : "include"}
        />
      ),
    };
  }
  if (kind === "mirror") {
    const mirror = sessions(now).find((m) => m.name === rest);
    if (mirror !== undefined) return { title: "Capture", body: <Mirror mirror={mirror} /> };
    const isStarting = captures.get(rest)?.done === false;
    return {
      title: "Capture",
      body: <p class="empty">{isStarting ? "Waiting for the session …" : "This session has ended."}</p>,
    };
  }
  if (kind === "trace") return { title: "Trace", body: <TraceForm /> };
  if (kind === "exporters") return { title: "Exporters", body: <Exporters /> };
  if (kind === "events") return { title: "Events", body: <Events /> };
  if (kind === "audit") return { title: "Audit", body: <Audit /> };
  return { title: "Mirrors", body: <Mirrors /> };
}

export function Drawer() {
  const now = useLive();
  const place = usePlace();
  const box = useRef<HTMLElement>(null);
  useEffect(() => {
    if (place.open === "") return;
    const before = document.activeElement;
    box.current?.focus();
    return () => before instanceof HTMLElement && before.isConnected && before.focus();
  }, [place.open !== ""]);
  if (place.open === "") return null;
  const { title, body } = content(place.open, now, place.pin);
  return (
    <aside
      class="drawer"
      ref={box}
      tabIndex={-1}
      aria-label={title.slice(0, 80)}
      onKeyDown={(e) => e.key === "Escape" && go({ open: "" })}
    >
      <header>
        <h2>
          <Name>{title}</Name>
        </h2>
        <button onClick={() => go({ open: "" })} aria-label="Close">
          ✕
        </button>
      </header>
      {body}
    </aside>
  );
}
