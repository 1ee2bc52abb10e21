/** The codec of an archive: what draws the payloads that are no files. */

import type { CausalPlane } from "./classic/alpha.ts";
import { CausalCoder, MOST_PIXELS } from "./causal/causal_coder.ts";
import { CausalImages } from "./causal/causal_image.ts";
import type { Container } from "./containers/container.ts";

/** What a codec file draws with. */
export interface Codec {
  /** Alpha planes that are coded pixel by pixel; null where the codec has none. */
  readonly alpha: CausalPlane;
  /** Grey images that are coded so. */
  readonly causal: CausalImages | null;
}

/**
 * Read a codec.
 *
 * @throws ArchiveError it makes no sense.
 */
export async function readCodec(container: Container): Promise<Codec> {
  const alpha = await CausalCoder.read(container, "alpha");
  return {
    alpha: alpha && ((message, width, height) => alpha.decode(message, width, height, 1)),
    causal: await CausalImages.read(container),
  };
}

/** Give what a payload of four channels may need of the codec: planes of few pixels alone. */
export function planesOf(codec: Codec, width: number, height: number): CausalPlane {
  return width * height <= MOST_PIXELS ? codec.alpha : null;
}
