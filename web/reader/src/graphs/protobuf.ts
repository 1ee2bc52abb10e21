/** Protocol Buffers, as far as ONNX models need them: the fields of a message, none of them unknown. */

import { Malformed } from "../errors.ts";

/** A field's values in their order: integers, or the bytes of texts and messages. */
export interface Fields {
  readonly numbers: ReadonlyMap<number, readonly number[]>;
  readonly bytes: ReadonlyMap<number, readonly Uint8Array[]>;
}

const [VARINT, BYTES] = [0, 2];

/**
 * Read a message.
 *
 * @param data its bytes.
 * @param known numbers of the fields that it may have.
 * @param repeated those of them that may come more than once.
 * @throws Malformed it has others, one twice, or ends early.
 */
export function readFields(
  data: Uint8Array,
  known: readonly number[],
  repeated: readonly number[] = [],
): Fields {
  const numbers = new Map<number, number[]>();
  const bytes = new Map<number, Uint8Array[]>();
  let at = 0;
  const varint = (): number => {
    let number = 0n;
    for (let i = 0n; i < 10n && at < data.length; i++) {
      const byte = BigInt(data[at++]!);
      number |= (byte & 127n) << (7n * i);
      if (byte < 128n) return Number(BigInt.asIntN(64, number));
    }
    throw new Malformed("a network ends early");
  };
  while (at < data.length) {
    const head = varint();
    const [field, sort] = [Math.floor(head / 8), head % 8];
    if (!known.includes(field)) throw new Malformed(`a network has the field ${field}, which is refused`);
    if (!repeated.includes(field) && (numbers.has(field) || bytes.has(field))) {
      throw new Malformed(`a network has the field ${field} twice`);
    }
    if (sort === VARINT) {
      numbers.set(field, [...(numbers.get(field) ?? []), varint()]);
    } else if (sort === BYTES) {
      const length = varint();
      if (length < 0 || length > data.length - at) throw new Malformed("a network ends early");
      bytes.set(field, [...(bytes.get(field) ?? []), data.subarray(at, at + length)]);
      at += length;
    } else {
      throw new Malformed("a network has a field of an unknown sort");
    }
  }
  return { numbers, bytes };
}

/** Read integers that lie one behind the other. */
export function packedNumbers(data: Uint8Array): number[] {
  const numbers: number[] = [];
  for (let at = 0; at < data.length; ) {
    let stop = at;
    while (stop < data.length && data[stop]! >= 128) stop++;
    const one = readFields(Uint8Array.of(8, ...data.subarray(at, stop + 1)), [1]).numbers.get(1)!;
    numbers.push(one[0]!);
    at = stop + 1;
  }
  return numbers;
}
