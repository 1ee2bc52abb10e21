/** Fitting: how a picture of any shape becomes the square of cells that a network sees. */

import type { Container } from "../containers/container.ts";

/** A picture: red, green, blue and alpha of each pixel, row by row; colours are not multiplied by alpha. */
export interface Picture {
  readonly width: number;
  readonly height: number;
  readonly data: Uint8Array | Uint8ClampedArray;
}

/** How a describer's file asks for it. */
export interface Fitting {
  readonly fit: "squeeze" | "crop" | "letterbox";
  readonly enlarge: "blocks" | "smooth";
}

const BAR = 128;

/**
 * Read what a file asks for; what it leaves out is as files were first written.
 *
 * @throws ArchiveError it asks for something that is not known.
 */
export function readFitting(container: Container): Fitting {
  const { fit = "squeeze", enlarge = "blocks" } = container.header as Partial<Fitting>;
  const known = ["squeeze", "crop", "letterbox"].includes(fit) && ["blocks", "smooth"].includes(enlarge);
  if (!known) throw container.senseless("it fits pictures in a way that is not known");
  return { fit, enlarge };
}

/** Red, green and blue of each pixel, laid on white. */
interface Colours {
  readonly width: number;
  readonly height: number;
  readonly data: Float64Array | Float32Array;
}

/**
 * Fit a picture to a square of cells: the same numbers as Python's.
 *
 * @returns red, green and blue of each of side × side cells, 0 to 255.
 */
export function cellsOf(picture: Picture, side: number, { fit, enlarge }: Fitting): Float32Array {
  const colours = onWhite(picture);
  const smooth = enlarge === "smooth";
  const { width, height } = colours;
  if (fit === "crop") {
    const rows = Math.min(height, width + modulo(height - width, 2));
    const columns = Math.min(width, height + modulo(width - height, 2));
    const [top, left] = [Math.floor((height - rows) / 2), Math.floor((width - columns) / 2)];
    const data = new Float64Array(3 * rows * columns);
    for (let y = 0; y < rows; y++) {
      const from = 3 * ((top + y) * width + left);
      data.set(colours.data.subarray(from, from + 3 * columns), 3 * y * columns);
    }
    return resampled({ width: columns, height: rows, data }, side, side, smooth);
  }
  if (fit === "letterbox") {
    const [rows, columns] = [height, width].map((n) => innerCells(n, Math.max(height, width), side)) as [number, number];
    const [top, left] = [Math.floor((side - rows) / 2), Math.floor((side - columns) / 2)];
    const inside = resampled(colours, rows, columns, smooth);
    const boxed = new Float32Array(3 * side * side).fill(BAR);
    for (let y = 0; y < rows; y++) {
      boxed.set(inside.subarray(3 * y * columns, 3 * (y + 1) * columns), 3 * ((top + y) * side + left));
    }
    return boxed;
  }
  return resampled(colours, side, side, smooth);
}

/**
 * Turn a square of cells by quarter turns against the clock, after it was mirrored or not.
 *
 * A turned picture has turned cells, however it is fitted.
 */
export function turned(cells: Float32Array, side: number, quarters: number, mirrored: boolean): Float32Array {
  const made = new Float32Array(cells.length);
  const last = side - 1;
  for (let y = 0; y < side; y++) {
    for (let x = 0; x < side; x++) {
      const [row, column] = ([[y, x], [x, last - y], [last - y, last - x], [last - x, y]] as const)[quarters]!;
      const from = 3 * (row * side + (mirrored ? last - column : column));
      made.set(cells.subarray(from, from + 3), 3 * (y * side + x));
    }
  }
  return made;
}

function onWhite({ width, height, data }: Picture): Colours {
  const made = new Float64Array(3 * width * height);
  for (let at = 0; at < width * height; at++) {
    const alpha = data[4 * at + 3]!;
    for (let c = 0; c < 3; c++) {
      made[3 * at + c] = Math.floor((data[4 * at + c]! * alpha + 255 * (255 - alpha) + 127) / 255);
    }
  }
  return { width, height, data: made };
}

/** Bring a picture to a grid of cells; up to the last division all sums are exact. */
function resampled({ width, height, data }: Colours, rows: number, columns: number, smooth: boolean): Float32Array {
  if (height === rows && width === columns) return Float32Array.from(data);
  const down = weightsOf(height, rows, smooth);
  const across = weightsOf(width, columns, smooth);
  const lines = new Float64Array(3 * rows * width);
  down.taps.forEach((taps, row) => {
    for (const [line, weight] of taps) {
      for (let at = 0; at < 3 * width; at++) lines[3 * row * width + at]! += weight * data[3 * line * width + at]!;
    }
  });
  const made = new Float32Array(3 * rows * columns);
  for (let row = 0; row < rows; row++) {
    across.taps.forEach((taps, column) => {
      for (let c = 0; c < 3; c++) {
        let sum = 0;
        for (const [place, weight] of taps) sum += weight * lines[3 * (row * width + place) + c]!;
        made[3 * (row * columns + column) + c] = sum / (down.whole * across.whole);
      }
    });
  }
  return made;
}

interface Weights {
  /** Of each cell the lines that it is made of, and integers that add up to `whole`. */
  readonly taps: readonly (readonly (readonly [line: number, weight: number])[])[];
  readonly whole: number;
}

function weightsOf(n: number, cells: number, smooth: boolean): Weights {
  if (smooth && n < cells) {
    const taps = Array.from({ length: cells }, (_, cell) => {
      const place = (2 * cell + 1) * n - cells;
      const before = Math.floor(place / (2 * cells));
      const past = place - 2 * cells * before;
      const clipped = (line: number): number => Math.min(n - 1, Math.max(0, line));
      return [[clipped(before), 2 * cells - past], [clipped(before + 1), past]] as const;
    });
    return { taps, whole: 2 * cells };
  }
  const taps = Array.from({ length: cells }, (_, cell) => {
    const some: [number, number][] = [];
    for (let line = Math.floor((cell * n) / cells); line * cells < (cell + 1) * n; line++) {
      some.push([line, Math.min((cell + 1) * n, (line + 1) * cells) - Math.max(cell * n, line * cells)]);
    }
    return some;
  });
  return { taps, whole: n };
}

/** Cells of a side of n pixels between bars that are equal on both ends. */
function innerCells(n: number, longest: number, side: number): number {
  const cells = Math.max(1, Math.floor((2 * side * n + longest) / (2 * longest)));
  return cells + modulo(side - cells, 2);
}

function modulo(a: number, b: number): number {
  return ((a % b) + b) % b;
}
