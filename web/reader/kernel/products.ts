// What networks of whole numbers spend their time on: AssemblyScript, compiled by `node kernel.mjs`.
//
// Pointers count bytes. Planes lie position by position, row by row, the channels of a position side
// by side. Callers keep to what networks were checked for: every sum fits 32 bits.

/**
 * Convolve numbers of 16 bits.
 *
 * @param x (height + k − 1) × (width + k − 1) positions of `channels`, which are a multiple of 8.
 * @param weight of each output, k × k positions of `channels`; outputs are a multiple of 4.
 * @param bias 32 bits, of each output.
 * @param sums 32 bits: height × width positions of `outputs`.
 */
export function convolve(
  x: usize, weight: usize, bias: usize, sums: usize,
  height: i32, width: i32, channels: i32, outputs: i32, k: i32,
): void {
  const position = (<usize>channels) << 1;
  const pitch = <usize>(width + k - 1) * position;
  const run = <usize>k * position;
  const whole = <usize>k * run;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column += 2) {
      // Two positions at once; of an odd row the last one twice.
      const first = x + <usize>row * pitch + <usize>column * position;
      const second = column + 1 < width ? first + position : first;
      const to = sums + ((<usize>(row * width + column) * <usize>outputs) << 2);
      const beside = column + 1 < width ? to + ((<usize>outputs) << 2) : to;
      for (let o = 0; o < outputs; o += 4) {
        let a0 = i32x4.splat(0), a1 = a0, a2 = a0, a3 = a0, b0 = a0, b1 = a0, b2 = a0, b3 = a0;
        let tap = weight + <usize>o * whole;
        let line = first, other = second;
        for (let i = 0; i < k; i++) {
          for (let at: usize = 0; at < run; at += 16) {
            const p = v128.load(line + at), q = v128.load(other + at);
            const f0 = v128.load(tap + at), f1 = v128.load(tap + whole + at);
            const f2 = v128.load(tap + 2 * whole + at), f3 = v128.load(tap + 3 * whole + at);
            a0 = i32x4.add(a0, i32x4.dot_i16x8_s(p, f0));
            a1 = i32x4.add(a1, i32x4.dot_i16x8_s(p, f1));
            a2 = i32x4.add(a2, i32x4.dot_i16x8_s(p, f2));
            a3 = i32x4.add(a3, i32x4.dot_i16x8_s(p, f3));
            b0 = i32x4.add(b0, i32x4.dot_i16x8_s(q, f0));
            b1 = i32x4.add(b1, i32x4.dot_i16x8_s(q, f1));
            b2 = i32x4.add(b2, i32x4.dot_i16x8_s(q, f2));
            b3 = i32x4.add(b3, i32x4.dot_i16x8_s(q, f3));
          }
          tap += run;
          line += pitch;
          other += pitch;
        }
        const start = v128.load(bias + ((<usize>o) << 2));
        v128.store(beside + ((<usize>o) << 2), i32x4.add(start, across(b0, b1, b2, b3)));
        v128.store(to + ((<usize>o) << 2), i32x4.add(start, across(a0, a1, a2, a3)));
      }
    }
  }
}

/** Divide by 2^shift of each channel, rounded, halves to even, and clip: 32 bits, in place. */
export function round(sums: usize, shift: usize, positions: i32, channels: i32, low: i32, high: i32): void {
  for (let position = 0; position < positions; position++) {
    for (let c = 0; c < channels; c++) {
      store<i32>(sums, clip(halved(load<i32>(sums), load<u8>(shift + c)), low, high));
      sums += 4;
    }
  }
}

/** Divide by 2^shift of each channel, rounded down, and clip: 32 bits, in place. */
export function floor(sums: usize, shift: usize, positions: i32, channels: i32, low: i32, high: i32): void {
  for (let position = 0; position < positions; position++) {
    for (let c = 0; c < channels; c++) {
      store<i32>(sums, clip(load<i32>(sums) >> load<u8>(shift + c), low, high));
      sums += 4;
    }
  }
}

/**
 * Lay planes of 32 bits into a frame of zeros of 16 bits, its channels a multiple of 8.
 *
 * @param given channels of a position of `x`, of which the first `channels` are taken.
 * @param half positions of the frame at each side.
 */
export function frame(
  x: usize, framed: usize, height: i32, width: i32, channels: i32, given: i32, wide: i32, half: i32,
): void {
  const pitch = width + 2 * half;
  memory.fill(framed, 0, <usize>((height + 2 * half) * pitch * wide) << 1);
  for (let row = 0; row < height; row++) {
    let to = framed + (<usize>(((row + half) * pitch + half) * wide) << 1);
    for (let column = 0; column < width; column++) {
      for (let c = 0; c < channels; c++) store<i16>(to + (<usize>c << 1), <i16>load<i32>(x + (<usize>c << 2)));
      to += <usize>wide << 1;
      x += <usize>given << 2;
    }
  }
}

/**
 * Add results, times 2^grow of each channel, to a stream of 32 bits, or begin one; b² channels become
 * one of b times as many positions along both sides.
 *
 * @param given channels of a position of `x`, of which the first `channels` are taken.
 */
export function grow(
  x: usize, by: usize, stream: usize, height: i32, width: i32, channels: i32, given: i32, b: i32, adds: bool,
): void {
  const area = b * b;
  const own = channels / area;
  for (let row = 0; row < height; row++) {
    for (let column = 0; column < width; column++) {
      for (let part = 0; part < area; part++) {
        const place = (b * row + part / b) * b * width + b * column + (part % b);
        let to = stream + (<usize>(place * own) << 2);
        for (let c = part; c < channels; c += area) {
          const value = load<i32>(x + (<usize>c << 2)) << load<u8>(by + c);
          store<i32>(to, adds ? load<i32>(to) + value : value);
          to += 4;
        }
      }
      x += <usize>given << 2;
    }
  }
}

/** Copy numbers of 32 bits: what is read of a stream is rounded elsewhere, and the stream stays. */
export function copy(x: usize, made: usize, numbers: i32): void {
  memory.copy(made, x, <usize>numbers << 2);
}

// @ts-ignore: decorator
@inline
function halved(value: i32, shift: i32): i32 {
  if (shift == 0) return value;
  return (value + (1 << (shift - 1)) - 1 + ((value >> shift) & 1)) >> shift;
}

// @ts-ignore: decorator
@inline
function clip(value: i32, low: i32, high: i32): i32 {
  return min(high, max(low, value));
}

/** The sums of four vectors' lanes. */
// @ts-ignore: decorator
@inline
function across(a: v128, b: v128, c: v128, d: v128): v128 {
  const ab = i32x4.add(v128.shuffle<i32>(a, b, 0, 4, 1, 5), v128.shuffle<i32>(a, b, 2, 6, 3, 7));
  const cd = i32x4.add(v128.shuffle<i32>(c, d, 0, 4, 1, 5), v128.shuffle<i32>(c, d, 2, 6, 3, 7));
  return i32x4.add(v128.shuffle<i32>(ab, cd, 0, 1, 4, 5), v128.shuffle<i32>(ab, cd, 2, 3, 6, 7));
}
