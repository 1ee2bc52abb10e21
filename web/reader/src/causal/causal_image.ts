/** Grey images that were coded pixel by pixel: decoded, and restored within their cells. */

import type { Container } from "../containers/container.ts";
import { PayloadError } from "../errors.ts";
import { IntegerNetwork } from "../networks/integer_network.ts";
import { zeros } from "../networks/planes.ts";
import type { Packet } from "../segments/packet.ts";
import { CausalCoder } from "./causal_coder.ts";

const MOST_HALO = 8;

/** Draws causal payloads of a codec. */
export class CausalImages {
  readonly #coder: CausalCoder;
  readonly #restoration: IntegerNetwork;
  readonly #steps: ArrayLike<number>;

  private constructor(coder: CausalCoder, restoration: IntegerNetwork, steps: ArrayLike<number>) {
    this.#coder = coder;
    this.#restoration = restoration;
    this.#steps = steps;
  }

  /**
   * Read what a codec has of them; null if it has none.
   *
   * @throws ArchiveError it makes no sense.
   */
  static async read(container: Container): Promise<CausalImages | null> {
    const coder = await CausalCoder.read(container, "grey");
    if (!coder) return null;
    const { dtype, shape, values } = await container.array("causal_steps");
    const steps = Array.from(values);
    const fits = !dtype.startsWith("float") && shape.length === 1 && steps.length === 101;
    if (!fits || steps.slice(1).some((step) => step < 1 || step > 255)) {
      throw container.senseless("its steps of grey levels are out of range");
    }
    const restoration = await IntegerNetwork.read(container, "restoration", 255);
    const { takes, gives, up, halo } = restoration;
    if (takes !== 3 || gives !== 1 || up !== 1 || halo > MOST_HALO) {
      throw container.senseless("its restoration is another sort of network");
    }
    return new CausalImages(coder, restoration, steps);
  }

  /**
   * Draw an image.
   *
   * @returns its grey values, row by row.
   * @throws PayloadError the payload is damaged.
   */
  draw({ width, height, channels, quality, payload }: Packet): Uint8Array {
    if (channels !== 1 || quality > 99) {
      throw new PayloadError("a causal packet states another sort of image: it is damaged; restore the archive");
    }
    const step = this.#steps[quality]!;
    const values = this.#coder.decode(payload, width, height, step);
    const x = zeros(3, height, width);
    values.forEach((value, at) => {
      x.data[at] = value;
      x.data[values.length + at] = value ? 0 : 255;
      x.data[2 * values.length + at] = Math.min(2 * step, 255);
    });
    const said = this.#restoration.run(x).data;
    return values.map((value, at) =>
      Math.min(255, Math.max(0, value + Math.floor((said[at]! * step + 32) / 64))),
    );
  }
}
