/** Networks of integers: whole numbers in every step, so that each reader draws the same pixels. */

import type { Container } from "../containers/container.ts";
import { ArchiveError, Malformed } from "../errors.ts";
import type { ExactNetwork } from "./exact_network.ts";
import { describedBy, haloOf } from "./exact_network.ts";
import {
  arrayOf, checkForm, EXACT, largestSum, MOST_LAYERS, MOST_WEIGHTS, numbersOf, require, shiftsFit,
} from "./network_parts.ts";
import { runByKernel } from "./integer_kernel.ts";
import type { Planes } from "./planes.ts";
import { convolved, shuffled, zeros } from "./planes.ts";

interface Layer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  readonly out: number;
  readonly k: number;
  /** Smallest number that it reads, and the shift of each channel; null: its input as it is. */
  readonly reads: { readonly low: number; readonly shift: ArrayLike<number> } | null;
  readonly low: number;
  readonly high: number;
  readonly shuffle: number;
  readonly adds: number;
}

interface WholeLayer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly out: number;
  readonly shift: number;
  readonly shuffle: number;
  readonly drop: number;
  readonly low: number;
  readonly high: number;
}

const MOST_READ = 255;
const WHOLE_BOUND = 2 ** 22;

/** A network of integers of a codec, checked: no sum leaves exact arithmetic. */
export class IntegerNetwork implements ExactNetwork {
  readonly takes: number;
  readonly gives: number;
  readonly up: number;
  readonly halo: number;
  readonly #layers: readonly Layer[];
  readonly #whole: WholeLayer | null;

  private constructor(layers: readonly Layer[], whole: WholeLayer | null, takes: number) {
    const last = layers.at(-1)!;
    this.#layers = layers;
    this.#whole = whole;
    this.takes = takes;
    this.gives = last.out / last.shuffle ** 2;
    this.up = layers.reduce((product, layer) => product * layer.shuffle, 1);
    this.halo = haloOf(layers);
  }

  /**
   * Read a network of a codec.
   *
   * @param name of the network, under `integer_networks`.
   * @param reach largest size of a number of its input.
   * @throws ArchiveError there is none, it does not fit together, or a sum may not be exact.
   */
  static async read(container: Container, name: string, reach: number): Promise<IntegerNetwork> {
    try {
      const values = describedBy(container, "integer_networks", name);
      require(values !== null, `${name} is not there`);
      const keys = Object.keys(values!).filter((key) => key !== "whole");
      const listed = values!["layers"];
      require(keys.join() === "layers" && Array.isArray(listed), "is described by other keys");
      const layers: Layer[] = [];
      const described = listed as unknown[];
      require(described.length > 0 && described.length <= MOST_LAYERS, "has too many layers, or none");
      let takes = 0;
      let [channels, size, up] = [0, reach, 1];
      const given: [channels: number, up: number, reach: number][] = [];
      for (const [i, one] of described.entries()) {
        const weight = await arrayOf(container, `${name}_weight${i}`, "int8", 4);
        if (!i) takes = channels = weight.shape[1]!;
        const layer = await readLayer(container, name, i, one, channels, size);
        layers.push(layer);
        [channels, size, up] = [
          layer.out / layer.shuffle ** 2,
          Math.max(Math.abs(layer.low), Math.abs(layer.high)),
          up * layer.shuffle,
        ];
        given.push([channels, up, size]);
        if (layer.adds) {
          const former = given[i - layer.adds];
          require(layer.adds > 0 && layer.adds <= i && former !== undefined, "adds what is not there");
          require(former![0] === channels && former![1] === up, "adds what does not fit");
          require(size + former![2] < EXACT, "leaves exact arithmetic");
        }
      }
      const whole =
        "whole" in values!
          ? await readWhole(container, name, values["whole"], takes, reach, layers.at(-1)!, up)
          : null;
      const stored = layers.reduce((sum, layer) => sum + layer.weight.length, 2 * (whole?.weight.length ?? 0));
      require(stored <= MOST_WEIGHTS, "has too many weights");
      return new IntegerNetwork(layers, whole, takes);
    } catch (error) {
      if (error instanceof Malformed) throw container.senseless(error.message);
      throw error;
    }
  }

