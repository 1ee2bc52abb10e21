/** Words that are spelt like another: by what both have in common, as Python's difflib counts it. */

const CUTOFF = 0.6; // least share of letters in common

/**
 * Give the words that are most like one, best first.
 *
 * @param word what somebody wrote.
 * @param known words that there are.
 * @param count most that are given.
 */
export function closeMatches(word: string, known: Iterable<string>, count: number): string[] {
  const sought = [...word];
  const found: [share: number, word: string][] = [];
  for (const one of known) {
    const letters = [...one];
    const all = letters.length + sought.length;
    if (2 * Math.min(letters.length, sought.length) < CUTOFF * all) continue;
    const share = all ? (2 * inCommon(letters, sought)) / all : 1;
    if (share >= CUTOFF) found.push([share, one]);
  }
  found.sort((a, b) => b[0] - a[0] || (a[1] < b[1] ? 1 : -1));
  return found.slice(0, count).map(([, one]) => one);
}

/** Letters of the longest run that both have, and likewise before and behind it (Ratcliff, Obershelp). */
function inCommon(a: readonly string[], b: readonly string[]): number {
  let total = 0;
  const parts: [aFrom: number, aTo: number, bFrom: number, bTo: number][] = [[0, a.length, 0, b.length]];
  for (let part = parts.pop(); part; part = parts.pop()) {
    const [aFrom, aTo, bFrom, bTo] = part;
    let [i, j, length] = [aFrom, bFrom, 0];
    let before = new Uint16Array(bTo - bFrom + 1); // runs that end at the last letter of a
    for (let at = aFrom; at < aTo; at++) {
      const here = new Uint16Array(before.length);
      for (let bt = bFrom; bt < bTo; bt++) {
        if (a[at] !== b[bt]) continue;
        const run = before[bt - bFrom]! + 1;
        here[bt - bFrom + 1] = run;
        if (run > length) [i, j, length] = [at - run + 1, bt - run + 1, run];
      }
      before = here;
    }
    if (!length) continue;
    total += length;
    parts.push([aFrom, i, bFrom, j], [i + length, aTo, j + length, bTo]);
  }
  return total;
}
