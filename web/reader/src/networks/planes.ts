/** Planes of integers: what networks take and give. */

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
 * Convolve planes; outside their rows and columns they are 0.
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
  const { channels, height, width, data } = x;
  const made = zeros(out, height, width);
  const half = (k - 1) / 2;
  for (let o = 0; o < out; o++) {
    const plane = made.data.subarray(o * height * width, (o + 1) * height * width);
    if (bias) plane.fill(bias[o]!);
    for (let c = 0; c < channels; c++) {
      for (let i = 0; i < k; i++) {
        for (let j = 0; j < k; j++) {
          const factor = weight[((o * channels + c) * k + i) * k + j]!;
          if (!factor) continue;
          const [down, across] = [i - half, j - half];
          const [left, right] = [Math.max(0, -across), Math.min(width, width - across)];
          for (let y = Math.max(0, -down); y < Math.min(height, height - down); y++) {
            const from = (c * height + y + down) * width + across;
            const to = y * width;
            for (let column = left; column < right; column++) {
              plane[to + column]! += factor * data[from + column]!;
            }
          }
        }
      }
    }
  }
  return made;
}