  get bounds(): readonly [low: number, high: number] {
    const last = this.#whole ?? this.#layers.at(-1)!;
    return [last.low, last.high];
  }

  run(x: Planes): Planes {
    if (x.channels !== this.takes) throw new ArchiveError(`a network of the codec takes ${this.takes} channels; make it anew`);
    const results: Planes[] = [];
    let value = x;
    for (const layer of this.#layers) {
      value = runLayer(layer, value);
      if (layer.adds) value = clippedSum(value, results.at(-layer.adds)!, layer);
      results.push(value);
    }
    return this.#whole ? runWhole(this.#whole, x, value) : value;
  }
}

async function readLayer(
  container: Container,
  name: string,
  i: number,
  described: unknown,
  channels: number,
  reach: number,
): Promise<Layer> {
  const numbers = numbersOf(described, ["low", "high", "shuffle", "adds", "reads"], ["reads"]);
  const { low, high, shuffle, adds } = numbers as { low: number; high: number; shuffle: number; adds: number };
  const weight = await arrayOf(container, `${name}_weight${i}`, "int8", 4);
  const bias = await arrayOf(container, `${name}_bias${i}`, "int32", 1);
  const shift = await arrayOf(container, `${name}_shift${i}`, "uint8", 1);
  checkForm(weight.shape, bias.shape, channels, shuffle);
  const out = weight.shape[0]!;
  require(shiftsFit(shift.values, out), "has shifts that do not fit, or are out of range");
  require(-EXACT < low && low <= high && high < EXACT, "has bounds that are out of range");
  let reads: Layer["reads"] = null;
  let read = reach;
  if (numbers["reads"] !== null) {
    const from = numbers["reads"]!;
    const shifts = await arrayOf(container, `${name}_read${i}`, "uint8", 1);
    require(shiftsFit(shifts.values, channels), "reads by shifts that do not fit");
    require(-MOST_READ <= from && from <= 0, "reads from a bound out of range");
    const widest = 2 ** Math.max(...Array.from(shifts.values));
    require(reach + widest < EXACT, "reads what is no exact integer");
    reads = { low: from, shift: shifts.values };
    read = MOST_READ;
  }
  require(largestSum(weight.values, bias.values, read) < EXACT, "leaves exact arithmetic");
  return {
    weight: weight.values, bias: bias.values, shift: shift.values, out, k: weight.shape[2]!,
    reads, low, high, shuffle, adds,
  };
}

async function readWhole(
  container: Container,
  name: string,
  described: unknown,
  channels: number,
  reach: number,
  last: Layer,
  up: number,
): Promise<WholeLayer> {
  const keys = ["shift", "shuffle", "drop", "low", "high"];
  const numbers = numbersOf(described, keys) as Record<"shift" | "shuffle" | "drop" | "low" | "high", number>;
  const { shift, shuffle, drop, low, high } = numbers;
  const weight = await arrayOf(container, `${name}_whole_weight`, "int16", 2);
  const bias = await arrayOf(container, `${name}_whole_bias`, "int32", 1);
  const out = weight.shape[0]!;
  require(weight.shape[1] === channels && bias.shape[0] === out, "has a whole layer that does not fit");
  const gives = last.out / last.shuffle ** 2;
  require(shuffle === up && out === gives * shuffle ** 2, "has a whole layer that gives something else");
  require(shift >= 7 && shift <= 15 && drop >= 0 && drop <= 15, "has shifts out of range");
  require(-EXACT < low && low <= high && high < EXACT, "has bounds that are out of range");
  const parts = Array.from(weight.values, split);
  const none = new Float64Array(out);
  const A = largestSum(parts.map((part) => part[0]), none, 1);
  const B = largestSum(parts.map((part) => part[1]), none, 1);
  const P = Math.floor(reach / 256) + 1;
  const biggest = Array.from(bias.values).reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  const added = Math.max(Math.abs(last.low), Math.abs(last.high));
  const sums = [
    A * 255 + 2 * B * P + 2 * B, B * 255, A * P, WHOLE_BOUND + biggest + added + 2 ** drop, reach,
  ];
  require(sums.every((sum) => sum < EXACT), "leaves exact arithmetic");
  return { weight: weight.values, bias: bias.values, out, shift, shuffle, drop, low, high };
}

