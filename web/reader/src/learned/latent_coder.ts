/** Latents, decoded step by step: each under the tables that its context network names. */

import type { Container } from "../containers/container.ts";
import { RangeDecoder } from "../entropy/range_decoder.ts";
import { IntegerNetwork } from "../networks/integer_network.ts";
import type { Planes } from "../networks/planes.ts";
import { zeros } from "../networks/planes.ts";
import type { Latents } from "./latents.ts";
import { isInteger, MOST_CHANNELS, MOST_LATENT, MOST_UNIT } from "./latents.ts";
import { SymbolChoice } from "./symbol_choice.ts";

/** What fixes how latents become integers. */
interface LatentFormat {
  readonly channels: number;
  readonly limit: number;
  /** Channels that a step codes, and where: row + column even, odd, or −1 for all. */
  readonly steps: readonly (readonly [start: number, stop: number, parity: number])[];
}

const MOST_STEPS = 64;

/** Decodes messages of codecs whose latents are coded in steps. */
export class LatentCoder implements Latents {
  readonly channels: number;
  readonly limit: number;
  readonly books: { readonly M: number; readonly K: number };
  readonly #steps: LatentFormat["steps"];
  readonly #networks: readonly IntegerNetwork[];
  readonly #codeContext: ArrayLike<number>;
  readonly #choice: SymbolChoice;

  private constructor(parts: {
    latent: LatentFormat;
    books: { M: number; K: number };
    networks: IntegerNetwork[];
    codeContext: ArrayLike<number>;
    choice: SymbolChoice;
  }) {
    this.channels = parts.latent.channels;
    this.limit = parts.latent.limit;
    this.books = parts.books;
    this.#steps = parts.latent.steps;
    this.#networks = parts.networks;
    this.#codeContext = parts.codeContext;
    this.#choice = parts.choice;
  }

  /**
   * Read what a codec has of it.
   *
   * @throws ArchiveError it makes no sense.
   */
  static async read(container: Container): Promise<LatentCoder> {
    const latent = readFormat(container);
    const { shape, values, dtype } = await container.array("code_context");
    const [M, K, E] = shape as [number, number, number];
    const books = (await container.array("codebooks")).shape;
    const fits =
      !dtype.startsWith("float") && shape.length === 3 && books.length === 3 && books[0] === M && books[1] === K;
    if (!fits || !M || !K || K > 256 || Array.prototype.some.call(values, (one: number) => Math.abs(one) >= MOST_LATENT)) {
      throw container.senseless("its code context is out of range");
    }
    const reach = Math.max(255, latent.limit);
    const networks: IntegerNetwork[] = [];
    for (const [i, [start, stop]] of latent.steps.entries()) {
      const network = await IntegerNetwork.read(container, `context${i}`, reach);
      const { takes, gives, up, halo } = network;
      if (takes !== stop + E + 1 || gives !== 2 * (stop - start) || up !== 1 || halo > 1) {
        throw container.senseless(`its network context${i} is of another sort`);
      }
      networks.push(network);
    }
    const choice = await SymbolChoice.read(container, latent.limit);
    if (choice.count !== choice.tables.length) {
      throw container.senseless("its tables do not fit its latents");
    }
    return new LatentCoder({ latent, books: { M, K }, networks, codeContext: values, choice });
  }

  decode(message: Uint8Array, code: Uint8Array, height: number, width: number, quality: number): Planes {
    const decoder = new RangeDecoder(message);
    const made = zeros(this.channels, height, width);
    const told = this.#told(code, quality);
    const size = height * width;
    this.#steps.forEach(([start, stop, parity], i) => {
      const x = zeros(stop + told.length, height, width);
      x.data.set(made.data.subarray(0, stop * size));
      told.forEach((one, at) => x.data.fill(one, (stop + at) * size, (stop + at + 1) * size));
      const said = this.#networks[i]!.run(x).data;
      const places: number[] = [];
      for (let c = 0; c < stop - start; c++) {
        for (let at = 0; at < size; at++) {
          const odd = (Math.floor(at / width) + (at % width)) % 2;
          if (parity < 0 || odd === parity) places.push(c * size + at);
        }
      }
      const tables = Int32Array.from(places, (place) =>
        this.#choice.table(said[(stop - start) * size + place]!, quality),
      );
      const symbols = this.#choice.tables.symbols(decoder, tables);
      places.forEach((place, at) => {
        const value = this.#choice.value(said[place]!, tables[at]!, symbols[at]!, quality);
        made.data[start * size + place] = value;
      });
    });
    return made;
  }

  /** What all networks are told of a picture: of its side code, and its quality. */
  #told(code: Uint8Array, quality: number): number[] {
    const { M, K } = this.books;
    const E = this.#codeContext.length / (M * K);
    const told = new Array<number>(E).fill(0);
    for (let m = 0; m < M; m++) {
      for (let e = 0; e < E; e++) told[e]! += this.#codeContext[(m * K + code[m]!) * E + e]!;
    }
    return [...told.map((one) => Math.min(255, Math.max(-255, one))), quality - 50];
  }
}

function readFormat(container: Container): LatentFormat {
  const values = container.header["latent"] as Record<string, unknown> | undefined;
  const { channels, unit, limit, steps } = values ?? {};
  const good =
    isInteger(channels, 1, MOST_CHANNELS) &&
    isInteger(unit, 1, MOST_UNIT) &&
    isInteger(limit, 1, MOST_LATENT - 1) &&
    Array.isArray(steps) &&
    steps.length <= MOST_STEPS;
  if (!good) throw container.senseless("its latent format is out of range");
  const coded = new Uint8Array(2 * channels);
  for (const step of steps as unknown[]) {
    const [start, stop, parity] = Array.isArray(step) && step.length === 3 ? (step as unknown[]) : [];
    if (!isInteger(start, 0, channels) || !isInteger(stop, start + 1, channels) || !isInteger(parity, -1, 1)) {
      throw container.senseless("its latent format is out of range");
    }
    for (let channel = start; channel < stop; channel++) {
      for (const one of parity < 0 ? [0, 1] : [parity]) coded[2 * channel + one]! += 1;
    }
  }
  if (coded.some((count) => count !== 1)) throw container.senseless("its steps do not code each latent once");
  return { channels, limit, steps: steps as LatentFormat["steps"] };
}
