/** Mirror sessions: start one with what is prefilled, watch it, download what it copied, stop it. */
import { useEffect, useState } from "preact/hooks";
import type { MirrorJson, PortJson } from "../../bridge/views/json.ts";
import { captures, download, readCapture, startMirror, stopMirror, type CaptureWish } from "./api.ts";
import { bytes, count, left } from "./format.ts";
import { Fact, Facts, Name } from "./parts.tsx";
import { changed, useLive, type Live } from "./store.ts";
import { go } from "./url.ts";

let progressAt = 0;
const progress = (): void => {
  if (Date.now() - progressAt < 200 && ![...captures.values()].some((c) => c.done)) return;
  progressAt = Date.now();
  changed();
};

/** "view-web1-k3f": a name of our own, so that two people do not end each other's session. */
const sessionName = (from: string): string =>
  `view-${from.replaceAll(/[^\w.-]/g, "").slice(0, 20)}-${Math.random().toString(36).slice(2, 5)}`;

/** Who may not see packets is told why, and gets no button that would be refused. */
const ViewerNote = () => (
  <p class="note">
    You are a viewer. Packet contents need the operator role: open the one-time link that the switch printed, or use a
    token of an operator.
  </p>
);

export function CaptureForm({
  port,
  owner,
  filter = "",
  dropped = "include",
}: {
  port: string;
  owner?: PortJson["owner"];
  filter?: string;
  dropped?: CaptureWish["dropped"];
}) {
  const now = useLive();
  const [wish, setWish] = useState({
    filter,
    minutes: 5,
    snaplen: 128,
    direction: "both" as CaptureWish["direction"],
    dropped,
  });
  const [problem, setProblem] = useState("");
  const vm = owner?.vm;
  const start = async (isWhole: boolean): Promise<void> => {
    setProblem("");
    const name = sessionName(isWhole && vm !== undefined ? vm : port);
    const of = { ...(owner?.tenant !== undefined && { tenant: owner.tenant }), ...(vm !== undefined && { vm }) };
    try {
      await startMirror(name, { ...wish, ...(isWhole ? { owner: of } : { port }) });
      readCapture(name, progress);
      go({ open: `mirror:${name}` });
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  if (now.role === "viewer")
    return (
      <div class="form">
        <h3>Capture</h3>
        <ViewerNote />
      </div>
    );
  return (
    <form class="form" onSubmit={(event) => (event.preventDefault(), void start(false))}>
      <h3>Capture</h3>
      <label>
        Filter, in pcap’s language
        <input
          value={wish.filter}
          placeholder="every frame"
          spellcheck={false}
          onInput={(e) => setWish({ ...wish, filter: e.currentTarget.value })}
        />
      </label>
      <div class="grid">
        <label>
          Minutes{" "}
          <input
            type="number"
            min={1}
            max={60}
            value={wish.minutes}
            onInput={(e) => setWish({ ...wish, minutes: Number(e.currentTarget.value) })}
          />
        </label>
        <label>
          Bytes of each frame{" "}
          <input
            type="number"
            min={14}
            max={65535}
            value={wish.snaplen}
            onInput={(e) => setWish({ ...wish, snaplen: Number(e.currentTarget.value) })}
          />
        </label>
        <label>
          Direction
          <select
            value={wish.direction}
            onChange={(e) => setWish({ ...wish, direction: e.currentTarget.value as CaptureWish["direction"] })}
          >
            <option value="both">both</option>
            <option value="ingress">into the switch</option>
            <option value="egress">out of it</option>
          </select>
        </label>
        <label>
          Refused frames
          <select
            value={wish.dropped}
            onChange={(e) => setWish({ ...wish, dropped: e.currentTarget.value as CaptureWish["dropped"] })}
          >
            <option value="include">too</option>
            <option value="exclude">without</option>
            <option value="only">only</option>
          </select>
        </label>
      </div>
      <p class="acts">
        <button class="primary" type="submit">
          Start capture
        </button>
        {vm !== undefined && (
          <button type="button" onClick={() => void start(true)}>
            Capture every port of <Name>{vm}</Name>
          </button>
        )}
      </p>
      {problem !== "" && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

export function Mirror({ mirror }: { mirror: MirrorJson }) {
  const { role } = useLive();
  const [problem, setProblem] = useState("");
  const [nowMs, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const capture = captures.get(mirror.name);
  const running = mirror.state === "running";
  const stop = (): void => {
    setProblem("");
    capture?.stop();
    stopMirror(mirror.name).catch((error: Error) => capture === undefined && setProblem(error.message));
  };
  return (
    <article class={running ? "session rec" : "session"}>
      <p class="line">
        <Name class="strong">{mirror.name}</Name>
        <span class={running ? "blue strong" : "sub"}>
          {running ? `● REC${mirror.endsMs === undefined ? "" : ` ${left(mirror.endsMs - nowMs)} left`}` : "ended"}
        </span>
      </p>
      <Facts>
        <Fact name="by">
          <Name>{`${mirror.startedBy} (${mirror.origin})`}</Name>
        </Fact>
        <Fact name="ports">
          <Name>{mirror.ports.join(", ") || "none"}</Name>
        </Fact>
        {mirror.select.filter !== undefined && (
          <Fact name="filter">
            <code>
              <bdi>{mirror.select.filter}</bdi>
            </code>
          </Fact>
        )}
        <Fact name="frames">
          {mirror.snaplen === undefined ? "whole" : `the first ${mirror.snaplen} B of each`}
          {mirror.select.direction === "both" ? "" : mirror.select.direction === "ingress" ? ", in" : ", out"}
          {mirror.select.dropped === "only" ? ", refused ones only" : ""}
        </Fact>
        <Fact name="selected">{count(mirror.matched)} packets</Fact>
        <Fact name="copied">
          {count(mirror.sent)} packets · {bytes(mirror.bytesAfter)}
        </Fact>
        {mirror.rateDropped + mirror.queueDropped + mirror.failed > 0 && (
          <Fact name="not copied">
            <b class="amber">
              {count(mirror.rateDropped)} rate limit, {count(mirror.queueDropped)} queue, {count(mirror.failed)} failed
            </b>
          </Fact>
        )}
        <Fact name="to">{mirror.outputs.map((o) => `${o.kind} ${o.target}`).join(", ")}</Fact>
        {capture !== undefined && <Fact name="received here">{bytes(capture.bytes)}</Fact>}
      </Facts>
      {mirror.message !== undefined && (
        <p class="sub">
          <bdi>{mirror.message}</bdi>
        </p>
      )}
      <p class="acts">
        {capture !== undefined && (
          <button class="primary" disabled={capture.bytes === 0} onClick={() => download(capture)}>
            Download pcapng
          </button>
        )}
        {capture?.done === true && (
          <button
            onClick={() => {
              captures.delete(mirror.name);
              changed();
            }}
          >
            Discard
          </button>
        )}
        {running && mirror.origin !== "config" && role === "operator" && <button onClick={stop}>Stop</button>}
      </p>
      {(problem || capture?.error) && (
        <p class="problem" role="alert">
          {problem || capture?.error}
        </p>
      )}
    </article>
  );
}

const known = new Map<string, MirrorJson>();

/** Sessions of the switch, and those that it has no more but whose frames this page holds. */
export function sessions(now: Live): MirrorJson[] {
  for (const mirror of now.mirrors) if (captures.has(mirror.name)) known.set(mirror.name, mirror);
  const gone = [...captures.keys()].filter((name) => !now.mirrors.some((mirror) => mirror.name === name));
  return [
    ...now.mirrors,
    ...gone.flatMap((name) => {
      const mirror = known.get(name);
      return mirror === undefined || captures.get(name)?.done !== true ? [] : [{ ...mirror, state: "ended" as const }];
    }),
  ];
}

/** A capture of a port that is chosen here. */
function CaptureAny({ ports }: { ports: readonly PortJson[] }) {
  const [chosen, choose] = useState("");
  const names = ports.map((port) => port.name).sort();
  const name = names.includes(chosen) ? chosen : names[0];
  if (name === undefined) return null;
  const { owner } = ports.find((port) => port.name === name)!;
  return (
    <>
      <div class="form">
        <label>
          Port
          <select value={name} onChange={(e) => choose(e.currentTarget.value)}>
            {names.map((one) => (
              <option key={one} value={one}>
                {one.slice(0, 60)}
              </option>
            ))}
          </select>
        </label>
      </div>
      <CaptureForm key={name} port={name} {...(owner === undefined ? {} : { owner })} />
    </>
  );
}

export function Mirrors() {
  const now = useLive();
  const all = sessions(now);
  return (
    <>
      {all.length === 0 && (
        <p class="empty">
          {now.role === "viewer"
            ? "Nothing is mirrored."
            : "Nothing is mirrored. Start here, or click a port or a flow."}
        </p>
      )}
      {now.role === "viewer" ? <ViewerNote /> : <CaptureAny ports={now.ports} />}
      {all.map((mirror) => (
        <Mirror key={`${mirror.bridge}/${mirror.name}`} mirror={mirror} />
      ))}
    </>
  );
}
