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

/** A rate over the page's window; draws the page's ruler too. */
export function Spark({ from, series, down = false }: { from: History; series: string; down?: boolean }) {
  const ref = useRef<HTMLCanvasElement>(null);
  const { version } = useLive();
  const draw = (): void => {
    const canvas = ref.current;
    if (canvas === null || canvas.clientWidth === 0) return;
    const ratio = devicePixelRatio;
    const [w, h] = [canvas.clientWidth, canvas.clientHeight];
    if (canvas.width !== Math.round(w * ratio)) {
      canvas.width = Math.round(w * ratio);
      canvas.height = Math.round(h * ratio);
    }
    const g = canvas.getContext("2d")!;
    g.setTransform(ratio, 0, 0, ratio, 0, 0);
    g.clearRect(0, 0, w, h);
    const style = getComputedStyle(canvas);
    const values = from.get(series);
    const end = from.times.at(-1) ?? 0;
    const times = from.times.slice(from.times.length - values.length);
    const first = Math.max(
      0,
      times.findIndex((t) => t >= end - live.windowS),
    );
    const most = Math.max(1, ...values.slice(first));
    const x = (t: number): number => w - ((end - t) / live.windowS) * w;
    const y = (v: number): number => (down ? 1 + (v / most) * (h - 2) : h - 1 - (v / most) * (h - 2));
    g.beginPath();
    for (let i = first; i < values.length; i++) g.lineTo(x(times[i]!), y(values[i]!));
    g.strokeStyle = style.color;
    g.lineWidth = 1.25;
    g.stroke();
    g.lineTo(w, y(0));
    g.lineTo(x(times[first] ?? end), y(0));
    g.globalAlpha = 0.16;
    g.fillStyle = style.color;
    g.fill();
    g.globalAlpha = 1;
    if (ruler.at !== undefined) {
      g.fillStyle = style.getPropertyValue("--ruler");
      g.fillRect(Math.round(x(ruler.at)), 0, 1, h);
    }
  };
  useEffect(() => {
    if (!live.frozen) draw();
  }, [version]);
  useEffect(() => {
    ruler.listeners.add(draw);
    return () => void ruler.listeners.delete(draw);
  }, []);
  const point = (event: MouseEvent): void => {
    const { left, width } = ref.current!.getBoundingClientRect();
    ruler.set((from.times.at(-1) ?? 0) - live.windowS * (1 - (event.clientX - left) / width));
  };
  return (
    <canvas
      class={down ? "spark down" : "spark"}
      ref={ref}
      aria-hidden="true"
      onMouseMove={point}
      onMouseLeave={() => ruler.set(undefined)}
    />
  );
}

export const Facts = ({ children }: { children: ComponentChildren }) => <dl class="facts">{children}</dl>;
export const Fact = ({ name, children }: { name: string; children: ComponentChildren }) => (
  <div>
    <dt>{name}</dt>
    <dd>{children}</dd>
  </div>
);
