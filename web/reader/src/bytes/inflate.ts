/** Deflate, by the platform's own decoder, never to more bytes than are expected. */

import { Malformed } from "../errors.ts";

/**
 * Unpack bytes.
 *
 * @param packed the bytes.
 * @param form `deflate` of zlib (RFC 1950), or `deflate-raw` (RFC 1951).
 * @param size bytes that there must be.
 * @throws Malformed the bytes are damaged, or give more or fewer.
 */
export async function inflate(
  packed: Uint8Array,
  form: "deflate" | "deflate-raw",
  size: number,
): Promise<Uint8Array> {
  const stream = new DecompressionStream(form);
  const writer = stream.writable.getWriter();
  // Whatever goes wrong is seen where the bytes come out.
  const written = writer.write(packed as Uint8Array<ArrayBuffer>).then(() => writer.close());
  written.catch(() => undefined);
  const reader = stream.readable.getReader();
  const out = new Uint8Array(size);
  let at = 0;
  try {
    for (;;) {
      const { done, value } = await reader.read();
      if (done) break;
      if (at + value.length > size) {
        await reader.cancel().catch(() => undefined);
        throw new Malformed(`packed bytes give more than ${size}`);
      }
      out.set(value, at);
      at += value.length;
    }
  } catch (error) {
    if (error instanceof Malformed) throw error;
    throw new Malformed("packed bytes are damaged");
  }
  if (at !== size) throw new Malformed(`packed bytes give ${at} in place of ${size}`);
  return out;
}
