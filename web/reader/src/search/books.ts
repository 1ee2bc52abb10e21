/** The books of a product code: M of K words each, of d numbers. */

import type { Container } from "../containers/container.ts";
import { ArchiveError } from "../errors.ts";

/** The books of codes. */
export interface Books {
  readonly M: number;
  readonly K: number;
  readonly d: number;
  /** Word k of book m begins at (m · K + k) · d. */
  readonly words: Float32Array;
  /** Bytes of a packed code. */
  readonly codeBytes: number;
}

/**
 * Read the books of a describer.
 *
 * @param weighted whether words are taken as distances take them, or as they are.
 * @throws ArchiveError there are none, or they make no sense.
 */
export async function readBooks(container: Container, weighted = true): Promise<Books> {
  const { dtype, shape, values } = await container.array("codebooks");
  const [M, K, d] = shape as [number, number, number];
  if (dtype !== "float32" || shape.length !== 3 || !(M && K && d) || K > 256 || !finite(values)) {
    throw container.senseless("its codebooks are no float32 (M, K, d)");
  }
  const words = Float32Array.from(values);
  if (weighted && container.has("weights")) {
    const weights = await container.array("weights");
    const numbers = Array.from(weights.values);
    const fits = weights.dtype === "float32" && weights.shape.length === 1 && weights.shape[0] === M;
    if (!fits || !finite(numbers) || numbers.some((one) => one < 0) || !numbers.some(Boolean)) {
      throw container.senseless("its weights do not fit its books");
    }
    // Products in float32, as everywhere: an array of float32 rounds what is put into it.
    words.forEach((one, i) => {
      words[i] = one * Math.fround(Math.sqrt(numbers[Math.floor(i / (K * d))]!));
    });
  }
  return { M, K, d, words, codeBytes: K <= 16 ? Math.ceil(M / 2) : M };
}

/**
 * Unpack codes.
 *
 * @param packed codes, one after the other.
 * @param where the name of their file, for messages.
 * @returns M sub-indices of each.
 * @throws ArchiveError they are of another size, or name a word that is not there.
 */
export function unpackCodes({ M, K, codeBytes }: Books, packed: Uint8Array, where: string): Uint8Array {
  const count = packed.length / codeBytes;
  if (!Number.isInteger(count)) {
    throw new ArchiveError(`${where}: its codes are not of ${codeBytes} bytes; restore it from a copy`);
  }
  const indices = new Uint8Array(count * M);
  for (let row = 0; row < count; row++) {
    for (let m = 0; m < (K <= 16 ? 2 * codeBytes : M); m++) {
      const byte = packed[row * codeBytes + (K <= 16 ? m >> 1 : m)]!;
      const index = K <= 16 ? (byte >> (4 * (m & 1))) & 15 : byte;
      if (m < M ? index >= K : index) {
        throw new ArchiveError(`${where}: a code names a word that is not there; restore it from a copy`);
      }
      if (m < M) indices[row * M + m] = index;
    }
  }
  return indices;
}

function finite(numbers: ArrayLike<number>): boolean {
  return Array.prototype.every.call(numbers, Number.isFinite);
}
