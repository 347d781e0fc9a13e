/** The right drawer: what was clicked, in detail, and what can be asked of it. Its place is in the address. */
import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import type { FlowJson, PortJson } from "../../bridge/views/json.ts";
import { Audit, Exporters } from "./audit.tsx";
import { fate } from "./flows.tsx";
import { age, bits, bytes, count, destination, pps, protocol, source } from "./format.ts";
import { CaptureForm, Mirror, Mirrors } from "./mirrors.tsx";
import { Fact, Facts, Name, Spark, ownerName } from "./parts.tsx";
import { lostOf, vlanText } from "./ports.tsx";
import { flowHistory, history, useLive } from "./store.ts";
import { TraceForm, TraceOf } from "./trace.tsx";
import { go, usePlace } from "./url.ts";

const vmOf = (port: PortJson | undefined): { vm?: string } =>
  port?.owner?.vm === undefined ? {} : { vm: port.owner.vm };

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
        <Fact name="refused">
          {count(port.dropped)} packets{Object.entries(port.drops).map(([why, n]) => ` · ${why} ${count(n)}`)}
        </Fact>
        <Fact name="lost">{count(lostOf(port))} packets around the switch</Fact>
        <Fact name="flows">{count(port.flows)}</Fact>
      </Facts>
      <p class="acts">
        <button onClick={() => go({ filter: `port=${port.name}` })}>Only its flows</button>
      </p>
      <CaptureForm port={port.name} {...vmOf(port)} />
    </>
  );
}

/** A flow in pcap's language. */
function pcapFilter(flow: FlowJson): string {
  if (flow.ipSrc === undefined || flow.ipDst === undefined)
    return `${flow.vlan === undefined ? "" : ""}ether host ${flow.ethSrc}`;
  const name = protocol(flow);
  const ports =
    flow.srcPort === undefined || flow.dstPort === undefined
      ? ""
      : ` and port ${flow.srcPort} and port ${flow.dstPort}`;
  const proto = name === "tcp" || name === "udp" || name === "icmp" || name === "icmp6" ? `${name} and ` : "";
  return `${proto}host ${flow.ipSrc} and host ${flow.ipDst}${ports}`;
}

const reverseOf = (flow: FlowJson, all: FlowJson[]): FlowJson | undefined =>
  all.find(
    (other) =>
      other.bridge === flow.bridge &&
      other.id !== flow.id &&
      other.ethSrc === flow.ethDst &&
      other.ipSrc === flow.ipDst &&
      other.ipDst === flow.ipSrc &&
      other.srcPort === flow.dstPort &&
      other.dstPort === flow.srcPort &&
      other.proto === flow.proto,
  );

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
          <Name>{`${flow.ethSrc} → ${flow.ethDst}`}</Name>
        </Fact>
        {flow.vlan !== undefined && <Fact name="VLAN">{flow.vlan}</Fact>}
        <Fact name="owner">
          <Name>{ownerName(flow.owner) || flow.tenant || "–"}</Name>
        </Fact>
        <Fact name="age">
          {age(nowMs - flow.firstMs)}, last packet {age(nowMs - flow.lastMs)} ago
        </Fact>
        {flow.rule !== undefined && <Fact name="rule">{flow.rule}</Fact>}
        {flow.malformed !== undefined && <Fact name="malformed">{flow.malformed}</Fact>}
      </Facts>
    </article>
  );
}

let lastFlow: FlowJson | undefined;

function content(
  open: string,
  now: ReturnType<typeof useLive>,
  pin: string,
): { title: string; body: ComponentChildren } {
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
  if (kind === "flow") {
    const found = now.flows.find((f) => f.id === rest) ?? (lastFlow?.id === rest ? lastFlow : undefined);
    lastFlow = found;
    if (found === undefined)
      return { title: "Flow", body: <p class="empty">This flow has ended, or is not among those shown.</p> };
    const back = reverseOf(found, now.flows);
    return {
      title: "Flow",
      body: (
        <>
          <p class="acts">
            <button aria-pressed={pin === found.id} onClick={() => go({ pin: pin === found.id ? "" : found.id })}>
              {pin === found.id ? "★ Following" : "☆ Pin and follow"}
            </button>
          </p>
          <Direction flow={found} nowMs={now.atMs} />
          {back === undefined ? (
            <p class="sub">No flow the other way is among those shown.</p>
          ) : (
            <Direction flow={back} nowMs={now.atMs} />
          )}
          <details>
            <summary>Why (trace)</summary>
            <TraceOf question={{ flow: found.id }} />
          </details>
          <CaptureForm
            key={open}
            port={found.port}
            {...(found.owner?.vm === undefined ? {} : { vm: found.owner.vm })}
            filter={pcapFilter(found)}
          />
        </>
      ),
    };
  }
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
          {...vmOf(portAt(`${bridge}/${name}`))}
          dropped={dropped === "only" ? "only" : "include"}
        />
      ),
    };
  }
  if (kind === "mirror") {
    const mirror = now.mirrors.find((m) => m.name === rest);
    return {
      title: "Capture",
      body: mirror === undefined ? <p class="empty">waiting for the session …</p> : <Mirror mirror={mirror} />,
    };
  }
  if (kind === "trace") return { title: "Trace", body: <TraceForm /> };
  if (kind === "exporters") return { title: "Exporters", body: <Exporters /> };
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
