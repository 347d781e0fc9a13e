/** Small pieces that many views share. Names come from guests: they are text, isolated (bdi) and cut by CSS. */
import { useEffect, useRef } from "preact/hooks";
import type { ComponentChildren } from "preact";
import { hue, hueIndex } from "./hues.ts";
import { live, ruler, useLive, type History } from "./store.ts";

export const Swatch = ({ tenant }: { tenant: string }) => {
  const index = hueIndex(tenant);
  return (
    <i
      class={`swatch hatch${index < 0 ? "-other" : index}`}
      style={{ backgroundColor: hue(index) }}
      aria-hidden="true"
    />
  );
};

export const Name = ({ children, class: more = "" }: { children: string; class?: string }) => (
  <bdi class={`name ${more}`} title={children.slice(0, 200)}>
    {children.slice(0, 300)}
  </bdi>
);

export const ownerName = (owner: { tenant?: string; vm?: string } | undefined): string =>
  owner === undefined ? "" : [owner.tenant, owner.vm].filter((part) => part !== undefined).join("/");

/** A spark's own units: its drawing is stretched to whatever box it has. */
const WIDE = 900;
const HIGH = 100;
/** Left free above the highest rate, and below nothing. */
const EDGE = 6;
/** Beyond the box: where the outline of the area is not seen. */
const OUT = 40;
const MOST_POINTS = 150;

/** The area under a rate as an SVG path; nothing before there are two moments to join. */
function area(from: History, series: string, down: boolean): string {
  const values = from.get(series);
  const end = from.times.at(-1) ?? 0;
  const skip = from.times.length - values.length;
  // One moment before the window, so that the line comes from its edge.
  let first = values.findIndex((_, i) => from.times[skip + i]! >= end - live.windowS);
  if (first > 0) first--;
  if (values.length - first < 2) return "";
  let most = 1;
  for (let i = first; i < values.length; i++) most = Math.max(most, values[i]!);
  const x = (time: number): number => Math.round(WIDE * (1 - (end - time) / live.windowS));
  const y = (value: number): number => {
    const up = Math.round(EDGE + (value / most) * (HIGH - 2 * EDGE));
    return down ? up : HIGH - up;
  };
  const base = down ? -OUT : HIGH + OUT;
  const step = values.length - first > MOST_POINTS ? live.windowS / MOST_POINTS : 0;
  let path = `M${x(from.times[skip + first]!)} ${base}`;
  let peak = 0;
  for (let i = first; i < values.length; i++) {
    const time = from.times[skip + i]!;
    peak = Math.max(peak, values[i]!);
    // More moments than can be seen: the highest of those that are one point.
    if (step > 0 && i + 1 < values.length && Math.floor(time / step) === Math.floor(from.times[skip + i + 1]! / step))
      continue;
    path += `L${x(time)} ${y(peak)}`;
    peak = 0;
  }
  return `${path}L${WIDE + OUT} ${y(values.at(-1)!)}V${base}Z`;
}

/** A rate over the page's window, with the page's ruler. No canvas: each would be a layer that every frame has to join. */
export function Spark({ from, series, down = false }: { from: History; series: string; down?: boolean }) {
  const box = useRef<SVGSVGElement>(null);
  const line = useRef<SVGPathElement>(null);
  const { version } = useLive();
  const rule = (): void => {
    const { at } = ruler;
    const place = at === undefined ? -OUT : WIDE * (1 - ((from.times.at(-1) ?? 0) - at) / live.windowS);
    line.current?.setAttribute("d", `M${Math.round(place)} 0V${HIGH}`);
  };
  useEffect(() => {
    if (ruler.at !== undefined) rule();
  }, [version]);
  useEffect(() => {
    ruler.listeners.add(rule);
    return () => void ruler.listeners.delete(rule);
  }, []);
  const point = (event: MouseEvent): void => {
    const { left, width } = box.current!.getBoundingClientRect();
    ruler.set((from.times.at(-1) ?? 0) - live.windowS * (1 - (event.clientX - left) / width));
  };
  return (
    <svg
      class={down ? "spark down" : "spark"}
      viewBox={`0 0 ${WIDE} ${HIGH}`}
      preserveAspectRatio="none"
      ref={box}
      aria-hidden="true"
      onMouseMove={point}
      onMouseLeave={() => ruler.set(undefined)}
    >
      <path class="area" d={area(from, series, down)} />
      <path class="at" ref={line} />
    </svg>
  );
}

export const Facts = ({ children }: { children: ComponentChildren }) => <dl class="facts">{children}</dl>;
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);
