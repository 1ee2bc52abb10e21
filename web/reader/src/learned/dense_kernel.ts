/** Small networks in WebAssembly: the same numbers as in plain JavaScript, sooner. */

import { filled, filledShifts, Kernel, packed, upTo } from "../networks/kernel.ts";
import type { Layer } from "./dense_network.ts";

/** A layer with its numbers in the kernel's memory. */
interface Kept {
  readonly weight: number;
  readonly bias: number;
  readonly shift: number;
  readonly taken: number;
  readonly out: number;
  readonly low: number;
  readonly high: number;
}

/** Runs layers on many rows at once. */
export class DenseKernel {
  readonly #kernel: Kernel;
  readonly #layers: readonly Kept[];

  private constructor(kernel: Kernel, layers: readonly Kept[]) {
    this.#kernel = kernel;
    this.#layers = layers;
  }

  /** Start one for layers, of which the first takes some numbers; null where there is no WebAssembly. */
  static of(layers: readonly Layer[], inputs: number): DenseKernel | null {
    const kernel = Kernel.start();
    if (!kernel) return null;
    let taken = inputs;
    const kept = layers.map(({ weight, bias, shift, low, high }) => {
      const out = bias.length;
      const turned = Float64Array.from({ length: weight.length }, (_, at) => weight[(at % taken) * out + Math.floor(at / taken)]!);
      const made = {
        weight: kernel.keep(packed(turned, out, taken, 1)),
        bias: kernel.keep(filled(bias)),
        shift: kernel.keep(filledShifts(shift)),
        taken, out, low, high,
      };
      taken = out;
      return made;
    });
    return new DenseKernel(kernel, kept);
  }

  /** What rows of integers within ±255 give; null where memory does not suffice. */
  run(rows: readonly Float64Array[]): Float64Array[] | null {
    const { products } = this.#kernel;
    const count = rows.length;
    const wides = this.#layers.map(({ taken }) => upTo(taken, 8));
    const outs = this.#layers.map(({ out }) => upTo(out, 4));
    const room = this.#kernel.room(2 * count * Math.max(...wides), 4 * count * Math.max(...outs));
    if (!room) return null;
    const [x, sums] = room as [number, number];
    const first = this.#kernel.halves(x, count * wides[0]!);
    first.fill(0);
    rows.forEach((row, at) => first.set(row, at * wides[0]!));
    this.#layers.forEach(({ weight, bias, shift, taken, low, high }, at) => {
      if (at) products.frame(sums, x, 1, count, taken, outs[at - 1]!, wides[at]!, 0);
      products.convolve(x, weight, bias, sums, 1, count, wides[at]!, outs[at]!, 1);
      products.floor(sums, shift, count, outs[at]!, low, high);
    });
    const [out, given] = [this.#layers.at(-1)!.out, outs.at(-1)!];
    const made = this.#kernel.words(sums, count * given);
    return rows.map((_, at) => Float64Array.from(made.subarray(at * given, at * given + out)));
  }
}
