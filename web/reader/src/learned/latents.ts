/** What decodes latents, in whichever order they are coded; and numbers of codecs' headers. */

import type { Planes } from "../networks/planes.ts";

/** Decodes messages of latents. */
export interface Latents {
  readonly channels: number;
  /** Largest size of a latent, in units. */
  readonly limit: number;
  /** Books and words of the side code that goes before messages; null where there is none. */
  readonly books: { readonly M: number; readonly K: number } | null;
  /**
   * Decode a message; it throws PayloadError where that is damaged.
   *
   * @param code M sub-indices of the side code.
   * @returns ŷ in units.
   */
  decode(message: Uint8Array, code: Uint8Array, height: number, width: number, quality: number): Planes;
}

/** Most latent channels that a codec may state. */
export const MOST_CHANNELS = 1024;
/** Most integer units in one unit of y. */
export const MOST_UNIT = 1024;
/** Latents stay below this size. */
export const MOST_LATENT = 2 ** 20;

/** Tell whether a value is an integer within bounds. */
export function isInteger(value: unknown, low: number, high: number): value is number {
  return Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
}
