/** Values of the columns that users add, as JSON has them. */

import { Malformed } from "../errors.ts";
import type { AddedType } from "./column_table.ts";

/** A value; an integer beyond 2^53 is a `bigint`, a date or time a text by ISO 8601. */
export type AddedValue = string | number | bigint | boolean | null;

const DAY = 86_400_000; // milliseconds
const SECOND = 1_000_000n; // microseconds
const [FIRST_DAY, LAST_DAY] = [-719_162, 2_932_896]; // of the years 1 to 9999, from 1970 on

/**
 * Decode values that lie one after the other.
 *
 * @param data a page's values.
 * @param count how many there must be.
 * @param type of the column; any but texts.
 * @throws Malformed they are more or fewer, or a date or time is before the year 1 or after 9999.
 */
export function plainAdded(
  data: Uint8Array,
  count: number,
  type: Exclude<AddedType, "string">,
): AddedValue[] {
  const size = type === "bool" ? Math.ceil(count / 8) : count * (type === "date" ? 4 : 8);
  if (data.length !== size) throw new Malformed("a page has another size than its values");
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  return Array.from({ length: count }, (_, i): AddedValue => {
    switch (type) {
      case "bool":
        return ((data[i >> 3]! >> (i & 7)) & 1) === 1;
      case "float64":
        return view.getFloat64(8 * i, true);
      case "date":
        return day(view.getInt32(4 * i, true));
      case "int64":
        return integer(view.getBigInt64(8 * i, true));
      default:
        return time(view.getBigInt64(8 * i, true), type === "timestamp_utc");
    }
  });
}

function integer(value: bigint): number | bigint {
  return Number.isSafeInteger(Number(value)) ? Number(value) : value;
}

function day(days: number): string {
  if (days < FIRST_DAY || days > LAST_DAY) throw new Malformed("a date is outside the years 1 to 9999");
  return new Date(days * DAY).toISOString().slice(0, 10);
}

function time(micros: bigint, isUtc: boolean): string {
  const fraction = ((micros % SECOND) + SECOND) % SECOND;
  const seconds = Number((micros - fraction) / SECOND);
  const days = Math.floor(seconds / 86_400);
  if (days < FIRST_DAY || days > LAST_DAY) throw new Malformed("a time is outside the years 1 to 9999");
  const plain = new Date(seconds * 1000).toISOString().slice(0, 19);
  const digits = fraction ? `.${String(fraction).padStart(6, "0")}` : "";
  return `${plain}${digits}${isUtc ? "Z" : ""}`;
}
