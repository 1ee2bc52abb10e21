/** What distances mean: beside those between strangers, which differ from describer to describer. */

import type { Column } from "./kin.ts";

const SAME = 0.65; // similarity from which on two pictures are taken for one
const SAME_SHARE = 0.2; // of what strangers lie apart: the distance of that similarity
const PAIRS = 4096;

const known = new WeakMap<Column, number>();

/** Give the median distance between the codes of pairs of a column, above 0. */
export function strangersApart(column: Column): number {
  const apart = known.get(column) ?? medianOfPairs(column);
  known.set(column, apart);
  return apart;
}

/** Tell how far a distance shows that two pictures are one, 0 to 1. */
export function similarityOf(distance: number, apart: number): number {
  return SAME ** (distance / (SAME_SHARE * apart));
}

function medianOfPairs({ books, indices, positions }: Column): number {
  const { M, K, d, words } = books;
  const n = positions.length;
  const between = (one: number, other: number): number => {
    let sum = 0;
    for (let m = 0; m < M; m++) {
      const [a, b] = [indices[one * M + m]!, indices[other * M + m]!].map((k) => (m * K + k) * d) as [number, number];
      for (let j = 0; j < d; j++) sum += (words[a + j]! - words[b + j]!) ** 2;
    }
    return sum;
  };
  let chance = 1; // the same pairs at every time
  const below = (most: number): number => {
    chance = (Math.imul(chance, 1664525) + 1013904223) >>> 0;
    return Math.floor((chance / 2 ** 32) * most);
  };
  if (n > 1) {
    const distances = Float64Array.from({ length: PAIRS }, () => {
      const one = below(n);
      return between(one, (one + 1 + below(n - 1)) % n);
    }).sort();
    const median = (distances[PAIRS / 2 - 1]! + distances[PAIRS / 2]!) / 2;
    const found = median || distances.reduce((sum, one) => sum + one, 0) / PAIRS;
    if (found > 0) return found;
  }
  return spreadOf(books) || 1;
}

/** Of one image, or of many that are all the same: as far as words taken by chance. */
function spreadOf({ M, K, d, words }: Column["books"]): number {
  let spread = 0;
  for (let m = 0; m < M; m++) {
    for (let j = 0; j < d; j++) {
      const numbers = Array.from({ length: K }, (_, k) => words[(m * K + k) * d + j]!);
      const mean = numbers.reduce((sum, one) => sum + one, 0) / K;
      spread += (2 * numbers.reduce((sum, one) => sum + (one - mean) ** 2, 0)) / K;
    }
  }
  return spread;
}
