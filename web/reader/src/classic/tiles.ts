/** Tiles: images with a side of more than 8,192 pixels are cut, each part a payload of its own. */

import { splitParts } from "../bytes/varint.ts";
import type { Packet } from "../segments/packet.ts";

/** Longest side, in pixels, of what is coded in one piece. */
export const TILE = 8192;

/** A part of an image, with its own payload. */
export interface Tile {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly payload: Uint8Array;
}

/**
 * Cut a classic packet into its tiles, from left to right, then from top to bottom.
 *
 * @throws PayloadError they do not fill the payload.
 */
export function tilesOf({ width, height, payload }: Packet): Tile[] {
  if (Math.max(width, height) <= TILE) return [{ left: 0, top: 0, width, height, payload }];
  const places: Omit<Tile, "payload">[] = [];
  for (let top = 0; top < height; top += TILE) {
    for (let left = 0; left < width; left += TILE) {
      places.push({ left, top, width: Math.min(TILE, width - left), height: Math.min(TILE, height - top) });
    }
  }
  const parts = splitParts(payload, places.length);
  return places.map((place, i) => ({ ...place, payload: parts[i]! }));
}
