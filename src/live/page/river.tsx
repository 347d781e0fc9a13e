/**
 * The river: bits per second in, stacked by tenant, with the packet rate as a thin line; below the crest, on a √ scale of
 * its own, what did not pass. uPlot draws on canvas; only the x scale moves between messages.
 */
import { useEffect, useRef } from "preact/hooks";
import uPlot from "uplot";
import { bits, pps, short } from "./format.ts";
import { hue, hueIndex, tile } from "./hues.ts";
import { Swatch } from "./parts.tsx";
import { WINDOW_S, history, live, ruler, useLive } from "./store.ts";
import { go, usePlace } from "./url.ts";

const MOST_BANDS = 9;
const css = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();
const still = matchMedia("(prefers-reduced-motion: reduce)");

/** Tenants in a stable order: named by hue, the rest together as "other". */
function bands(): { name: string; index: number; values: number[] }[] {
  const n = history.times.length;
  const named: { name: string; index: number; values: number[] }[] = [];
  const other = Array.from({ length: n }, () => 0);
  let rest = false;
  for (const tenant of live.tenants) {
    const index = hueIndex(tenant.tenant ?? "");
    const values = history.get(`tenant ${tenant.tenant ?? ""}`);
    if (index >= 0) named.push({ name: tenant.tenant!, index, values });
    else {
      rest = true;
      values.forEach((value, i) => (other[i]! += value));
    }
  }
  named.sort((a, b) => a.index - b.index);
  if (rest) named.push({ name: "other", index: -1, values: other });
  return named.slice(0, MOST_BANDS);
}

const fillOf = (index: number) => (u: uPlot) =>
  u.ctx.createPattern(tile(index < 0 ? 0 : index, hue(index)), "repeat") ?? hue(index);

function options(width: number, height: number, extra: Omit<uPlot.Options, "width" | "height">): uPlot.Options {
  const text = css("--muted");
  const grid = { stroke: css("--line"), width: 1 };
  return {
    width,
    height,
    legend: { show: false },
    padding: [6, 0, 0, 0],
    cursor: { sync: { key: "weir" }, drag: { x: false, y: false }, points: { show: false }, y: false },
    ...extra,
    axes: (extra.axes ?? []).map((axis) => ({
      stroke: text,
      grid,
      font: "11px system-ui",
      ticks: { show: false },
      ...axis,
    })),
  };
}

const clockTicks = (_: uPlot, splits: number[]): string[] =>
  splits.map((s) => new Date(s * 1000).toLocaleTimeString([], { hour12: false }));

function above(width: number, height: number, names: { name: string; index: number }[]): uPlot.Options {
  return options(width, height, {
    scales: {
      x: { time: true, auto: false },
      y: { range: (_u, _lo, hi) => [0, Math.max(hi * 1.12, 1000)] },
      p: { range: (_u, _lo, hi) => [0, Math.max(hi * 1.3, 10)] },
    },
    axes: [
      { show: false },
      { size: 62, values: (_u, splits) => splits.map((v) => (v === 0 ? "" : short(v))), space: 34 },
    ],
    series: [
      {},
      // Drawn from the top of the stack down: each covers what is below it.
      ...names.toReversed().map(({ name, index }) => ({
        label: name,
        stroke: hue(index),
        width: 1,
        fill: fillOf(index),
        points: { show: false },
      })),
      { label: "pps", scale: "p", stroke: css("--pps"), width: 1.25, points: { show: false } },
    ],
  });
}

const root = (v: number): number => Math.sign(v) * Math.sqrt(Math.abs(v));

function below(width: number, height: number, expected: boolean): uPlot.Options {
  const hatch = (u: uPlot): CanvasPattern | string =>
    u.ctx.createPattern(tile(1, css("--amber")), "repeat") ?? css("--amber");
  const bars = uPlot.paths.bars!({ size: [0.9, 6], align: 1 });
  return options(width, height, {
    padding: [0, 0, 0, 0],
    scales: {
      x: { time: true, auto: false },
      y: {
        distr: 100,
        fwd: root,
        bwd: (v) => Math.sign(v) * v * v,
        dir: -1,
        range: (_u, _lo, hi) => [0, Math.max(hi * 1.1, 10)],
      },
    },
    axes: [
      { size: 22, values: clockTicks, space: 90, grid: { show: false } },
      {
        size: 62,
        // The default leaves out most ticks of a scale that is not linear.
        filter: (_u, splits) => splits,
        splits: (_u, _i, _lo, hi) => [0, hi / 9, (hi * 4) / 9, hi].map((v) => Number(v.toPrecision(1))),
        values: (_u, splits) => splits.map((v) => (v === 0 ? "" : `${short(v)}/s`)),
      },
    ],
    series: [
      {},
      { label: "expected", stroke: css("--muted"), dash: [2, 3], width: 1.5, show: expected, points: { show: false } },
      {
        label: "refused and lost",
        stroke: css("--amber"),
        fill: hatch,
        width: 1,
        paths: bars,
        points: { show: false },
      },
      { label: "refused", stroke: css("--red"), fill: css("--red"), width: 0, paths: bars, points: { show: false } },
    ],
  });
}

function stacked(list: { values: number[] }[]): uPlot.AlignedData {
  const times = history.times;
  const sums: number[][] = [];
  let under = times.map(() => 0);
  for (const band of list) {
    under = times.map((_, i) => under[i]! + (band.values[i] ?? 0));
    sums.push(under);
  }
  return [times, ...sums.toReversed(), padded("pps")] as uPlot.AlignedData;
}

