/** What an image is drawn of: its tiles, and of each the colour and the alpha plane. */

import type { AlphaPlane } from "./classic/alpha.ts";
import { alphaPlane, isCausal, splitAlpha } from "./classic/alpha.ts";
import { avifFile } from "./classic/avif.ts";
import { tilesOf } from "./classic/tiles.ts";
import { losslessWebpFile, webpFile } from "./classic/webp.ts";
import type { Codec } from "./codec.ts";
import { planesOf } from "./codec.ts";
import { ArchiveError, KinpackError } from "./errors.ts";
import type { Packet } from "./segments/packet.ts";

/** The colour of a tile: a file that a browser draws, or pixels. */
export type Colour =
  | {
      readonly kind: "file";
      readonly mediaType: "image/avif" | "image/webp";
      readonly data: Uint8Array;
      /** Whether the image is grey, and the green of what is drawn. */
      readonly isGreen: boolean;
    }
  | {
      readonly kind: "pixels";
      /** 1 grey or 3 RGB, of each pixel one after the other. */
      readonly channels: 1 | 3;
      readonly data: Uint8Array;
    };

/** A part of an image. */
export interface Layers {
  readonly left: number;
  readonly top: number;
  readonly width: number;
  readonly height: number;
  readonly colour: Colour;
  /** Takes the place of the alpha that the colour draws; null where that is right as it is. */
  readonly alpha: AlphaPlane | null;
}

/**
 * Take a packet apart.
 *
 * @param codec gives the archive's codec, where that is needed.
 * @throws PayloadError the payload is damaged.
 * @throws KinpackError this reader does not decode payloads of its kind.
 */
export async function layersOf(packet: Packet, codec: () => Promise<Codec>): Promise<Layers[]> {
  const { kind, channels } = packet;
  if (kind === "learned") {
    throw new KinpackError("learned payloads are not drawn by this reader; use: kinpack unpack");
  }
  if (kind === "causal") {
    const { causal } = await codec();
    if (!causal) throw new ArchiveError("an image is coded pixel by pixel, which its codec is not for");
    const { width, height } = packet;
    const colour = { kind: "pixels", channels: 1, data: causal.draw(packet) } as const;
    return [{ left: 0, top: 0, width, height, colour, alpha: null }];
  }
  const made: Layers[] = [];
  for (const { payload, left, top, width, height } of tilesOf(packet)) {
    const place = { left, top, width, height };
    if (kind === "webp_lossless") {
      const data = losslessWebpFile(payload, width, height, channels);
      made.push({ ...place, colour: { kind: "file", mediaType: "image/webp", data, isGreen: channels === 1 }, alpha: null });
      continue;
    }
    const [part, rest] = channels === 4 ? splitAlpha(payload) : [null, payload];
    const planes = part && isCausal(part) ? planesOf(await codec(), width, height) : null;
    const alpha = part && (await alphaPlane(part, width, height, planes));
    const data =
      kind === "avif"
        ? avifFile(rest, width, height, channels === 1 ? 1 : 3)
        : webpFile(rest, width, height);
    const isGreen = kind === "webp" && channels === 1;
    made.push({ ...place, colour: { kind: "file", mediaType: `image/${kind}`, data, isGreen }, alpha });
  }
  return made;
}
