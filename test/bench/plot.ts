/**
 * A result as a figure (SVG): its rows as lines over the numbers that its columns are, both axes logarithmic; below, each
 * divided by the Linux bridge, where differences can be seen. Readable on light and dark: colours follow the reader's
 * scheme, lines differ in their marks as well.
 */
import { ratio, value, type Result } from "./table.ts";

const WIDTH = 900;
const LEFT = 74;
const RIGHT = 300;
const UPPER = { top: 56, height: 300 };
const LOWER = { top: 420, height: 150 };
const HEIGHT = 640;
const REFERENCE = "Linux bridge";
/** Okabe and Ito's colours, told apart by the colour-blind as well; the dark ones are lightened. */
const COLOURS = [
  ["#6b7280", "#9ca3af"],
  ["#b45309", "#e69f00"],
  ["#0072b2", "#56b4e9"],
  ["#00795a", "#2fd3a0"],
  ["#a3306f", "#e08bb8"],
] as const;
const LABEL_GAP = 17;

interface Point {
  readonly x: number;
  readonly y: number;
}

const escape = (text: string): string => text.replaceAll("&", "&amp;").replaceAll("<", "&lt;");
const round = (number: number): string => number.toFixed(1);

/** "1 KiB", "64 KiB" of powers of two; "10 k" of decimal ones. */
function short(number: number): string {
  for (const [size, unit] of [
    [1e6, "M"],
    [1e3, "k"],
  ] as const)
    if (number >= size) return `${number / size} ${unit}`;
  return String(number);
}

/** The shape by which line n is known without its colour. */
function mark(n: number, { x, y }: Point): string {
  const r = 4;
  const shapes = [
    `<circle cx="${round(x)}" cy="${round(y)}" r="${r}"/>`,
    `<rect x="${round(x - r)}" y="${round(y - r)}" width="${2 * r}" height="${2 * r}"/>`,
    `<path d="M${round(x)} ${round(y - r - 1)}l${r + 1} ${2 * r + 1}h-${2 * (r + 1)}z"/>`,
    `<path d="M${round(x)} ${round(y - r - 2)}l${r + 2} ${r + 2}l-${r + 2} ${r + 2}l-${r + 2} -${r + 2}z"/>`,
    `<path d="M${round(x - r - 1)} ${round(y - r)}h${2 * (r + 1)}l-${r + 1} ${2 * r + 1}z"/>`,
  ];
  return shapes[n % shapes.length]!;
}

/** Moved apart so that none covers another, in the order of their places. */
function spread(places: readonly number[], top: number, bottom: number): number[] {
  const order = places.map((_, n) => n).toSorted((a, b) => places[a]! - places[b]!);
  const out = [...places];
  for (let n = 1; n < order.length; n++) out[order[n]!] = Math.max(out[order[n]!]!, out[order[n - 1]!]! + LABEL_GAP);
  const over = Math.max(0, Math.max(...out) - bottom);
  for (let n = order.length - 1, limit = Infinity; n >= 0; n--) {
    out[order[n]!] = Math.max(top, Math.min(out[order[n]!]! - (n === order.length - 1 ? over : 0), limit));
    limit = out[order[n]!]! - LABEL_GAP;
  }
  return out;
}

