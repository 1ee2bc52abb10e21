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
  const { window, content } = frameHeader(packed);
  if (window > Math.max(WIDEST, size)) {
    throw new Malformed("a page asks for more memory than it may take");
  }
  const out = new Uint8Array(size);
  let at = 0;
  const refuse = (): never => {
    throw new Malformed(`a page does not hold the ${size} bytes that it declares`);
  };
  if (content !== null && content !== size) refuse();
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

/** Bytes of the window that a frame asks for, and of its content where it states them. */
function frameHeader(packed: Uint8Array): { window: number; content: number | null } {
  const view = new DataView(packed.buffer, packed.byteOffset, packed.length);
  if (packed.length < 6 || view.getUint32(0, true) !== MAGIC) {
    throw new Malformed("a page is no Zstandard");
  }
  const flags = packed[4]!;
  const isWhole = (flags & 32) !== 0; // one piece, whose size is the window's
  const base = 2 ** (10 + (packed[5]! >> 3));
  const at = (isWhole ? 5 : 6) + [0, 1, 2, 4][flags & 3]!;
  const bytes = [isWhole ? 1 : 0, 2, 4, 8][flags >> 6]!;
  if (at + bytes > packed.length) throw new Malformed("a page is no Zstandard");
  let content: number | null = null;
  if (bytes === 1) content = packed[at]!;
  else if (bytes === 2) content = view.getUint16(at, true) + 256;
  else if (bytes) content = view.getUint32(at, true) + (bytes === 8 ? view.getUint32(at + 4, true) * 2 ** 32 : 0);
  return { window: isWhole ? content! : base + (base / 8) * (packed[5]! & 7), content };
}
