/** The kin of an image: the images of an archive whose codes are nearest to its own. */

import { NotFoundError } from "../errors.ts";
import type { Segment } from "../segments/segment.ts";
import type { Books } from "./books.ts";
import { unpackCodes } from "./books.ts";
import type { DistanceTable } from "./distance_table.ts";
import { distancesOf, tableOfCode } from "./distance_table.ts";

/** An image that was found. */
export interface Hit {
  readonly id: string;
  readonly label: string | null;
  /** Its place in the archive, counted from 0. */
  readonly position: number;
  /** Squared distance of the codes. */
  readonly distance: number;
  /** What the distance says of how far it is the same picture: 1 at no distance, about 0.1 for a stranger. */
  readonly similarity: number;
}

/** One living image, in the order of the archive. */
export interface Place {
  readonly segment: Segment;
  readonly row: number;
}

/** The codes of a column, of those images that have some. */
export interface Column {
  readonly name: string;
  readonly books: Books;
  /** Positions of the images in the archive, ascending. */
  readonly positions: Int32Array;
  /** M sub-indices of each. */
  readonly indices: Uint8Array;
}

/** Hits that longer codes order anew, where there are some. */
const ORDERED_ANEW = 100;
/** How many times as many as are asked for are ordered anew of those found by words. */
const WORDS_ANEW = 5;

/** Give the name of the column whose codes order anew what is nearest by another one. */
export function finerColumn(name: string): string {
  return `${name}-fine`;
}

/**
 * Read a column of codes.
 *
 * @param places of all images.
 */
export async function readColumn(
  name: string,
  books: Books,
  places: readonly Place[],
): Promise<Column> {
  const positions: number[] = [];
  const unpacked = new Map<Segment, Uint8Array | null>();
  for (const { segment } of places) {
    if (unpacked.has(segment)) continue;
    const packed = await segment.codes(name);
    unpacked.set(segment, packed && unpackCodes(books, packed, `${segment.where}, its codes ${name}`));
  }
  places.forEach(({ segment }, position) => {
    if (unpacked.get(segment)) positions.push(position);
  });
  const indices = new Uint8Array(positions.length * books.M);
  positions.forEach((position, at) => {
    const { segment, row } = places[position]!;
    const codes = unpacked.get(segment)!;
    indices.set(codes.subarray(row * books.M, (row + 1) * books.M), at * books.M);
  });
  return { name, books, positions: Int32Array.from(positions), indices };
}

/** Which images may be found: by position, 1 for those that may; null for all. */
export type Mask = Uint8Array | null;

/** Positions and distances, nearest first. */
export type Found = readonly (readonly [position: number, distance: number])[];

/**
 * Find the images whose codes are nearest to that of one of them, which comes first.
 *
 * @param position of the one.
 * @param k how many, itself among them.
 * @param finer the longer codes that order the first anew; null without any.
 * @param mask which may be found.
 * @throws NotFoundError the image has no such code.
 */
export function findKin(position: number, k: number, column: Column, finer: Column | null, mask: Mask): Found {
  const poses = (one: Column): Poses => [tableOfCode(one.books, codeOf(position, one))];
  const found = findNear(poses(column), k, column, finer && { column: finer, poses: () => poses(finer) }, mask);
  if (mask && !mask[position]) return found.slice(0, k);
  const own = found.length ? ([position, found[0]![1]] as const) : null;
  const others = found.filter(([one]) => one !== position);
  return (own ? [own, ...others] : others).slice(0, Math.min(k, found.length));
}

/** Tables of an example as it is, then of its other poses. */
export type Poses = readonly DistanceTable[];

/** Longer codes that order the first hits anew, and the example by them. */
export interface Finer {
  readonly column: Column;
  readonly poses: () => Poses;
}

/**
 * Find the images whose codes are nearest to an example.
 *
 * @param k how many.
 * @param finer the longer codes; null without any. More than k may be found then.
 * @param mask which may be found.
 */
export function findNear(poses: Poses, k: number, column: Column, finer: Finer | null, mask: Mask): Found {
  const distances = distancesOf(poses, column.indices);
  const some = Array.from(distances.keys());
  const passing = mask ? some.filter((at) => mask[column.positions[at]!]) : some;
  // Positions rise, and sorting is stable: equal distances stay in the order of the archive.
  const order = passing.sort((a, b) => distances[a]! - distances[b]!);
  const found = order
    .slice(0, finer ? Math.max(k, ORDERED_ANEW) : k)
    .map((at) => [column.positions[at]!, distances[at]!] as const);
  if (!finer) return found;
  const tables = finer.poses();
  const first = orderedAnew(found.slice(0, ORDERED_ANEW), finer.column, (codes) => distancesOf(tables, codes));
  return [...first, ...found.slice(ORDERED_ANEW)];
}

/**
 * Find the images that show best what a word stands for.
 *
 * @param nearest gives the places of the nearest of some codes, and distances.
 * @param finer the longer codes and what gives distances of them; null without any. More than k may be found then.
 */
export function findByWord(
  k: number,
  column: Column,
  nearest: (indices: Uint8Array, count: number) => readonly (readonly [place: number, distance: number])[],
  finer: { readonly column: Column; readonly near: Near } | null,
  mask: Mask,
): Found {
  const { positions, indices, books: { M } } = column;
  const passing = mask ? positions.filter((position) => mask[position]) : positions;
  let some = indices;
  if (mask) {
    some = new Uint8Array(passing.length * M);
    passing.forEach((position, at) => some.set(codeOf(position, column), at * M));
  }
  const found = nearest(some, finer ? Math.max(ORDERED_ANEW, WORDS_ANEW * k) : k).map(
    ([place, distance]) => [passing[place]!, distance] as const,
  );
  return finer ? orderedAnew(found, finer.column, finer.near) : found;
}

type Near = (indices: Uint8Array) => ArrayLike<number>;

/** Order hits by longer codes; those that have none keep their places. */
function orderedAnew(hits: Found, column: Column, near: Near): Found {
  const { M } = column.books;
  const made = [...hits];
  const rows = hits.map(([position]) => placeOf(position, column.positions));
  const known = [...rows.keys()].filter((at) => rows[at]! >= 0);
  const codes = new Uint8Array(known.length * M);
  known.forEach((at, i) => codes.set(column.indices.subarray(rows[at]! * M, (rows[at]! + 1) * M), i * M));
  const distances = near(codes);
  const anew = known.map((at, i) => [hits[at]![0], distances[i]!] as const);
  anew.sort((a, b) => a[1] - b[1]);
  known.forEach((at, i) => {
    made[at] = anew[i]!;
  });
  return made;
}

/**
 * Give the M sub-indices of an image's code.
 *
 * @throws NotFoundError it has none in this column.
 */
export function codeOf(position: number, column: Column): Uint8Array {
  const at = placeOf(position, column.positions);
  if (at < 0) {
    throw new NotFoundError(
      `image ${position} has no code ${column.name} yet; give it one with: kinpack embed`,
    );
  }
  return column.indices.subarray(at * column.books.M, (at + 1) * column.books.M);
}

/** The place of a number in an ascending list; -1 where it is none of it. */
function placeOf(number: number, ascending: Int32Array): number {
  let [low, high] = [0, ascending.length];
  while (low < high) {
    const middle = (low + high) >> 1;
    if (ascending[middle]! < number) low = middle + 1;
    else high = middle;
  }
  return ascending[low] === number ? low : -1;
}
