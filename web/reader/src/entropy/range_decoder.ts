/**
 * The range decoder: words of 32 bits, a state of 64 bits and probabilities of 24 bits, as the library
 * constriction 0.5 has them.
 */

import { damagedPayload } from "../errors.ts";

const TOTAL = 2 ** 24;
const TOTAL_BITS = 24n;
const WORD_BITS = 32n;
const MASK = (1n << 64n) - 1n;

/**
 * Give where the entries of a table begin, and where the last one ends.
 *
 * @param counts of the entries, each at least 1.
 */
export function startsOf(counts: ArrayLike<number>): Float64Array {
  const n = counts.length;
  let sum = 0;
  for (let i = 0; i < n; i++) sum += counts[i]!;
  const scale = (TOTAL - n) / sum;
  const starts = new Float64Array(n + 1);
  let before = 0;
  for (let i = 0; i < n; i++) {
    starts[i] = Math.floor(before * scale) + i;
    before += counts[i]!;
  }
  starts[n] = TOTAL;
  return starts;
}

/** Decodes one message, entry by entry. */
export class RangeDecoder {
  readonly #message: Uint8Array;
  #at = 0;
  #width = MASK;
  /** What the message lies above the lower end of the state. */
  #above: bigint;

  constructor(message: Uint8Array) {
    this.#message = message;
    this.#above = (this.#word() << WORD_BITS) | this.#word();
  }

  /**
   * Decode the next entry.
   *
   * @param starts as `startsOf` gives them.
   * @throws PayloadError the message is damaged.
   */
  entry(starts: Float64Array): number {
    const scale = this.#width >> TOTAL_BITS;
    const quantile = Number(this.#above / scale);
    if (quantile >= TOTAL) throw damagedPayload("an entropy-coded payload", "it names no entry");
    let [low, high] = [0, starts.length - 1];
    while (high - low > 1) {
      const middle = (low + high) >> 1;
      if (starts[middle]! <= quantile) low = middle;
      else high = middle;
    }
    this.#above -= scale * BigInt(starts[low]!);
    this.#width = scale * BigInt(starts[low + 1]! - starts[low]!);
    if (this.#width >> WORD_BITS === 0n) {
      this.#width <<= WORD_BITS;
      this.#above = ((this.#above << WORD_BITS) | this.#word()) & MASK;
    }
    return low;
  }

  /** The next four bytes, the highest first; zeros past the end. */
  #word(): bigint {
    let word = 0;
    for (let i = 0; i < 4; i++) word = word * 256 + (this.#message[this.#at++] ?? 0);
    return BigInt(word);
  }
}
