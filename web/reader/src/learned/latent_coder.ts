/** Latents, decoded step by step: each under the tables that its context network names. */

import type { Container } from "../containers/container.ts";
import { RangeDecoder } from "../entropy/range_decoder.ts";
import { IntegerNetwork } from "../networks/integer_network.ts";
import type { Planes } from "../networks/planes.ts";
import { zeros } from "../networks/planes.ts";
import { FrequencyTables } from "./frequency_tables.ts";

/** What fixes how latents become integers. */
export interface LatentFormat {
  readonly channels: number;
  readonly limit: number;
  /** Channels that a step codes, and where: row + column even, odd, or −1 for all. */
  readonly steps: readonly (readonly [start: number, stop: number, parity: number])[];
}

const [MOST_CHANNELS, MOST_STEPS, MOST_UNIT, MOST] = [1024, 64, 1024, 2 ** 20];
const MOST_STEP = 2 ** 24;
const QUALITIES = 101;
const CELL = 256;

/** Decodes messages of latents. */
export class LatentCoder {
  readonly latent: LatentFormat;
  /** Books and words of the side code that goes before messages. */
  readonly books: { readonly M: number; readonly K: number };
  readonly #networks: readonly IntegerNetwork[];
  readonly #codeContext: ArrayLike<number>;
  readonly #tables: FrequencyTables;
  readonly #stepUnits: readonly number[];
  readonly #tableShift: readonly number[];
  readonly #inwardShifts: readonly number[];

  private constructor(parts: {
    latent: LatentFormat;
    books: { M: number; K: number };
    networks: IntegerNetwork[];
    codeContext: ArrayLike<number>;
    tables: FrequencyTables;
    numbers: [number[], number[], number[]];
  }) {
    this.latent = parts.latent;
    this.books = parts.books;
    this.#networks = parts.networks;
    this.#codeContext = parts.codeContext;
    this.#tables = parts.tables;
    [this.#stepUnits, this.#tableShift, this.#inwardShifts] = parts.numbers;
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
    if (!fits || !M || !K || K > 256 || Array.prototype.some.call(values, (one: number) => Math.abs(one) >= MOST)) {
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
    const tables = await FrequencyTables.read(container);
    const numbers = await readNumbers(container, tables.length);
    return new LatentCoder({ latent, books: { M, K }, networks, codeContext: values, tables, numbers });
  }

  /**
   * Decode a message.
   *
   * @param code M sub-indices of the side code.
   * @returns ŷ in units.
   * @throws PayloadError the message is damaged.
   */
  decode(message: Uint8Array, code: Uint8Array, height: number, width: number, quality: number): Planes {
    const decoder = new RangeDecoder(message);
    const made = zeros(this.latent.channels, height, width);
    const told = this.#told(code, quality);
    const [size, unit] = [height * width, this.#stepUnits[quality]!];
    this.latent.steps.forEach(([start, stop, parity], i) => {
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
      const numbers = Int32Array.from(places, (place) => {
        const number = said[(stop - start) * size + place]! + this.#tableShift[quality]!;
        return Math.min(this.#tables.length - 1, Math.max(0, number));
      });
      const symbols = this.#tables.symbols(decoder, numbers);
      places.forEach((place, at) => {
        const inward = Math.floor((this.#inwardShifts[numbers[at]!]! * unit + CELL / 2) / CELL);
        const value = said[place]! + symbols[at]! * unit - Math.sign(symbols[at]!) * inward;
        made.data[start * size + place] = Math.min(this.latent.limit, Math.max(-this.latent.limit, value));
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
  const isInteger = (value: unknown, low: number, high: number): value is number =>
    Number.isInteger(value) && (value as number) >= low && (value as number) <= high;
  const good =
    isInteger(channels, 1, MOST_CHANNELS) &&
    isInteger(unit, 1, MOST_UNIT) &&
    isInteger(limit, 1, MOST - 1) &&
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

async function readNumbers(container: Container, tables: number): Promise<[number[], number[], number[]]> {
  const arrays = await Promise.all(
    ["step_units", "table_shift", "inward_shifts"].map((name) => container.array(name)),
  );
  const [units, shift, inward] = arrays.map((one) => Array.from(one.values)) as [number[], number[], number[]];
  const fits =
    arrays.every((one) => one.shape.length === 1 && !one.dtype.startsWith("float")) &&
    units.length === QUALITIES &&
    shift.length === QUALITIES &&
    inward.length === tables &&
    units.slice(1).every((one) => one >= 1 && one < MOST_STEP) &&
    shift.every((one) => Math.abs(one) < MOST_STEP) &&
    inward.every((one) => one >= 0 && one <= CELL / 2);
  if (!fits) throw container.senseless("its quality tables or inward shifts are out of range");
  return [units, shift, inward];
}
