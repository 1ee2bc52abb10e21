/** Frequencies of grey levels under mixtures of logistic densities, in integers. */

const PARTS = 3;
const [LEAST_SCALE, LARGEST_SCALE] = [-12, 28];
const REACH = 1024; // beyond 16 scales a sigmoid is 0 or 1
const LEAST_WEIGHT = 255;

// No entry comes near the middle between two integers but those that are exact, so that whatever the
// last bit of a machine's own functions is, they are the same everywhere.
const WEIGHTS = Array.from({ length: LEAST_WEIGHT + 1 }, (_, i) => roundedToEven(2 ** 12 * 2 ** (-i / 16)));
const INVERSES = Array.from({ length: LARGEST_SCALE - LEAST_SCALE + 1 }, (_, i) =>
  roundedToEven(2 ** 18 / 2 ** ((i + LEAST_SCALE) / 4)),
);
const SIGMOIDS = Array.from({ length: 2 * REACH + 1 }, (_, i) =>
  roundedToEven(2 ** 16 / (1 + Math.exp(-(i - REACH) / 64))),
);

/** Give how many levels 0, Δ, 2Δ, … grey values are rounded to. */
export function levelCount(step: number): number {
  return Math.floor((510 + step) / (2 * step)) + 1;
}

/**
 * Give the frequencies of all levels.
 *
 * @param mixture three logarithms of weights, three means, three scales.
 * @param step Δ in grey levels.
 * @param counts where they are put, of `levelCount(step)` numbers.
 */
export function mixtureCounts(mixture: ArrayLike<number>, step: number, counts: Float64Array): void {
  const largest = Math.max(mixture[0]!, mixture[1]!, mixture[2]!);
  const weights: number[] = [];
  const inverses: number[] = [];
  let all = 0;
  for (let part = 0; part < PARTS; part++) {
    const weight = WEIGHTS[Math.min(LEAST_WEIGHT, largest - mixture[part]!)]!;
    weights.push(weight);
    all += weight;
    const scale = Math.min(LARGEST_SCALE, Math.max(LEAST_SCALE, mixture[2 * PARTS + part]!));
    inverses.push(INVERSES[scale - LEAST_SCALE]!);
  }
  let before = 0;
  for (let level = 0; level < counts.length; level++) {
    let reached = 0;
    if (level === counts.length - 1) {
      reached = all * 2 ** 16;
    } else {
      const edge = (2 * level + 1) * step * 8;
      for (let part = 0; part < PARTS; part++) {
        const cell = Math.floor(((edge - mixture[PARTS + part]!) * inverses[part]!) / 2 ** 16);
        reached += weights[part]! * SIGMOIDS[Math.min(REACH, Math.max(-REACH, cell)) + REACH]!;
      }
    }
    counts[level] = Math.floor((reached - before) / 2 ** 10) + 1;
    before = reached;
  }
}

function roundedToEven(number: number): number {
  const below = Math.floor(number);
  const rest = number - below;
  return rest > 0.5 || (rest === 0.5 && below % 2) ? below + 1 : below;
}
