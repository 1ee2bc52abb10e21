/** Operators of ONNX: those of which networks of describers are made. */

import { Malformed } from "../errors.ts";

/** An array of numbers, row-major; results are rounded to float32. */
export interface Tensor {
  readonly shape: readonly number[];
  readonly data: Float64Array | Float32Array;
}

/** Attributes of a node, by their names. */
export type Attributes = ReadonlyMap<string, number | readonly number[]>;

type Operator = (inputs: readonly Tensor[], attributes: Attributes) => Tensor;

const MOST_NUMBERS = 2 ** 24;
const MOST_WORK = 2 ** 33; // products of a convolution

/** What computes each operator, by its name. */
export const OPERATORS: Readonly<Record<string, Operator>> = {
  Add: pairwise((a, b) => a + b),
  Sub: pairwise((a, b) => a - b),
  Mul: pairwise((a, b) => a * b),
  Div: pairwise((a, b) => a / b),
  Max: ([first, ...others]) => others.reduce((x, y) => broadcast(x, y, Math.max), first!),
  Min: ([first, ...others]) => others.reduce((x, y) => broadcast(x, y, Math.min), first!),
  Relu: each((x) => Math.max(0, x)),
  Identity: each((x) => x),
  Cast: ([x], attributes) => {
    if (attributes.get("to") !== 1) throw new Malformed("a network casts to another type than float32");
    return { shape: x!.shape, data: Float32Array.from(x!.data) };
  },
  Clip: ([x, low, high]) => {
    const [least, most] = [low ? bound(low) : -Infinity, high ? bound(high) : Infinity];
    return { shape: x!.shape, data: Float32Array.from(x!.data, (one) => Math.min(most, Math.max(least, one))) };
  },
  Gemm: gemm,
  Conv: convolution,
  ReduceMean: reduced((numbers) => numbers.reduce((sum, one) => sum + one, 0) / numbers.length),
  ReduceL2: reduced((numbers) => Math.sqrt(numbers.reduce((sum, one) => sum + one * one, 0))),
  Reshape: ([x, sides]) => {
    const shape = Array.from(sides?.data ?? [], (side, i) => (side === 0 ? (x!.shape[i] ?? 0) : side));
    const rest = shape.filter((side) => side !== -1).reduce((product, side) => product * side, 1);
    return reshaped(x!, shape.map((side) => (side === -1 ? x!.data.length / rest : side)));
  },
  Flatten: ([x], attributes) => {
    const axis = attributes.get("axis") ?? 1;
    if (typeof axis !== "number" || axis < 0 || axis > x!.shape.length) throw shapeless();
    const product = (sides: readonly number[]): number => sides.reduce((all, side) => all * side, 1);
    return reshaped(x!, [product(x!.shape.slice(0, axis)), product(x!.shape.slice(axis))]);
  },
};

function pairwise(compute: (a: number, b: number) => number): Operator {
  return ([a, b]) => {
    if (!a || !b) throw shapeless();
    return broadcast(a, b, compute);
  };
}

function each(compute: (x: number) => number): Operator {
  return ([x]) => ({ shape: x!.shape, data: Float32Array.from(x!.data, compute) });
}

function bound({ data }: Tensor): number {
  if (data.length !== 1) throw shapeless();
  return data[0]!;
}

function reshaped(x: Tensor, shape: readonly number[]): Tensor {
  const count = shape.reduce((product, side) => product * side, 1);
  if (!shape.every((side) => Number.isInteger(side) && side > 0) || count !== x.data.length) throw shapeless();
  return { shape, data: x.data };
}

/** Compute pairs of numbers, sides of one number repeated. */
function broadcast(a: Tensor, b: Tensor, compute: (a: number, b: number) => number): Tensor {
  const rank = Math.max(a.shape.length, b.shape.length);
  const side = ({ shape }: Tensor, i: number): number => shape[i - rank + shape.length] ?? 1;
  const shape = Array.from({ length: rank }, (_, i) => {
    const [one, other] = [side(a, i), side(b, i)];
    if (one !== other && one !== 1 && other !== 1) throw shapeless();
    return Math.max(one, other);
  });
  const count = shape.reduce((product, one) => product * one, 1);
  if (count > MOST_NUMBERS) throw new Malformed("a network asks for too much memory");
  const place = (x: Tensor, at: number): number => {
    let [offset, stride, left] = [0, 1, at];
    for (let i = rank - 1; i >= 0; i--) {
      const index = left % shape[i]!;
      left = (left - index) / shape[i]!;
      if (side(x, i) > 1) offset += index * stride;
      stride *= side(x, i);
    }
    return offset;
  };
  const data = Float32Array.from({ length: count }, (_, at) => compute(a.data[place(a, at)]!, b.data[place(b, at)]!));
  return { shape, data };
}

