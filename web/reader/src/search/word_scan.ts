/** Codes scored for words: how far a classifier believes that each shows one. */

import { ArchiveError } from "../errors.ts";
import type { Container } from "../containers/container.ts";
import type { Books } from "./books.ts";
import { readBooks } from "./books.ts";
import { pseudoInverse } from "./pseudo_inverse.ts";
import type { Word } from "./vocabulary.ts";
import { Vocabulary } from "./vocabulary.ts";

const SCORED = 1 << 14; // codes that are scored for every class, of more only so many; or 8 times what is asked for
const MOST_KEPT = 1 << 22; // scores of words of books that are computed once

/** The classes of a vocabulary, as codes are scored for them. */
export class WordScan {
  readonly vocabulary: Vocabulary;
  readonly #where: string;
  readonly #books: Books;
  /** C · D weights of coded vectors. */
  readonly #weights: Float32Array;
  readonly #biases: Float32Array;
  #parts: Float32Array | null = null;

  private constructor(where: string, vocabulary: Vocabulary, books: Books, weights: Float32Array, biases: Float32Array) {
    [this.#where, this.vocabulary, this.#books, this.#weights, this.#biases] = [where, vocabulary, books, weights, biases];
  }

  /**
   * Read what scores words of a describer.
   *
   * @throws ArchiveError it makes no sense.
   */
  static async read(container: Container): Promise<WordScan> {
    const books = await readBooks(container, false);
    const D = books.M * books.d;
    if (!container.has("projection")) {
      const vocabulary = await Vocabulary.read(container, D);
      return new WordScan(container.where, vocabulary, books, vocabulary.vectors, vocabulary.biases);
    }
    const [mean, directions] = [await container.array("mean"), await container.array("projection")];
    const E = mean.values.length;
    const vocabulary = await Vocabulary.read(container, E);
    if (directions.shape.join() !== [E, D].join()) throw container.senseless("its projection does not fit its books");
    const back = pseudoInverse(directions.values, E, D);
    if (!back) throw container.senseless("its projection is too large, or too near to none, for words");
    const C = vocabulary.biases.length;
    const [weights, biases] = [new Float32Array(C * D), new Float32Array(C)];
    for (let c = 0; c < C; c++) {
      const row = vocabulary.vectors.subarray(c * E, (c + 1) * E);
      let bias = vocabulary.biases[c]!;
      row.forEach((one, e) => (bias += one * mean.values[e]!));
      biases[c] = bias;
      for (let j = 0; j < D; j++) {
        let sum = 0;
        for (let e = 0; e < E; e++) sum += row[e]! * back[j * E + e]!;
        weights[c * D + j] = sum;
      }
    }
    return new WordScan(container.where, vocabulary, books, weights, biases);
  }

  /**
   * Give minus the logarithm of the belief that each of some codes shows a word.
   *
   * @param indices M sub-indices of each.
   * @throws ArchiveError scores are too large.
   */
  distances(indices: Uint8Array, word: Word): Float32Array {
    const [{ M, K, d, words }, C] = [this.#books, this.#biases.length];
    const count = indices.length / M;
    const parts = this.#partsFor(count);
    const [found, scores] = [new Float32Array(count), new Float64Array(C)];
    for (let row = 0; row < count; row++) {
      scores.set(this.#biases);
      for (let m = 0; m < M; m++) {
        const k = m * K + indices[row * M + m]!;
        if (parts) {
          const at = k * C;
          for (let c = 0; c < C; c++) scores[c]! += parts[at + c]!;
        } else {
          this.#add(scores, m, words.subarray(k * d, (k + 1) * d));
        }
      }
      const [among, all] = [logSum(word.classes.map((c) => scores[c]!)), logSum(scores)];
      found[row] = Math.max(0, all - among);
      if (!Number.isFinite(found[row])) {
        throw new ArchiveError(`${this.#where}: its scores of words are too large; make the describer anew`);
      }
    }
    return found;
  }

  /**
   * Give the places of the codes that show a word best, best first, equal ones in their order, and distances.
   *
   * @param indices M sub-indices of each.
   * @param k how many, or all if there are fewer.
   */
  nearest(indices: Uint8Array, word: Word, k: number): [place: number, distance: number][] {
    const { M } = this.#books;
    let rows = Array.from({ length: indices.length / M }, (_, row) => row);
    const scored = Math.max(SCORED, 8 * k);
    if (rows.length > scored) {
      const sums = this.#sums(indices, word);
      rows = rows.sort((a, b) => sums[b]! - sums[a]!).slice(0, scored).sort((a, b) => a - b);
    }
    const some = new Uint8Array(rows.length * M);
    rows.forEach((row, at) => some.set(indices.subarray(row * M, (row + 1) * M), at * M));
    const distances = this.distances(some, word);
    const order = Array.from(distances.keys()).sort((a, b) => distances[a]! - distances[b]!);
    return order.slice(0, k).map((at) => [rows[at]!, distances[at]!]);
  }

  /** Scores of every word of the books for every class, where they serve many codes. */
  #partsFor(count: number): Float32Array | null {
    const [{ M, K, d, words }, C] = [this.#books, this.#biases.length];
    if (this.#parts || count <= K || M * K * C > MOST_KEPT) return this.#parts;
    const made = new Float32Array(M * K * C);
    const scores = new Float64Array(C);
    for (let m = 0; m < M; m++) {
      for (let k = m * K; k < (m + 1) * K; k++) {
        this.#add(scores.fill(0), m, words.subarray(k * d, (k + 1) * d));
        made.set(scores, k * C);
      }
    }
    this.#parts = made;
    return made;
  }

  /** Add to each class's score that of a word of book m. */
  #add(scores: Float64Array, m: number, word: Float32Array): void {
    const { M, d } = this.#books;
    for (let c = 0; c < scores.length; c++) {
      let at = c * M * d + m * d;
      for (const one of word) scores[c]! += one * this.#weights[at++]!;
    }
  }

  /** How far the mean score of a word's classes lies above that of all, up to a constant. */
  #sums(indices: Uint8Array, word: Word): Float32Array {
    const [{ M, K, d, words }, C] = [this.#books, this.#biases.length];
    const direction = new Float64Array(M * d);
    const isAmong = new Set(word.classes);
    for (let c = 0; c < C; c++) {
      const share = (isAmong.has(c) ? 1 / isAmong.size : 0) - 1 / C;
      for (let j = 0; j < M * d; j++) direction[j]! += share * this.#weights[c * M * d + j]!;
    }
    const table = Float32Array.from({ length: M * K }, (_, at) => {
      const m = Math.floor(at / K);
      let sum = 0;
      for (let j = 0; j < d; j++) sum += words[at * d + j]! * direction[m * d + j]!;
      return sum;
    });
    return Float32Array.from({ length: indices.length / M }, (_, row) => {
      let sum = 0;
      for (let m = 0; m < M; m++) sum += table[m * K + indices[row * M + m]!]!;
      return sum;
    });
  }
}

function logSum(scores: ArrayLike<number>): number {
  let [top, sum] = [-Infinity, 0];
  for (let i = 0; i < scores.length; i++) top = Math.max(top, scores[i]!);
  for (let i = 0; i < scores.length; i++) sum += Math.exp(scores[i]! - top);
  return Math.log(sum) + top;
}
