/**
 * Eight hues that stay apart for eyes with deuteranopia, protanopia and tritanopia, none near the red of refusals, the
 * amber of losses or the blue of recordings; each with a hatch of its own. A tenant keeps its hue while the page is open.
 */
export const HUES = ["#2aa198", "#8f7ae5", "#7f9a3d", "#d079b0", "#5aa7c7", "#a8805f", "#4f9f6b", "#9c8fae"];
export const OTHER = "#7d8794";

const given = new Map<string, number>();

/** 0..7, or -1 where eight tenants were seen before. "" (no tenant) is never given one. */
export function hueIndex(tenant: string): number {
  if (tenant === "") return -1;
  const known = given.get(tenant);
  if (known !== undefined) return known;
  if (given.size >= HUES.length) return -1;
  given.set(tenant, given.size);
  return given.size - 1;
}

export const hue = (index: number): string => HUES[index] ?? OTHER;

const tiles = new Map<string, HTMLCanvasElement>();

/** Strokes of each hatch in a tile of 8 × 8, as x1 y1 x2 y2. */
const STROKES: readonly (readonly number[])[] = [
  [],
  [-8, 8, 0, 0, 0, 8, 8, 0, 8, 8, 16, 0],
  [-8, 0, 0, 8, 0, 0, 8, 8, 8, 0, 16, 8],
  [0, 4.5, 8, 4.5],
  [4.5, 0, 4.5, 8],
  [4.5, 0, 4.5, 8, 0, 4.5, 8, 4.5],
  [-8, 8, 0, 0, 0, 8, 8, 0, 8, 8, 16, 0, 4.5, 0, 4.5, 8],
  [-8, 0, 0, 8, 0, 0, 8, 8, 8, 0, 16, 8, 0, 4.5, 8, 4.5],
];

/** A hatch tile: the colour, opaque, with darker strokes that differ by index. */
export function tile(index: number, color: string): HTMLCanvasElement {
  const key = `${index} ${color}`;
  const found = tiles.get(key);
  if (found !== undefined) return found;
  const canvas = document.createElement("canvas");
  canvas.width = canvas.height = 8;
  const g = canvas.getContext("2d")!;
  g.fillStyle = color;
  g.fillRect(0, 0, 8, 8);
  g.globalAlpha = 0.22;
  g.strokeStyle = "#000";
  g.beginPath();
  const strokes = STROKES[index] ?? [];
  for (let i = 0; i < strokes.length; i += 4) {
    g.moveTo(strokes[i]!, strokes[i + 1]!);
    g.lineTo(strokes[i + 2]!, strokes[i + 3]!);
  }
  g.stroke();
  tiles.set(key, canvas);
  return canvas;
}
