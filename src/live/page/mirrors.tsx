/** Mirror sessions: start one with what is prefilled, watch it, download what it copied, stop it. */
import { useEffect, useState } from "preact/hooks";
import type { MirrorJson } from "../../bridge/views/json.ts";
import { captures, download, readCapture, startMirror, stopMirror, type CaptureWish } from "./api.ts";
import { bytes, count, left } from "./format.ts";
import { Fact, Facts, Name } from "./parts.tsx";
import { changed, useLive } from "./store.ts";
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

export function CaptureForm({
  port,
  vm,
  filter = "",
  dropped = "include",
}: {
  port?: string;
  vm?: string;
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
    whole: false,
  });
  const [problem, setProblem] = useState("");
  const submit = async (event: Event): Promise<void> => {
    event.preventDefault();
    setProblem("");
    const name = sessionName(vm !== undefined && wish.whole ? vm : (port ?? vm ?? "all"));
    const { whole, ...rest } = wish;
    try {
      await startMirror(name, {
        ...rest,
        ...(vm !== undefined && (whole || port === undefined) ? { vm } : { ports: [port!] }),
      });
      readCapture(name, progress);
      go({ open: `mirror:${name}` });
    } catch (error) {
      setProblem((error as Error).message);
    }
  };
  return (
    <form class="form" onSubmit={(event) => void submit(event)}>
      <h3>Capture</h3>
      {now.role === "viewer" && (
        <p class="sub">
          You are a viewer: packet contents need the operator role. Open the one-time link that the switch printed.
        </p>
      )}
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
      {vm !== undefined && port !== undefined && (
        <label class="check">
          <input
            type="checkbox"
            checked={wish.whole}
            onChange={(e) => setWish({ ...wish, whole: e.currentTarget.checked })}
          />{" "}
          every port of <Name>{vm}</Name>
        </label>
      )}
      <button class="primary" type="submit">
        Start capture
      </button>
      {problem !== "" && (
        <p class="problem" role="alert">
          {problem}
        </p>
      )}
    </form>
  );
}

export function Mirror({ mirror }: { mirror: MirrorJson }) {
  const [problem, setProblem] = useState("");
  const [nowMs, setNow] = useState(Date.now());
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    return () => clearInterval(timer);
  }, []);
  const capture = captures.get(mirror.name);
  const running = mirror.state === "running" && capture?.done !== true;
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
        <Fact name="selected">{count(mirror.matched)}</Fact>
        <Fact name="copied">
          {count(mirror.sent)} · {bytes(mirror.bytesAfter)}
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
        {running && mirror.origin !== "config" && <button onClick={stop}>Stop</button>}
      </p>
      {(problem || capture?.error) && (
        <p class="problem" role="alert">
          {problem || capture?.error}
        </p>
      )}
    </article>
  );
}

export function Mirrors() {
  const now = useLive();
  return (
    <>
      {now.mirrors.length === 0 && (
        <p class="empty">Nothing is mirrored. Click a port or a flow, then Start capture.</p>
      )}
      {now.mirrors.map((mirror) => (
        <Mirror key={`${mirror.bridge}/${mirror.name}`} mirror={mirror} />
      ))}
    </>
  );
}
