/** The columns of a segment's index, decoded from its pages. */

import { utf8Text } from "../bytes/joining.ts";
import { Malformed } from "../errors.ts";
import { plainAdded } from "./added_values.ts";
import type { AddedValue } from "./added_values.ts";
import type { AddedType, Column } from "./column_table.ts";
import { mostText } from "./column_table.ts";
import type { Page, Pages } from "./parquet_limits.ts";
import { PLAIN } from "./parquet_limits.ts";
import { differences, plainIntegers, plainTexts, runs, sharedPrefixes } from "./page_values.ts";
import { unpackFrame } from "./zstandard.ts";

/** Values of a column, row by row: texts, null where an image has none, integers, or what users added. */
export type Values = readonly AddedValue[] | Float64Array;

/**
 * Decode a column.
 *
 * @param rows images that there are.
 * @throws Malformed it is damaged, or its values are out of range.
 */
export function decodeColumn({ column, isPacked, pages }: Pages, rows: number): Values {
  const read = (page: Page): Uint8Array =>
    isPacked && page.bytes.length + page.size ? unpackFrame(page.bytes, page.size) : page.bytes;
  if (column.isText) return texts(column, pages, read, rows);
  if (column.added && column.added !== "string") return added(column.added, pages, read);
  return integers(column, pages, read, rows);
}

type Read = (page: Page) => Uint8Array;

function texts(column: Column, pages: readonly Page[], read: Read, rows: number): (string | null)[] {
  const most = mostText(rows);
  const made: (string | null)[] = [];
  let words: Text[] = [];
  let total = 0;
  for (const page of pages) {
    const data = read(page);
    if (page.isDictionary) {
      words = plainTexts(data, page.count).map((bytes) => textOf(bytes, column));
      continue;
    }
    const { levels, rest, count } = column.optional ? definitions(data, page.count) : bare(data, page.count);
    let some: Text[];
    if (column.encoding === "shared prefixes") {
      some = sharedPrefixes(rest, count, most - total, column.most).map((bytes) => textOf(bytes, column));
    } else if (page.encoding === PLAIN) {
      some = plainTexts(rest, count).map((bytes) => textOf(bytes, column));
    } else {
      some = Array.from(places(rest, count, words.length), (place) => words[place]!);
    }
    for (const one of some) total += one.bytes;
    if (total > most) throw new Malformed(`its ${column.name}s are longer than ${most} bytes together`);
    let at = 0;
    for (let i = 0; i < page.count; i++) made.push(!levels || levels[i] ? some[at++]!.text : null);
  }
  return made;
}

function added(type: Exclude<AddedType, "string">, pages: readonly Page[], read: Read): AddedValue[] {
  const made: AddedValue[] = [];
  let words: AddedValue[] = [];
  for (const page of pages) {
    const data = read(page);
    if (page.isDictionary) {
      words = plainAdded(data, page.count, type);
      continue;
    }
    const { levels, rest, count } = definitions(data, page.count);
    const some =
      page.encoding === PLAIN
        ? plainAdded(rest, count, type)
        : Array.from(places(rest, count, words.length), (place) => words[place]!);
    let at = 0;
    for (let i = 0; i < page.count; i++) made.push(!levels || levels[i] ? some[at++]! : null);
  }
  return made;
}

interface Text {
  readonly text: string;
  readonly bytes: number;
}

function textOf(bytes: Uint8Array, column: Column): Text {
  if (bytes.length > column.most) {
    throw new Malformed(`its column ${column.name} has a text of ${bytes.length} bytes`);
  }
  try {
    return { text: utf8Text(bytes), bytes: bytes.length };
  } catch {
    throw new Malformed(`its ${column.name}s are not all text`);
  }
}

function integers(column: Column, pages: readonly Page[], read: Read, rows: number): Float64Array {
  const made = new Float64Array(rows);
  let words: Int32Array = new Int32Array(0);
  let at = 0;
  for (const page of pages) {
    const data = read(page);
    if (page.isDictionary) {
      words = plainIntegers(data, page.count);
    } else if (column.encoding === "packed differences") {
      made.set(differences(data, page.count)[0], at);
      at += page.count;
    } else if (page.encoding === PLAIN) {
      made.set(plainIntegers(data, page.count), at);
      at += page.count;
    } else {
      for (const place of places(data, page.count, words.length)) made[at++] = words[place]!;
    }
  }
  for (let row = 0; row < rows; row++) {
    if (column.most === 0xffffffff) made[row] = made[row]! >>> 0;
    if (!(made[row]! >= 0 && made[row]! <= column.most)) {
      throw new Malformed(`its column ${column.name} has ${made[row]}, which is out of range`);
    }
  }
  return made;
}

/** Places in a dictionary, each within it. */
function places(data: Uint8Array, count: number, words: number): Uint32Array {
  if (!data.length && count) throw new Malformed("a page has no values");
  const found = runs(data.subarray(1), data[0] ?? 0, count);
  if (found.some((place) => place >= words)) throw new Malformed("a value is none of its dictionary");
  return found;
}

interface Levels {
  /** For each row whether there is a value; null where all are there. */
  readonly levels: Uint32Array | null;
  readonly rest: Uint8Array;
  readonly count: number;
}

function bare(rest: Uint8Array, count: number): Levels {
  return { levels: null, rest, count };
}

/** Cut off what tells which rows of a page have a value. */
function definitions(data: Uint8Array, rows: number): Levels {
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const length = data.length >= 4 ? view.getUint32(0, true) : Infinity;
  if (4 + length > data.length) throw new Malformed("a page has no levels");
  const levels = runs(data.subarray(4, 4 + length), 1, rows);
  let count = 0;
  for (const level of levels) {
    if (level > 1) throw new Malformed("a page has unknown levels");
    count += level;
  }
  return { levels, rest: data.subarray(4 + length), count };
}
