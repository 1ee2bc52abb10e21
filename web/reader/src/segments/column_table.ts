/** The columns of a segment, in the order in which they lie in the file. */

/** How Parquet lays out the values of a page; a dictionary may give way to `plain`. */
export type Encoding = "plain" | "dictionary" | "packed differences" | "lengths" | "shared prefixes";

/** Types of columns that users add, and Parquet's numbers of the types that hold them. */
export const ADDED = {
  bool: 0,
  int64: 2,
  float64: 5,
  string: 6,
  date: 1,
  timestamp: 2,
  timestamp_utc: 2,
} as const;
/** A type of columns that users add. */
export type AddedType = keyof typeof ADDED;
/** The types of the columns that users added, by their names. */
export type Schema = ReadonlyMap<string, AddedType>;

const [INT32, BYTE_ARRAY] = [1, 6];

/** One column, as the format fixes it. */
export interface Column {
  readonly name: string;
  /** Whether values are texts (or payloads); else they are integers up to `most`, or of `added`. */
  readonly isText: boolean;
  /** Its type if users added it. */
  readonly added?: AddedType;
  readonly encoding: Encoding;
  /** Whether an image may have no value; a segment without the column has none at all. */
  readonly optional: boolean;
  /** Largest integer, or most bytes of a text. */
  readonly most: number;
}

const LONGEST_TEXT = 1 << 16;

function text(name: string, encoding: Encoding, optional = false): Column {
  return { name, isText: true, encoding, optional, most: LONGEST_TEXT };
}

function number(name: string, encoding: Encoding, most: number): Column {
  return { name, isText: false, encoding, optional: false, most };
}

export const PAYLOAD: Column = { ...text("payload", "lengths"), most: 2 ** 31 - 1 };

/** All columns, payloads first. */
export const COLUMNS: readonly Column[] = [
  PAYLOAD,
  text("id", "shared prefixes"),
  text("label", "dictionary", true),
  number("length", "packed differences", 2 ** 31 - 1),
  number("width", "dictionary", 0xffff),
  number("height", "dictionary", 0xffff),
  number("channels", "dictionary", 255),
  number("quality", "dictionary", 255),
  number("kind", "dictionary", 255),
  number("checksum", "plain", 0xffffffff),
];

/**
 * Give all columns that a segment may have, in their order.
 *
 * @param schema of the columns that users added.
 */
export function columnsWith(schema: Schema): readonly Column[] {
  const added = [...schema].map(([name, type]): Column => {
    const column = text(name, type === "bool" ? "plain" : "dictionary", true);
    return { ...column, isText: type === "string", added: type };
  });
  return [...COLUMNS, ...added];
}

/** Give Parquet's number of the type that holds a column. */
export function physicalType(column: Column): number {
  return column.added ? ADDED[column.added] : column.isText ? BYTE_ARRAY : INT32;
}

/** Give the most bytes that all ids of a segment may have, all labels, all texts of a column. */
export function mostText(rows: number): number {
  return 2 ** 20 + 4096 * rows;
}
