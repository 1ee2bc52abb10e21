/** Placeholders: pictures of 16 × 16 pixels, drawn from codes alone. */

import type { Container } from "../containers/container.ts";
import { ArchiveError, Malformed, NotFoundError } from "../errors.ts";
import { OnnxGraph } from "../graphs/onnx_graph.ts";
import type { Books } from "./books.ts";

/** Pixels of a placeholder along a side. */
export const SIDE = 16;

/** Draws placeholders of the codes of one describer. */
export class Placeholders {
  readonly #graph: OnnxGraph;
  readonly #books: Books;
  readonly #where: string;

  private constructor(graph: OnnxGraph, books: Books, where: string) {
    this.#graph = graph;
    this.#books = books;
    this.#where = where;
  }

  /**
   * Read the decoder of a describer.
   *
   * @param books of its codes, unweighted.
   * @throws NotFoundError it has none.
   * @throws ArchiveError the decoder makes no sense, or is not computed by this reader.
   */
  static async read(container: Container, books: Books): Promise<Placeholders> {
    if (!container.hasBlob("decoder")) {
      throw new NotFoundError(`${container.where}: this describer draws no placeholders: it has no decoder`);
    }
    const data = await container.blob("decoder");
    try {
      return new Placeholders(OnnxGraph.read(data), books, container.where);
    } catch (error) {
      if (error instanceof Malformed) throw container.senseless(error.message);
      throw error;
    }
  }

  /**
   * Draw the placeholder of a code.
   *
   * @param code M sub-indices.
   * @returns 16 × 16 pixels, row by row: red, green and blue of each.
   * @throws ArchiveError the decoder gives something else.
   */
  draw(code: Uint8Array): Uint8Array {
    const { M, K, d, words } = this.#books;
    const x = new Float32Array(M * d);
    code.forEach((index, m) => {
      const at = (m * K + index) * d;
      x.set(words.subarray(at, at + d), m * d);
    });
    const pixels = new Uint8Array(3 * SIDE * SIDE);
    try {
      const { shape, data } = this.#graph.run({ shape: [1, M * d], data: x });
      if (shape.length !== 2 || data.length !== pixels.length) {
        throw new Malformed("its decoder gives no picture");
      }
      const size = SIDE * SIDE;
      pixels.forEach((_, at) => {
        const level = data[(at % 3) * size + Math.floor(at / 3)]!;
        pixels[at] = Math.round(255 * Math.min(1, Math.max(0, level)));
      });
      return pixels;
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new ArchiveError(`${this.#where}: ${error.message}; make the describer anew`);
    }
  }
}
