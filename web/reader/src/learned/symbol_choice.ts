/** What symbols stand for: their tables, the steps of each quality, and how far values lie inward. */

import type { Container } from "../containers/container.ts";
import { FrequencyTables } from "./frequency_tables.ts";

const MOST_STEP = 2 ** 24;
const QUALITIES = 101;
const CELL = 256;

/** Turns symbols into latents. */
export class SymbolChoice {
  readonly tables: FrequencyTables;
  /** How many of the tables are of latents. */
  readonly count: number;
  readonly #limit: number;
  readonly #stepUnits: readonly number[];
  readonly #tableShift: readonly number[];
  readonly #inwardShifts: readonly number[];

  private constructor(tables: FrequencyTables, limit: number, numbers: readonly [number[], number[], number[]]) {
    this.tables = tables;
    this.#limit = limit;
    [this.#stepUnits, this.#tableShift, this.#inwardShifts] = numbers;
    this.count = this.#inwardShifts.length;
  }

  /**
   * Read what a codec has of it.
   *
   * @param limit largest size of a latent, in units.
   * @throws ArchiveError it is out of range.
   */
  static async read(container: Container, limit: number): Promise<SymbolChoice> {
    const tables = await FrequencyTables.read(container);
    const arrays = await Promise.all(
      ["step_units", "table_shift", "inward_shifts"].map((name) => container.array(name)),
    );
    const [units, shift, inward] = arrays.map((one) => Array.from(one.values)) as [number[], number[], number[]];
    const fits =
      arrays.every((one) => one.shape.length === 1 && !one.dtype.startsWith("float")) &&
      units.length === QUALITIES &&
      shift.length === QUALITIES &&
      inward.length > 0 &&
      inward.length <= tables.length &&
      units.slice(1).every((one) => one >= 1 && one < MOST_STEP) &&
      shift.every((one) => Math.abs(one) < MOST_STEP) &&
      inward.every((one) => one >= 0 && one <= CELL / 2);
    if (!fits) throw container.senseless("its quality tables or inward shifts are out of range");
    return new SymbolChoice(tables, limit, [units, shift, inward]);
  }

  /** Give the table of latents that a network's number stands for. */
  table(number: number, quality: number): number {
    return Math.min(this.count - 1, Math.max(0, number + this.#tableShift[quality]!));
  }

  /** Give the latent of a symbol, in units. */
  value(mean: number, table: number, symbol: number, quality: number): number {
    const unit = this.#stepUnits[quality]!;
    const inward = Math.floor((this.#inwardShifts[table]! * unit + CELL / 2) / CELL);
    const value = mean + symbol * unit - Math.sign(symbol) * inward;
    return Math.min(this.#limit, Math.max(-this.#limit, value));
  }
}
