/** CRC-32, the one of zip and PNG. */

const TABLE = new Uint32Array(256).map((_, byte) => {
  let value = byte;
  for (let bit = 0; bit < 8; bit++) value = value & 1 ? (value >>> 1) ^ 0xedb88320 : value >>> 1;
  return value;
});

/**
 * Sum up bytes.
 *
 * @param data the bytes.
 * @param before the sum of all bytes before these.
 * @returns an unsigned integer of 32 bits.
 */
export function crc32(data: Uint8Array, before = 0): number {
  let sum = ~before;
  for (const byte of data) sum = TABLE[(sum ^ byte) & 255]! ^ (sum >>> 8);
  return ~sum >>> 0;
}
