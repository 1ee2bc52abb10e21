/** Codec and describer files: a header of JSON, then named sections. */

import { inflate } from "../bytes/inflate.ts";
import { utf8Text } from "../bytes/joining.ts";
import { sha256 } from "../bytes/sha256.ts";
import { ArchiveError, Malformed, reasonOf } from "../errors.ts";
import type { NumberArray } from "./numbers.ts";
import { NUMBERS, numbersOf } from "./numbers.ts";

/** An array of a file, row-major. */
export interface NamedArray {
  readonly dtype: string;
  readonly shape: readonly number[];
  readonly values: NumberArray;
}

interface Section {
  readonly packing: "none" | "zlib";
  readonly length: number;
  readonly stored: Uint8Array;
  readonly dtype: string | null;
  readonly shape: readonly number[];
}

const MAGICS = {
  codec: [0x89, 0x4b, 0x49, 0x4e, 0x43, 0x0d, 0x0a, 0x1a],
  describer: [0x89, 0x4b, 0x49, 0x4e, 0x45, 0x0d, 0x0a, 0x1a],
};
const VERSION = 1;
const PREFIX = 16;
const DIGEST = 32;
const MOST_BYTES = 2 ** 28;
const DEEPEST = 64;

/** A codec or describer file, whole; each section is unpacked when it is asked for, and kept. */
export class Container {
  readonly where: string;
  readonly header: Readonly<Record<string, unknown>>;
  readonly #sections: ReadonlyMap<string, Section>;
  readonly #arrays = new Map<string, Promise<NamedArray>>();

  private constructor(where: string, header: Record<string, unknown>, sections: Map<string, Section>) {
    this.where = where;
    this.header = header;
    this.#sections = sections;
  }

  /**
   * Read a file.
   *
   * @param data all its bytes.
   * @param where its name, for messages.
   * @param what which of the two it must be.
   * @throws ArchiveError it is no such file, is damaged or truncated, or is of a newer format.
   */
  static read(data: Uint8Array, where: string, what: keyof typeof MAGICS): Container {
    try {
      const { header, sections } = parse(data, what);
      return new Container(where, header, sections);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new ArchiveError(`${where}: the ${what} file is damaged: ${error.message}; fetch it again`);
    }
  }

  /** Tell whether there is an array of this name. */
  has(name: string): boolean {
    return this.#sections.get(name)?.dtype != null;
  }

  /**
   * Give an array.
   *
   * @throws ArchiveError there is none, or it is damaged.
   */
  array(name: string): Promise<NamedArray> {
    const known = this.#arrays.get(name) ?? this.#unpacked(name);
    this.#arrays.set(name, known);
    return known;
  }

  /** Tell whether there is a section of this name that is no array. */
  hasBlob(name: string): boolean {
    return this.#sections.get(name)?.dtype === null;
  }

  /**
   * Give the bytes of a section that is no array.
   *
   * @throws ArchiveError there is none, or it is damaged.
   */
  async blob(name: string): Promise<Uint8Array> {
    const section = this.#sections.get(name);
    if (section?.dtype !== null) throw this.senseless(`it lacks the section ${name}`);
    return this.#bytes(name, section);
  }

  /** Give the error of a file that makes no sense. */
  senseless(reason: string): ArchiveError {
    return new ArchiveError(`${this.where}: the file makes no sense: ${reason}; make it anew`);
  }

  async #unpacked(name: string): Promise<NamedArray> {
    const section = this.#sections.get(name);
    if (section?.dtype == null) throw this.senseless(`it lacks the array ${name}`);
    const bytes = await this.#bytes(name, section);
    try {
      return { dtype: section.dtype, shape: section.shape, values: numbersOf(bytes, section.dtype) };
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw this.senseless(`section ${name}: ${error.message}`);
    }
  }

  async #bytes(name: string, { packing, stored, length }: Section): Promise<Uint8Array> {
    if (packing === "none") return stored;
    try {
      return await inflate(stored, "deflate", length);
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw this.senseless(`section ${name}: ${error.message}`);
    }
  }
}

