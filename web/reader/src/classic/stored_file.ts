/** Payloads as the files that they are: AVIF and WebP, their heads put back. */

import type { Packet } from "../segments/packet.ts";
import { avifFile } from "./avif.ts";
import { TILE } from "./tiles.ts";
import { losslessWebpFile, webpFile } from "./webp.ts";

/** An image as a file. */
export interface StoredFile {
  readonly mediaType: "image/avif" | "image/webp";
  readonly data: Uint8Array;
}

/**
 * Write the one file that draws an image as it is; null where there is none.
 *
 * There is none where lossy colour has alpha beside it, where the image is cut into tiles, is grey
 * and lossless (its values are the green of such a file), or is learned.
 *
 * @throws PayloadError the payload is damaged.
 */
export function storedFile(packet: Packet): StoredFile | null {
  const { kind, payload, width, height, channels } = packet;
  if (Math.max(width, height) > TILE) return null;
  if (kind === "webp_lossless" && channels > 1) {
    return { mediaType: "image/webp", data: losslessWebpFile(payload, width, height, channels) };
  }
  if (channels === 4) return null;
  if (kind === "avif") return { mediaType: "image/avif", data: avifFile(payload, width, height, channels) };
  return kind === "webp" ? { mediaType: "image/webp", data: webpFile(payload, width, height) } : null;
}
