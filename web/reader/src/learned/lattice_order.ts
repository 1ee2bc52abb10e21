/** The lattice: an order of coding positions from far apart to side by side. */

/** Positions that are coded together. */
export interface Level {
  /** Which of the seven networks predicts them. */
  readonly network: number;
  /** Distance between rows that the level has to do with. */
  readonly spacing: number;
  /** Its positions, row by row. */
  readonly places: readonly (readonly [row: number, column: number])[];
  /** Where their twelve neighbours lie, in spacings; none for the first level. */
  readonly around: readonly (readonly [down: number, right: number])[];
}

/** Neighbours of a position. */
export const NEIGHBOURS = 12;
/** How many of them, the first ones, are the nearest. */
export const NEAREST = 4;
/** Networks of levels. */
export const LEVELS = 7;

const WIDEST = 32;
const DIAGONAL: Level["around"] = [
  [-1, -1], [-1, 1], [1, -1], [1, 1],
  [-3, -1], [-3, 1], [3, -1], [3, 1], [-1, -3], [-1, 3], [1, -3], [1, 3],
];
const CROSS: Level["around"] = [
  [-1, 0], [0, -1], [0, 1], [1, 0],
  [-2, -1], [-2, 1], [2, -1], [2, 1], [-1, -2], [-1, 2], [1, -2], [1, 2],
];

/** Give the levels of a latent of so many rows and columns, those without a position left out. */
export function levelsOf(height: number, width: number): Level[] {
  let spacing = 1;
  while (spacing < Math.min(WIDEST, Math.max(height, width))) spacing *= 2;
  const chosen = (fits: (row: number, column: number) => boolean): (readonly [number, number])[] => {
    const places: (readonly [number, number])[] = [];
    for (let row = 0; row < height; row++) {
      for (let column = 0; column < width; column++) if (fits(row, column)) places.push([row, column]);
    }
    return places;
  };
  const first = spacing;
  const levels: Level[] = [
    { network: 0, spacing, places: chosen((y, x) => y % first === 0 && x % first === 0), around: [] },
  ];
  while (spacing > 1) {
    spacing /= 2;
    const s = spacing;
    const network = 1 + 2 * Math.min(2, Math.log2(s));
    const diagonal = chosen((y, x) => y % (2 * s) === s && x % (2 * s) === s);
    const cross = chosen((y, x) => y % s === 0 && x % s === 0 && (y + x) % (2 * s) === s);
    levels.push({ network, spacing, places: diagonal, around: DIAGONAL });
    levels.push({ network: network + 1, spacing, places: cross, around: CROSS });
  }
  return levels.filter((level) => level.places.length > 0);
}