const padded = (key: string): number[] => {
  const values = history.get(key);
  return history.times.map((_, i) => values[i] ?? 0);
};

export function River({ theme }: { theme: string }) {
  const now = useLive();
  const place = usePlace();
  const upper = useRef<HTMLDivElement>(null);
  const lower = useRef<HTMLDivElement>(null);
  const list = bands();
  const shape = `${theme} ${list.map((band) => band.name).join("|")}`;
  const showExpected = now.expected.packets > 0;

  useEffect(() => {
    const box = upper.current!;
    const top = new uPlot(above(box.clientWidth, box.clientHeight, list), stacked(list), box);
    const bottom = new uPlot(
      below(box.clientWidth, lower.current!.clientHeight, showExpected),
      [[], [], [], []],
      lower.current!,
    );
    let drawn = -1;
    let stepped = 0;
    let frame = 0;
    /** Show the newest moment a message behind the clock, so that the line is always there when time arrives. */
    const draw = (at: number): void => {
      frame = requestAnimationFrame(draw);
      if (live.frozen && drawn >= 0) return;
      if (drawn !== live.version) {
        drawn = live.version;
        top.setData(stacked(bands().slice(0, list.length)), false);
        const refused = padded("refused");
        const lost = padded("lost");
        bottom.setData([history.times, padded("expected"), refused.map((r, i) => r + lost[i]!), refused], false);
      } else if (still.matches && at - stepped < 1000) return;
      stepped = at;
      const newest = history.times.at(-1) ?? Date.now() / 1000;
      const lag = still.matches ? 0 : Math.min(1.5, (Date.now() - arrived) / 1000);
      const max = live.connection === "live" ? newest - 1 + lag : newest;
      const range = { min: max - WINDOW_S, max };
      top.setScale("x", range);
      bottom.setScale("x", range);
    };
    let arrived = Date.now();
    let known = history.times.at(-1);
    const watch = setInterval(() => {
      if (history.times.at(-1) === known) return;
      known = history.times.at(-1);
      arrived = Date.now();
    }, 50);
    frame = requestAnimationFrame(draw);
    const resize = new ResizeObserver(() => {
      top.setSize({ width: box.clientWidth, height: box.clientHeight });
      bottom.setSize({ width: box.clientWidth, height: lower.current?.clientHeight ?? 80 });
    });
    resize.observe(box);
    const move = (plot: uPlot) => (event: MouseEvent) =>
      ruler.set(plot.posToVal(event.clientX - plot.over.getBoundingClientRect().left, "x"));
    const leave = (): void => ruler.set(undefined);
    const click = (event: MouseEvent): void => {
      const rect = top.over.getBoundingClientRect();
      const value = top.posToVal(event.clientY - rect.top, "y");
      const index = top.posToIdx(event.clientX - rect.left);
      let sum = 0;
      const hit = bands().find((band) => (sum += band.values[index] ?? 0) >= value);
      if (hit !== undefined && hit.index >= 0) go({ filter: `tenant=${hit.name}` });
    };
    for (const plot of [top, bottom]) {
      plot.over.addEventListener("mousemove", move(plot));
      plot.over.addEventListener("mouseleave", leave);
    }
    top.over.addEventListener("click", click);
    return () => {
      cancelAnimationFrame(frame);
      clearInterval(watch);
      resize.disconnect();
      top.destroy();
      bottom.destroy();
    };
  }, [shape, showExpected]);

  const rates = now.system?.bridges.reduce(
    (sum, b) => ({
      bps: sum.bps + b.rates.rxBps,
      pps: sum.pps + b.rates.rxPps,
      refused: sum.refused + b.rates.refusedPps,
      lost: sum.lost + b.rates.lostPps,
    }),
    { bps: 0, pps: 0, refused: 0, lost: 0 },
  ) ?? { bps: 0, pps: 0, refused: 0, lost: 0 };
  return (
    <section class="river" aria-label="Traffic">
      <header>
        <h2 class="big">
          {bits(rates.bps)} <small>in</small>
        </h2>
        <span class="pps-key">{pps(rates.pps)}</span>
        <span class="bad-key">{short(rates.refused)} refused/s</span>
        <span class="lost-key">{short(rates.lost)} lost/s</span>
        <ul class="legend">
          {list.map((band) => (
            <li key={band.name}>
              <button
                disabled={band.index < 0}
                aria-pressed={place.filter === `tenant=${band.name}`}
                onClick={() => go({ filter: place.filter === `tenant=${band.name}` ? "" : `tenant=${band.name}` })}
              >
                <Swatch tenant={band.name} /> <bdi>{band.name}</bdi>{" "}
                <span class="n">{short(band.values.at(-1) ?? 0)}</span>
              </button>
            </li>
          ))}
        </ul>
      </header>
      <div
        class="plot up"
        ref={upper}
        role="img"
        aria-label={`${bits(rates.bps)} in, by tenant, the last ${WINDOW_S} seconds`}
      />
      <div
        class="plot down"
        ref={lower}
        role="img"
        aria-label={`${short(rates.refused)} refused and ${short(rates.lost)} lost packets per second`}
      />
      <p class="axis-note">
        did not pass (√ scale): <b class="red">■ refused</b> <b class="amber">▨ lost around the switch</b>
      </p>
    </section>
  );
}
