/** Latents whose low frequencies are coded on a lattice, the others group by group. */

import { damagedPayload } from "../errors.ts";
import type { Container } from "../containers/container.ts";
import { RangeDecoder } from "../entropy/range_decoder.ts";
import type { Planes } from "../networks/planes.ts";
import { zeros } from "../networks/planes.ts";
import { DenseNetwork, read } from "./dense_network.ts";
import type { Latents } from "./latents.ts";
import { isInteger, MOST_CHANNELS, MOST_LATENT, MOST_UNIT } from "./latents.ts";
import type { Level } from "./lattice_order.ts";
import { LEVELS, levelsOf, NEAREST, NEIGHBOURS } from "./lattice_order.ts";
import { SymbolChoice } from "./symbol_choice.ts";

interface Format {
  readonly low: number;
  readonly limit: number;
  readonly groups: readonly Group[];
}

/** Channels that are coded together after those on the lattice. */
interface Group {
  readonly start: number;
  readonly stop: number;
  readonly halves: boolean;
  /** Channels, from the first on, that its networks read. */
  readonly known: number;
}

interface LevelContext {
  readonly network: DenseNetwork;
  readonly differences: ArrayLike<number>;
  readonly mean: ArrayLike<number>;
}

interface GroupContext {
  readonly network: DenseNetwork;
  readonly latents: ArrayLike<number>;
}

const MOST_GROUPS = 64;
const MOST_SHIFT = 23;
const HELD_TABLES = 7; // of how many groups a message holds, one for each 16 qualities
const [THERE, SPACING_UNIT] = [128, 32];

/** Decodes messages of codecs with a lattice. */
export class LatticeCoder implements Latents {
  readonly channels: number;
  readonly limit: number;
  readonly books = null;
  readonly #format: Format;
  readonly #levels: readonly LevelContext[];
  readonly #contexts: readonly (readonly GroupContext[])[];
  readonly #choice: SymbolChoice;

  private constructor(
    format: Format,
    levels: readonly LevelContext[],
    contexts: readonly (readonly GroupContext[])[],
    choice: SymbolChoice,
  ) {
    this.#format = format;
    this.#levels = levels;
    this.#contexts = contexts;
    this.#choice = choice;
    this.channels = format.groups.at(-1)?.stop ?? format.low;
    this.limit = format.limit;
  }

  /**
   * Read what a codec has of it.
   *
   * @throws ArchiveError it makes no sense.
   */
  static async read(container: Container): Promise<LatticeCoder> {
    const format = readFormat(container);
    const { low, groups } = format;
    const levels: LevelContext[] = [];
    for (let i = 0; i < LEVELS; i++) {
      const network = await DenseNetwork.read(container, `level${i}`);
      fit(container, network, (NEIGHBOURS + 1) * low + NEIGHBOURS + 2, 2 * low);
      levels.push({
        network,
        differences: await shifts(container, `level${i}.differences`, low),
        mean: await shifts(container, `level${i}.mean`, low),
      });
    }
    const contexts: GroupContext[][] = [];
    let number = 0;
    for (const { start, stop, halves, known } of groups) {
      const some: GroupContext[] = [];
      for (let half = 0; half < (halves ? 2 : 1); half++, number++) {
        const network = await DenseNetwork.read(container, `context${number}`);
        fit(container, network, 9 * (known + 1), 2 * (stop - start));
        some.push({ network, latents: await shifts(container, `context${number}.latents`, known) });
      }
      contexts.push(some);
    }
    const choice = await SymbolChoice.read(container, format.limit);
    if (choice.tables.length !== choice.count + HELD_TABLES) {
      throw container.senseless("its tables do not fit its latents");
    }
    return new LatticeCoder(format, levels, contexts, choice);
  }

