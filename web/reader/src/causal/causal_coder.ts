/** Planes of grey levels, decoded pixel by pixel, each under what its neighbourhood predicts. */

import type { Container } from "../containers/container.ts";
import { PayloadError } from "../errors.ts";
import { RangeDecoder, startsOf } from "../entropy/range_decoder.ts";
import { levelCount, mixtureCounts } from "./logistic_mixture.ts";

/** Most pixels of a plane that is coded so. */
export const MOST_PIXELS = 1 << 14;

interface Layer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  readonly wide: number;
}

const NEIGHBOURS: readonly (readonly [down: number, right: number])[] = [
  ...row(0, [-1, -2, -3]),
  ...row(-1, [-3, -2, -1, 0, 1, 2, 3]),
  ...row(-2, [-3, -2, -1, 0, 1, 2, 3]),
  ...row(-3, [-2, -1, 0, 1, 2]),
];
const MIRRORED = [-1, 0, 1];
const INPUTS = 2 * NEIGHBOURS.length + MIRRORED.length + 3;
const OUTPUTS = 9;
const SLOPE = 4; // columns by which a wave lies further left a row down
const [MOST_HIDDEN, MOST_SHIFT, EXACT] = [1024, 40, 2 ** 53];
const [HIDDEN, OUTPUT] = [4095, 32767];

function row(down: number, columns: readonly number[]): (readonly [number, number])[] {
  return columns.map((right) => [down, right] as const);
}

/** Decodes planes under a network of a codec. */
export class CausalCoder {
  readonly #layers: readonly Layer[];

  private constructor(layers: readonly Layer[]) {
    this.#layers = layers;
  }

  /**
   * Read the network of a codec; null if it has none below the prefix.
   *
   * @throws ArchiveError the network does not fit together, or a sum may not be exact.
   */
  static async read(container: Container, prefix: "grey" | "alpha"): Promise<CausalCoder | null> {
    if (!container.has(`${prefix}_weight0`)) return null;
    const layers: Layer[] = [];
    let [wide, most] = [INPUTS, 255];
    for (let i = 0; i < 3; i++) {
      const weight = await container.array(`${prefix}_weight${i}`);
      const bias = await container.array(`${prefix}_bias${i}`);
      const shift = await container.array(`${prefix}_shift${i}`);
      const out = weight.shape[1] ?? 0;
      const whole = [weight, bias, shift].every((one) => !one.dtype.startsWith("float"));
      const fits =
        whole &&
        weight.shape.length === 2 &&
        weight.shape[0] === wide &&
        out > 0 &&
        out <= MOST_HIDDEN &&
        [bias, shift].every((one) => one.shape.length === 1 && one.shape[0] === out) &&
        (i < 2 || out === OUTPUTS) &&
        Array.prototype.every.call(shift.values, (one: number) => one >= 0 && one <= MOST_SHIFT) &&
        largest(weight.values, bias.values, most) < EXACT;
      if (!fits) throw container.senseless(`its ${prefix} network is out of range`);
      layers.push({ weight: weight.values, bias: bias.values, shift: shift.values, wide: out });
      [wide, most] = [out, HIDDEN];
    }
    return new CausalCoder(layers);
  }

  /**
   * Decode a plane.
   *
   * @param message of the range coder.
   * @param step Δ at which it was coded.
   * @returns values, row by row.
   * @throws PayloadError the message is damaged, or the plane too large.
   */
  decode(message: Uint8Array, width: number, height: number, step: number): Uint8Array {
    if (width * height > MOST_PIXELS) {
      throw new PayloadError(
        `a causal payload states ${width}×${height} pixels: it is damaged; restore the archive`,
      );
    }
    const decoder = new RangeDecoder(message);
    const frame = new Frame(width, height, step);
    const counts = new Float64Array(levelCount(step));
    for (let wave = 0; wave < width + SLOPE * (height - 1); wave++) {
      for (let y = Math.max(0, Math.ceil((wave - width + 1) / SLOPE)); y < height && SLOPE * y <= wave; y++) {
        const x = wave - SLOPE * y;
        mixtureCounts(this.#predict(frame.inputs(y, x)), step, counts);
        frame.put(y, x, Math.min(decoder.entry(startsOf(counts)) * step, 255));
      }
    }
    return frame.values;
  }

  #predict(inputs: Float64Array): Float64Array {
    let value = inputs;
    this.#layers.forEach(({ weight, bias, shift, wide }, i) => {
      const made = Float64Array.from(bias);
      for (let from = 0; from < value.length; from++) {
        const one = value[from]!;
        if (one) for (let to = 0; to < wide; to++) made[to]! += one * weight[from * wide + to]!;
      }
      const [low, high] = i < 2 ? [0, HIDDEN] : [-OUTPUT, OUTPUT];
      for (let to = 0; to < wide; to++) {
        made[to] = Math.min(high, Math.max(low, Math.floor(made[to]! / 2 ** shift[to]!)));
      }
      value = made;
    });
    return value;
  }
}

/** Largest size of a sum of each output; weights are (in, out). */
function largest(weight: ArrayLike<number>, bias: ArrayLike<number>, most: number): number {
  const sums = Float64Array.from(bias, Math.abs);
  for (let i = 0; i < weight.length; i++) sums[i % sums.length]! += Math.abs(weight[i]!) * most;
  return Math.max(...sums);
}

/** Values of a plane, as far as they are decoded; those around it are 0. */
class Frame {
  readonly values: Uint8Array;
  readonly #width: number;
  readonly #height: number;
  readonly #step: number;
  readonly #inputs = new Float64Array(INPUTS);

  constructor(width: number, height: number, step: number) {
    this.values = new Uint8Array(width * height);
    this.#width = width;
    this.#height = height;
    this.#step = step;
  }

  put(y: number, x: number, value: number): void {
    this.values[y * this.#width + x] = value;
  }

  /** What the network is told of a pixel. */
  inputs(y: number, x: number): Float64Array {
    const made = this.#inputs;
    const near = NEIGHBOURS.length;
    NEIGHBOURS.forEach(([down, right], i) => {
      made[i] = this.#at(y + down, x + right);
      made[near + i] = made[i] ? 0 : 255;
    });
    MIRRORED.forEach((right, i) => {
      const column = this.#width - 1 - x + right;
      const up = Math.max(0, Math.floor((column - x) / SLOPE) + 1);
      made[2 * near + i] = this.#at(y - up, column);
    });
    made[INPUTS - 3] = Math.min(2 * this.#step, 255);
    made[INPUTS - 2] = Math.floor((255 * y) / Math.max(1, this.#height - 1));
    made[INPUTS - 1] = Math.floor((255 * x) / Math.max(1, this.#width - 1));
    return made;
  }

  #at(y: number, x: number): number {
    return y < 0 || x < 0 || x >= this.#width ? 0 : this.values[y * this.#width + x]!;
  }
}
