/** What an image is drawn of: its tiles, and of each the colour and the alpha plane. */

import type { AlphaPlane } from "./classic/alpha.ts";
import { alphaPlane, isCausal, splitAlpha } from "./classic/alpha.ts";
import { avifFile } from "./classic/avif.ts";
import type { Tile } from "./classic/tiles.ts";
import { tilesOf } from "./classic/tiles.ts";
import { losslessWebpFile, webpFile } from "./classic/webp.ts";
import type { Codec } from "./codec.ts";
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
 * @throws ArchiveError the codec is damaged, or has no payloads of this kind.
 */
export async function layersOf(packet: Packet, codec: () => Promise<Codec>): Promise<Layers[]> {
  if (packet.kind === "causal") {
    const causal = await (await codec()).causal();
    return [{ ...whole(packet), colour: pixels(1, causal.draw(packet)), alpha: null }];
  }
  if (packet.kind === "learned") return [await learnedLayers(packet, await codec())];
  const tiles = tilesOf(packet);
  return Promise.all(tiles.map(async (tile) => tileLayers(packet, tile, codec)));
}

async function learnedLayers(packet: Packet, codec: Codec): Promise<Layers> {
  const { width, height, channels, quality } = packet;
  const [alpha, rest] = await parted(packet, packet.payload, width, height, async () => codec);
  const drawn = (await codec.learned()).draw(rest, width, height, quality);
  const colour = channels === 1 ? pixels(1, greyOf(drawn)) : pixels(3, drawn);
  return { ...whole(packet), colour, alpha };
}

async function tileLayers(packet: Packet, tile: Tile, codec: () => Promise<Codec>): Promise<Layers> {
  const { left, top, width, height, payload } = tile;
  const place = { left, top, width, height };
  const isGrey = packet.channels === 1;
  if (packet.kind === "webp_lossless") {
    const data = losslessWebpFile(payload, width, height, packet.channels);
    return { ...place, colour: { kind: "file", mediaType: "image/webp", data, isGreen: isGrey }, alpha: null };
  }
  const [alpha, rest] = await parted(packet, payload, width, height, codec);
  if (packet.kind === "avif") {
    const data = avifFile(rest, width, height, isGrey ? 1 : 3);
    return { ...place, colour: { kind: "file", mediaType: "image/avif", data, isGreen: false }, alpha };
  }
  const data = webpFile(rest, width, height);
  return { ...place, colour: { kind: "file", mediaType: "image/webp", data, isGreen: isGrey }, alpha };
}

/** The alpha plane of a payload, and its colour part. */
async function parted(
  { channels }: Packet,
  payload: Uint8Array,
  width: number,
  height: number,
  codec: () => Promise<Codec>,
): Promise<[alpha: AlphaPlane | null, colour: Uint8Array]> {
  if (channels !== 4) return [null, payload];
  const [part, rest] = splitAlpha(payload);
  const planes = isCausal(part) ? await (await codec()).planes(width, height) : null;
  return [await alphaPlane(part, width, height, planes), rest];
}

function whole({ width, height }: Packet): Omit<Layers, "colour" | "alpha"> {
  return { left: 0, top: 0, width, height };
}

function pixels(channels: 1 | 3, data: Uint8Array): Colour {
  return { kind: "pixels", channels, data };
}

/** The grey values of a picture of red, green and blue. */
function greyOf(pixels: Uint8Array): Uint8Array {
  const grey = new Uint8Array(pixels.length / 3);
  grey.forEach((_, at) => {
    grey[at] = Math.floor((pixels[3 * at]! + pixels[3 * at + 1]! + pixels[3 * at + 2]! + 1) / 3);
  });
  return grey;
}
