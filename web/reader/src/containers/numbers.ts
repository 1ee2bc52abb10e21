/** The numbers of arrays, as they lie in files: little-endian. */

import { Malformed } from "../errors.ts";

/** Numbers of an array; those of 64 bits are as exact as a float64. */
export type NumberArray = Int8Array | Uint8Array | Int16Array | Uint16Array | Int32Array | Float32Array | Float64Array;

/** Bytes of a number, by its type. */
export const NUMBERS: Readonly<Record<string, number>> = {
  int8: 1, uint8: 1, int16: 2, uint16: 2, int32: 4, int64: 8, float16: 2, float32: 4, float64: 8,
};

/**
 * Give the numbers of bytes.
 *
 * @throws Malformed a number of 64 bits is beyond 2^53.
 */
export function numbersOf(bytes: Uint8Array, dtype: string): NumberArray {
  const view = new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
  const count = bytes.length / NUMBERS[dtype]!;
  const filled = <T extends NumberArray>(made: T, get: (at: number) => number): T => {
    const size = bytes.length / (count || 1);
    for (let i = 0; i < count; i++) made[i] = get(size * i);
    return made;
  };
  switch (dtype) {
    case "int8":
      return new Int8Array(bytes);
    case "uint8":
      return new Uint8Array(bytes);
    case "int16":
      return filled(new Int16Array(count), (at) => view.getInt16(at, true));
    case "uint16":
      return filled(new Uint16Array(count), (at) => view.getUint16(at, true));
    case "int32":
      return filled(new Int32Array(count), (at) => view.getInt32(at, true));
    case "int64":
      return filled(new Float64Array(count), (at) => exact(view.getBigInt64(at, true)));
    case "float16":
      return filled(new Float32Array(count), (at) => half(view.getUint16(at, true)));
    case "float32":
      return filled(new Float32Array(count), (at) => view.getFloat32(at, true));
    default:
      return filled(new Float64Array(count), (at) => view.getFloat64(at, true));
  }
}

function exact(number: bigint): number {
  const value = Number(number);
  if (!Number.isSafeInteger(value)) throw new Malformed("a number is beyond 2^53");
  return value;
}

function half(bits: number): number {
  const [sign, exponent, fraction] = [bits & 0x8000 ? -1 : 1, (bits >> 10) & 31, bits & 1023];
  if (exponent === 31) return fraction ? NaN : sign * Infinity;
  return sign * (exponent ? 2 ** (exponent - 15) * (1 + fraction / 1024) : 2 ** -14 * (fraction / 1024));
}
