/** Parts of a network's description in a codec file, checked. */

import type { Container } from "../containers/container.ts";
import { Malformed } from "../errors.ts";

/** Every sum of a network stays below this size, so that float32 carries it exactly. */
export const EXACT = 2 ** 24;
/** Most channels of a layer. */
export const MOST_CHANNELS = 4096;
/** Most layers of a network. */
export const MOST_LAYERS = 64;
/** Most weights of a network. */
export const MOST_WEIGHTS = 2 ** 27;
/** Largest shift of a layer. */
export const MOST_SHIFT = 22;
const SIDES = [1, 3, 5, 7];
const MOST_SHUFFLE = 16;

/** Refuse a network that is otherwise. */
export function require(holds: boolean, otherwise: string): void {
  if (!holds) throw new Malformed(`its network ${otherwise}`);
}

/** Take a value as an object of integers under exactly these keys; null is allowed under some. */
export function numbersOf(
  value: unknown,
  keys: readonly string[],
  free: readonly string[] = [],
): Record<string, number> {
  require(typeof value === "object" && value !== null && !Array.isArray(value), "is described by no object");
  const object = value as Record<string, unknown>;
  require(Object.keys(object).sort().join() === [...keys].sort().join(), "is described by other keys");
  for (const key of keys) {
    const good = Number.isSafeInteger(object[key]) || (object[key] === null && free.includes(key));
    require(good, `has a ${key} that is no integer`);
  }
  return object as Record<string, number>;
}

/** Give an array of a type and of so many sides. */
export async function arrayOf(
  container: Container,
  name: string,
  dtype: string,
  sides: number,
): Promise<{ shape: readonly number[]; values: ArrayLike<number> }> {
  const array = await container.array(name);
  require(array.dtype === dtype && array.shape.length === sides, `has an array ${name} of another sort`);
  return array;
}

/** Check the form of a layer: what it takes, its window and its shuffle. */
export function checkForm(
  shape: readonly number[],
  bias: readonly number[],
  channels: number,
  shuffle: number,
): void {
  require(shape.every((side) => side > 0) && Math.max(shape[0]!, shape[1]!) <= MOST_CHANNELS, "has too many channels, or none");
  require(shape[1] === channels, `takes ${shape[1]} channels, not ${channels}`);
  require(shape[2] === shape[3] && SIDES.includes(shape[2]!), "has windows of another size");
  require(bias[0] === shape[0], "has a bias that does not fit its weights");
  require(shuffle > 0 && shuffle <= MOST_SHUFFLE && shape[0]! % shuffle ** 2 === 0, "cannot shuffle its channels");
}

/** Tell whether there is a shift for each channel, and none is above the most. */
export function shiftsFit(shift: ArrayLike<number>, channels: number, most = MOST_SHIFT): boolean {
  return shift.length === channels && Math.max(...Array.from(shift)) <= most;
}

/**
 * Give the largest size of a sum of each output's weights times a reach, and its bias.
 *
 * @param weight row-major, the outputs' first.
 */
export function largestSum(
  weight: ArrayLike<number>,
  bias: ArrayLike<number>,
  reach: number,
): number {
  const per = weight.length / bias.length;
  let largest = 0;
  for (let o = 0; o < bias.length; o++) {
    let sum = 0;
    for (let i = o * per; i < (o + 1) * per; i++) sum += Math.abs(weight[i]!);
    largest = Math.max(largest, sum * reach + Math.abs(bias[o]!));
  }
  return largest;
}
