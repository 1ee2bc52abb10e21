/** Planes of integers: what networks take and give. */

import { ArchiveError } from "../errors.ts";

const MOST_NUMBERS = 2 ** 26; // of planes, in one piece
const MOST_WORK = 2 ** 36; // products of a convolution

/** Channels of rows of integers; that of channel c at (y, x) is at (c · height + y) · width + x. */
export interface Planes {
  readonly channels: number;
  readonly height: number;
  readonly width: number;
  readonly data: Float64Array;
}

/** Make planes of zeros. */
export function zeros(channels: number, height: number, width: number): Planes {
  return { channels, height, width, data: new Float64Array(channels * height * width) };
}

/** Turn b² channels into one of b times as many positions along both sides. */
export function shuffled(x: Planes, b: number): Planes {
  if (b === 1) return x;
  const made = zeros(x.channels / (b * b), x.height * b, x.width * b);
  for (let c = 0; c < x.channels; c++) {
    const [i, j] = [Math.floor((c % (b * b)) / b), c % b];
    const channel = Math.floor(c / (b * b));
    for (let row = 0; row < x.height; row++) {
      const from = (c * x.height + row) * x.width;
      const to = (channel * made.height + b * row + i) * made.width + j;
      for (let column = 0; column < x.width; column++) made.data[to + b * column] = x.data[from + column]!;
    }
  }
  return made;
}

/**
 * See that a convolution is not too much.
 *
 * @throws ArchiveError it is.
 */
export function checkWork({ channels, height, width }: Planes, out: number, k: number): void {
  const numbers = out * height * width;
  if (numbers > MOST_NUMBERS || numbers * channels * k * k > MOST_WORK) {
    throw new ArchiveError("a network of the codec asks for too much memory or work; make it anew");
  }
}

/**
 * Convolve planes; outside their rows and columns they are 0. All sums are exact, in whatever order.
 *
 * @param weight (out, in, k, k), row-major.
 * @param bias of each output; null for none.
 */
export function convolved(
  x: Planes,
  weight: ArrayLike<number>,
  bias: ArrayLike<number> | null,
  out: number,
  k: number,
): Planes {
  const { height, width } = x;
  checkWork(x, out, k);
  const made = zeros(out, height, width);
  const { data, pitch, plane } = padded(x, (k - 1) / 2);
  // Rows are computed with their padding, one behind the other, so that one loop runs over all.
  const row = new Float64Array(height * pitch);
  const taps = x.channels * k * k;
  const offsets = Int32Array.from({ length: taps }, (_, tap) => {
    const [c, i, j] = [Math.floor(tap / (k * k)), Math.floor(tap / k) % k, tap % k];
    return c * plane + i * pitch + j;
  });
  for (let o = 0; o < out; o++) {
    row.fill(bias ? bias[o]! : 0);
    let tap = 0;
    for (; tap + 4 <= taps; tap += 4) {
      const first = o * taps + tap;
      const [f, g, h, l] = [weight[first]!, weight[first + 1]!, weight[first + 2]!, weight[first + 3]!];
      if (f || g || h || l) addFour(row, data, [f, g, h, l], offsets, tap);
    }
    for (; tap < taps; tap++) {
      const [factor, offset] = [weight[o * taps + tap]!, offsets[tap]!];
      for (let at = 0; at < row.length; at++) row[at]! += factor * data[offset + at]!;
    }
    for (let y = 0; y < height; y++) {
      made.data.set(row.subarray(y * pitch, y * pitch + width), (o * height + y) * width);
    }
  }
  return made;
}

function addFour(
  row: Float64Array,
  data: Float64Array,
  [f, g, h, l]: readonly [number, number, number, number],
  offsets: Int32Array,
  tap: number,
): void {
  const [a, b, c, d] = [offsets[tap]!, offsets[tap + 1]!, offsets[tap + 2]!, offsets[tap + 3]!];
  for (let at = 0; at < row.length; at++) {
    row[at]! += f * data[a + at]! + g * data[b + at]! + h * data[c + at]! + l * data[d + at]!;
  }
}

/** Lay zeros around planes; as many follow the last one as a loop over all rows may look at. */
function padded(x: Planes, half: number): { data: Float64Array; pitch: number; plane: number } {
  const pitch = x.width + 2 * half;
  const plane = pitch * (x.height + 2 * half);
  const data = new Float64Array(x.channels * plane + 2 * half);
  for (let c = 0; c < x.channels; c++) {
    for (let y = 0; y < x.height; y++) {
      const from = (c * x.height + y) * x.width;
      data.set(x.data.subarray(from, from + x.width), c * plane + (y + half) * pitch + half);
    }
  }
  return { data, pitch, plane };
}
