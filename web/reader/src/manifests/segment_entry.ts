/** What a manifest says of one segment. */

import { Malformed } from "../errors.ts";
import type { Json, JsonObject } from "./canonical_json.ts";
import { anyObject, columnName, hexadecimal, integer, listOf, objectOf } from "./fields.ts";

/** Rows as `[first, one past the last]`, ascending and apart. */
export type Runs = readonly (readonly [first: number, stop: number])[];

/** What a manifest says of the codes of a segment's images in one column. */
export interface CodeFile {
  readonly column: string;
  readonly file: string;
  readonly bytes: number;
  readonly sha256: string;
}

/** What a manifest says of the file that holds a segment's index under other names. */
export interface IndexFile {
  readonly file: string;
  readonly bytes: number;
  /** Byte at which it would begin in a segment of the same payloads. */
  readonly offset: number;
  readonly sha256: string;
}

/** What a manifest says of one segment; `deleted` is what the whole chain of manifests adds up to. */
export interface SegmentEntry {
  readonly name: string;
  readonly file: string;
  readonly bytes: number;
  readonly rows: number;
  readonly payloadBytes: number;
  readonly sha256: string;
  readonly indexOffset: number;
  readonly indexCrc32: number;
  readonly deleted: Runs;
  readonly codes: readonly CodeFile[];
  /** The file that is read in place of the segment's own index: images were renamed. */
  readonly index: IndexFile | null;
}

const KEYS = [
  "name", "bytes", "rows", "payload_bytes", "sha256", "index_offset", "index_crc32", "deleted",
];
const MOST_ROWS = 1 << 20;
const LEAST_BYTES = 4; // that each image takes of an index at least: a checksum, not packed

/**
 * Read the entry of JSON values, each checked.
 *
 * @throws Malformed a value is missing, unknown or out of its range.
 */
export function readSegmentEntry(value: Json): SegmentEntry {
  const there = anyObject(value, "segment");
  const further = ["codes", "index"].filter((key) => key in there);
  const entry = objectOf(value, [...KEYS, ...further], "segment");
  const bytes = integer(entry, "bytes", 1);
  const rows = integer(entry, "rows", 1, MOST_ROWS);
  const indexOffset = integer(entry, "index_offset", 4, bytes - 1);
  if (rows * LEAST_BYTES > bytes - indexOffset) {
    throw new Malformed(`${rows} rows are more than ${bytes} bytes can hold`);
  }
  const name = hexadecimal(entry, "name", 32);
  return {
    name,
    file: `segments/${name}.parquet`,
    bytes,
    rows,
    payloadBytes: integer(entry, "payload_bytes", 0, indexOffset - 4),
    sha256: hexadecimal(entry, "sha256", 64),
    indexOffset,
    indexCrc32: integer(entry, "index_crc32", 0, 0xffffffff),
    deleted: readRuns(entry["deleted"], rows),
    codes: "codes" in entry ? readCodes(entry, rows) : [],
    index: "index" in entry ? readIndexFile(entry["index"], rows) : null,
  };
}

function readIndexFile(value: Json | undefined, rows: number): IndexFile {
  const index = objectOf(value, ["name", "bytes", "offset", "sha256"], "file of an index");
  const bytes = integer(index, "bytes", 1);
  if (rows * LEAST_BYTES > bytes) {
    throw new Malformed(`${rows} rows are more than ${bytes} bytes can hold`);
  }
  return {
    file: `segments/${hexadecimal(index, "name", 32)}.index`,
    bytes,
    offset: integer(index, "offset", 4),
    sha256: hexadecimal(index, "sha256", 64),
  };
}

function readCodes(entry: JsonObject, rows: number): CodeFile[] {
  const codes = listOf(entry["codes"], "codes").map((value) => {
    const file = objectOf(value, ["column", "name", "bytes", "sha256"], "file of codes");
    const column = columnName(file, "column");
    const bytes = integer(file, "bytes", rows);
    if (bytes % rows) throw new Malformed(`${bytes} bytes are no codes of ${rows} images`);
    const name = `codes/${hexadecimal(file, "name", 32)}.${column}.bin`;
    return { column, file: name, bytes, sha256: hexadecimal(file, "sha256", 64) };
  });
  if (!codes.length || new Set(codes.map((one) => one.column)).size < codes.length) {
    throw new Malformed("the codes of a segment are none, or two of one column");
  }
  return codes;
}

/**
 * Read runs of rows.
 *
 * @param value a list of pairs.
 * @param rows one past the highest row there may be.
 * @throws Malformed it is no list of runs, ascending and apart.
 */
export function readRuns(value: Json | undefined, rows: number): Runs {
  let end = -1;
  return listOf(value, "deleted").map((run) => {
    const [first, stop] = listOf(run, "a run of rows");
    const good = (run as Json[]).length === 2 && typeof first === "number" && typeof stop === "number";
    if (!good || !(end < first && first < stop && stop <= rows)) {
      throw new Malformed("deleted rows are out of order or out of range");
    }
    end = stop;
    return [first, stop] as const;
  });
}

/**
 * Add runs of rows to those that are deleted.
 *
 * @throws Malformed one of the rows is deleted already, or not there.
 */
export function withDeleted(entry: SegmentEntry, runs: Runs): SegmentEntry {
  const merged: [number, number][] = [];
  for (const [first, stop] of [...entry.deleted, ...runs].sort((a, b) => a[0] - b[0])) {
    const last = merged.at(-1);
    if (stop > entry.rows || (last && first < last[1])) {
      throw new Malformed(`rows of ${entry.name} are deleted that are not there`);
    }
    if (last && first === last[1]) last[1] = stop;
    else merged.push([first, stop]);
  }
  return { ...entry, deleted: merged };
}

/** Give the rows of a segment that are not deleted, ascending. */
export function livingRows(entry: SegmentEntry): number[] {
  const rows: number[] = [];
  let next = 0;
  for (const [first, stop] of [...entry.deleted, [entry.rows, entry.rows] as const]) {
    for (; next < first; next++) rows.push(next);
    next = stop;
  }
  return rows;
}
