/** The pseudo-inverse of a matrix: what takes coded vectors back to latents by the least squares. */

const MOST_WORK = 2 ** 27; // products of one step
const ROUNDS = 60;

/**
 * Give the pseudo-inverse (columns × rows), row-major; null where it is too large, or is not found.
 *
 * Newton's iteration of Ben-Israel and Cohen: X becomes X (2 I − A X), which doubles exact digits.
 *
 * @param A rows × columns numbers, row-major; rows ≥ columns, or few.
 */
export function pseudoInverse(A: ArrayLike<number>, rows: number, columns: number): Float64Array | null {
  if (rows * columns * columns > MOST_WORK) return null;
  const transposed = new Float64Array(rows * columns);
  const sums = [new Float64Array(rows), new Float64Array(columns)] as const;
  for (let r = 0; r < rows; r++) {
    for (let c = 0; c < columns; c++) {
      const one = A[r * columns + c]!;
      transposed[c * rows + r] = one;
      sums[0][r]! += Math.abs(one);
      sums[1][c]! += Math.abs(one);
    }
  }
  const scale = Math.max(...sums[0]) * Math.max(...sums[1]);
  if (!Number.isFinite(scale)) return null;
  if (!scale) return transposed;
  let X: Float64Array = transposed.map((one) => one / scale);
  for (let round = 0, last = Infinity; round < ROUNDS; round++) {
    // XA is columns × columns, the smaller side.
    const XA = product(X, A, columns, rows, columns);
    const next = product(XA, X, columns, columns, rows);
    let [moved, size] = [0, 0];
    for (let i = 0; i < X.length; i++) {
      next[i] = 2 * X[i]! - next[i]!;
      moved = Math.max(moved, Math.abs(next[i]! - X[i]!));
      size = Math.max(size, Math.abs(next[i]!));
    }
    X = next;
    const share = moved / size;
    if (!(share >= 0)) return null;
    if (share < 1e-13 || (share < 1e-9 && share >= last)) return X;
    last = share;
  }
  return null;
}

function product(A: ArrayLike<number>, B: ArrayLike<number>, n: number, m: number, p: number): Float64Array {
  const made = new Float64Array(n * p);
  for (let i = 0; i < n; i++) {
    for (let k = 0; k < m; k++) {
      const one = A[i * m + k]!;
      for (let j = 0; j < p; j++) made[i * p + j]! += one * B[k * p + j]!;
    }
  }
  return made;
}
