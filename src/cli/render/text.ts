/**
 * Text on a terminal: what a stranger named (a VM, an owner, a device) is shown, never obeyed. Control characters,
 * escape sequences and direction overrides come out as \x1b; widths are counted in cells.
 */

// C0, DEL, C1; line and paragraph separators; direction marks, overrides and isolates; the byte order mark; tag characters.
// eslint-disable-next-line no-control-regex
const HOSTILE = /[\u0000-\u001f\u007f-\u009f\u200b-\u200f\u2028-\u202e\u2060-\u2069\ufeff\p{Cs}\u{e0000}-\u{e007f}]/gu;

/** The text with everything that could move the cursor, colour, hide or reorder made visible. Lone surrogates too. */
export function visible(text: string): string {
  return text.replaceAll(HOSTILE, (char) => {
    const code = char.codePointAt(0)!;
    if (code === 0x0a) return "\\n";
    if (code === 0x09) return "\\t";
    return code < 0x100 ? `\\x${code.toString(16).padStart(2, "0")}` : `\\u{${code.toString(16)}}`;
  });
}

const COMBINING = /\p{Mn}|\p{Me}/u;
// East Asian wide and emoji, coarsely: enough to keep columns straight.
const WIDE =
  /[\u1100-\u115f\u2e80-\u303e\u3041-\ua4cf\uac00-\ud7a3\uf900-\ufaff\ufe30-\ufe6f\uff00-\uff60\uffe0-\uffe6\u{1f300}-\u{1faff}\u{20000}-\u{3fffd}]/u;
// eslint-disable-next-line no-control-regex
const ANSI = /\u001b\[[0-9;]*m/g;

/** Cells that the text takes; our own colours take none. */
export function width(text: string): number {
  let cells = 0;
  for (const char of text.replaceAll(ANSI, "")) {
    if (char < "\u0300") cells++;
    else if (COMBINING.test(char)) continue;
    else cells += WIDE.test(char) ? 2 : 1;
  }
  return cells;
}

export function padEnd(text: string, cells: number): string {
  return text + " ".repeat(Math.max(0, cells - width(text)));
}

export function padStart(text: string, cells: number): string {
  return " ".repeat(Math.max(0, cells - width(text))) + text;
}

/** At most `cells` wide, colours kept whole. */
export function cut(text: string, cells: number): string {
  if (width(text) <= cells) return text;
  let out = "";
  let used = 0;
  let coloured = false;
  for (let at = 0; at < text.length;) {
    ANSI.lastIndex = at;
    const code = ANSI.exec(text);
    if (code !== null && code.index === at) {
      out += code[0];
      coloured = true;
      at += code[0].length;
      continue;
    }
    const char = String.fromCodePoint(text.codePointAt(at)!);
    const next = width(char);
    if (used + next > cells) break;
    out += char;
    used += next;
    at += char.length;
  }
  ANSI.lastIndex = 0;
  return coloured ? `${out}\u001b[0m` : out;
}

export type Style = "bold" | "dim" | "red" | "yellow" | "cyan" | "reverse";
const CODES: Readonly<Record<Style, string>> = {
  bold: "1",
  dim: "2",
  red: "31",
  yellow: "33",
  cyan: "36",
  reverse: "7",
};

/** Paint, or leave plain: one function, chosen once. */
export type Paint = (style: Style, text: string) => string;

export const plain: Paint = (_style, text) => text;
export const ansi: Paint = (style, text) => (text === "" ? "" : `\u001b[${CODES[style]}m${text}\u001b[0m`);

/** Colour only for a terminal that did not ask for none (no-color.org). */
export function choosePaint(isTerminal: boolean, env: Readonly<Record<string, string | undefined>>): Paint {
  return isTerminal && !env.NO_COLOR && env.TERM !== "dumb" ? ansi : plain;
}