/** High and low part of a weight: high · 128 + low. */
function split(weight: number): [high: number, low: number] {
  const high = Math.floor((weight + 64) / 128);
  return [high, weight - 128 * high];
}

function runLayer(layer: Layer, x: Planes): Planes {
  const made = runByKernel(layer, x);
  if (made) return shuffled(made, layer.shuffle);
  const read = layer.reads ? readAs(layer.reads, x) : x;
  const sums = convolved(read, layer.weight, layer.bias, layer.out, layer.k);
  const size = sums.height * sums.width;
  for (let o = 0; o < layer.out; o++) {
    const unit = 2 ** layer.shift[o]!;
    for (let at = o * size; at < (o + 1) * size; at++) {
      sums.data[at] = clip(Math.floor(sums.data[at]! / unit), layer.low, layer.high);
    }
  }
  return shuffled(sums, layer.shuffle);
}

function readAs({ low, shift }: NonNullable<Layer["reads"]>, x: Planes): Planes {
  const made = zeros(x.channels, x.height, x.width);
  const size = x.height * x.width;
  for (let c = 0; c < x.channels; c++) {
    const unit = 2 ** shift[c]!;
    for (let at = c * size; at < (c + 1) * size; at++) {
      made.data[at] = clip(Math.floor(x.data[at]! / unit + 0.5), low, MOST_READ);
    }
  }
  return made;
}

function clippedSum(x: Planes, y: Planes, { low, high }: Layer): Planes {
  return { ...x, data: x.data.map((one, at) => clip(one + y.data[at]!, low, high)) };
}

function runWhole(whole: WholeLayer, x: Planes, others: Planes): Planes {
  const { out, shift, drop, low, high } = whole;
  const parts = Array.from(whole.weight, split);
  const [h, l] = [parts.map((part) => part[0]), parts.map((part) => part[1])];
  const X = { ...x, data: x.data.map((one) => Math.floor(one / 256)) };
  const Y = { ...x, data: x.data.map((one, at) => one - 256 * X.data[at]!) };
  const product = (weight: number[], value: Planes): Float64Array => convolved(value, weight, null, out, 1).data;
  const [hY, lX, lY, hX] = [product(h, Y), product(l, X), product(l, Y), product(h, X)];
  const sum = zeros(out, x.height, x.width);
  const size = x.height * x.width;
  for (let at = 0; at < sum.data.length; at++) {
    const m = hY[at]! + 2 * lX[at]! + Math.floor(lY[at]! / 128);
    const t = 2 ** (15 - shift) * hX[at]! + Math.floor(m / 2 ** (shift - 7));
    sum.data[at] = clip(t, -WHOLE_BOUND, WHOLE_BOUND) + whole.bias[Math.floor(at / size)]!;
  }
  const made = shuffled(sum, whole.shuffle);
  const half = Math.floor(2 ** drop / 2);
  for (let at = 0; at < made.data.length; at++) {
    const value = Math.floor((made.data[at]! + others.data[at]! + half) / 2 ** drop);
    made.data[at] = clip(value, low, high);
  }
  return made;
}

function clip(value: number, low: number, high: number): number {
  return value < low ? low : value > high ? high : value;
}
