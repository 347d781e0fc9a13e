/** The bar that stays: whose switch this is, whether it is well, what is recorded, the filter. */
import { useEffect, useRef, useState } from "preact/hooks";
import { clock, left, typedFilter } from "./format.ts";
import { Name } from "./parts.tsx";
import { changed, live, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

const Lamp = ({ name, ok, bad }: { name: string; ok: boolean; bad: string }) => (
  <li class={ok ? "" : "bad"}>
    <i aria-hidden="true" />
    {ok ? name : bad}
  </li>
);

const ZONE = `local time, ${Intl.DateTimeFormat().resolvedOptions().timeZone}`;
const ROLES = {
  viewer: "sees everything but the contents of packets",
  operator: "may capture, and see the contents of packets",
};

export function toggleFreeze(): void {
  live.frozen = !live.frozen;
  changed();
}

export function Top({ theme, setTheme }: { theme: string; setTheme: (theme: string) => void }) {
  const now = useLive();
  const place = usePlace();
  const [text, setText] = useState(place.filter);
  const [nowMs, setNow] = useState(Date.now());
  const box = useRef<HTMLInputElement>(null);
  useEffect(() => setText(place.filter), [place.filter]);
  useEffect(() => {
    const timer = setInterval(() => setNow(Date.now()), 1000);
    const key = (event: KeyboardEvent): void => {
      const on = (what: string): boolean => event.target instanceof HTMLElement && event.target.closest(what) !== null;
      if (event.ctrlKey || event.metaKey || event.altKey || on("input, textarea, select")) return;
      if (event.key === " " && on("button, summary")) return;
      if (event.key === " ") toggleFreeze();
      else if (event.key === "/") box.current?.focus();
      else if (event.key === "Escape") go({ open: "" });
      else return;
      event.preventDefault();
    };
    addEventListener("keydown", key);
    return () => (clearInterval(timer), removeEventListener("keydown", key));
  }, []);
  useEffect(() => {
    if (typedFilter(text) === place.filter) return;
    const timer = setTimeout(() => go({ filter: typedFilter(text) }), 350);
    return () => clearTimeout(timer);
  }, [text]);
  const bridges = now.system?.bridges ?? [];
  const sick = (now.system?.exporters ?? []).filter((e) => !["sending", "idle", "starting"].includes(e.state));
  const forwarding = bridges.length > 0 && bridges.every((b) => b.state === "forwarding" || b.state === "observing");
  const word = bridges.some((b) => b.state === "observing") ? "Observing" : "Forwarding";
  const running = now.mirrors.filter((m) => m.state === "running");
  const connected = now.connection === "live";
  return (
    <header class="top">
      <h1>
        <Name>{now.system?.host.name ?? "Weir"}</Name>
        <span class="sub">
          <Name>{bridges.map((b) => b.name).join(", ")}</Name>
        </span>
      </h1>
      <ul class="lamps" aria-label="State">
        <Lamp
          name={word}
          ok={connected && forwarding}
          bad={connected ? (bridges[0]?.state ?? "not forwarding") : "No news"}
        />
        <Lamp
          name="Counts conserved"
          ok={bridges.every((b) => b.conserved) && now.audit.every((a) => a.ok)}
          bad="Counts do not add up"
        />
        <Lamp
          name="Telemetry"
          ok={sick.length === 0}
          bad={`Telemetry: ${sick[0]?.name.slice(0, 20)} ${sick[0]?.state}`}
        />
      </ul>
      {running.length > 0 && (
        <button
          class="rec-chip n"
          onClick={() => go({ open: running.length === 1 ? `mirror:${running[0]!.name}` : "mirrors" })}
        >
          ● REC{" "}
          <Name>
            {running.length === 1
              ? `${running[0]!.ports.join(", ")}, ${running[0]!.startedBy}`
              : `${running.length} sessions`}
          </Name>
          {running[0]!.endsMs !== undefined && `, ${left(running[0]!.endsMs - nowMs)} left`}
        </button>
      )}
      <div class="filter">
        <input
          ref={box}
          type="search"
          aria-label="Filter"
          placeholder="Filter: tenant:acme port:web1 443 dropped"
          value={text}
          spellcheck={false}
          autocomplete="off"
          aria-invalid={now.error !== undefined}
          aria-describedby="filter-problem"
          onInput={(e) => setText(e.currentTarget.value)}
          onKeyDown={(e) => {
            if (e.key === "Enter") go({ filter: typedFilter(text) });
            if (e.key === "Escape") box.current?.blur();
          }}
        />
        <kbd aria-hidden="true">/</kbd>
        <p id="filter-problem" role="status">
          {now.error !== undefined && <bdi>{now.error}</bdi>}
        </p>
      </div>
      <div class="tools">
        <time class="n" title={ZONE}>
          {clock(nowMs)}
        </time>
        <span class="role" title={ROLES[now.role]}>
          {now.role}
        </span>
        <button aria-pressed={now.frozen} onClick={toggleFreeze} title="space bar">
          {now.frozen ? "Frozen" : "Freeze"}
        </button>
        <button onClick={() => setTheme(theme === "dark" ? "light" : "dark")}>
          {theme === "dark" ? "Light" : "Dark"}
        </button>
      </div>
    </header>
  );
}
