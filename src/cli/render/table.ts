/** Tables as text: as wide as their cells, names never wrapped or cut, numbers to the right. */
import { padEnd, padStart, type Paint, plain, width } from "./text.ts";

export interface Column<Row> {
  readonly title: string;
  readonly right?: boolean;
  /** Spaces before the column, 2 unless given. */
  readonly gap?: number;
  /** The cell's text, already made visible. */
  cell(row: Row): string;
}

/** A column of text. */
export function left<Row>(title: string, cell: (row: Row) => string): Column<Row> {
  return { title, cell };
}

/** A column of numbers. */
export function right<Row>(title: string, cell: (row: Row) => string, gap = 2): Column<Row> {
  return { title, right: true, gap, cell };
}

/**
 * Lines: the titles, then a line a row, each followed by what `below` says of the row (detail lines). Trailing blanks
 * are cut. The last column may be as long as it likes.
 */
export function table<Row>(
  columns: readonly Column<Row>[],
  rows: readonly Row[],
  options: { readonly paint?: Paint; readonly below?: (row: Row) => readonly string[] } = {},
): string[] {
  const paint = options.paint ?? plain;
  const cells = rows.map((row) => columns.map((column) => column.cell(row)));
  const widths = columns.map((column, n) =>
    cells.reduce((widest, row) => Math.max(widest, width(row[n]!)), column.title.length),
  );
  const line = (texts: readonly string[]): string =>
    texts
      .map((text, n) => {
        const column = columns[n]!;
        const gap = n === 0 ? "" : " ".repeat(column.gap ?? 2);
        return gap + (column.right ? padStart(text, widths[n]!) : padEnd(text, widths[n]!));
      })
      .join("")
      .trimEnd();
  const head = paint("bold", line(columns.map((column) => column.title)));
  return [head, ...rows.flatMap((row, n) => [line(cells[n]!), ...(options.below?.(row) ?? [])])];
}
