/** Networks of bytes: 8 bits in every layer, and a stream of integers beside them. */

import type { Container } from "../containers/container.ts";
import { Malformed } from "../errors.ts";
import { ByteKernel } from "./byte_kernel.ts";
import type { ExactNetwork } from "./exact_network.ts";
import { describedBy, haloOf } from "./exact_network.ts";
import {
  arrayOf, checkForm, EXACT, largestSum, MOST_LAYERS, MOST_WEIGHTS, numbersOf, require, shiftsFit,
} from "./network_parts.ts";
import type { Planes } from "./planes.ts";
import { convolved, shuffled, zeros } from "./planes.ts";

/** A convolution of bytes. */
export interface Layer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  readonly out: number;
  readonly k: number;
  readonly low: number;
  readonly shuffle: number;
  /** What it reads of the stream; null where it takes the bytes of the layer before. */
  readonly reads: { readonly low: number; readonly shift: ArrayLike<number> } | null;
  /** How it goes into the stream; null where the next layer alone takes it. */
  readonly grows: { readonly shift: ArrayLike<number>; readonly adds: boolean } | null;
}

interface Block {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly out: number;
  readonly shift: number;
  readonly shuffle: number;
}

/** What is known of the bytes or the stream while layers are checked. */
interface Stream {
  readonly channels: number;
  readonly up: number;
  readonly reach: number;
}

const MOST_WEIGHT = 63;
const MOST_GROW = 12;
const LOWS = [0, -128];

/** A network of bytes of a codec. */
export class ByteNetwork implements ExactNetwork {
  readonly takes: number;
  readonly gives: number;
  readonly up: number;
  readonly halo: number;
  readonly bounds = [0, 255] as const;
  readonly #layers: readonly Layer[];
  readonly #block: Block;
  readonly #drop: number;
  #kernel: ByteKernel | null | undefined;

  private constructor(layers: readonly Layer[], block: Block, takes: number, drop: number) {
    this.#layers = layers;
    this.#block = block;
    this.#drop = drop;
    this.takes = takes;
    this.gives = block.out / block.shuffle ** 2;
    this.up = block.shuffle;
    this.halo = haloOf(layers);
  }

  /**
   * Read a network of a codec.
   *
   * @param name of the network, under `byte_networks`.
   * @param reach largest size of a number of its input.
   * @throws ArchiveError it does not fit together, or a sum may not be exact.
   */
  static async read(container: Container, name: string, reach: number): Promise<ByteNetwork> {
    try {
      const values = describedBy(container, "byte_networks", name);
      require(values !== null, `${name} is not there`);
      require(Object.keys(values!).sort().join() === "block,drop,layers", "is described by other keys");
      const { drop } = numbersOf({ drop: values!["drop"] }, ["drop"]) as { drop: number };
      const listed = values!["layers"];
      require(Array.isArray(listed) && listed.length > 0 && listed.length <= MOST_LAYERS, "has too many layers, or none");
      const { block, takes, whole } = await readBlock(container, name, values!["block"], reach);
      let stream: Stream = { channels: takes, up: 1, reach };
      let given: { channels: number; low: number } | null = null;
      let up = 1;
      const layers: Layer[] = [];
      for (const [i, one] of (listed as unknown[]).entries()) {
        const layer = await readLayer(container, name, i, one, given, stream, up);
        layers.push(layer);
        up *= layer.shuffle;
        const channels = layer.out / layer.shuffle ** 2;
        given = layer.shuffle === 1 ? { channels, low: layer.low } : null;
        if (!layer.grows) {
          require(given !== null, "shuffles what does not go into the stream");
          continue;
        }
        let own = Math.max(-layer.low, layer.low + 255) * 2 ** Math.max(...Array.from(layer.grows.shift));
        if (layer.grows.adds) {
          require(stream.channels === channels && stream.up === up, "adds what does not fit");
          own += stream.reach;
        }
        require(own < EXACT, "leaves exact arithmetic");
        stream = { channels, up, reach: own };
      }
      const gives = block.out / block.shuffle ** 2;
      const fits = stream.channels === gives && stream.up === block.shuffle && layers.at(-1)!.grows !== null;
      require(fits, "has a block layer that does not fit what the other layers give");
      require(drop >= 0 && drop <= 15, "drops more than 15 bits");
      require(whole + stream.reach + 2 ** drop < EXACT, "leaves exact arithmetic at its end");
      const stored = layers.reduce((sum, layer) => sum + layer.weight.length, 4 * block.weight.length);
      require(stored <= MOST_WEIGHTS, "has too many weights");
      return new ByteNetwork(layers, block, takes, drop);
    } catch (error) {
      if (error instanceof Malformed) throw container.senseless(error.message);
      throw error;
    }
  }

