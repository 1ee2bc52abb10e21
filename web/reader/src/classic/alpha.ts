/** Alpha planes, which lie before lossy colour. */

import { inflate } from "../bytes/inflate.ts";
import { readVarint } from "../bytes/varint.ts";
import { damagedPayload, Malformed } from "../errors.ts";
import { decodeLzma } from "./lzma.ts";
import { losslessWebpFile } from "./webp.ts";

const WHAT = "an alpha plane";
const [WEBP, DEFLATE, LZMA, CAUSAL] = [0, 1, 2, 3];
const TRANSPOSED = 4;

/** An alpha plane: its bytes, row by row; or a picture whose green it is. */
export type AlphaPlane =
  | { readonly kind: "bytes"; readonly data: Uint8Array }
  | {
      readonly kind: "green";
      readonly mediaType: "image/webp";
      readonly data: Uint8Array;
      /** Whether its rows are the plane's columns. */
      readonly transposed: boolean;
    };

/** Decodes a message of a causal network; null where the codec has none for alpha planes. */
export type CausalPlane = ((message: Uint8Array, width: number, height: number) => Uint8Array) | null;

/**
 * Cut a payload into its alpha part and its colour part.
 *
 * @throws PayloadError the payload ends within the alpha part.
 */
export function splitAlpha(payload: Uint8Array): [alpha: Uint8Array, colour: Uint8Array] {
  const [length, place] = readVarint(payload, 0);
  if (place + length > payload.length) throw damagedPayload(WHAT, "the payload ends within it");
  return [payload.subarray(place, place + length), payload.subarray(place + length)];
}

/** Tell whether an alpha part is coded pixel by pixel, under a network of the codec. */
export function isCausal(part: Uint8Array): boolean {
  return part.length > 1 && part[0] === CAUSAL;
}

/**
 * Make an alpha plane again.
 *
 * @param part the alpha part of a payload.
 * @param causal decodes planes that are coded pixel by pixel.
 * @throws PayloadError the part is damaged.
 */
export async function alphaPlane(
  part: Uint8Array,
  width: number,
  height: number,
  causal: CausalPlane,
): Promise<AlphaPlane> {
  if (part.length < 2) {
    return { kind: "bytes", data: new Uint8Array(width * height).fill(part[0] ?? 255) };
  }
  const [way, coded] = [part[0]!, part.subarray(1)];
  if (isCausal(part) && causal) return { kind: "bytes", data: causal(coded, width, height) };
  const [sort, transposed] = [way & ~TRANSPOSED, (way & TRANSPOSED) !== 0];
  const [across, down] = transposed ? [height, width] : [width, height];
  if (sort === WEBP) {
    const data = losslessWebpFile(coded, across, down, 1);
    return { kind: "green", mediaType: "image/webp", data, transposed };
  }
  if (sort !== DEFLATE && sort !== LZMA) {
    throw damagedPayload(WHAT, "its first byte is of no known form");
  }
  const data =
    sort === LZMA
      ? decodeLzma(coded, across * down)
      : await inflate(coded, "deflate-raw", across * down).catch(refused);
  return { kind: "bytes", data: transposed ? turned(data, across, down) : data };
}

function refused(error: unknown): never {
  throw error instanceof Malformed ? damagedPayload(WHAT, error.message) : error;
}

/** Exchange rows and columns of a plane. */
function turned(plane: Uint8Array, width: number, height: number): Uint8Array {
  const made = new Uint8Array(plane.length);
  for (let y = 0; y < height; y++) {
    for (let x = 0; x < width; x++) made[x * height + y] = plane[y * width + x]!;
  }
  return made;
}