export function plot(result: Result): string {
  const { x: xName, y: yName, at } = result.plot!;
  const rows = [...new Set(result.cells.map((cell) => cell.row))];
  const columns = [...new Set(result.cells.map((cell) => cell.column))];
  const values = rows.map((row) => columns.map((column) => value(result, row, column)));
  const ratios = rows.map((row) => columns.map((column) => ratio(result, row, REFERENCE, column)));
  const [first, last] = [Math.log10(at[0]!), Math.log10(at.at(-1)!)];
  const right = WIDTH - RIGHT;
  const placeX = (number: number): number => LEFT + ((Math.log10(number) - first) / (last - first)) * (right - LEFT);
  const all = values.flat().filter((one) => one > 0);
  const [low, high] = [Math.floor(Math.log10(Math.min(...all))), Math.ceil(Math.log10(Math.max(...all)))];
  const placeUpper = (number: number): number =>
    UPPER.top + (1 - (Math.log10(number) - low) / (high - low)) * UPPER.height;
  const most = Math.max(1.25, Math.ceil(Math.max(...ratios.flat().filter((one) => one > 0)) * 4) / 4);
  const placeLower = (number: number): number => LOWER.top + (1 - number / most) * LOWER.height;

  const parts: string[] = [];
  const text = (x: number, y: number, what: string, rest = ""): void =>
    void parts.push(`<text x="${round(x)}" y="${round(y)}" ${rest}>${escape(what)}</text>`);
  const grid = (y: number, label: string, strong = false): void => {
    parts.push(`<path class="${strong ? "one" : "grid"}" d="M${LEFT} ${round(y)}H${right}"/>`);
    text(LEFT - 8, y + 4, label, 'text-anchor="end"');
  };
  text(LEFT, 24, result.title.split(":")[0]!, 'class="title"');
  text(LEFT, 44, `${yName}, medians; TCP, a connection for each transfer`, 'class="soft"');
  for (let power = low; power <= high; power++)
    grid(placeUpper(10 ** power), power < 0 ? String(10 ** power) : short(10 ** power));
  text(LEFT, LOWER.top - 14, `the same, divided by the ${REFERENCE}'s`, 'class="soft"');
  for (let step = 0; step <= most; step += 0.5) grid(placeLower(step), `${step} ×`, step === 1);
  for (const [n, number] of at.entries()) {
    const x = placeX(number);
    for (const { top, height } of [UPPER, LOWER]) parts.push(`<path class="grid" d="M${round(x)} ${top}v${height}"/>`);
    text(x, LOWER.top + LOWER.height + 20, columns[n]!, 'text-anchor="middle"');
  }
  text((LEFT + right) / 2, LOWER.top + LOWER.height + 42, xName, 'text-anchor="middle" class="soft"');

  const draw = (numbers: readonly number[], n: number, placeY: (number: number) => number): Point | undefined => {
    const points = numbers.flatMap((number, column) =>
      number > 0 ? [{ x: placeX(at[column]!), y: placeY(number) }] : [],
    );
    const path = points.map(({ x, y }, index) => `${index === 0 ? "M" : "L"}${round(x)} ${round(y)}`).join("");
    parts.push(
      `<g class="c${n}"><path class="line" d="${path}"/>${points.map((point) => mark(n, point)).join("")}</g>`,
    );
    return points.at(-1);
  };
  const ends = values.map((numbers, n) => draw(numbers, n, placeUpper));
  const places = spread(
    ends.map((end) => end?.y ?? UPPER.top + UPPER.height),
    UPPER.top,
    UPPER.top + UPPER.height,
  );
  for (const [n, row] of rows.entries()) {
    const end = ends[n];
    if (end)
      parts.push(`<path class="lead" d="M${round(end.x + 7)} ${round(end.y)}L${right + 20} ${round(places[n]!)}"/>`);
    parts.push(`<g class="c${n}">${mark(n, { x: right + 28, y: places[n]! })}</g>`);
    text(right + 38, places[n]! + 4, row);
  }
  for (const [n, numbers] of ratios.entries()) if (rows[n] !== REFERENCE) draw(numbers, n, placeLower);

  const colours = (which: 0 | 1): string =>
    COLOURS.map((pair, n) => `.c${n}{fill:${pair[which]};stroke:${pair[which]}}`).join("");
  const scheme = (paper: string, ink: string, soft: string, line: string, which: 0 | 1): string =>
    `.paper{fill:${paper}}text{fill:${ink}}.soft{fill:${soft}}.grid,.lead{stroke:${line}}.one{stroke:${soft}}${colours(which)}`;
  return [
    `<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 ${WIDTH} ${HEIGHT}" width="${WIDTH}" height="${HEIGHT}" role="img">`,
    `<title>${escape(result.title)}</title>`,
    `<style>text{font:13px system-ui,sans-serif}.title{font-size:16px;font-weight:600}path{fill:none}g path{fill:inherit}`,
    `.line{fill:none!important;stroke-width:2}${scheme("#ffffff", "#1f2328", "#59636e", "#d8dee4", 0)}`,
    `@media(prefers-color-scheme:dark){${scheme("#0d1117", "#e6edf3", "#9198a1", "#30363d", 1)}}</style>`,
    `<rect class="paper" width="${WIDTH}" height="${HEIGHT}"/>`,
    ...parts,
    "</svg>",
    "",
  ].join("\n");
}
