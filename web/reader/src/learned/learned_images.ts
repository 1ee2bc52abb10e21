/** Learned payloads: a side code, latents, and the integer network that draws them. */

import { splitParts } from "../bytes/varint.ts";
import { damagedPayload } from "../errors.ts";
import type { Container } from "../containers/container.ts";
import { ByteNetwork } from "../networks/byte_network.ts";
import type { ExactNetwork } from "../networks/exact_network.ts";
import { describedBy } from "../networks/exact_network.ts";
import { IntegerNetwork } from "../networks/integer_network.ts";
import type { Planes } from "../networks/planes.ts";
import { zeros } from "../networks/planes.ts";
import { LatentCoder } from "./latent_coder.ts";
import type { Latents } from "./latents.ts";
import { LatticeCoder } from "./lattice_coder.ts";

const WHAT = "a learned payload";
const STRIDE = 8; // pixels that one latent position stands for, along a side
const LONGEST_SIDE = 4096;
const TILE = 512 / STRIDE; // longest side of what is coded in one message, in positions
const HALO = 8;

/** Draws learned payloads of a codec. */
export class LearnedImages {
  readonly #latents: Latents;
  readonly #synthesis: ExactNetwork;

  private constructor(latents: Latents, synthesis: ExactNetwork) {
    this.#latents = latents;
    this.#synthesis = synthesis;
  }

  /**
   * Read what a codec has of them.
   *
   * @throws ArchiveError it makes no sense.
   */
  static async read(container: Container): Promise<LearnedImages> {
    const latents: Latents =
      "lattice" in container.header ? await LatticeCoder.read(container) : await LatentCoder.read(container);
    const { channels, limit } = latents;
    const sort = describedBy(container, "byte_networks", "synthesis") ? ByteNetwork : IntegerNetwork;
    const synthesis: ExactNetwork = await sort.read(container, "synthesis", Math.max(255, limit));
    const { takes, gives, up, halo, bounds } = synthesis;
    const fits = takes === channels + 1 && gives === 3 && up === STRIDE && halo <= HALO;
    if (!fits || bounds[0] < 0 || bounds[1] > 255) {
      throw container.senseless("its network synthesis is of another sort");
    }
    return new LearnedImages(latents, synthesis);
  }

  /**
   * Draw a picture.
   *
   * @param payload without an alpha part.
   * @returns its pixels, row by row: red, green and blue of each.
   * @throws PayloadError the payload is damaged.
   */
  draw(payload: Uint8Array, width: number, height: number, quality: number): Uint8Array {
    if (Math.max(width, height) > LONGEST_SIDE || Math.min(width, height) < 1) {
      throw damagedPayload(WHAT, `it states ${width}×${height} pixels`);
    }
    const [code, messages] = this.#sideCode(payload);
    const latents = this.#decoded(messages, code, Math.ceil(height / STRIDE), Math.ceil(width / STRIDE), quality);
    return this.#drawn(latents, width, height, quality);
  }

  /** The M sub-indices of the side code, and what follows it. */
  #sideCode(payload: Uint8Array): [code: Uint8Array, rest: Uint8Array] {
    if (!this.#latents.books) return [new Uint8Array(0), payload];
    const { M, K } = this.#latents.books;
    const halves = K <= 16;
    const bytes = halves ? Math.ceil(M / 2) : M;
    if (payload.length < bytes) throw damagedPayload(WHAT, "it is shorter than its code");
    const code = new Uint8Array(halves ? 2 * bytes : M);
    code.forEach((_, m) => {
      code[m] = halves ? (payload[m >> 1]! >> (4 * (m & 1))) & 15 : payload[m]!;
    });
    if (code.some((index, m) => (m < M ? index >= K : index))) {
      throw damagedPayload(WHAT, "its code names a word that is not there");
    }
    return [code.subarray(0, M), payload.subarray(bytes)];
  }

  /** The latents of all tiles, side by side. */
  #decoded(payload: Uint8Array, code: Uint8Array, height: number, width: number, quality: number): Planes {
    if (Math.max(height, width) <= TILE) return this.#latents.decode(payload, code, height, width, quality);
    const [down, across] = [Math.ceil(height / TILE), Math.ceil(width / TILE)];
    const messages = splitParts(payload, down * across);
    const made = zeros(this.#latents.channels, height, width);
    messages.forEach((message, i) => {
      const [top, left] = [TILE * Math.floor(i / across), TILE * (i % across)];
      const [rows, columns] = [Math.min(TILE, height - top), Math.min(TILE, width - left)];
      const tile = this.#latents.decode(message, code, rows, columns, quality);
      for (let c = 0; c < made.channels; c++) {
        for (let y = 0; y < rows; y++) {
          const from = (c * rows + y) * columns;
          made.data.set(tile.data.subarray(from, from + columns), (c * height + top + y) * width + left);
        }
      }
    });
    return made;
  }

  /** The picture, drawn in pieces with what is around each of them in sight. */
  #drawn(latents: Planes, width: number, height: number, quality: number): Uint8Array {
    const pixels = new Uint8Array(3 * width * height);
    for (let top = 0; top < latents.height; top += TILE) {
      for (let left = 0; left < latents.width; left += TILE) {
        const [first, start] = [Math.max(0, top - HALO), Math.max(0, left - HALO)];
        const rows = Math.min(latents.height, top + TILE + HALO) - first;
        const columns = Math.min(latents.width, left + TILE + HALO) - start;
        const levels = this.#synthesis.run(piece(latents, first, start, rows, columns, quality - 50));
        const bottom = Math.min(height, STRIDE * Math.min(latents.height, top + TILE));
        const right = Math.min(width, STRIDE * Math.min(latents.width, left + TILE));
        for (let c = 0; c < 3; c++) {
          for (let y = STRIDE * top; y < bottom; y++) {
            const from = (c * levels.height + y - STRIDE * first) * levels.width - STRIDE * start;
            for (let x = STRIDE * left; x < right; x++) pixels[3 * (y * width + x) + c] = levels.data[from + x]!;
          }
        }
      }
    }
    return pixels;
  }
}

/** A part of latents, and a plane of one number. */
function piece(
  latents: Planes,
  top: number,
  left: number,
  height: number,
  width: number,
  told: number,
): Planes {
  const made = zeros(latents.channels + 1, height, width);
  for (let c = 0; c < latents.channels; c++) {
    for (let y = 0; y < height; y++) {
      const from = (c * latents.height + top + y) * latents.width + left;
      made.data.set(latents.data.subarray(from, from + width), (c * height + y) * width);
    }
  }
  made.data.fill(told, latents.channels * height * width);
  return made;
}
