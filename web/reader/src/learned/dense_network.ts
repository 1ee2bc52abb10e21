/** Small networks on rows of integers, every sum of which is exact. */

import type { Container } from "../containers/container.ts";
import { DenseKernel } from "./dense_kernel.ts";

/** A layer; its weights are (in, out). */
export interface Layer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  readonly low: number;
  readonly high: number;
}

const EXACT = 2 ** 24;
const READ = 255;
const MOST_SHIFT = 22;

/** Layers floor((x · weight + bias) / 2^shift), clipped. */
export class DenseNetwork {
  readonly inputs: number;
  readonly outputs: number;
  readonly #layers: readonly Layer[];
  #kernel: DenseKernel | null | undefined;

  private constructor(layers: readonly Layer[], inputs: number) {
    this.#layers = layers;
    this.inputs = inputs;
    this.outputs = layers.at(-1)!.bias.length;
  }

  /**
   * Read a network of a codec.
   *
   * @throws ArchiveError it is not there, does not fit together, or a sum may not be exact.
   */
  static async read(container: Container, name: string): Promise<DenseNetwork> {
    const layers: Layer[] = [];
    let [inputs, wide] = [0, 0];
    while (container.has(`${name}.${layers.length}.weight`)) {
      const parts = ["weight", "bias", "shift", "bounds"];
      const arrays = await Promise.all(
        parts.map((part) => container.array(`${name}.${layers.length}.${part}`)),
      );
      const [weight, bias, shift, bounds] = arrays as [typeof arrays[0], typeof arrays[0], typeof arrays[0], typeof arrays[0]];
      const [low, high] = Array.from(bounds.values) as [number, number];
      const [taken, out] = weight.shape as [number, number];
      const fits =
        ["int8", "int16"].includes(weight.dtype) &&
        [bias.dtype, shift.dtype, bounds.dtype].join() === "int32,uint8,int32" &&
        weight.shape.length === 2 &&
        taken > 0 &&
        out > 0 &&
        (layers.length === 0 || taken === wide) &&
        [bias, shift].every((one) => one.shape.length === 1 && one.shape[0] === out) &&
        bounds.shape.length === 1 &&
        bounds.shape[0] === 2 &&
        Array.from(shift.values).every((one) => one <= MOST_SHIFT) &&
        -EXACT < low &&
        low < high &&
        high < EXACT &&
        largest(weight.values, bias.values) < EXACT;
      if (!fits) throw container.senseless(`its network ${name} leaves exact arithmetic`);
      if (!layers.length) inputs = taken;
      wide = out;
      layers.push({ weight: weight.values, bias: bias.values, shift: shift.values, low, high });
    }
    if (!layers.length || layers.slice(0, -1).some(({ low, high }) => low !== 0 || high !== READ)) {
      throw container.senseless(`its network ${name} is missing, or leaves exact arithmetic`);
    }
    return new DenseNetwork(layers, inputs);
  }

  /** Run it on rows of integers within ±255. */
  run(rows: readonly Float64Array[]): Float64Array[] {
    if (this.#kernel === undefined) this.#kernel = DenseKernel.of(this.#layers, this.inputs);
    return this.#kernel?.run(rows) ?? rows.map((row) => this.#plainly(row));
  }

  /** Run it on a row without WebAssembly. */
  #plainly(row: Float64Array): Float64Array {
    let value = row;
    for (const { weight, bias, shift, low, high } of this.#layers) {
      const made = Float64Array.from(bias);
      const out = made.length;
      for (let from = 0; from < value.length; from++) {
        const one = value[from]!;
        if (one) for (let to = 0; to < out; to++) made[to]! += one * weight[from * out + to]!;
      }
      for (let to = 0; to < out; to++) {
        made[to] = Math.min(high, Math.max(low, Math.floor(made[to]! / 2 ** shift[to]!)));
      }
      value = made;
    }
    return value;
  }
}

/** Largest size of a sum of an output; weights are (in, out). */
function largest(weight: ArrayLike<number>, bias: ArrayLike<number>): number {
  const sums = Float64Array.from(bias, Math.abs);
  for (let i = 0; i < weight.length; i++) sums[i % sums.length]! += Math.abs(weight[i]!) * READ;
  return Math.max(...sums);
}

/** Give what a network reads of an integer: divided by a power of two, rounded, within ±255. */
export function read(value: number, shift: number): number {
  const unit = 2 ** shift;
  return Math.min(READ, Math.max(-READ, Math.floor((value + Math.floor(unit / 2)) / unit)));
}
