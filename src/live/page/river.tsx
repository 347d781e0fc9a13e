/**
 * The river: bits per second in, stacked by tenant, with the packet rate as a thin line; below the crest, on a √ scale of
 * its own, what did not pass. A ruler goes through them and every other chart of the page.
 */
import { useEffect, useRef, useState } from "preact/hooks";
import { bits, clock, pps, short, term } from "./format.ts";
import { Swatch } from "./parts.tsx";
import { NOBODY, bands, padded, type Band } from "./river-charts.ts";
import { slide, type Slide } from "./river-slide.ts";
import { WINDOWS, changed, history, live, ruler, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

/** Index of the time that is closest; times rise. */
function nearest(times: readonly number[], at: number): number {
  const next = times.findIndex((time) => time >= at);
  if (next < 0) return times.length - 1;
  return next > 0 && at - times[next - 1]! < times[next]! - at ? next - 1 : next;
}

/** The filter that leaves a band; the others together have none. */
const filterOf = ({ name, index }: Band): string | undefined =>
  index >= 0 ? term("tenant", name) : name === NOBODY ? "tenant=none" : undefined;

/** The ruler through both charts, and what they say there. */
function Ruler({ chart, width }: { chart: Slide | undefined; width: number }) {
  const [, draw] = useState(0);
  useEffect(() => {
    const listener = (): void => draw((n) => n + 1);
    ruler.listeners.add(listener);
    return () => void ruler.listeners.delete(listener);
  }, []);
  const { at } = ruler;
  if (at === undefined || chart === undefined || history.times.length === 0) return null;
  const index = nearest(history.times, at);
  const time = history.times[index]!;
  const left = chart.placeOf(at);
  if (left < 0 || left > width) return null;
  const isRight = left > width * 0.6;
  const value = (key: string): number => padded(key)[index] ?? 0;
  const list = bands();
  return (
    <div class="ruler" aria-hidden="true" style={{ left }}>
      <div class={isRight ? "reading left" : "reading"}>
        <b class="n">{clock(time * 1000)}</b>
        <dl class="n">
          <dt>in</dt>
          <dd>{bits(list.reduce((sum, band) => sum + (band.values[index] ?? 0), 0))}</dd>
          {list.toReversed().map((band) => (
            <>
              <dt>
                <Swatch tenant={band.index < 0 ? "" : band.name} /> <bdi>{band.name.slice(0, 40)}</bdi>
              </dt>
              <dd>{bits(band.values[index] ?? 0)}</dd>
            </>
          ))}
          <dt>packets</dt>
          <dd>{pps(value("pps"))}</dd>
          <dt class="red">■ refused</dt>
          <dd>{short(value("refused"))}/s</dd>
          {value("lost") > 0 && (
            <>
              <dt class="amber">▨ lost</dt>
              <dd>{short(value("lost"))}/s</dd>
            </>
          )}
        </dl>
      </div>
    </div>
  );
}

export function River({ theme }: { theme: string }) {
  const now = useLive();
  const place = usePlace();
  const upper = useRef<HTMLDivElement>(null);
  const lower = useRef<HTMLDivElement>(null);
  const upperScale = useRef<HTMLDivElement>(null);
  const lowerScale = useRef<HTMLDivElement>(null);
  const chart = useRef<Slide | undefined>(undefined);
  const pointer = useRef<number | undefined>(undefined);
  const list = bands();
  const showExpected = now.expected.packets > 0;
  const shape = `${theme} ${showExpected} ${list.map((band) => band.name).join("|")}`;
  const point = (): void => {
    if (pointer.current !== undefined) ruler.set(chart.current?.timeAt(pointer.current));
  };
  const move = (event: MouseEvent): void => {
    pointer.current = event.clientX - upper.current!.getBoundingClientRect().left;
    point();
  };
  const leave = (): void => {
    pointer.current = undefined;
    ruler.set(undefined);
  };
  const click = (event: MouseEvent): void => {
    const { left, top } = upper.current!.getBoundingClientRect();
    const hit = chart.current?.bandAt(event.clientX - left, event.clientY - top);
    const filter = hit && filterOf(hit);
    if (filter !== undefined) go({ filter });
  };
  useEffect(() => {
    const boxes = {
      upper: upper.current!,
      lower: lower.current!,
      upperScale: upperScale.current!,
      lowerScale: lowerScale.current!,
    };
    const mine = slide(boxes, list, showExpected, point);
    chart.current = mine;
    return () => mine.end();
  }, [shape]);

  const bridges = now.system?.bridges ?? [];
  const sum = (pick: (rates: (typeof bridges)[number]["rates"]) => number): number =>
    bridges.reduce((total, { rates }) => total + pick(rates), 0);
  const [bps, packets, refused, lost] = [
    sum((r) => r.rxBps),
    sum((r) => r.rxPps),
    sum((r) => r.refusedPps),
    sum((r) => r.lostPps),
  ];
  const choose = (windowS: number): void => {
    live.windowS = windowS;
    changed();
  };
  return (
    <section class="river" aria-label="Traffic">
      <header>
        <h2 class="big">
          {bits(bps)} <small>in</small>
        </h2>
        <span class="key pps-key">{pps(packets)}</span>
        <span class={refused > 0 ? "key red" : "key"}>■ {short(refused)} refused/s</span>
        <span class={lost > 0 ? "key amber" : "key"}>▨ {short(lost)} lost/s</span>
        <ul class="legend" aria-label="Tenants">
          {list.map((band) => {
            const filter = filterOf(band);
            return (
              <li key={band.name}>
                <button
                  disabled={filter === undefined}
                  aria-pressed={place.filter === filter}
                  onClick={() => go({ filter: place.filter === filter ? "" : (filter ?? "") })}
                >
                  <Swatch tenant={band.index < 0 ? "" : band.name} /> <bdi>{band.name}</bdi>{" "}
                  <span class="n">{short(band.values.at(-1) ?? 0)}</span>
                </button>
              </li>
            );
          })}
        </ul>
      </header>
      <div class="plots">
        <div class="scale" ref={upperScale} aria-hidden="true" />
        <div
          class="plot up"
          ref={upper}
          role="img"
          aria-label={`${bits(bps)} in, by tenant, the last ${live.windowS} seconds`}
          onMouseMove={move}
          onMouseLeave={leave}
          onClick={click}
        />
        <div class="scale" ref={lowerScale} aria-hidden="true" />
        <div
          class="plot down"
          ref={lower}
          role="img"
          aria-label={`${short(refused)} refused and ${short(lost)} lost packets per second`}
          onMouseMove={move}
          onMouseLeave={leave}
        />
        <div class="over">
          <Ruler chart={chart.current} width={upper.current?.clientWidth ?? 0} />
        </div>
      </div>
      <div class="axis-note">
        <p>
          <span>above: bit/s in by tenant, line: packets/s</span>
          <span>
            below, √ scale: <b class="red">■ refused</b> <b class="amber">▨ lost around the switch</b>
            {showExpected && <b>┄ expected</b>}
          </span>
        </p>
        <div role="group" aria-label="Time shown" class="windows">
          {WINDOWS.map((seconds) => (
            <button key={seconds} aria-pressed={live.windowS === seconds} onClick={() => choose(seconds)}>
              {seconds < 120 ? `${seconds} s` : `${seconds / 60} min`}
            </button>
          ))}
        </div>
      </div>
    </section>
  );
}