  run(x: Planes): Planes {
    if (this.#kernel === undefined) this.#kernel = ByteKernel.of(this.#layers);
    const stream = this.#kernel?.run(x) ?? this.#plainly(x);
    const { weight, bias, out, shift, shuffle } = this.#block;
    const beside = convolved(x, weight, null, out, 1);
    const size = x.height * x.width;
    for (let o = 0; o < out; o++) {
      for (let i = o * size; i < (o + 1) * size; i++) {
        beside.data[i] = rounded(beside.data[i]! / 2 ** shift) + bias[o]!;
      }
    }
    const made = sum(stream, shuffled(beside, shuffle));
    made.data.forEach((value, i) => {
      made.data[i] = Math.min(255, Math.max(0, rounded(value / 2 ** this.#drop)));
    });
    return made;
  }

  /** The stream after the last layer, without WebAssembly. */
  #plainly(x: Planes): Planes {
    let stream = x;
    let at = x;
    for (const layer of this.#layers) {
      if (layer.reads) at = scaled(stream, layer.reads.shift, layer.reads.low);
      const { weight, bias, out, k } = layer;
      at = scaled(convolved(at, weight, bias, out, k), layer.shift, layer.low);
      if (!layer.grows) continue;
      const grown = shuffled(grownBy(at, layer.grows.shift), layer.shuffle);
      stream = layer.grows.adds ? sum(stream, grown) : grown;
    }
    return stream;
  }
}

async function readLayer(
  container: Container,
  name: string,
  i: number,
  described: unknown,
  given: { channels: number; low: number } | null,
  stream: Stream,
  up: number,
): Promise<Layer> {
  const numbers = numbersOf(described, ["low", "shuffle", "reads", "adds"], ["reads", "adds"]);
  const { low, shuffle } = numbers as { low: number; shuffle: number };
  const adds = numbers["adds"] as number | null;
  require(adds === null || adds === 0 || adds === 1, "has a layer that neither adds nor begins a stream");
  const weight = await arrayOf(container, `${name}_weight${i}`, "int8", 4);
  const bias = await arrayOf(container, `${name}_bias${i}`, "int32", 1);
  const shift = await arrayOf(container, `${name}_shift${i}`, "uint8", 1);
  let channels = given?.channels ?? -1;
  let reads: Layer["reads"] = null;
  if (numbers["reads"] === null) {
    require(given !== null, "takes bytes that the layer before does not give");
  } else {
    const shifts = await arrayOf(container, `${name}_reads${i}`, "uint8", 1);
    channels = stream.channels;
    require(stream.up === up, "reads a stream of other positions");
    require(shiftsFit(shifts.values, channels), "reads by shifts out of range");
    require(LOWS.includes(numbers["reads"]!), "reads from a bound that is neither 0 nor −128");
    const widest = 2 ** Math.max(...Array.from(shifts.values));
    require(stream.reach + widest < EXACT, "reads what is no exact integer");
    reads = { low: numbers["reads"]!, shift: shifts.values };
  }
  checkForm(weight.shape, bias.shape, channels, shuffle);
  const out = weight.shape[0]!;
  require(shiftsFit(shift.values, out), "has shifts out of range");
  require(LOWS.includes(low), "gives bytes from a bound that is neither 0 nor −128");
  const small = Array.prototype.every.call(weight.values, (one: number) => Math.abs(one) <= MOST_WEIGHT);
  require(small, `has weights beyond ±${MOST_WEIGHT}`);
  require(largestSum(weight.values, bias.values, 255) < EXACT, "leaves exact arithmetic");
  let grows: Layer["grows"] = null;
  if (adds !== null) {
    const grow = await arrayOf(container, `${name}_grow${i}`, "uint8", 1);
    require(shiftsFit(grow.values, out, MOST_GROW), "grows by bits that do not fit, or are out of range");
    grows = { shift: grow.values, adds: adds === 1 };
  }
  return {
    weight: weight.values, bias: bias.values, shift: shift.values, out, k: weight.shape[2]!, low, shuffle, reads, grows,
  };
}

async function readBlock(
  container: Container,
  name: string,
  described: unknown,
  reach: number,
): Promise<{ block: Block; takes: number; whole: number }> {
  const { shift, shuffle } = numbersOf(described, ["shift", "shuffle"]) as { shift: number; shuffle: number };
  const weight = await arrayOf(container, `${name}_block_weight`, "int16", 2);
  const bias = await arrayOf(container, `${name}_block_bias`, "int32", 1);
  const [out, takes] = weight.shape as [number, number];
  require(out > 0 && takes > 0 && bias.shape[0] === out, "has a block layer that does not fit");
  require(shift >= 0 && shift <= 31 && shuffle > 0 && out % shuffle ** 2 === 0, "has a block layer out of range");
  const largest = largestSum(weight.values, new Float64Array(out), reach);
  require(largest < 2 ** 53, "leaves exact arithmetic");
  const biggest = Array.from(bias.values).reduce((most, one) => Math.max(most, Math.abs(one)), 0);
  const whole = Math.floor(largest / 2 ** shift) + 1 + biggest;
  return { block: { weight: weight.values, bias: bias.values, out, shift, shuffle }, takes, whole };
}

/** Divide channels by powers of two, rounded, and clip them to bytes from a bound on. */
function scaled(x: Planes, shift: ArrayLike<number>, low: number): Planes {
  const made = zeros(x.channels, x.height, x.width);
  const size = x.height * x.width;
  for (let c = 0; c < x.channels; c++) {
    for (let at = c * size; at < (c + 1) * size; at++) {
      made.data[at] = Math.min(low + 255, Math.max(low, rounded(x.data[at]! / 2 ** shift[c]!)));
    }
  }
  return made;
}

function grownBy(x: Planes, shift: ArrayLike<number>): Planes {
  const size = x.height * x.width;
  return { ...x, data: x.data.map((one, at) => one * 2 ** shift[Math.floor(at / size)]!) };
}

function sum(x: Planes, y: Planes): Planes {
  return { ...x, data: x.data.map((one, at) => one + y.data[at]!) };
}

/** The nearest integer, of two the even one. */
function rounded(number: number): number {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2 !== 0) ? below + 1 : below;
}
