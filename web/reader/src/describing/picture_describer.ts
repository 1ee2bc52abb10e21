/** What a describer makes of a picture: the vector that its codes quantise. */

import type { Container } from "../containers/container.ts";
import { Malformed, NotFoundError } from "../errors.ts";
import { OnnxGraph } from "../graphs/onnx_graph.ts";
import type { Books } from "../search/books.ts";
import { readBooks } from "../search/books.ts";
import type { DistanceTable } from "../search/distance_table.ts";
import { tableOfPoint } from "../search/distance_table.ts";
import type { Fitting, Picture } from "./fitting.ts";
import { cellsOf, readFitting, turned } from "./fitting.ts";
import { LinearDescriptor, REDUCTION } from "./linear_descriptor.ts";

const MOST_SIDE = 512;
const MOST_PIXELS = 2 ** 26; // of a picture that is looked for

/** What describes cells, and how pictures become these. */
interface Latents {
  readonly side: number;
  readonly fitting: Fitting;
  readonly of: (cells: Float32Array) => Float32Array;
}

/** Describes pictures as one describer file says. */
export class PictureDescriber {
  readonly #container: Container;
  readonly #latents: Latents;
  readonly #projection: { readonly mean: ArrayLike<number>; readonly directions: ArrayLike<number> } | null;
  readonly #books: Books;

  private constructor(
    container: Container,
    latents: Latents,
    projection: { mean: ArrayLike<number>; directions: ArrayLike<number> } | null,
    books: Books,
  ) {
    [this.#container, this.#latents, this.#projection, this.#books] = [container, latents, projection, books];
  }

  /**
   * Read a describer.
   *
   * @throws NotFoundError it describes no pictures.
   * @throws ArchiveError it makes no sense, or is not computed by this reader.
   */
  static async read(container: Container): Promise<PictureDescriber> {
    const books = await readBooks(container, false);
    let projection = null;
    if (container.has("mean") || container.has("projection")) {
      const [mean, directions] = [await container.array("mean"), await container.array("projection")];
      const fits = mean.dtype === "float32" && directions.dtype === "float32" && mean.shape.length === 1;
      if (!fits || directions.shape.join() !== [mean.shape[0], books.M * books.d].join()) {
        throw container.senseless("its projection does not fit its books");
      }
      projection = { mean: mean.values, directions: directions.values };
    }
    const size = projection ? projection.mean.length : books.M * books.d;
    return new PictureDescriber(container, await readLatents(container, size), projection, books);
  }

  /** The vector, which codes quantise, of a square of cells. */
  #describe(cells: Float32Array): Float32Array {
    const latents = this.#latents.of(cells);
    const vector = new Float32Array(this.#books.M * this.#books.d);
    if (!this.#projection) return latents;
    const { mean, directions } = this.#projection;
    for (let i = 0; i < vector.length; i++) {
      let sum = 0;
      for (let e = 0; e < mean.length; e++) {
        sum += Math.fround(latents[e]! - mean[e]!) * directions[e * vector.length + i]!;
      }
      vector[i] = sum;
    }
    return vector;
  }

  #cells(picture: Picture): Float32Array {
    if (picture.width * picture.height > MOST_PIXELS) {
      throw new NotFoundError(`the picture has more than ${MOST_PIXELS} pixels; look for a smaller copy`);
    }
    return cellsOf(picture, this.#latents.side, this.#latents.fitting);
  }

  /**
   * Give the code of a picture: its M sub-indices.
   *
   * @throws NotFoundError the picture is too large.
   * @throws ArchiveError the network does not fit.
   */
  code(picture: Picture): Uint8Array {
    const { M, K, d, words } = this.#books;
    const vector = this.#describe(this.#cells(picture));
    return Uint8Array.from({ length: M }, (_, m) => {
      let [best, least] = [0, Infinity];
      for (let k = 0; k < K; k++) {
        let sum = 0;
        for (let j = 0; j < d; j++) sum += (vector[m * d + j]! - words[(m * K + k) * d + j]!) ** 2;
        if (sum < least) [best, least] = [k, sum];
      }
      return best;
    });
  }

  /**
   * Make the distance tables of a picture, first as it is, then in all turns in which it is looked for.
   *
   * @throws NotFoundError the picture is too large.
   * @throws ArchiveError the network does not fit.
   */
  async tables(picture: Picture): Promise<DistanceTable[]> {
    const searched = await readBooks(this.#container);
    const scale = await this.#scale();
    return this.#poses(this.#cells(picture)).map((pose) => {
      const vector = this.#describe(pose);
      return tableOfPoint(searched, vector.map((one, i) => one * scale(i)));
    });
  }

  #poses(cells: Float32Array): Float32Array[] {
    const { turned: isTurned, mirrored } = this.#container.header;
    if (isTurned !== true) return [cells];
    const faces = mirrored === true ? [false] : [false, true];
    return faces.flatMap((face) => [0, 1, 2, 3].map((quarters) => turned(cells, this.#latents.side, quarters, face)));
  }

  /** What each number of a vector is taken times before it is compared. */
  async #scale(): Promise<(i: number) => number> {
    if (!this.#container.has("weights")) return () => 1;
    const { values } = await this.#container.array("weights");
    return (i) => Math.fround(Math.sqrt(values[Math.floor(i / this.#books.d)]!));
  }
}

async function readLatents(container: Container, size: number): Promise<Latents> {
  if (container.header["descriptor"] !== undefined) {
    const linear = await LinearDescriptor.read(container, size);
    const fitting = { fit: "squeeze", enlarge: "blocks" } as const;
    return { side: REDUCTION, fitting, of: (cells) => linear.describe(cells) };
  }
  if (!container.hasBlob("network")) {
    throw new NotFoundError(
      `${container.where}: this describer describes no pictures: its vectors were made elsewhere; search by an image`,
    );
  }
  const side = container.header["side"] as number;
  if (!Number.isInteger(side) || side < 1 || side > MOST_SIDE) {
    throw container.senseless("it asks for pictures of no size");
  }
  const data = await container.blob("network");
  const graph = refusing(container, () => OnnxGraph.read(data));
  const of = (cells: Float32Array): Float32Array => refusing(container, () => run(graph, cells, side, size));
  return { side, fitting: readFitting(container), of };
}

function run(graph: OnnxGraph, cells: Float32Array, side: number, size: number): Float32Array {
  const plane = side * side;
  const x = Float32Array.from({ length: 3 * plane }, (_, at) => cells[3 * (at % plane) + Math.floor(at / plane)]! / 255);
  const { shape, data } = graph.run({ shape: [1, 3, side, side], data: x });
  if (shape.join() !== [1, size].join() || !data.every(Number.isFinite)) {
    throw new Malformed("its network gives no vector that fits its books");
  }
  return Float32Array.from(data);
}

function refusing<T>(container: Container, work: () => T): T {
  try {
    return work();
  } catch (error) {
    if (error instanceof Malformed) throw container.senseless(error.message);
    throw error;
  }
}
