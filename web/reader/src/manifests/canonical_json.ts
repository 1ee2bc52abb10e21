/**
 * Canonical JSON: the one way in which a manifest is written, so that a flipped byte cannot hide.
 *
 * It is read and held to that way at once: keys ascend by code points, nothing may be written
 * otherwise than Python's `json.dumps(value, sort_keys=True, separators=(",", ":"))` writes it.
 */

import { asciiText } from "../bytes/joining.ts";
import { Malformed } from "../errors.ts";

/** A number with a fraction or an exponent: no field of the format is one. */
export class Float {
  readonly value: number;

  constructor(value: number) {
    this.value = value;
  }
}

/** A JSON value; integers beyond 2^53 are `bigint`. */
export type Json = null | boolean | number | bigint | Float | string | Json[] | JsonObject;
/** A JSON object, without a prototype. */
export type JsonObject = { [key: string]: Json };

/** A value, and where the members of the outermost object lie in its text. */
export interface Parsed {
  readonly value: Json;
  /** First byte and one past the last of each member, from its key on. */
  readonly members: ReadonlyMap<string, readonly [first: number, stop: number]>;
}

const DEEPEST = 65; // a manifest, and 64 lists and objects within it
const INTEGER = /^(?:0|-?[1-9][0-9]*)$/;
const NUMBER_LETTERS = /[-+0-9.e]/;
const SHORT: Record<string, string> = {
  '"': '"', "\\": "\\", n: "\n", r: "\r", t: "\t", b: "\b", f: "\f",
};
const SHORTENED = new Set(Object.values(SHORT));

/**
 * Read canonical JSON.
 *
 * @param data its bytes, without a newline at the end.
 * @throws Malformed they are no JSON, or not of that form.
 */
export function parseCanonical(data: Uint8Array): Parsed {
  if (data.some((byte) => byte < 32 || byte > 126)) throw notCanonical();
  const parser = new Parser(asciiText(data));
  const value = parser.value(1);
  if (parser.at !== data.length) throw notCanonical();
  return { value, members: parser.members };
}

class Parser {
  at = 0;
  readonly members = new Map<string, readonly [number, number]>();
  readonly #text: string;

  constructor(text: string) {
    this.#text = text;
  }

  value(depth: number): Json {
    const letter = this.#text[this.at];
    if (letter === "{") return this.#object(depth);
    if (letter === "[") return this.#list(depth);
    if (letter === '"') return this.#string();
    for (const [word, value] of [["null", null], ["true", true], ["false", false]] as const) {
      if (this.#text.startsWith(word, this.at)) {
        this.at += word.length;
        return value;
      }
    }
    return this.#number();
  }

  #object(depth: number): JsonObject {
    if (depth > DEEPEST) throw tooDeep();
    const made = Object.create(null) as JsonObject;
    let former: string | null = null;
    for (this.at++; !this.#ends("}", former === null); ) {
      const first = this.at;
      const key = this.#string();
      if (former !== null && !isBefore(former, key)) throw notCanonical();
      former = key;
      this.#take(":");
      made[key] = this.value(depth + 1);
      if (depth === 1) this.members.set(key, [first, this.at]);
    }
    return made;
  }

  #list(depth: number): Json[] {
    if (depth > DEEPEST) throw tooDeep();
    const made: Json[] = [];
    for (this.at++; !this.#ends("]", made.length === 0); ) made.push(this.value(depth + 1));
    return made;
  }

  /** Whether the list or object ends here; else take the comma before its next element. */
  #ends(closing: string, first: boolean): boolean {
    if (this.#text[this.at] === closing) {
      this.at++;
      return true;
    }
    if (!first) this.#take(",");
    return false;
  }

  #take(letter: string): void {
    if (this.#text[this.at] !== letter) throw notCanonical();
    this.at++;
  }

  #string(): string {
    this.#take('"');
    let made = "";
    for (;;) {
      const letter = this.#text[this.at++];
      if (letter === undefined) throw notCanonical();
      if (letter === '"') return made;
      made += letter === "\\" ? this.#escaped() : letter;
    }
  }

  #escaped(): string {
    const letter = this.#text[this.at++] ?? "";
    if (letter in SHORT) return SHORT[letter]!;
    const digits = this.#text.slice(this.at, this.at + 4);
    if (letter !== "u" || !/^[0-9a-f]{4}$/.test(digits)) throw notCanonical();
    this.at += 4;
    const code = parseInt(digits, 16);
    const made = String.fromCharCode(code);
    if ((code >= 32 && code <= 126) || SHORTENED.has(made)) throw notCanonical();
    return made;
  }

  #number(): number | bigint | Float {
    const first = this.at;
    while (NUMBER_LETTERS.test(this.#text[this.at] ?? "")) this.at++;
    const text = this.#text.slice(first, this.at);
    if (INTEGER.test(text)) {
      if (text.length > 4300) throw new Malformed("it is no JSON: a number has too many digits");
      return Number.isSafeInteger(Number(text)) ? Number(text) : BigInt(text);
    }
    const value = text ? Number(text) : NaN;
    if (!Number.isFinite(value) || spelledFloat(value) !== text) throw notCanonical();
    return new Float(value);
  }
}

/** Spell a float64 as Python does: the fewest digits that read back to the same number. */
function spelledFloat(value: number): string {
  const sign = value < 0 || Object.is(value, -0) ? "-" : "";
  const [mantissa, power] = Math.abs(value).toExponential().split("e") as [string, string];
  const digits = mantissa.replace(".", "");
  const exponent = Number(power);
  if (exponent < -4 || exponent >= 16) {
    const fraction = digits.length > 1 ? `.${digits.slice(1)}` : "";
    const size = String(Math.abs(exponent)).padStart(2, "0");
    return `${sign}${digits[0]}${fraction}e${exponent < 0 ? "-" : "+"}${size}`;
  }
  if (exponent < 0) return `${sign}0.${"0".repeat(-exponent - 1)}${digits}`;
  const whole = digits.slice(0, exponent + 1).padEnd(exponent + 1, "0");
  return `${sign}${whole}.${digits.slice(exponent + 1) || "0"}`;
}

/** Whether one text stands before another by code points, which differ from JavaScript's units. */
export function isBefore(one: string, other: string): boolean {
  const [a, b] = [Array.from(one), Array.from(other)];
  for (let i = 0; i < Math.min(a.length, b.length); i++) {
    const difference = a[i]!.codePointAt(0)! - b[i]!.codePointAt(0)!;
    if (difference) return difference < 0;
  }
  return a.length < b.length;
}

function notCanonical(): Malformed {
  return new Malformed("it is no JSON, or its form is not canonical");
}

function tooDeep(): Malformed {
  return new Malformed("its values are nested deeper than 64");
}
