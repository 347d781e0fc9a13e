/** Shell patterns: `*` any characters, `?` one. */

export const isGlob = (pattern: string) => /[*?]/.test(pattern);

/** Whether a pattern covers the whole text. Time is at most |pattern| · |text|. */
export function matchesGlob(pattern: string, text: string): boolean {
  let p = 0;
  let t = 0;
  // Where to go on after the last star, and how much of the text it has taken.
  let star = -1;
  let taken = 0;
  while (t < text.length) {
    if (p < pattern.length && pattern[p] !== "*" && (pattern[p] === "?" || pattern[p] === text[t])) {
      p++;
      t++;
    } else if (pattern[p] === "*") {
      star = p++;
      taken = t;
    } else if (star >= 0) {
      p = star + 1;
      t = ++taken;
    } else return false;
  }
  while (pattern[p] === "*") p++;
  return p === pattern.length;
}
