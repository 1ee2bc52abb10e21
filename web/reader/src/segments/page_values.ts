/** The values of Parquet's pages, in the encodings that a segment has. */

import { Malformed } from "../errors.ts";
import { readNumber } from "./thrift.ts";

const MOST_BLOCK = 1 << 16;

/**
 * Decode integers of 32 bits that are laid out as differences.
 *
 * @param data a page's values.
 * @param count how many there must be.
 * @returns the integers, and the place behind them.
 */
export function differences(data: Uint8Array, count: number): [values: Int32Array, next: number] {
  let at = 0;
  const number = (): number => {
    const [value, next] = readNumber(data, at, data.length);
    at = next;
    return value;
  };
  const signed = (): number => {
    const value = number();
    return value % 2 ? -(value + 1) / 2 : value / 2;
  };
  const [block, minis, total] = [number(), number(), number()];
  let value = signed() | 0;
  if (total !== count || minis < 1 || minis > 64 || block > MOST_BLOCK || block < 1 || block % (minis * 32)) {
    throw new Malformed("differences are laid out in an unknown way");
  }
  const values = new Int32Array(count);
  if (count) values[0] = value;
  const per = block / minis;
  for (let done = 1; done < count; ) {
    const least = signed() | 0;
    const widths = data.subarray(at, at + minis);
    at += minis;
    for (let mini = 0; mini < minis && done < count; mini++) {
      const width = widths[mini] ?? 255;
      if (width > 32 || at + (per * width) / 8 > data.length) {
        throw new Malformed("differences end early, or are too wide");
      }
      const some = unpackBits(data, at, width, Math.min(per, count - done));
      at += (per * width) / 8;
      for (const one of some) values[done++] = value = (value + least + one) | 0;
    }
  }
  return [values, at];
}

/** Unpack integers of so many bits each, the lowest bit first. */
function unpackBits(data: Uint8Array, at: number, width: number, count: number): Uint32Array {
  const made = new Uint32Array(count);
  let bit = 8 * at;
  for (let i = 0; i < count; i++) {
    let value = 0;
    for (let got = 0; got < width; ) {
      const take = Math.min(8 - (bit & 7), width - got);
      value += ((data[bit >> 3]! >> (bit & 7)) & ((1 << take) - 1)) * 2 ** got;
      got += take;
      bit += take;
    }
    made[i] = value;
  }
  return made;
}

/**
 * Decode runs and rows of small integers.
 *
 * @param width bits of each.
 * @param count how many are wanted.
 */
export function runs(data: Uint8Array, width: number, count: number): Uint32Array {
  if (width > 32) throw new Malformed("places in a dictionary are too wide");
  const values = new Uint32Array(count);
  const bytes = Math.ceil(width / 8);
  let at = 0;
  for (let done = 0; done < count; ) {
    const [head, begin] = readNumber(data, at, data.length);
    at = begin;
    const isRow = head % 2 === 1;
    const long = isRow ? 8 * ((head - 1) / 2) : head / 2;
    const length = Math.min(long, count - done);
    if (!length) throw new Malformed("a run of values is empty");
    const taken = isRow ? Math.ceil((length * width) / 8) : bytes;
    if (at + taken > data.length) throw new Malformed("a run of values ends early");
    if (isRow) {
      values.set(unpackBits(data, at, width, length), done);
      at += Math.min((long / 8) * width, data.length - at);
    } else {
      values.fill(unpackBits(data, at, 8 * bytes, 1)[0]!, done, done + length);
      at += bytes;
    }
    done += length;
  }
  return values;
}

/** Decode integers of 32 bits, one after the other. */
export function plainIntegers(data: Uint8Array, count: number): Int32Array {
  if (data.length !== 4 * count) throw new Malformed("a page has another size than its values");
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Int32Array.from({ length: count }, (_, i) => view.getInt32(4 * i, true));
}

/** Decode byte strings, the length of each before it. */
export function plainTexts(data: Uint8Array, count: number): Uint8Array[] {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const made: Uint8Array[] = [];
  let at = 0;
  for (let i = 0; i < count; i++) {
    const end = at + 4 <= data.length ? at + 4 + view.getUint32(at, true) : Infinity;
    if (end > data.length) throw new Malformed("texts end early");
    made.push(data.subarray(at + 4, end));
    at = end;
  }
  if (at !== data.length) throw new Malformed("a page has another size than its values");
  return made;
}

/**
 * Decode byte strings that share their beginnings with those before them.
 *
 * @param most bytes that all of them may have together.
 * @param longest bytes that one may have.
 */
export function sharedPrefixes(
  data: Uint8Array,
  count: number,
  most: number,
  longest: number,
): Uint8Array[] {
  const [prefixes, middle] = differences(data, count);
  const rest = data.subarray(middle);
  const [suffixes, begin] = differences(rest, count);
  let total = 0;
  for (let i = 0; i < count; i++) {
    const [prefix, suffix] = [prefixes[i]!, suffixes[i]!];
    if (prefix < 0 || suffix < 0 || prefix + suffix > longest) {
      throw new Malformed("the lengths of its ids are no lengths");
    }
    total += prefix + suffix;
    if (total > most) throw new Malformed(`its ids are longer than ${most} bytes together`);
  }
  const made: Uint8Array[] = [];
  let former = new Uint8Array(0);
  let at = begin;
  for (let i = 0; i < count; i++) {
    const [prefix, suffix] = [prefixes[i]!, suffixes[i]!];
    if (prefix > former.length || at + suffix > rest.length) throw new Malformed("its ids end early");
    const one = new Uint8Array(prefix + suffix);
    one.set(former.subarray(0, prefix));
    one.set(rest.subarray(at, at + suffix), prefix);
    at += suffix;
    made.push((former = one));
  }
  return made;
}