function gemm([x, weight, bias]: readonly Tensor[], attributes: Attributes): Tensor {
  const turned = attributes.get("transB") === 1;
  const [rows, wide] = x?.shape ?? [];
  const [a, b] = weight?.shape ?? [];
  const out = turned ? a : b;
  if (!x || !weight || x.shape.length !== 2 || weight.shape.length !== 2 || (turned ? b : a) !== wide || !rows || !out) {
    throw shapeless();
  }
  if (rows * out > MOST_NUMBERS) throw new Malformed("a network asks for too much memory");
  const data = new Float32Array(rows * out);
  for (let row = 0; row < rows; row++) {
    for (let o = 0; o < out; o++) {
      let sum = 0;
      for (let i = 0; i < wide!; i++) {
        sum += x.data[row * wide! + i]! * weight.data[turned ? o * wide! + i : i * out + o]!;
      }
      data[row * out + o] = sum;
    }
  }
  const made = { shape: [rows, out], data };
  return bias ? broadcast(made, bias, (one, other) => one + other) : made;
}

function convolution([x, weight, bias]: readonly Tensor[], attributes: Attributes): Tensor {
  const row = (name: string, otherwise: readonly number[]): readonly number[] => {
    const given = attributes.get(name) ?? otherwise;
    if (typeof given === "number" || given.length !== otherwise.length) throw shapeless();
    return given;
  };
  if (x?.shape.length !== 4 || weight?.shape.length !== 4 || x.shape[0] !== 1) throw shapeless();
  const [, channels, height, width] = x.shape as [number, number, number, number];
  const [out, within, tall, wide] = weight.shape as [number, number, number, number];
  const [strideDown, strideAcross] = row("strides", [1, 1]) as [number, number];
  const [top, left, bottom, right] = row("pads", [0, 0, 0, 0]) as [number, number, number, number];
  const groups = attributes.get("group") ?? 1;
  const plain = row("dilations", [1, 1]).every((one) => one === 1) && typeof groups === "number";
  const pads = [top, left, bottom, right].every((one) => one >= 0 && one < 64);
  if (!plain || !pads || strideDown < 1 || strideAcross < 1 || groups < 1 || out % groups) throw shapeless();
  if (within * groups !== channels || (bias && bias.data.length !== out)) throw shapeless();
  const down = Math.floor((height + top + bottom - tall) / strideDown) + 1;
  const across = Math.floor((width + left + right - wide) / strideAcross) + 1;
  const numbers = out * down * across;
  if (down < 1 || across < 1) throw shapeless();
  if (numbers > MOST_NUMBERS || numbers * within * tall * wide > MOST_WORK) {
    throw new Malformed("a network asks for too much memory or work");
  }
  const data = new Float32Array(numbers);
  const sums = new Float64Array(down * across);
  const taken = Float64Array.from(x.data);
  for (let o = 0; o < out; o++) {
    sums.fill(bias ? bias.data[o]! : 0);
    const first = Math.floor(o / (out / groups)) * within;
    for (let c = 0; c < within; c++) {
      for (let i = 0; i < tall; i++) {
        for (let j = 0; j < wide; j++) {
          const factor = weight.data[((o * within + c) * tall + i) * wide + j]!;
          if (!factor) continue;
          const begin = Math.max(0, Math.ceil((left - j) / strideAcross));
          const stop = Math.min(across, Math.floor((width - 1 + left - j) / strideAcross) + 1);
          for (let y = 0; y < down; y++) {
            const from = y * strideDown + i - top;
            if (from < 0 || from >= height) continue;
            const line = ((first + c) * height + from) * width + j - left;
            for (let z = begin; z < stop; z++) sums[y * across + z]! += factor * taken[line + z * strideAcross]!;
          }
        }
      }
    }
    data.set(sums, o * down * across);
  }
  return { shape: [1, out, down, across], data };
}

/** Make one number of those along some sides. */
function reduced(compute: (numbers: readonly number[]) => number): Operator {
  return ([x], attributes) => {
    const shape = x?.shape ?? [];
    const given = attributes.get("axes") ?? [...shape.keys()];
    if (!x || typeof given === "number") throw shapeless();
    const axes = new Set(given.map((axis) => (axis < 0 ? axis + shape.length : axis)));
    if (![...axes].every((axis) => axis >= 0 && axis < shape.length)) throw shapeless();
    const kept = shape.map((side, axis) => (axes.has(axis) ? 1 : side));
    const parts = Array.from({ length: kept.reduce((product, side) => product * side, 1) }, () => new Array<number>());
    x.data.forEach((one: number, at: number) => {
      let [place, stride, left] = [0, 1, at];
      for (let axis = shape.length - 1; axis >= 0; axis--) {
        const index = left % shape[axis]!;
        left = (left - index) / shape[axis]!;
        if (!axes.has(axis)) place += index * stride;
        stride *= kept[axis]!;
      }
      parts[place]!.push(one);
    });
    const made = attributes.get("keepdims") === 0 ? shape.filter((_, axis) => !axes.has(axis)) : kept;
    return { shape: made, data: Float32Array.from(parts, compute) };
  };
}

function shapeless(): Malformed {
  return new Malformed("shapes of a network do not fit together");
}
