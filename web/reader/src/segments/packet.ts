/** A packet: everything that an archive keeps of one image's look. */

import { crc32 } from "../bytes/crc32.ts";
import { PayloadError } from "../errors.ts";

/** How payloads are coded, by the format's tags. */
export const KINDS = { 1: "avif", 2: "webp", 3: "webp_lossless", 4: "learned", 5: "causal" } as const;
/** How a payload is coded. */
export type Kind = (typeof KINDS)[keyof typeof KINDS];

/** One image, coded. */
export interface Packet {
  readonly width: number;
  readonly height: number;
  /** 1 grey, 3 RGB, 4 RGBA. */
  readonly channels: number;
  readonly kind: Kind;
  readonly quality: number;
  readonly payload: Uint8Array;
}

/** What a segment states of a packet beside its payload. */
export interface Stated {
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly quality: number;
  readonly kind: number;
  readonly checksum: number;
}

/**
 * Put a packet together, its checksum verified.
 *
 * @throws PayloadError it is damaged, or of an unknown kind.
 */
export function checkedPacket(stated: Stated, payload: Uint8Array, where: string): Packet {
  const { width, height, channels, quality, kind } = stated;
  const head = new DataView(new ArrayBuffer(11));
  [kind, quality, channels].forEach((byte, i) => head.setUint8(i, byte));
  head.setUint32(3, width, true);
  head.setUint32(7, height, true);
  if (crc32(payload, crc32(new Uint8Array(head.buffer))) !== stated.checksum) {
    throw damaged(where, "its checksum does not hold");
  }
  const name = kindOf(kind);
  const good = width > 0 && height > 0 && [1, 3, 4].includes(channels) && quality >= 1 && quality <= 100;
  if (!name || !good) throw damaged(where, "it states what no packet has");
  return { width, height, channels, kind: name, quality, payload };
}

/** Give the name of a kind; null for a number that is none. */
export function kindOf(number: number): Kind | null {
  return KINDS[number as keyof typeof KINDS] ?? null;
}

function damaged(where: string, reason: string): PayloadError {
  return new PayloadError(`${where}: damaged: ${reason}; restore the file from a copy`);
}
