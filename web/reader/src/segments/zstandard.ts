/** Zstandard, of strangers: a frame is held to the size that its page declares. */

import { Decompress } from "fzstd";

import { Malformed } from "../errors.ts";

const MAGIC = 0xfd2fb528;
const WIDEST = 8 << 20; // window that every decoder has to have; memory that a frame may ask for

/**
 * Unpack one frame.
 *
 * @param packed its bytes.
 * @param size bytes that it must give.
 * @throws Malformed it is damaged, or gives another number of bytes.
 */
export function unpackFrame(packed: Uint8Array, size: number): Uint8Array {
  if (windowOf(packed) > Math.max(WIDEST, size)) {
    throw new Malformed("a page asks for more memory than it may take");
  }
  const out = new Uint8Array(size);
  let at = 0;
  const refuse = (): never => {
    throw new Malformed(`a page does not hold the ${size} bytes that it declares`);
  };
  try {
    const stream = new Decompress((part) => {
      if (at + part.length > size) refuse();
      out.set(part, at);
      at += part.length;
    });
    stream.push(packed, true);
  } catch (error) {
    if (error instanceof Malformed) throw error;
    throw new Malformed("a page is no Zstandard, or damaged");
  }
  return at === size ? out : refuse();
}

/** Bytes of the window that a frame asks for, or of its content where that is one piece. */
function windowOf(packed: Uint8Array): number {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  if (packed.length < 6 || view.getUint32(0, true) !== MAGIC) {
    throw new Malformed("a page is no Zstandard");
  }
  const flags = packed[4]!;
  if (!(flags & 32)) {
    const base = 2 ** (10 + (packed[5]! >> 3));
    return base + (base / 8) * (packed[5]! & 7);
  }
  const at = 5 + [0, 1, 2, 4][flags & 3]!;
  const bytes = [1, 2, 4, 8][flags >> 6]!;
  if (at + bytes > packed.length) throw new Malformed("a page is no Zstandard");
  if (bytes === 1) return packed[at]!;
  if (bytes === 2) return view.getUint16(at, true) + 256;
  return view.getUint32(at, true) + (bytes === 8 ? view.getUint32(at + 4, true) * 2 ** 32 : 0);
}
