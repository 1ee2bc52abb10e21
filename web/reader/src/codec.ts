/** The codec of an archive: what draws the payloads that are no files. */

import { join } from "./bytes/joining.ts";
import { sha256 } from "./bytes/sha256.ts";
import { CausalCoder, MOST_PIXELS } from "./causal/causal_coder.ts";
import { CausalImages } from "./causal/causal_image.ts";
import type { CausalPlane } from "./classic/alpha.ts";
import type { Container } from "./containers/container.ts";
import { ArchiveError } from "./errors.ts";
import { LearnedImages } from "./learned/learned_images.ts";

const CAUSAL_SIZES = [[12, 12], [5, 9], [1, 1]] as const;
const CAUSAL_QUALITIES = [60, 30, 90] as const;

const MOST_TESTED = 2 ** 16; // pixels of all test packets together

/** Draws what the codec of an archive has learned; each part is read, and tested, at the first need. */
export class Codec {
  readonly #container: Container;
  #alpha: Promise<CausalCoder | null> | null = null;
  #causal: Promise<CausalImages> | null = null;
  #learned: Promise<LearnedImages> | null = null;

  constructor(container: Container) {
    this.#container = container;
  }

  /**
   * Give what decodes alpha planes pixel by pixel; null where the codec, or a plane of this size, has
   * none.
   *
   * @throws ArchiveError the codec makes no sense.
   */
  async planes(width: number, height: number): Promise<CausalPlane> {
    if (width * height > MOST_PIXELS) return null;
    this.#alpha ??= CausalCoder.read(this.#container, "alpha");
    const coder = await this.#alpha;
    return coder && ((message, across, down) => coder.decode(message, across, down, 1));
  }

  /**
   * Give what draws grey images pixel by pixel.
   *
   * @throws ArchiveError the codec has none, or makes no sense.
   */
  causal(): Promise<CausalImages> {
    this.#causal ??= this.#readCausal();
    return this.#causal;
  }

  /**
   * Give what draws learned payloads.
   *
   * @throws ArchiveError the codec has none, or makes no sense.
   */
  learned(): Promise<LearnedImages> {
    this.#learned ??= this.#readLearned();
    return this.#learned;
  }

  async #readCausal(): Promise<CausalImages> {
    const images = await CausalImages.read(this.#container);
    if (!images) throw this.#lacks("causal");
    const { payloads, sha256: sum } = this.#test("causal_test");
    const drawn = payloads.map((payload, i) => {
      const [height, width] = CAUSAL_SIZES[i] ?? [0, 0];
      const quality = CAUSAL_QUALITIES[i] ?? 0;
      return images.draw({ width, height, channels: 1, kind: "causal", quality, payload });
    });
    this.#see(sha256(join(...drawn)) === sum && payloads.length === CAUSAL_SIZES.length);
    return images;
  }

  async #readLearned(): Promise<LearnedImages> {
    if (this.#container.header["sort"] !== "learned") throw this.#lacks("learned");
    const images = await LearnedImages.read(this.#container);
    const { payloads, sha256: sum, sizes, qualities } = this.#test("test");
    const areas = Array.isArray(sizes) ? sizes.map((one) => Number(one?.[0]) * Number(one?.[1])) : [];
    this.#see(areas.reduce((total, one) => total + one, 0) <= MOST_TESTED);
    const drawn = payloads.map((payload, i) => {
      const [height, width] = (sizes as number[][] | undefined)?.[i] ?? [0, 0];
      return images.draw(payload, width ?? 0, height ?? 0, (qualities as number[] | undefined)?.[i] ?? 0);
    });
    this.#see(sha256(join(...drawn)) === sum && payloads.length > 0);
    return images;
  }

  /** The test packets of the header: a reader does not use an arithmetic that draws them otherwise. */
  #test(name: string): Record<string, unknown> & { payloads: Uint8Array[] } {
    const test = this.#container.header[name] as Record<string, unknown> | undefined;
    const listed = test?.["payloads"];
    const isHex = (one: unknown): one is string => typeof one === "string" && /^([0-9a-f]{2})*$/.test(one);
    if (!Array.isArray(listed) || !listed.every(isHex)) {
      throw this.#container.senseless(`it has no ${name}`);
    }
    const payloads = listed.map((one) =>
      Uint8Array.from(one.match(/../g) ?? [], (digits) => parseInt(digits, 16)),
    );
    return { ...test, payloads };
  }

  #see(holds: boolean): void {
    if (holds) return;
    throw new ArchiveError(
      `${this.#container.where}: its test packets are drawn otherwise than they were; the file is ` +
        "damaged, or this reader is not fit for it: use kinpack unpack",
    );
  }

  #lacks(what: string): ArchiveError {
    return new ArchiveError(
      `${this.#container.where}: the codec has no ${what} payloads, but an image is one; restore the ` +
        "archive from a copy",
    );
  }
}
