/** Thrift's compact protocol, as far as Parquet's metadata need it. */

import { Malformed } from "../errors.ts";

/** A value of a structure; a float is null, since Parquet has none here. */
export type Value = null | boolean | number | Uint8Array | Value[] | Struct;
/** A structure: its fields by number. */
export type Struct = Map<number, Value>;

const DEEPEST = 16;
const [TRUE, FALSE, I8, I16, , I64, DOUBLE, BINARY, LIST, SET, , STRUCT] = [
  1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12,
];

/**
 * Read a structure; nothing is allocated that the bytes do not hold.
 *
 * @param data the bytes that hold it.
 * @param at where it begins.
 * @param stop where it must have ended.
 * @returns its fields, and the place behind it.
 * @throws Malformed the bytes end within it, or are no structure.
 */
export function readStruct(data: Uint8Array, at: number, stop: number): [fields: Struct, next: number] {
  const reader = new Reader(data, at, stop);
  return [reader.struct(0), reader.at];
}

class Reader {
  at: number;
  readonly #data: Uint8Array;
  readonly #stop: number;

  constructor(data: Uint8Array, at: number, stop: number) {
    this.#data = data;
    this.at = at;
    this.#stop = stop;
  }

  struct(depth: number): Struct {
    if (depth > DEEPEST) throw new Malformed("its metadata are nested too deep");
    const fields: Struct = new Map();
    let number = 0;
    for (;;) {
      const head = this.#byte();
      if (!head) return fields;
      const step = head >> 4;
      number = step ? number + step : this.#signed();
      if (fields.has(number)) throw new Malformed("its metadata hold a field twice");
      const kind = head & 15;
      fields.set(number, kind === TRUE || kind === FALSE ? kind === TRUE : this.#value(kind, depth));
    }
  }

  #value(kind: number, depth: number): Value {
    if (kind >= I16! && kind <= I64!) return this.#signed();
    if (kind === BINARY) return this.#bytes(this.#unsigned());
    if (kind === STRUCT) return this.struct(depth + 1);
    if (kind === LIST || kind === SET) return this.#list(depth + 1);
    if (kind === TRUE || kind === FALSE || kind === I8) return this.#byte();
    if (kind === DOUBLE) {
      this.#bytes(8);
      return null;
    }
    throw new Malformed("its metadata hold what Parquet has no use for");
  }

  #list(depth: number): Value[] {
    if (depth > DEEPEST) throw new Malformed("its metadata are nested too deep");
    const head = this.#byte();
    const count = head >> 4 === 15 ? this.#unsigned() : head >> 4;
    if (count > this.#stop - this.at) throw new Malformed("its metadata end early");
    return Array.from({ length: count }, () => this.#value(head & 15, depth));
  }

  #bytes(length: number): Uint8Array {
    if (length > this.#stop - this.at) throw new Malformed("its metadata end early");
    this.at += length;
    return this.#data.subarray(this.at - length, this.at);
  }

  #byte(): number {
    if (this.at >= this.#stop) throw new Malformed("its metadata end early");
    return this.#data[this.at++]!;
  }

  #signed(): number {
    const number = this.#unsigned();
    return number % 2 ? -(number + 1) / 2 : number / 2;
  }

  #unsigned(): number {
    const [number, next] = readNumber(this.#data, this.at, this.#stop);
    this.at = next;
    return number;
  }
}

/**
 * Read an unsigned integer of seven bits a byte.
 *
 * @throws Malformed it does not end, or is more than 2^53.
 */
export function readNumber(data: Uint8Array, at: number, stop: number): [number: number, next: number] {
  let number = 0;
  for (let i = 0; i < 10 && at + i < stop; i++) {
    const byte = data[at + i]!;
    number += (byte & 127) * 128 ** i;
    if (byte < 128 && number <= Number.MAX_SAFE_INTEGER) return [number, at + i + 1];
  }
  throw new Malformed("its metadata hold a broken number");
}
