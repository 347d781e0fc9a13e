/** Results: medians, ratios, tables for the terminal and for README.md. */
import { cpus, release } from "node:os";

export interface Cell {
  readonly row: string;
  readonly column: string;
  readonly runs: number[];
}

/** A table of one part: rows are peers, columns what was varied, each cell the runs' values in `unit`. */
export interface Result {
  readonly part: string;
  readonly title: string;
  readonly unit: string;
  readonly cells: Cell[];
  /** What performance.md promises, by number, and what was reached. */
  readonly ratios: Ratio[];
  /** What a reader must know to judge the figures. */
  readonly notes?: string[];
  /** It is drawn as well (plot.ts): what the columns are, as numbers. */
  readonly plot?: { readonly x: string; readonly y: string; readonly at: readonly number[] };
}

export interface Ratio {
  readonly target: string;
  readonly what: string;
  readonly value: number;
  readonly unit: string;
  /** The least (or with `atMost` the most) that is good enough, and what is aimed at. */
  readonly floor: number;
  readonly goal: number;
  readonly atMost?: true;
}

/** The column of so many flows. */
export const flowsLabel = (flows: number): string => (flows === 1 ? "1 flow" : `${flows.toLocaleString("en")} flows`);

export function median(values: readonly number[]): number {
  const sorted = values.toSorted((a, b) => a - b);
  const middle = sorted.length >> 1;
  return sorted.length & 1 ? sorted[middle]! : (sorted[middle - 1]! + sorted[middle]!) / 2;
}

/**
 * The middle of differences and its 95 % interval: the median of all means of two (Hodges and Lehmann), between the order
 * statistics of those means that Wilcoxon's signed-rank test does not refuse. As robust as a median (a second in which
 * the machine did something else weighs as one) and nearly as narrow as a mean. NaN as ends: too few for an interval.
 */
export function middle(values: readonly number[]): { mid: number; low: number; high: number } {
  const n = values.length;
  const means = values.flatMap((one, i) => values.slice(i).map((other) => (one + other) / 2)).toSorted((a, b) => a - b);
  const rank = Math.floor((n * (n + 1)) / 4 - 1.96 * Math.sqrt((n * (n + 1) * (2 * n + 1)) / 24));
  return { mid: median(means), low: means[rank - 1] ?? NaN, high: means[means.length - rank] ?? NaN };
}

/** Record one run's value. */
export function put(result: Result, row: string, column: string, value: number): void {
  const found = result.cells.find((cell) => cell.row === row && cell.column === column);
  if (found) found.runs.push(value);
  else result.cells.push({ row, column, runs: [value] });
}

/** Median of a cell; NaN where it was not measured. */
export function value(result: Result, row: string, column: string): number {
  return median(result.cells.find((cell) => cell.row === row && cell.column === column)?.runs ?? [NaN]);
}

/**
 * Ratio of two rows, run by run: runs of one round stood side by side, so what else the machine did in that round falls
 * out; the median of the rounds' ratios.
 */
export function ratio(result: Result, over: string, under: string, column: string): number {
  const runs = (row: string): number[] =>
    result.cells.find((cell) => cell.row === row && cell.column === column)?.runs ?? [];
  const [a, b] = [runs(over), runs(under)];
  if (a.length === 0 || b.length === 0) return NaN;
  return median(a.slice(0, b.length).map((one, round) => one / b[round]!));
}

const digits = (number: number): string => {
  if (Number.isNaN(number)) return "not measured";
  if (number >= 100) return Math.round(number).toLocaleString("en");
  return number.toPrecision(3).replace(/\.?0+$/, "");
};

function verdict(one: Ratio): string {
  if (Number.isNaN(one.value)) return "";
  const reaches = (limit: number): boolean => (one.atMost ? one.value <= limit : one.value >= limit);
  return reaches(one.goal) ? "goal" : reaches(one.floor) ? "floor" : "missed";
}

/** Markdown of one result: its table, then the targets. */
export function markdown(result: Result): string {
  const rows = [...new Set(result.cells.map((cell) => cell.row))];
  const columns = [...new Set(result.cells.map((cell) => cell.column))];
  const line = (cells: readonly string[]): string => `| ${cells.join(" | ")} |`;
  const table = [
    line([result.unit, ...columns]),
    line(["---", ...columns.map(() => "---:")]),
    ...rows.map((row) => line([row, ...columns.map((column) => digits(value(result, row, column)))])),
  ];
  const limit = (one: Ratio, number: number): string => `${one.atMost ? "≤" : "≥"} ${number}`;
  const targets = [
    line(["target", "what", "measured", "floor", "goal", "reached"]),
    line(["---", "---", "---:", "---:", "---:", "---"]),
    ...result.ratios.map((one) =>
      line([
        one.target,
        one.what,
        Number.isNaN(one.value) ? digits(NaN) : `${digits(one.value)} ${one.unit}`.trim(),
        limit(one, one.floor),
        limit(one, one.goal),
        verdict(one),
      ]),
    ),
  ];
  const parts = [`#### ${result.title}`, table.join("\n")];
  if (result.ratios.length > 0) parts.push(targets.join("\n"));
  if (result.notes?.length) parts.push(result.notes.map((note) => `- ${note}`).join("\n"));
  return parts.join("\n\n");
}

export interface Machine {
  readonly cpu: string;
  readonly cores: number;
  readonly kernel: string;
  readonly node: string;
}

export function machine(): Machine {
  return { cpu: cpus()[0]?.model ?? "unknown", cores: cpus().length, kernel: release(), node: process.version };
}
