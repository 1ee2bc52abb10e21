/** Conditions that images are held to: a column, an operator, a value. */

import { NotFoundError } from "../errors.ts";
import type { AddedValue } from "../segments/added_values.ts";
import type { AddedType } from "../segments/column_table.ts";

/** How values are compared; `contains` is of texts, in whatever case. */
export type Operator = "contains" | "=" | "!=" | "<" | "<=" | ">" | ">=";

/** A condition; an image that has no value in the column does not pass it. */
export interface Condition {
  readonly column: string;
  readonly operator: Operator;
  /** Dates and times as texts by ISO 8601. */
  readonly value: string | number | bigint | boolean;
}

const OPERATORS: readonly string[] = ["contains", "=", "!=", "<", "<=", ">", ">="];

/**
 * Tell which values pass a condition: 1 for those that do.
 *
 * @param values of all images in the column.
 * @param type of the column.
 * @throws NotFoundError the operator or the value is none for such a column.
 */
export function passing(values: readonly AddedValue[], type: AddedType, condition: Condition): Uint8Array {
  const test = testOf(type, condition);
  return Uint8Array.from(values, (value) => (value !== null && test(value) ? 1 : 0));
}

function testOf(type: AddedType, { column, operator, value }: Condition): (value: NonNullable<AddedValue>) => boolean {
  const refuse = (reason: string): NotFoundError =>
    new NotFoundError(`the condition ${column} ${operator} ${String(value)}: ${reason}`);
  if (!OPERATORS.includes(operator)) throw refuse(`operators are ${OPERATORS.join(", ")}`);
  if (operator === "contains") {
    if (type !== "string" || typeof value !== "string") throw refuse("only texts contain others");
    const part = value.toLowerCase();
    return (one) => (one as string).toLowerCase().includes(part);
  }
  if (type === "bool") {
    if (typeof value !== "boolean" || !["=", "!="].includes(operator)) throw refuse("it is equal to true or false");
    return (one) => (one === value) === (operator === "=");
  }
  const isNumber = type === "int64" || type === "float64";
  if (isNumber ? !["number", "bigint"].includes(typeof value) || Number.isNaN(value) : typeof value !== "string") {
    throw refuse(`the column holds ${isNumber ? "numbers" : "texts, dates or times"}`);
  }
  // Texts of times are in order where they have no Z, and fractions six digits or none.
  const isTime = type === "timestamp" || type === "timestamp_utc";
  const padded = (time: string): string =>
    time.replace(/Z$/, "").replace(/\.\d{1,6}$/, (part) => (Number(part) ? part.padEnd(7, "0") : ""));
  const plain = (one: NonNullable<AddedValue>): string | number | bigint =>
    isTime ? padded(String(one)) : (one as string);
  const wanted = plain(value);
  switch (operator) {
    // Numbers and big integers compare with each other, and are never strictly equal.
    case "=":
      return (one) => !(plain(one) < wanted) && !(plain(one) > wanted);
    case "!=":
      return (one) => plain(one) < wanted || plain(one) > wanted;
    case "<":
      return (one) => plain(one) < wanted;
    case "<=":
      return (one) => plain(one) <= wanted;
    case ">":
      return (one) => plain(one) > wanted;
    default:
      return (one) => plain(one) >= wanted;
  }
}
