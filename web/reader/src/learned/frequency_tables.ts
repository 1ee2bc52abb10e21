/** Frequency tables of a codec, and the symbols that a message holds under them. */

import { RangeDecoder, startsOf } from "../entropy/range_decoder.ts";
import type { Container } from "../containers/container.ts";

const MOST_COUNT = 2 ** 16;
const MOST_LOW = 2 ** 31;
const HALF_WORD = Float64Array.from({ length: 2 ** 16 + 1 }, (_, k) => 256 * k);

/** Tables of counts; each one's last entry stands for the escape: any other integer. */
export class FrequencyTables {
  readonly #starts: readonly Float64Array[];
  readonly #lows: readonly number[];

  private constructor(starts: readonly Float64Array[], lows: readonly number[]) {
    this.#starts = starts;
    this.#lows = lows;
  }

  /**
   * Read the tables of a codec.
   *
   * @throws ArchiveError they do not fit together, or hold counts out of range.
   */
  static async read(container: Container): Promise<FrequencyTables> {
    const parts = await Promise.all(
      ["counts", "starts", "lows"].map((part) => container.array(`table_${part}`)),
    );
    const plain = parts.every((one) => one.shape.length === 1 && !one.dtype.startsWith("float"));
    const [counts, starts, lows] = parts.map((one) => Array.from(one.values)) as [number[], number[], number[]];
    const whole =
      plain &&
      lows.length > 0 &&
      starts.length === lows.length + 1 &&
      starts[0] === 0 &&
      starts.at(-1) === counts.length &&
      lows.every((low, t) => starts[t + 1]! - starts[t]! >= 2 && Math.abs(low) <= MOST_LOW) &&
      counts.every((count) => count >= 1 && count <= MOST_COUNT);
    if (!whole) throw container.senseless("its frequency tables do not fit their lengths");
    return new FrequencyTables(
      lows.map((_, t) => startsOf(counts.slice(starts[t], starts[t + 1]))),
      lows,
    );
  }

  /** How many tables there are. */
  get length(): number {
    return this.#lows.length;
  }

  /**
   * Decode the symbols of one step.
   *
   * @param numbers of their tables, in the symbols' own order.
   * @throws PayloadError the message is damaged.
   */
  symbols(decoder: RangeDecoder, numbers: Int32Array): Float64Array {
    const order = Array.from(numbers.keys()).sort((a, b) => numbers[a]! - numbers[b]! || a - b);
    const symbols = new Float64Array(numbers.length);
    const escapes: number[] = [];
    for (const place of order) {
      const table = this.#starts[numbers[place]!]!;
      const entry = decoder.entry(table);
      symbols[place] = entry + this.#lows[numbers[place]!]!;
      if (entry === table.length - 2) escapes.push(place);
    }
    for (const place of escapes) {
      const high = decoder.entry(HALF_WORD);
      symbols[place] = high * 2 ** 16 + decoder.entry(HALF_WORD) - 2 ** 31;
    }
    return symbols;
  }
}
