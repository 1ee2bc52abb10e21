/** WebP payloads, lossy (VP8) and lossless (VP8L): the file written again, byte for byte. */

import { ascii, join } from "../bytes/joining.ts";
import { damagedPayload } from "../errors.ts";

const WHAT = "a WebP payload";
const LONGEST_SIDE = 16383;
const START_CODE = [0x9d, 0x01, 0x2a];
const SIGNATURE = 0x2f;

/**
 * Write the WebP file of a lossy payload.
 *
 * @throws PayloadError the payload is too short, or the size is more than WebP can hold.
 */
export function webpFile(payload: Uint8Array, width: number, height: number): Uint8Array {
  checkSize(width, height);
  if (payload.length < 3) throw damagedPayload(WHAT, "it is too short");
  const size = [width & 255, width >> 8, height & 255, height >> 8];
  return file("VP8 ", join(payload.subarray(0, 3), START_CODE, size, payload.subarray(3)));
}

/**
 * Write the WebP file of a lossless payload; a grey image is the green of what is drawn.
 *
 * @param channels 1, 3 or 4.
 * @throws PayloadError the payload is too short, or the size is more than WebP can hold.
 */
export function losslessWebpFile(
  payload: Uint8Array,
  width: number,
  height: number,
  channels: number,
): Uint8Array {
  checkSize(width, height);
  let hint = 0;
  if (channels === 4) {
    if (!payload.length || payload[0]! > 1) {
      throw damagedPayload(WHAT, "its first byte is neither 0 nor 1");
    }
    hint = payload[0]!;
    payload = payload.subarray(1);
  }
  const head = new DataView(new ArrayBuffer(5));
  head.setUint8(0, SIGNATURE);
  head.setUint32(1, (width - 1) | ((height - 1) << 14) | (hint << 28), true);
  return file("VP8L", join(new Uint8Array(head.buffer), payload));
}

function checkSize(width: number, height: number): void {
  if (!(width > 0 && width <= LONGEST_SIDE && height > 0 && height <= LONGEST_SIDE)) {
    throw damagedPayload(WHAT, `${width}×${height} pixels are more than it can hold`);
  }
}

function file(name: string, data: Uint8Array): Uint8Array {
  const chunk = join(ascii(name), long(data.length), data, new Uint8Array(data.length % 2));
  return join(ascii("RIFF"), long(4 + chunk.length), ascii("WEBP"), chunk);
}

function long(number: number): Uint8Array {
  const view = new DataView(new ArrayBuffer(4));
  view.setUint32(0, number, true);
  return new Uint8Array(view.buffer);
}
