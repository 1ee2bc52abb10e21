/**
 * Limits of a segment: what its Parquet metadata declare, held against what a segment must be
 * before anything is allocated.
 */

import { Malformed } from "../errors.ts";
import type { Column, Encoding } from "./column_table.ts";
import { PAYLOAD, mostText, physicalType } from "./column_table.ts";
import type { Struct, Value } from "./thrift.ts";
import { readStruct } from "./thrift.ts";

/** One page of a column. */
export interface Page {
  readonly isDictionary: boolean;
  /** Its bytes as they are in the file. */
  readonly bytes: Uint8Array;
  /** Bytes once they are unpacked. */
  readonly size: number;
  readonly count: number;
  /** Parquet's number of how its values are laid out. */
  readonly encoding: number;
}

/** The pages of a column. */
export interface Pages {
  readonly column: Column;
  readonly isPacked: boolean;
  readonly pages: readonly Page[];
}

/** Parquet's number of values one after the other. */
export const PLAIN = 0;
const PLAIN_DICTIONARY = 2;
const RLE_DICTIONARY = 8;
const ENCODINGS: Record<Encoding, readonly number[]> = {
  plain: [PLAIN],
  dictionary: [PLAIN, PLAIN_DICTIONARY, RLE_DICTIONARY],
  "packed differences": [5],
  lengths: [6],
  "shared prefixes": [7],
};
const [UNCOMPRESSED, ZSTANDARD] = [0, 6];
const [DATA_PAGE, DICTIONARY_PAGE] = [0, 2];
const LONGEST_HEADER = 1 << 16;
const MAGIC = [0x50, 0x41, 0x52, 0x31];

/**
 * Find the pages of a segment's columns.
 *
 * @param tail the file's bytes from the payloads' end on.
 * @param offset byte in the file at which they begin.
 * @param rows images that there must be.
 * @param table all columns that there may be, in their order.
 * @returns the pages of each column that is there, but of the payload.
 * @throws Malformed the metadata are not those of a segment of so many images, or declare sizes that
 *   are not borne out.
 */
export function findPages(
  tail: Uint8Array,
  offset: number,
  rows: number,
  table: readonly Column[],
): Pages[] {
  const end = tail.length - 8;
  if (tail.length < 12 || MAGIC.some((byte, i) => tail[end + 4 + i] !== byte)) {
    throw new Malformed("it does not end as a Parquet file");
  }
  const view = new DataView(tail.buffer, tail.byteOffset, tail.length);
  const begin = end - view.getUint32(end, true);
  if (begin < 0) throw new Malformed("its footer is longer than all but the payloads");
  const [footer, next] = readStruct(tail, begin, end);
  if (next !== end) throw new Malformed("its footer is shorter than stated");
  const columns = readSchema(footer.get(2), table);
  const groups = footer.get(4);
  const group = Array.isArray(groups) && groups.length === 1 ? groups[0] : null;
  if (!(group instanceof Map) || footer.get(3) !== rows || group.get(3) !== rows) {
    throw new Malformed(`it has not ${rows} rows in one group`);
  }
  const chunks = group.get(1);
  if (!Array.isArray(chunks) || chunks.length !== columns.length) {
    throw new Malformed("its row group is not that of a segment");
  }
  let place = 4;
  const found: Pages[] = [];
  columns.forEach((column, i) => {
    const chunk = readChunk(chunks[i], column, rows, place);
    const start = place;
    place += chunk.size;
    if (column === PAYLOAD) {
      if (place !== offset) throw new Malformed("its payloads end elsewhere than stated");
      return;
    }
    const where = [start - offset, place - offset] as const;
    found.push({ column, isPacked: chunk.isPacked, pages: readPages(tail, where, column, rows, chunk.isPacked) });
  });
  if (place > offset + begin) throw new Malformed("its columns reach into its footer");
  return found;
}

function readSchema(schema: Value | undefined, table: readonly Column[]): Column[] {
  const root = Array.isArray(schema) ? schema[0] : null;
  const fields = Array.isArray(schema) ? schema.slice(1) : [];
  if (!(root instanceof Map) || !fields.length || root.get(5) !== fields.length) {
    throw new Malformed("its columns are none, or nested");
  }
  const found: Column[] = [];
  for (const column of table) {
    const field = fields[found.length];
    const named = field instanceof Map && isName(field.get(4), column.name);
    if (column.optional && !named) continue;
    const kind = physicalType(column);
    const fits =
      named &&
      field.get(1) === kind &&
      field.get(3) === Number(column.optional) &&
      (field.get(5) ?? 0) === 0;
    if (!fits) throw new Malformed(`its column ${column.name} is of another name or type`);
    found.push(column);
  }
  if (found.length !== fields.length) throw new Malformed("it has other columns than a segment");
  return found;
}

