/** Integers of as many bytes as they need: seven bits a byte, the lowest first. */

import { PayloadError } from "../errors.ts";

const LONGEST = 7; // bytes of a number that is exact here; lengths of files are far smaller

/** Give the bytes of an integer from 0 on. */
export function writeVarint(number: number): Uint8Array {
  const out: number[] = [];
  while (number > 127) {
    out.push((number % 128) | 128);
    number = Math.floor(number / 128);
  }
  return Uint8Array.from([...out, number]);
}

/**
 * Read an integer of a payload.
 *
 * @returns the integer, and the place that follows it.
 * @throws PayloadError the bytes end within it, or it has bytes that it does not need.
 */
export function readVarint(data: Uint8Array, place: number): [number: number, next: number] {
  let number = 0;
  for (let i = 0; i < LONGEST && place + i < data.length; i++) {
    const byte = data[place + i]!;
    number += (byte & 127) * 128 ** i;
    if (byte < 128) {
      if (byte === 0 && i > 0) break;
      return [number, place + i + 1];
    }
  }
  throw new PayloadError(
    "a payload is damaged: a length in it is broken; restore the archive from a copy",
  );
}

/**
 * Cut bytes into parts, the length of each before it.
 *
 * @throws PayloadError they do not fill the bytes.
 */
export function splitParts(data: Uint8Array, count: number): Uint8Array[] {
  const parts: Uint8Array[] = [];
  let place = 0;
  for (let i = 0; i < count; i++) {
    const [length, begin] = readVarint(data, place);
    parts.push(data.subarray(begin, begin + length));
    place = begin + length;
  }
  if (place !== data.length) {
    throw new PayloadError("a payload is damaged: its tiles do not fill it; restore the archive");
  }
  return parts;
}
