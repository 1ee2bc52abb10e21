/** Distance tables: what ranking goes by are sums of integers, the same in every reader. */

import type { Books } from "./books.ts";

/** Squared distances of a query's parts to the words of all books. */
export interface DistanceTable {
  readonly books: Books;
  /** In whole steps; that of word k of book m is at m · K + k. */
  readonly steps: Int32Array;
  /** What a step is worth: a power of two. */
  readonly scale: number;
}

const SUM_BITS = 30;
const LEAST_EXPONENT = -1000;

/**
 * Make the table of a code.
 *
 * @param code M sub-indices.
 */
export function tableOfCode(books: Books, code: Uint8Array): DistanceTable {
  const { M, K, d, words } = books;
  const point = new Float32Array(M * d);
  for (let m = 0; m < M; m++) {
    const at = (m * K + code[m]!) * d;
    point.set(words.subarray(at, at + d), m * d);
  }
  return tableOfPoint(books, point);
}

/**
 * Make the table of a vector.
 *
 * @param point M · d numbers, weighted as the words of the books are.
 */
export function tableOfPoint(books: Books, point: Float32Array): DistanceTable {
  const { M, K, d, words } = books;
  const values = new Float32Array(M * K);
  let total = 0;
  for (let m = 0; m < M; m++) {
    let largest = 0;
    for (let k = 0; k < K; k++) {
      let sum = 0;
      for (let j = 0; j < d; j++) {
        const difference = point[m * d + j]! - words[(m * K + k) * d + j]!;
        sum += difference * difference;
      }
      values[m * K + k] = sum;
      largest = Math.max(largest, values[m * K + k]!);
    }
    total += largest;
  }
  const exponent = total > 0 ? Math.max(exponentAbove(total) - SUM_BITS, LEAST_EXPONENT) : 0;
  const steps = Int32Array.from(values, (value) => roundedToEven(value * 2 ** -exponent));
  return { books, steps, scale: 2 ** exponent };
}

/**
 * Give the distances of codes, in whole steps.
 *
 * @param indices M sub-indices of each.
 */
export function stepsOf({ books: { M, K }, steps }: DistanceTable, indices: Uint8Array): Int32Array {
  const sums = new Int32Array(indices.length / M);
  for (let row = 0; row < sums.length; row++) {
    let sum = 0;
    for (let m = 0; m < M; m++) sum += steps[m * K + indices[row * M + m]!]!;
    sums[row] = sum;
  }
  return sums;
}

/** How many times as far an image counts that is near to a picture turned, or mirrored. */
const TURNED = 1.25;

/**
 * Give the distances of codes from an example: from the nearest of its poses.
 *
 * @param poses tables of the example as it is, then of its other poses.
 * @param indices M sub-indices of each code.
 */
export function distancesOf(poses: readonly DistanceTable[], indices: Uint8Array): Float64Array {
  const [first, ...others] = poses;
  const distances = Float64Array.from(stepsOf(first!, indices), (one) => one * first!.scale);
  for (const table of others) {
    const scale = table.scale * TURNED;
    stepsOf(table, indices).forEach((one, at) => {
      distances[at] = Math.min(distances[at]!, one * scale);
    });
  }
  return distances;
}

/** The power of two that a positive number is below, and at least half of. */
function exponentAbove(number: number): number {
  const view = new DataView(new ArrayBuffer(8));
  view.setFloat64(0, number);
  return ((view.getUint16(0) >> 4) & 2047) - 1022;
}

function roundedToEven(number: number): number {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}
