/** Layers of integer networks whose input fits 16 bits, multiplied by the kernel. */

import { filled, filledShifts, Kernel, packed, upTo } from "./kernel.ts";
import type { Planes } from "./planes.ts";
import { checkWork, zeros } from "./planes.ts";

/** A layer: floor((weight · read + bias) / 2^shift), clipped; it reads x, or x / 2^shift, rounded and clipped. */
export interface ReadingLayer {
  readonly weight: ArrayLike<number>;
  readonly bias: ArrayLike<number>;
  readonly shift: ArrayLike<number>;
  readonly out: number;
  readonly k: number;
  readonly low: number;
  readonly high: number;
  readonly reads: { readonly low: number; readonly shift: ArrayLike<number> } | null;
}

/** Where a layer's weights, biases and shifts lie. */
type Places = readonly [weight: number, bias: number, shift: number];

const MOST_READ = 255;
const MOST = 2 ** 15 - 1;

let kernel: Kernel | null | undefined; // started at the first need; null where there is none
const kept = new WeakMap<ReadingLayer, Places>();

/** Run a layer up to its clipping; null where it reads larger numbers, or there is no kernel. */
export function runByKernel(layer: ReadingLayer, x: Planes): Planes | null {
  const { reads, out, k, low, high } = layer;
  if (kernel === undefined) kernel = Kernel.start();
  if (!kernel || !(reads || x.data.every((one) => one >= -MOST && one <= MOST))) return null;
  const { height, width, channels } = x;
  checkWork(x, out, k);
  const [half, wide, given] = [(k - 1) / 2, upTo(channels, 8), upTo(out, 4)];
  const [pitch, size] = [width + 2 * half, height * width];
  const [weight, bias, shift] = placesOf(kernel, layer, channels);
  const numbers = (height + 2 * half) * pitch * wide;
  const room = kernel.room(2 * numbers, 4 * size * given);
  if (!room) return null;
  const [framed, sums] = room as [number, number];
  const frame = kernel.halves(framed, numbers).fill(0);
  for (let c = 0; c < channels; c++) {
    const [share, least, most] = reads ? [2 ** -reads.shift[c]!, reads.low, MOST_READ] : [1, -MOST, MOST];
    for (let y = 0; y < height; y++) {
      let to = ((y + half) * pitch + half) * wide + c;
      for (let at = c * size + y * width; at < c * size + (y + 1) * width; at++, to += wide) {
        const value = Math.floor(x.data[at]! * share + 0.5);
        frame[to] = value < least ? least : value > most ? most : value;
      }
    }
  }
  kernel.products.convolve(framed, weight, bias, sums, height, width, wide, given, k);
  kernel.products.floor(sums, shift, size, given, low, high);
  const from = kernel.words(sums, size * given);
  const made = zeros(out, height, width);
  for (let o = 0; o < out; o++) {
    for (let at = 0, place = o; at < size; at++, place += given) made.data[o * size + at] = from[place]!;
  }
  return made;
}

function placesOf(started: Kernel, layer: ReadingLayer, channels: number): Places {
  const known = kept.get(layer);
  if (known) return known;
  const { weight, bias, shift, out, k } = layer;
  const places = [started.keep(packed(weight, out, channels, k)), started.keep(filled(bias)), started.keep(filledShifts(shift))] as const;
  kept.set(layer, places);
  return places;
}
