/** Fields of JSON objects, checked: each is of the type and the size that it has to be. */

import { Malformed } from "../errors.ts";
import type { Json, JsonObject } from "./canonical_json.ts";
import { Float } from "./canonical_json.ts";

/** Take a value as an object that has exactly these keys. */
export function objectOf(value: Json | undefined, keys: Iterable<string>, what: string): JsonObject {
  const made = anyObject(value, what);
  const expected = new Set(keys);
  const there = Object.keys(made);
  if (there.length !== expected.size || there.some((key) => !expected.has(key))) {
    throw new Malformed(`a ${what} has other fields than ${[...expected].join(", ")}`);
  }
  return made;
}

/** Take a value as an object. */
export function anyObject(value: Json | undefined, what: string): JsonObject {
  if (typeof value !== "object" || value === null || Array.isArray(value) || value instanceof Float) {
    throw new Malformed(`a ${what} is no object`);
  }
  return value;
}

/** Take a value as a list. */
export function listOf(value: Json | undefined, what: string): Json[] {
  if (!Array.isArray(value)) throw new Malformed(`${what} is no list`);
  return value;
}

/** Take a field as an integer within bounds. */
export function integer(
  object: JsonObject,
  key: string,
  low: number,
  high: number = Number.MAX_SAFE_INTEGER,
): number {
  const value = object[key];
  if (typeof value !== "number" || value < low || value > high) {
    throw new Malformed(`${key} is no integer from ${low} to ${high}`);
  }
  return value;
}

/** Take a field as so many lower-case hexadecimal digits. */
export function hexadecimal(object: JsonObject, key: string, digits: number): string {
  const value = object[key];
  if (typeof value !== "string" || value.length !== digits || !/^[0-9a-f]+$/.test(value)) {
    throw new Malformed(`${key} is not ${digits} hexadecimal digits`);
  }
  return value;
}

/** Take a field as a text. */
export function text(object: JsonObject, key: string): string {
  const value = object[key];
  if (typeof value !== "string") throw new Malformed(`${key} is no text`);
  return value;
}

/** Take a field as the name of a column of codes. */
export function columnName(object: JsonObject, key: string): string {
  const value = text(object, key);
  if (!/^[a-z0-9][a-z0-9_-]{0,31}$/.test(value) || value === "auto") {
    throw new Malformed(`${JSON.stringify(value)} is no name of a column of codes`);
  }
  return value;
}

/** Give JSON values with plain numbers, for those who only show them. */
export function plain(value: Json): unknown {
  if (value instanceof Float) return value.value;
  if (Array.isArray(value)) return value.map(plain);
  if (typeof value !== "object" || value === null) return value;
  return Object.fromEntries(Object.entries(value).map(([key, one]) => [key, plain(one)]));
}
