/** The inner loop of convolutions in WebAssembly: two outputs at a time, four numbers an instruction. */

const LANES = 16; // numbers of each output that one turn of the loop computes
const PAGE = 2 ** 16;

/** What computes sums of shifted rows times weights, in float32. */
export class WasmKernel {
  readonly #memory: WebAssembly.Memory;
  readonly #run: (...given: number[]) => void;

  private constructor(memory: WebAssembly.Memory, run: (...given: number[]) => void) {
    [this.#memory, this.#run] = [memory, run];
  }

  /** Make one; null where there is no WebAssembly, or a page's policy forbids it. */
  static make(): WasmKernel | null {
    try {
      const memory = new WebAssembly.Memory({ initial: 1 });
      const module = new WebAssembly.Module(moduleBytes());
      const { exports } = new WebAssembly.Instance(module, { m: { m: memory } });
      return new WasmKernel(memory, exports["f"] as (...given: number[]) => void);
    } catch {
      return null;
    }
  }

  /**
   * Compute for each output o and place i the sum of bias[o] and weight[o, t] · data[offsets[t] + i] over all t.
   *
   * All sums must be exact in float32.
   *
   * @param data what is read; zeros follow it.
   * @param weight (outputs, offsets), row-major.
   * @param count places.
   * @param take gets each output and its sums, which are valid until it returns.
   */
  convolve(
    data: Float64Array,
    weight: ArrayLike<number>,
    bias: ArrayLike<number> | null,
    offsets: Int32Array,
    outputs: number,
    count: number,
    take: (output: number, sums: Float32Array) => void,
  ): void {
    const [taps, rows] = [offsets.length, Math.ceil(count / LANES) * LANES];
    // In numbers of four bytes: data, two rows of sums, offsets, pairs of weights.
    const sums = Math.ceil((data.length + 2 * LANES) / 4) * 4;
    const places = sums + 2 * rows;
    const weights = places + taps;
    const bytes = 4 * (weights + 2 * taps);
    if (this.#memory.buffer.byteLength < bytes) {
      this.#memory.grow(Math.ceil((bytes - this.#memory.buffer.byteLength) / PAGE));
    }
    const [numbers, integers] = [new Float32Array(this.#memory.buffer), new Int32Array(this.#memory.buffer)];
    numbers.set(data);
    numbers.fill(0, data.length, sums);
    for (let o = 0; o < outputs; o += 2) {
      let kept = 0;
      for (let t = 0; t < taps; t++) {
        const [one, other] = [weight[o * taps + t]!, o + 1 < outputs ? weight[(o + 1) * taps + t]! : 0];
        if (!one && !other) continue;
        integers[places + kept] = 4 * offsets[t]!;
        numbers[weights + 2 * kept] = one;
        numbers[weights + 2 * kept + 1] = other;
        kept++;
      }
      const [first, second] = [bias ? bias[o]! : 0, bias && o + 1 < outputs ? bias[o + 1]! : 0];
      if (kept) {
        this.#run(4 * sums, 4 * (sums + rows), 4 * places, 4 * weights, kept, 4 * rows, first, second);
      } else {
        numbers.fill(first, sums, sums + rows);
        numbers.fill(second, sums + rows, sums + 2 * rows);
      }
      take(o, numbers.subarray(sums, sums + count));
      if (o + 1 < outputs) take(o + 1, numbers.subarray(sums + rows, sums + rows + count));
    }
  }
}

/** The module: one function `f`, and a memory that it is given. */
function moduleBytes(): Uint8Array<ArrayBuffer> {
  const [I32, F32, V128] = [0x7f, 0x7d, 0x7b];
  const [OUT, OTHER, OFFSETS, WEIGHTS, TAPS, BYTES, BIAS, BIAS2, AT, TAP, PLACE, WEIGHT, READ, X, W, W2, SUM] =
    Array.from({ length: 17 }, (_, i) => i) as number[] as [
      number, number, number, number, number, number, number, number, number, number, number, number, number, number,
      number, number, number,
    ];
  const get = (local: number): number[] => [0x20, local];
  const set = (local: number): number[] => [0x21, local];
  const add = (local: number, constant: number): number[] => [...get(local), 0x41, ...signed(constant), 0x6a, ...set(local)];
  const splat = (local: number): number[] => [...get(local), 0xfd, 0x13];
  const parts = [0, 1, 2, 3];
  /** Sum i of output j is local SUM + 4 j + i. */
  const step = (j: number, i: number): number[] => [
    ...get(SUM + 4 * j + i), ...get(j ? W2 : W), ...get(X), 0xfd, 0xe6, 0x01, 0xfd, 0xe4, 0x01, ...set(SUM + 4 * j + i),
  ];
  const body = [
    ...[0x41, 0, ...set(AT)],
    ...[0x03, 0x40], // for each 16 places
    ...parts.flatMap((i) => [...splat(BIAS), ...set(SUM + i), ...splat(BIAS2), ...set(SUM + 4 + i)]),
    ...[...get(OFFSETS), ...set(PLACE), ...get(WEIGHTS), ...set(WEIGHT), ...get(TAPS), ...set(TAP)],
    ...[0x03, 0x40], // for each offset
    ...[...get(PLACE), 0x28, 2, 0, ...get(AT), 0x6a, ...set(READ)],
    ...[...get(WEIGHT), 0xfd, 0x09, 2, 0, ...set(W), ...get(WEIGHT), 0xfd, 0x09, 2, 4, ...set(W2)],
    ...parts.flatMap((i) => [...get(READ), 0xfd, 0x00, 2, 16 * i, ...set(X), ...step(0, i), ...step(1, i)]),
    ...[...add(PLACE, 4), ...add(WEIGHT, 8), ...add(TAP, -1)],
    ...[...get(TAP), 0x0d, 0, 0x0b],
    ...[OUT, OTHER].flatMap((row, j) =>
      parts.flatMap((i) => [...get(row), ...get(AT), 0x6a, ...get(SUM + 4 * j + i), 0xfd, 0x0b, 2, 16 * i]),
    ),
    ...add(AT, 64),
    ...[...get(AT), ...get(BYTES), 0x49, 0x0d, 0, 0x0b],
    0x0b,
  ];
  const locals = [2, 5, I32, 11, V128]; // AT … READ, then X, W, W2 and eight sums
  const section = (id: number, content: readonly number[]): number[] => [id, ...unsigned(content.length), ...content];
  const code = [...locals, ...body];
  return Uint8Array.from([
    ...[0, 0x61, 0x73, 0x6d, 1, 0, 0, 0],
    ...section(1, [1, 0x60, 8, I32, I32, I32, I32, I32, I32, F32, F32, 0]),
    ...section(2, [1, 1, 0x6d, 1, 0x6d, 2, 0, 1]), // m.m, a memory of a page or more
    ...section(3, [1, 0]),
    ...section(7, [1, 1, 0x66, 0, 0]),
    ...section(10, [1, ...unsigned(code.length), ...code]),
  ]);
}

function unsigned(value: number): number[] {
  return value < 128 ? [value] : [(value & 127) | 128, ...unsigned(value >> 7)];
}

/** A small constant, as WebAssembly writes signed ones. */
function signed(value: number): number[] {
  return value >= -64 && value < 64 ? [value & 127] : [(value & 127) | 128, ...signed(value >> 7)];
}
