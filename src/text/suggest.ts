/** "Did you mean": the known word nearest to what somebody typed. */

/** Words longer than this are compared by their beginning: the work stays bounded whatever is typed. */
const LONGEST = 64;

/**
 * Edits (insert, delete, replace, swap of neighbours) between two words: the optimal string alignment distance, case
 * folded.
 */
export function editDistance(left: string, right: string): number {
  const a = left.slice(0, LONGEST).toLowerCase();
  const b = right.slice(0, LONGEST).toLowerCase();
  let before: number[] = [];
  let last = Array.from({ length: b.length + 1 }, (_, j) => j);
  for (let i = 1; i <= a.length; i++) {
    const row = [i];
    for (let j = 1; j <= b.length; j++) {
      const replace = last[j - 1]! + (a[i - 1] === b[j - 1] ? 0 : 1);
      row[j] = Math.min(last[j]! + 1, row[j - 1]! + 1, replace);
      if (i > 1 && j > 1 && a[i - 1] === b[j - 2] && a[i - 2] === b[j - 1])
        row[j] = Math.min(row[j]!, before[j - 2]! + 1);
    }
    before = last;
    last = row;
  }
  return last[b.length]!;
}

/** The nearest of `known` that is near enough to be a slip of the hand (a third of the word); undefined: none is. */
export function nearest(word: string, known: Iterable<string>): string | undefined {
  let best: string | undefined;
  let least = Math.max(1, Math.floor(Math.min(word.length, LONGEST) / 3)) + 1;
  for (const candidate of known) {
    const distance = editDistance(word, candidate);
    if (distance < least) {
      least = distance;
      best = candidate;
    }
  }
  return best;
}

/** ` (did you mean "x"?)`, or nothing: the end of an error message. */
export function didYouMean(word: string, known: Iterable<string>): string {
  const found = nearest(word, known);
  return found === undefined || found === word ? "" : ` (did you mean "${found}"?)`;
}
