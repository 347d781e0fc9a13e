/**
 * The river's two charts as uPlot takes them: what came in, stacked by tenant, and on a √ scale what did not pass. The
 * canvas slides under its window (river-slide.ts), so scales and ruler are not drawn on it.
 */
import uPlot from "uplot";
import { round } from "./format.ts";
import { hue, hueIndex, tile } from "./hues.ts";
import { history, live } from "./store.ts";

const MOST_BANDS = 9;
const css = (name: string): string => getComputedStyle(document.documentElement).getPropertyValue(name).trim();

export interface Band {
  readonly name: string;
  /** Of its hue; -1: the others. */
  readonly index: number;
  readonly values: number[];
}

/** Ports that are nobody's. */
export const NOBODY = "no tenant";

/** Tenants in a stable order: named by hue, the rest together. */
export function bands(): Band[] {
  const named: Band[] = [];
  const other = Array.from({ length: history.times.length }, () => 0);
  const rest = new Set<string>();
  for (const { tenant = "" } of live.tenants) {
    const index = hueIndex(tenant);
    const values = padded(`tenant ${tenant}`);
    if (index >= 0) named.push({ name: tenant, index, values });
    else {
      rest.add(tenant);
      values.forEach((value, i) => (other[i]! += value));
    }
  }
  named.sort((a, b) => a.index - b.index);
  if (rest.size > 0) named.push({ name: rest.has("") && rest.size === 1 ? NOBODY : "other", index: -1, values: other });
  return named.slice(0, MOST_BANDS);
}

const fillOf = (index: number) => (u: uPlot) =>
  u.ctx.createPattern(tile(index < 0 ? 0 : index, hue(index)), "repeat") ?? hue(index);

function options(width: number, height: number, extra: Omit<uPlot.Options, "width" | "height">): uPlot.Options {
  const text = css("--muted");
  const grid = { stroke: css("--line"), width: 1 };
  const size = innerWidth >= 2400 ? 15 : 11;
  return {
    width,
    height,
    legend: { show: false },
    padding: [6, 0, 0, 0],
    cursor: { show: false },
    ...extra,
    axes: (extra.axes ?? []).map((axis) => ({
      stroke: text,
      grid,
      font: `${size}px system-ui`,
      ticks: { show: false },
      ...axis,
    })),
  };
}

const clockTicks = (_: uPlot, splits: number[]): string[] =>
  splits.map((s) => new Date(s * 1000).toLocaleTimeString([], { hour12: false }));

export function above(width: number, height: number, names: readonly Band[]): uPlot.Options {
  return options(width, height, {
    scales: {
      x: { time: true, auto: false },
      y: { range: (_u, _lo, hi) => [0, Math.max(hi * 1.12, 1000)] },
      p: { range: (_u, _lo, hi) => [0, Math.max(hi * 1.3, 10)] },
    },
    axes: [{ show: false }, { size: 0, values: noValues, splits: linearMarks }],
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

const noValues = (_u: uPlot, marks: number[]): string[] => marks.map(() => "");

/** 0 and up to five round numbers up to the top. */
function linearMarks(u: uPlot, _i: number, _lo: number, hi: number): number[] {
  const most = Math.max(2, Math.min(5, Math.floor(u.height / 40)));
  const power = 10 ** Math.floor(Math.log10(hi / most));
  const step = [1, 2, 5, 10].map((n) => n * power).find((n) => hi / n <= most)!;
  return Array.from({ length: Math.floor(hi / step) + 1 }, (_, i) => i * step);
}

/** Marks of a √ scale that stand apart: near the top, and about 4/9 and 1/9 of it (2/3 and 1/3 of the height). */
function rootMarks(_u: uPlot, _i: number, _lo: number, hi: number): number[] {
  const marks = [hi / 9, (hi * 4) / 9, hi * 0.92].map((v) => Number(v.toPrecision(1)));
  return [...new Set([0, ...marks])].filter((v) => v <= hi);
}

/** Marks of a chart's scale: where they stand, px from the top of the chart, and what they say. */
export function marksOf(plot: uPlot, isUpper: boolean): { top: number; text: string }[] {
  const hi = plot.scales["y"]?.max;
  if (hi === undefined || hi === null) return [];
  return (isUpper ? linearMarks : rootMarks)(plot, 1, 0, hi).map((v) => ({
    top: plot.over.offsetTop + plot.valToPos(v, "y"),
    text: v === 0 ? "" : isUpper ? round(v) : `${round(v)}/s`,
  }));
}

export function below(width: number, height: number, expected: boolean): uPlot.Options {
  const hatch = (u: uPlot): CanvasPattern | string =>
    u.ctx.createPattern(tile(1, css("--amber")), "repeat") ?? css("--amber");
  const bars = uPlot.paths.bars!({ size: [0.9, 6, 4], align: 1 });
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
      { size: innerWidth >= 2400 ? 30 : 22, values: clockTicks, space: 90, grid: { show: false } },
      {
        size: 0,
        // The default leaves out most marks of a scale that is not linear.
        filter: (_u, splits) => splits,
        splits: rootMarks,
        values: noValues,
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

/** A series as long as the times. */
export const padded = (key: string): number[] => {
  const values = history.get(key);
  const missing = history.times.length - values.length;
  return history.times.map((_, i) => values[i - missing] ?? 0);
};

export function stacked(list: readonly Band[]): uPlot.AlignedData {
  const times = history.times;
  const sums: number[][] = [];
  let under = times.map(() => 0);
  for (const band of list) {
    under = times.map((_, i) => under[i]! + (band.values[i] ?? 0));
    sums.push(under);
  }
  return [times, ...sums.toReversed(), padded("pps")] as uPlot.AlignedData;
}

/** What did not pass. Where nothing was lost there is no amber, not even an edge of it. */
export function unpassed(): uPlot.AlignedData {
  const refused = padded("refused");
  const lost = padded("lost");
  return [
    history.times,
    padded("expected"),
    refused.map((r, i) => (lost[i]! > 0 ? r + lost[i]! : null)),
    refused.map((r) => (r > 0 ? r : null)),
  ] as uPlot.AlignedData;
}