function readChunk(
  chunk: Value | undefined,
  column: Column,
  rows: number,
  place: number,
): { size: number; isPacked: boolean } {
  const name = column.name;
  const metadata = chunk instanceof Map ? chunk.get(3) : null;
  if (!(chunk instanceof Map) || !(metadata instanceof Map) || [1, 8, 9].some((key) => chunk.has(key))) {
    throw new Malformed(`its column ${name} is in another file, or encrypted`);
  }
  const data = numberOf(metadata, 9, name);
  const start = metadata.has(11) ? numberOf(metadata, 11, name) : data;
  const size = numberOf(metadata, 7, name);
  const packing = numberOf(metadata, 4, name);
  const path = metadata.get(3);
  const named = Array.isArray(path) && path.length === 1 && isName(path[0], name);
  const kind = physicalType(column);
  if (!named || metadata.get(1) !== kind || metadata.get(5) !== rows) {
    throw new Malformed(`its column ${name} is of another type or size`);
  }
  if (packing !== UNCOMPRESSED && packing !== ZSTANDARD) {
    throw new Malformed(`its column ${name} is packed in an unknown way`);
  }
  if (start !== place || !(start <= data && data <= start + size)) {
    throw new Malformed(`its column ${name} is elsewhere than behind the one before`);
  }
  return { size, isPacked: packing === ZSTANDARD };
}

/** Walk over a column's pages: their values add up to the rows, their bytes to no more. */
function readPages(
  tail: Uint8Array,
  [start, stop]: readonly [number, number],
  column: Column,
  rows: number,
  isPacked: boolean,
): Page[] {
  if (!(0 <= start && start <= stop && stop <= tail.length)) {
    throw new Malformed("a column lies outside the file");
  }
  let most = column.isText ? mostText(rows) + 16 * rows + 1024 : 9 * rows + 4096;
  const pages: Page[] = [];
  let values = 0;
  for (let at = start; at < stop; ) {
    const [page, begin] = readStruct(tail, at, Math.min(stop, at + LONGEST_HEADER));
    const [kind, size, packed] = [page.get(1), page.get(2), page.get(3)];
    const header = page.get(kind === DICTIONARY_PAGE ? 7 : 5);
    if (typeof size !== "number" || typeof packed !== "number" || !(header instanceof Map)) {
      throw new Malformed("a page has no sizes");
    }
    if (!(0 <= size && size <= most && 0 <= packed && packed <= stop - begin)) {
      throw new Malformed(`a page of ${packed} bytes declares ${size}, more than it may hold`);
    }
    if (!isPacked && size !== packed) {
      throw new Malformed("a page that is not packed declares another size than it has");
    }
    const [count, encoding] = [header.get(1), header.get(2)];
    if (typeof count !== "number" || !(0 <= count && count <= rows)) {
      throw new Malformed("a page declares more values than there are images");
    }
    most -= size;
    at = begin + packed;
    const isDictionary = kind === DICTIONARY_PAGE && !pages.length && column.encoding === "dictionary";
    const known = kind === DATA_PAGE && ENCODINGS[column.encoding].includes(encoding as number);
    if (!isDictionary && !known) throw new Malformed("a page is of an unknown sort, or encoded in an unknown way");
    if (!isDictionary) values += count;
    const bytes = tail.subarray(begin, at);
    pages.push({ isDictionary, bytes, size, count, encoding: encoding as number });
  }
  if (values !== rows) throw new Malformed(`a column has ${values} values in place of ${rows}`);
  return pages;
}

function numberOf(metadata: Struct, key: number, name: string): number {
  const value = metadata.get(key);
  if (typeof value !== "number") throw new Malformed(`the place of its column ${name} is missing`);
  return value;
}

function isName(value: Value | undefined, name: string): boolean {
  return value instanceof Uint8Array && new TextDecoder().decode(value) === name;
}
