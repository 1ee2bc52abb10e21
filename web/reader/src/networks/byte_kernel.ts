/** The layers of a network of bytes in WebAssembly: the same stream as in plain JavaScript, sooner. */

import type { Layer } from "./byte_network.ts";
import { filled, filledShifts, Kernel, packed, upTo } from "./kernel.ts";
import type { Planes } from "./planes.ts";
import { zeros } from "./planes.ts";

/** A layer with its numbers in the kernel's memory. */
interface Kept {
  readonly layer: Layer;
  readonly taken: number;
  readonly weight: number;
  readonly bias: number;
  readonly shift: number;
  readonly reads: number;
  readonly grows: number;
}

/** Runs layers. */
export class ByteKernel {
  readonly #kernel: Kernel;
  readonly #layers: readonly Kept[];

  private constructor(kernel: Kernel, layers: readonly Kept[]) {
    this.#kernel = kernel;
    this.#layers = layers;
  }

  /** Start one for layers; null where there is no WebAssembly. */
  static of(layers: readonly Layer[]): ByteKernel | null {
    const kernel = Kernel.start();
    if (!kernel) return null;
    const kept = layers.map((layer) => {
      const { weight, bias, shift, out, k, reads, grows } = layer;
      const taken = weight.length / (out * k * k);
      return {
        layer,
        taken,
        weight: kernel.keep(packed(weight, out, taken, k)),
        bias: kernel.keep(filled(bias)),
        shift: kernel.keep(filledShifts(shift)),
        reads: reads ? kernel.keep(filledShifts(reads.shift)) : 0,
        grows: grows ? kernel.keep(filledShifts(grows.shift)) : 0,
      };
    });
    return new ByteKernel(kernel, kept);
  }

  /** The stream after the last layer; null where memory does not suffice. */
  run(x: Planes): Planes | null {
    const { products } = this.#kernel;
    const sizes = this.#sizes(x);
    const room = this.#kernel.room(...sizes);
    if (!room) return null;
    const [stream, framed, sums] = room as [number, number, number];
    let { channels, height, width } = x;
    put(this.#kernel.words(stream, channels * height * width), x);
    for (const { layer, taken, weight, bias, shift, reads, grows } of this.#layers) {
      const { out, k, low, shuffle } = layer;
      const [wide, half, outputs] = [upTo(taken, 8), (k - 1) / 2, upTo(out, 4)];
      if (layer.reads) {
        products.copy(stream, sums, height * width * taken);
        products.round(sums, reads, height * width, taken, layer.reads.low, layer.reads.low + 255);
        products.frame(sums, framed, height, width, taken, taken, wide, half);
      } else {
        products.frame(sums, framed, height, width, taken, upTo(taken, 4), wide, half);
      }
      products.convolve(framed, weight, bias, sums, height, width, wide, outputs, k);
      products.round(sums, shift, height * width, outputs, low, low + 255);
      if (!layer.grows) continue;
      products.grow(sums, grows, stream, height, width, out, outputs, shuffle, layer.grows.adds);
      if (shuffle > 1) [height, width] = [height * shuffle, width * shuffle];
      channels = out / shuffle ** 2;
    }
    return taken(this.#kernel.words(stream, channels * height * width), channels, height, width);
  }

  /** Bytes of the largest stream, frame, and sums. */
  #sizes({ channels, height, width }: Planes): [number, number, number] {
    let [h, w] = [height, width];
    let [stream, framed, sums] = [channels * h * w, 0, 0];
    for (const { layer, taken } of this.#layers) {
      const { out, k, shuffle, grows } = layer;
      framed = Math.max(framed, (h + k - 1) * (w + k - 1) * upTo(taken, 8));
      sums = Math.max(sums, h * w * Math.max(taken, upTo(out, 4)));
      if (grows) {
        stream = Math.max(stream, h * w * out);
        [h, w] = [h * shuffle, w * shuffle];
      }
    }
    return [4 * stream, 2 * framed, 4 * sums];
  }
}

/** Put planes position by position. */
function put(to: Int32Array, { channels, height, width, data }: Planes): void {
  const size = height * width;
  for (let c = 0; c < channels; c++) {
    for (let at = 0; at < size; at++) to[at * channels + c] = data[c * size + at]!;
  }
}

/** Planes of what lies position by position. */
function taken(from: Int32Array, channels: number, height: number, width: number): Planes {
  const made = zeros(channels, height, width);
  const size = height * width;
  for (let c = 0; c < channels; c++) {
    for (let at = 0; at < size; at++) made.data[c * size + at] = from[at * channels + c]!;
  }
  return made;
}