function parse(
  data: Uint8Array,
  what: keyof typeof MAGICS,
): { header: Record<string, unknown>; sections: Map<string, Section> } {
  if (MAGICS[what].some((byte, i) => data[i] !== byte)) throw new Malformed("it is none");
  if (data.length < PREFIX + DIGEST) throw new Malformed("it is truncated");
  const view = new DataView(data.buffer, data.byteOffset, data.length);
  const version = view.getUint32(8, true);
  if (version > VERSION) throw new Malformed(`format ${version} is newer than this reader reads`);
  const end = data.length - DIGEST;
  const digest = Array.from(data.subarray(end), (byte) => byte.toString(16).padStart(2, "0")).join("");
  if (sha256(data.subarray(0, end)) !== digest) throw new Malformed("the SHA-256 at its end does not hold");
  if (version !== VERSION) throw new Malformed("there is no such format version");
  let at = PREFIX + view.getUint32(12, true);
  if (at > end) throw new Malformed("its header is longer than the file");
  const header = parseHeader(data.subarray(PREFIX, at));
  const listed = header["sections"];
  if (!Array.isArray(listed)) throw new Malformed("it lists no sections");
  const sections = new Map<string, Section>();
  let room = MOST_BYTES;
  for (const one of listed as unknown[]) {
    const fields = objectOf(one);
    const [name, stored, length] = [fields["name"], fields["stored"], fields["length"]];
    if (typeof name !== "string" || sections.has(name)) {
      throw new Malformed("a section is there twice, or has no name");
    }
    if (!isSize(stored, end - at) || !isSize(length, room)) {
      throw new Malformed(`section ${name} has an impossible length`);
    }
    room -= length;
    const section = readSection(fields, data.subarray(at, at + stored), length);
    at += stored;
    sections.set(name, section);
  }
  if (at !== end) throw new Malformed("bytes are left over after its last section");
  return { header, sections };
}

function readSection(fields: Record<string, unknown>, stored: Uint8Array, length: number): Section {
  const { packing, dtype } = fields;
  const name = String(fields["name"]);
  if (packing !== "none" && packing !== "zlib") throw new Malformed("a packing is not known");
  if (packing === "none" && stored.length !== length) {
    throw new Malformed(`section ${name} is not as long as stated`);
  }
  if (dtype === undefined) return { packing, length, stored, dtype: null, shape: [] };
  const shape = fields["shape"];
  if (typeof dtype !== "string" || !(dtype in NUMBERS) || !Array.isArray(shape)) {
    throw new Malformed(`array ${name} is of an unknown type`);
  }
  const sides = shape as unknown[];
  if (!sides.every((side) => isSize(side, MOST_BYTES))) {
    throw new Malformed(`array ${name} has no shape`);
  }
  const count = (sides as number[]).reduce((product, side) => product * side, 1);
  if (count * NUMBERS[dtype]! !== length) throw new Malformed(`array ${name} does not fit its shape`);
  return { packing, length, stored, dtype, shape: sides as number[] };
}

function parseHeader(data: Uint8Array): Record<string, unknown> {
  let header: unknown;
  try {
    header = JSON.parse(utf8Text(data));
  } catch (error) {
    throw new Malformed(`its header is no JSON (${reasonOf(error)})`);
  }
  if (depthOf(header) > DEEPEST) throw new Malformed("its header is nested too deep");
  return objectOf(header);
}

function objectOf(value: unknown): Record<string, unknown> {
  if (typeof value !== "object" || value === null || Array.isArray(value)) {
    throw new Malformed("its header is not of objects");
  }
  return value as Record<string, unknown>;
}

function isSize(value: unknown, most: number): value is number {
  return Number.isInteger(value) && (value as number) >= 0 && (value as number) <= most;
}

function depthOf(value: unknown): number {
  let level = [value];
  for (let depth = 0; depth <= DEEPEST; depth++) {
    level = level
      .filter((one): one is object => typeof one === "object" && one !== null)
      .flatMap((one) => (depth < DEEPEST ? Object.values(one) as unknown[] : [one]));
    if (!level.length) return depth;
  }
  return DEEPEST + 1;
}
