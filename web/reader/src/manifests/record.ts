/** What one manifest file says: a whole revision, or what has changed since an earlier one. */

import { join } from "../bytes/joining.ts";
import { sha256 } from "../bytes/sha256.ts";
import { ArchiveError, Malformed } from "../errors.ts";
import type { Json, JsonObject } from "./canonical_json.ts";
import { isBefore, parseCanonical } from "./canonical_json.ts";
import { anyObject, columnName, hexadecimal, integer, listOf, objectOf, text } from "./fields.ts";
import type { Runs, SegmentEntry } from "./segment_entry.ts";
import { readRuns, readSegmentEntry } from "./segment_entry.ts";

/** Version of the formats that this reader reads. */
export const FORMAT = 1;
/** Highest number that a commit may have. */
export const HIGHEST = 9_999_999_999;

/** A file that a manifest names by its SHA-256: the codec, or the describer of a column of codes. */
export interface NamedFile {
  /** Of the column of codes; empty for the codec. */
  readonly name: string;
  readonly sha256: string;
  readonly bytes: number;
}

/** What a whole manifest says of the archive, and those that build on it do not repeat. */
export interface Whole {
  readonly codec: NamedFile;
  readonly describers: readonly NamedFile[];
  readonly metadata: JsonObject;
  /** The types of the columns that users added, by their names, in the order of these. */
  readonly columns: ReadonlyMap<string, ColumnType>;
}

/** What one manifest file says. */
export interface Record {
  readonly number: number;
  readonly archive: string;
  readonly parent: string | null;
  readonly created: string;
  readonly writer: string;
  readonly change: JsonObject;
  readonly checksum: string;
  readonly segments: readonly SegmentEntry[];
  /** The rest of a whole manifest; null where there is a base. */
  readonly whole: Whole | null;
  /** The manifest that it builds on; null for a whole one. */
  readonly base: { readonly number: number; readonly checksum: string } | null;
  /** Rows deleted since the base, by the segment's name. */
  readonly deleted: ReadonlyMap<string, Runs>;
}

/** A type of columns that users add. */
export type ColumnType = (typeof COLUMN_TYPES)[number];

const COLUMN_TYPES = [
  "bool", "int64", "float64", "string", "date", "timestamp", "timestamp_utc",
] as const;
const RESERVED = [
  "payload", "id", "label", "length", "width", "height", "channels", "quality", "kind", "checksum",
  "image", "file", "offset", "position", "rank", "distance", "similarity", "compared",
];
const MOST_COLUMNS = 256;
const LONGEST_NAME = 100; // of a column, in characters
const CONTROL = /[\u0000-\u001f\u007f-\u009f\u2028\u2029]|\p{Surrogate}/u;
const EVERY = [
  "format", "archive", "number", "parent", "created", "kinpack", "segments", "change", "checksum",
];
const NEWLINE = 10;

/** Give the name of a manifest's file. */
export function manifestFile(number: number): string {
  return `manifests/${String(number).padStart(10, "0")}.json`;
}

/**
 * Read a manifest file, every byte of it checked.
 *
 * @param data the file's content.
 * @param where its name for messages.
 * @throws ArchiveError it is damaged, or of a newer format.
 */
export function readRecord(data: Uint8Array, where: string): Record {
  try {
    if (data.at(-1) !== NEWLINE) throw new Malformed("it does not end in a newline");
    return checked(data.subarray(0, -1), where);
  } catch (error) {
    if (error instanceof Malformed) throw damagedManifest(where, error.message);
    throw error;
  }
}

/** Give the error of a damaged manifest. */
export function damagedManifest(where: string, reason: string): ArchiveError {
  return new ArchiveError(
    `${where}: damaged manifest: ${reason}; restore the file from a copy, or open an earlier ` +
      "revision by its number",
  );
}

