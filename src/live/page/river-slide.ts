/**
 * Time runs right to left. The charts are drawn once a message, a few seconds wider than their window, and slide under it:
 * a frame costs a transform, not a drawing, so that a machine without a GPU keeps up.
 */
import uPlot from "uplot";
import { above, below, marksOf, stacked, bands, unpassed, type Band } from "./river-charts.ts";
import { history, live, ruler } from "./store.ts";

/** Drawn beyond the window, s: before it and after it. */
const BEFORE_S = 2;
const AFTER_S = 1;
/** The newest moment is shown this much behind, so that the line is there when time arrives. */
const BEHIND_S = 1.25;
/** Share by which a message's delay moves what is taken as the delay: jitter must not shake the river. */
const SMOOTHING = 0.1;
const MOST_JUMP_S = 3;

const still = matchMedia("(prefers-reduced-motion: reduce)");

export interface Boxes {
  readonly upper: HTMLElement;
  readonly lower: HTMLElement;
  readonly upperScale: HTMLElement;
  readonly lowerScale: HTMLElement;
}

export interface Slide {
  /** Unix s at a place in the window, px from its left; and back. */
  timeAt(x: number): number;
  placeOf(time: number): number;
  /** The band at a place, if there is one. */
  bandAt(x: number, y: number): Band | undefined;
  end(): void;
}

function scale(box: HTMLElement, plot: uPlot, isUpper: boolean): void {
  const marks = marksOf(plot, isUpper);
  while (box.children.length > marks.length) box.lastElementChild!.remove();
  while (box.children.length < marks.length) box.append(document.createElement("span"));
  marks.forEach(({ top, text }, i) => {
    const mark = box.children[i] as HTMLElement;
    if (mark.textContent !== text) mark.textContent = text;
    mark.style.top = `${top}px`;
  });
}

function strip(box: HTMLElement): HTMLElement {
  const made = document.createElement("div");
  made.className = "strip";
  box.append(made);
  return made;
}

/** Draws both charts into their boxes until it is ended. `onMove`: where the ruler stands has changed. */
export function slide(boxes: Boxes, list: readonly Band[], showExpected: boolean, onMove: () => void): Slide {
  const { upper, lower } = boxes;
  const strips: readonly [HTMLElement, HTMLElement] = [strip(upper), strip(lower)];
  const span = (): number => live.windowS + BEFORE_S + AFTER_S;
  const width = (): number => (upper.clientWidth * span()) / live.windowS;
  const top = new uPlot(above(width(), upper.clientHeight, list), stacked(list), strips[0]);
  const bottom = new uPlot(below(width(), lower.clientHeight, showExpected), [[], [], [], []], strips[1]);
  let drawn = -1;
  let windowS = live.windowS;
  let newest = live.atMs / 1000;
  /** Of the browser's frames behind the switch's clock, s: their zeros differ, it need not be a delay that makes sense. */
  let delay: number | undefined;
  /** Right edge of the window, Unix s. */
  let shown = newest;
  let moved = Number.NaN;
  let frame = 0;

  const redraw = (at: number): void => {
    drawn = live.version;
    if (windowS !== live.windowS) resize();
    const last = history.times.at(-1);
    if (last !== undefined && last !== newest) {
      newest = last;
      const seen = at / 1000 - last;
      delay = delay === undefined || Math.abs(seen - delay) > MOST_JUMP_S ? seen : delay + SMOOTHING * (seen - delay);
    }
    top.setData(stacked(bands().slice(0, list.length)), false);
    bottom.setData(unpassed(), false);
    const range = { min: newest - live.windowS - BEFORE_S, max: newest + AFTER_S };
    for (const plot of [top, bottom]) plot.setScale("x", range);
    moved = Number.NaN;
    // uPlot draws in a microtask.
    queueMicrotask(() => {
      scale(boxes.upperScale, top, true);
      scale(boxes.lowerScale, bottom, false);
    });
  };
  const resize = (): void => {
    windowS = live.windowS;
    top.setSize({ width: width(), height: upper.clientHeight });
    bottom.setSize({ width: width(), height: lower.clientHeight });
    moved = Number.NaN;
  };
  const placeOf = (time: number): number => upper.clientWidth * (1 - (shown - time) / windowS);
  const step = (at: number): void => {
    frame = requestAnimationFrame(step);
    const isNew = drawn !== live.version;
    if (isNew) redraw(at);
    if (still.matches || live.connection !== "live") shown = newest;
    else if (!live.frozen)
      shown = Math.min(newest + AFTER_S / 2, Math.max(newest - BEFORE_S, at / 1000 - (delay ?? 0) - BEHIND_S));
    const shift = -((shown - newest + BEFORE_S) * upper.clientWidth) / windowS;
    const rounded = Math.round(shift * devicePixelRatio) / devicePixelRatio;
    if (rounded === moved) return;
    moved = rounded;
    for (const { style } of strips) style.transform = `translateX(${rounded}px)`;
    if (isNew) onMove();
  };
  frame = requestAnimationFrame(step);
  const observer = new ResizeObserver(() => {
    resize();
    drawn = -1;
  });
  observer.observe(upper);
  return {
    placeOf,
    timeAt: (x) => shown - windowS * (1 - x / upper.clientWidth),
    bandAt(x, y) {
      const index = top.valToIdx(shown - windowS * (1 - x / upper.clientWidth));
      const value = top.posToVal(y - top.over.offsetTop, "y");
      let sum = 0;
      return bands().find((band) => (sum += band.values[index] ?? 0) >= value);
    },
    end() {
      cancelAnimationFrame(frame);
      observer.disconnect();
      top.destroy();
      bottom.destroy();
      for (const one of strips) one.remove();
      ruler.set(undefined);
    },
  };
}
