/** Learned directions over the area reduction of a picture; docs/format.md has the formulas. */

import type { Container } from "../containers/container.ts";
/** Cells along each side of what is described. */
export const REDUCTION = 32;
const LEVEL = 16; // units in a level

/** A linear descriptor: integers as far as sums go, so its vectors are the same numbers everywhere. */
export class LinearDescriptor {
  readonly #matrix: ArrayLike<number>;
  readonly #scale: ArrayLike<number>;
  readonly #offset: ArrayLike<number>;
  readonly #side: number;
  readonly #floor: number | null;
  readonly #isUnit: boolean;

  private constructor(
    [matrix, scale, offset]: readonly [ArrayLike<number>, ArrayLike<number>, ArrayLike<number>],
    side: number,
    floor: number | null,
    isUnit: boolean,
  ) {
    [this.#matrix, this.#scale, this.#offset] = [matrix, scale, offset];
    [this.#side, this.#floor, this.#isUnit] = [side, floor, isUnit];
  }

  /**
   * Read it.
   *
   * @param size numbers of a vector.
   * @throws ArchiveError it makes no sense.
   */
  static async read(container: Container, size: number): Promise<LinearDescriptor> {
    const stated = container.header["descriptor"];
    const parts = await Promise.all(["matrix", "scale", "offset"].map((name) => container.array(`descriptor_${name}`)));
    const [matrix, scale, offset] = parts as [(typeof parts)[0], (typeof parts)[0], (typeof parts)[0]];
    const { side, contrast_floor: floor, unit_length: isUnit } = (stated ?? {}) as Record<string, unknown>;
    const fits =
      typeof stated === "object" &&
      [1, 2, 4, 8, 16, 32].includes(side as number) &&
      (floor === null || (typeof floor === "number" && floor > 0 && floor < Infinity)) &&
      typeof isUnit === "boolean" &&
      ["int8", "int16"].includes(matrix.dtype) &&
      matrix.shape.join() === [size, 3 * (side as number) ** 2].join() &&
      [scale, offset].every((one) => one.dtype === "float32" && one.shape.join() === `${size}`);
    if (!fits) throw container.senseless("its directions do not fit its books");
    return new LinearDescriptor(
      [matrix.values, scale.values, offset.values], side as number, floor as number | null, isUnit,
    );
  }

  /** Describe the area reduction of a picture. */
  describe(cells: Float32Array): Float32Array {
    const x = this.#blocks(cells);
    const [N, D] = [x.length, this.#scale.length];
    const u = LEVEL * (REDUCTION / this.#side) ** 2;
    let [s, q] = [0, 0];
    for (const one of x) [s, q] = [s + one, q + one * one];
    const sigma = Math.sqrt(N * q - s * s) / (N * u);
    const z = new Float64Array(D);
    for (let r = 0; r < D; r++) {
      let [p, w] = [0, 0];
      for (let i = 0; i < N; i++) {
        p += this.#matrix[r * N + i]! * x[i]!;
        w += this.#matrix[r * N + i]!;
      }
      z[r] =
        this.#floor === null
          ? (this.#scale[r]! * p) / u
          : (this.#scale[r]! * (N * p - s * w)) / (N * u * (sigma + this.#floor));
      z[r]! -= this.#offset[r]!;
    }
    if (this.#isUnit) {
      let squares = 0;
      for (const one of z) squares += one * one;
      const length = Math.sqrt(squares);
      if (length > 0) z.forEach((one, r) => (z[r] = one / length));
    }
    return Float32Array.from(z);
  }

  /** Sums of the cells of square blocks, in whole units. */
  #blocks(cells: Float32Array): Float64Array {
    const [side, f] = [this.#side, REDUCTION / this.#side];
    const sums = new Float64Array(3 * side * side);
    for (let y = 0; y < REDUCTION; y++) {
      for (let x = 0; x < REDUCTION; x++) {
        for (let c = 0; c < 3; c++) {
          const at = (Math.floor(y / f) * side + Math.floor(x / f)) * 3 + c;
          sums[at]! += roundedToEven(cells[3 * (y * REDUCTION + x) + c]! * LEVEL);
        }
      }
    }
    return sums;
  }
}

function roundedToEven(number: number): number {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}