function checked(data: Uint8Array, where: string): Record {
  const { value, members } = parseCanonical(data);
  const body = anyObject(value, "manifest");
  const format = body["format"];
  if (typeof format === "number" && format > FORMAT) {
    throw new ArchiveError(
      `${where}: format ${format} is newer than this reader reads (${FORMAT}), or the file is ` +
        "damaged; install a newer reader",
    );
  }
  const span = members.get("checksum");
  if (!span) throw new Malformed("it has no checksum");
  const rest = join(data.subarray(0, span[0] - 1), data.subarray(span[1])); // its comma too
  const checksum = hexadecimal(body, "checksum", 64);
  if (sha256(rest) !== checksum) throw new Malformed("its checksum does not hold");
  const based = "base" in body;
  const own = based ? ["base", "deleted"] : ["codec", "metadata"];
  if (!based) own.push(...["describers", "columns"].filter((key) => key in body));
  objectOf(body, [...EVERY, ...own], "manifest");
  if (format !== FORMAT) throw new Malformed("its format is unknown");
  const number = integer(body, "number", 1, HIGHEST);
  const first = body["parent"] === null;
  if (first !== (number === 1)) {
    throw new Malformed(`manifest ${number} has ${first ? "no" : "a"} parent`);
  }
  return {
    number,
    archive: hexadecimal(body, "archive", 32),
    parent: first ? null : hexadecimal(body, "parent", 64),
    created: text(body, "created"),
    writer: text(body, "kinpack"),
    change: anyObject(body["change"], "change"),
    checksum,
    segments: listOf(body["segments"], "segments").map(readSegmentEntry),
    whole: based ? null : readWhole(body),
    base: based ? readBase(body["base"], number) : null,
    deleted: based ? readDeleted(body["deleted"]) : new Map(),
  };
}

function readWhole(body: JsonObject): Whole {
  const codec = objectOf(body["codec"], ["sha256", "bytes"], "codec");
  const describers = !("describers" in body)
    ? []
    : listOf(body["describers"], "describers").map((value) => {
        const entry = objectOf(value, ["name", "sha256", "bytes"], "describer");
        return {
          name: columnName(entry, "name"),
          sha256: hexadecimal(entry, "sha256", 64),
          bytes: integer(entry, "bytes", 1),
        };
      });
  const distinct = new Set(describers.map((one) => one.name)).size === describers.length;
  if ("describers" in body && (!describers.length || !distinct)) {
    throw new Malformed("its describers are none, or two of one name");
  }
  return {
    codec: { name: "", sha256: hexadecimal(codec, "sha256", 64), bytes: integer(codec, "bytes", 0) },
    describers,
    metadata: anyObject(body["metadata"], "metadata"),
    columns: "columns" in body ? readColumns(body["columns"]) : new Map(),
  };
}

function readColumns(value: Json | undefined): Map<string, ColumnType> {
  const found = Object.entries(anyObject(value, "list of columns"));
  if (!found.length || found.length > MOST_COLUMNS) throw new Malformed("its columns are none, or too many");
  const columns = found.map(([name, type]): [string, ColumnType] => {
    const letters = [...name].length;
    const named = letters > 0 && letters <= LONGEST_NAME && !/^ | $/.test(name) && !CONTROL.test(name);
    const known = COLUMN_TYPES.find((one) => one === type);
    if (!named || !known || RESERVED.includes(name.toLowerCase())) {
      throw new Malformed(`its column ${JSON.stringify(name)} is of no such name or type`);
    }
    return [name, known];
  });
  return new Map(columns.sort(([one], [other]) => (isBefore(one, other) ? -1 : 1)));
}

function readBase(value: Json | undefined, number: number): { number: number; checksum: string } {
  const base = objectOf(value, ["number", "checksum"], "base");
  return {
    number: integer(base, "number", 1, number - 1),
    checksum: hexadecimal(base, "checksum", 64),
  };
}

function readDeleted(value: Json | undefined): Map<string, Runs> {
  const runs = Object.entries(anyObject(value, "deleted"));
  return new Map(runs.map(([name, one]) => [name, readRuns(one, HIGHEST)]));
}
