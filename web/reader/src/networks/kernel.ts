/** A piece of WebAssembly that multiplies small whole numbers, and the memory that it works in. */

import { PRODUCTS } from "./products_wasm.ts";

/** What kernel/products.ts exports; pointers count bytes. */
interface Products {
  convolve(
    x: number, weight: number, bias: number, sums: number,
    height: number, width: number, channels: number, outputs: number, k: number,
  ): void;
  round(sums: number, shift: number, positions: number, channels: number, low: number, high: number): void;
  floor(sums: number, shift: number, positions: number, channels: number, low: number, high: number): void;
  frame(
    x: number, framed: number, height: number, width: number,
    channels: number, given: number, wide: number, half: number,
  ): void;
  grow(
    x: number, by: number, stream: number, height: number, width: number,
    channels: number, given: number, b: number, adds: boolean,
  ): void;
  copy(x: number, made: number, numbers: number): void;
}

type Numbers = Int16Array | Int32Array | Uint8Array;

const PAGE = 2 ** 16;
const MOST_BYTES = 2 ** 30;
/** Bytes that every part begins at a multiple of. */
const APART = 16;

let compiled: WebAssembly.Module | null | undefined;

/** Products of 16-bit numbers in a memory of their own: parts that stay, and behind them room to work in. */
export class Kernel {
  readonly products: Products;
  readonly #memory: WebAssembly.Memory;
  #kept = APART;

  private constructor(module: WebAssembly.Module) {
    this.#memory = new WebAssembly.Memory({ initial: 1 });
    const instance = new WebAssembly.Instance(module, { env: { memory: this.#memory } });
    this.products = instance.exports as unknown as Products;
  }

  /** Start one; null where there is no WebAssembly with vectors, or a page may not run it. */
  static start(): Kernel | null {
    if (compiled === undefined) {
      try {
        compiled = new WebAssembly.Module(Uint8Array.from(atob(PRODUCTS), (one) => one.charCodeAt(0)));
      } catch {
        compiled = null;
      }
    }
    return compiled && new Kernel(compiled);
  }

  /** Store numbers that stay; returns where. */
  keep(values: Numbers): number {
    const at = this.#kept;
    this.#kept = this.#above(at + values.byteLength);
    const bytes = new Uint8Array(values.buffer, values.byteOffset, values.byteLength);
    new Uint8Array(this.#memory.buffer).set(bytes, at);
    return at;
  }

  /**
   * Make room for parts of some bytes, whatever they held.
   *
   * @returns where each lies; null where so much memory is not to be had.
   */
  room(...sizes: number[]): number[] | null {
    let at = this.#kept;
    const places = sizes.map((size) => {
      const place = at;
      at = Math.ceil((place + size) / APART) * APART;
      return place;
    });
    if (at > MOST_BYTES) return null;
    try {
      this.#above(at);
    } catch {
      return null;
    }
    return places;
  }

  /** Numbers of 32 bits from a place on; of no use once memory has grown. */
  words(at: number, length: number): Int32Array {
    return new Int32Array(this.#memory.buffer, at, length);
  }

  /** Numbers of 16 bits from a place on; of no use once memory has grown. */
  halves(at: number, length: number): Int16Array {
    return new Int16Array(this.#memory.buffer, at, length);
  }

  /** The first place for a part that begins behind `end`, with memory up to there. */
  #above(end: number): number {
    const place = Math.ceil(end / APART) * APART;
    const missing = place - this.#memory.buffer.byteLength;
    if (missing > 0) this.#memory.grow(Math.ceil(missing / PAGE));
    return place;
  }
}

/** The next multiple of a number. */
export function upTo(number: number, of: number): number {
  return Math.ceil(number / of) * of;
}

/**
 * Weights as the kernel takes them: outputs a multiple of 4, channels of each tap one of 8.
 *
 * @param weight (out, in, k, k), row-major.
 */
export function packed(weight: ArrayLike<number>, out: number, taken: number, k: number): Int16Array {
  const wide = upTo(taken, 8);
  const made = new Int16Array(upTo(out, 4) * k * k * wide);
  for (let o = 0; o < out; o++) {
    for (let c = 0; c < taken; c++) {
      for (let tap = 0; tap < k * k; tap++) {
        made[(o * k * k + tap) * wide + c] = weight[(o * taken + c) * k * k + tap]!;
      }
    }
  }
  return made;
}

/** Numbers of outputs, with zeros up to a multiple of 4. */
export function filled(values: ArrayLike<number>): Int32Array {
  const made = new Int32Array(upTo(values.length, 4));
  made.set(Array.from(values));
  return made;
}

/** Shifts of outputs, with zeros up to a multiple of 4. */
export function filledShifts(values: ArrayLike<number>): Uint8Array {
  const made = new Uint8Array(upTo(values.length, 4));
  made.set(Array.from(values));
  return made;
}