  decode(message: Uint8Array, _: Uint8Array, height: number, width: number, quality: number): Planes {
    const decoder = new RangeDecoder(message);
    const { low, groups } = this.#format;
    const made = zeros(this.channels, height, width);
    const held = this.#choice.count + Math.floor(quality / 16);
    const count = this.#choice.tables.symbols(decoder, Int32Array.of(held))[0]!;
    if (count < 0 || count > groups.length) {
      throw damagedPayload("a payload", "it states groups that its codec does not have");
    }
    for (const level of levelsOf(height, width)) {
      const seen = level.places.map((place) => this.#seenOfLevel(level, place, made, quality));
      const rows = this.#levels[level.network]!.network.run(seen.map(({ row }) => row));
      rows.forEach((row, at) => seen[at]!.means.forEach((middle, c) => (row[c]! += middle)));
      this.#fill(decoder, rows, level.places, made, 0, low, quality);
    }
    for (const [index, group] of groups.slice(0, count).entries()) {
      this.#contexts[index]!.forEach((context, half) => {
        const places: [number, number][] = [];
        for (let y = 0; y < height; y++) {
          for (let x = 0; x < width; x++) if (!group.halves || (y + x) % 2 === half) places.push([y, x]);
        }
        const seen = places.map((place) => seenOfGroup(context, group, place, made, quality));
        const rows = context.network.run(seen);
        this.#fill(decoder, rows, places, made, group.start, group.stop, quality);
      });
    }
    return made;
  }

  /** Decode the symbols of positions, channel by channel of each, and put their values. */
  #fill(
    decoder: RangeDecoder,
    rows: readonly Float64Array[],
    places: readonly (readonly [number, number])[],
    made: Planes,
    start: number,
    stop: number,
    quality: number,
  ): void {
    const wide = stop - start;
    const tables = Int32Array.from({ length: rows.length * wide }, (_, at) =>
      this.#choice.table(rows[Math.floor(at / wide)]![wide + (at % wide)]!, quality),
    );
    const symbols = this.#choice.tables.symbols(decoder, tables);
    places.forEach(([y, x], place) => {
      for (let c = 0; c < wide; c++) {
        const at = place * wide + c;
        const value = this.#choice.value(rows[place]![c]!, tables[at]!, symbols[at]!, quality);
        made.data[((start + c) * made.height + y) * made.width + x] = value;
      }
    });
  }

  /** What the network of a level reads for a position, and the mean of what is nearest. */
  #seenOfLevel(
    { network: number, spacing, around }: Level,
    [y, x]: readonly [number, number],
    made: Planes,
    quality: number,
  ): { row: Float64Array; means: number[] } {
    const { network, differences, mean: meanShift } = this.#levels[number]!;
    const { low } = this.#format;
    const near = around.map(([down, right]) => [y + spacing * down, x + spacing * right] as const);
    const isThere = near.map(([row, column]) => row >= 0 && column >= 0 && row < made.height && column < made.width);
    const at = (c: number, place: readonly [number, number]): number =>
      made.data[(c * made.height + place[0]) * made.width + place[1]]!;
    const row = new Float64Array(network.inputs);
    const means: number[] = [];
    for (let c = 0; c < low; c++) {
      let [sum, k] = [0, 0];
      for (let n = 0; n < NEAREST; n++) {
        if (!isThere[n]) continue;
        sum += at(c, near[n]!);
        k++;
      }
      const middle = k ? Math.floor((2 * sum + k) / (2 * k)) : 0;
      means.push(middle);
      for (let n = 0; n < NEIGHBOURS; n++) {
        if (isThere[n]) row[n * low + c] = read(at(c, near[n]!) - middle, differences[c]!);
      }
      row[NEIGHBOURS * low + c] = read(middle, meanShift[c]!);
    }
    for (let n = 0; n < NEIGHBOURS; n++) row[(NEIGHBOURS + 1) * low + n] = isThere[n] ? THERE : 0;
    row[network.inputs - 2] = quality - 50;
    row[network.inputs - 1] = SPACING_UNIT * (Math.log2(spacing) + 1 - 4);
    return { row, means };
  }
}

/** What a network of a group reads for a position. */
function seenOfGroup(
  { network, latents }: GroupContext,
  { known }: Group,
  [y, x]: readonly [number, number],
  made: Planes,
  quality: number,
): Float64Array {
  const row = new Float64Array(network.inputs);
  for (let tap = 0; tap < 9; tap++) {
    const [down, right] = [y + Math.floor(tap / 3) - 1, x + (tap % 3) - 1];
    if (down < 0 || right < 0 || down >= made.height || right >= made.width) continue;
    const first = tap * (known + 1);
    for (let c = 0; c < known; c++) {
      row[first + c] = read(made.data[(c * made.height + down) * made.width + right]!, latents[c]!);
    }
    row[first + known] = quality - 50;
  }
  return row;
}

function readFormat(container: Container): Format {
  const values = container.header["lattice"] as Record<string, unknown> | null | undefined;
  const { low, unit, limit, groups: listed } = values ?? {};
  const groups: Group[] = [];
  let end = low;
  for (const one of Array.isArray(listed) ? (listed as unknown[]) : []) {
    const [start, stop, halves] = Array.isArray(one) && one.length === 3 ? (one as unknown[]) : [];
    if (!isInteger(start, 1, MOST_CHANNELS) || start !== end || !isInteger(stop, start + 1, MOST_CHANNELS)) {
      throw container.senseless("its latent format is out of range");
    }
    groups.push({ start, stop, halves: Boolean(halves), known: halves ? stop : start });
    end = stop;
  }
  const good =
    Array.isArray(listed) &&
    groups.length <= MOST_GROUPS &&
    isInteger(low, 1, MOST_CHANNELS) &&
    isInteger(unit, 1, MOST_UNIT) &&
    isInteger(limit, 1, MOST_LATENT - 1);
  if (!good) throw container.senseless("its latent format is out of range");
  return { low, limit, groups };
}

function fit(container: Container, network: DenseNetwork, inputs: number, outputs: number): void {
  if (network.inputs === inputs && network.outputs === outputs) return;
  throw container.senseless("its context networks do not fit its steps");
}

async function shifts(container: Container, name: string, count: number): Promise<ArrayLike<number>> {
  const { dtype, shape, values } = await container.array(name);
  const fits = dtype === "uint8" && shape.length === 1 && shape[0] === count;
  if (!fits || Array.from(values).some((one) => one > MOST_SHIFT)) {
    throw container.senseless(`its shifts ${name} are out of range`);
  }
  return values;
}
