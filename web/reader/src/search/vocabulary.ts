/** The words that a describer knows: each stands for classes that its network tells apart. */

import { utf8Text } from "../bytes/joining.ts";
import type { Container } from "../containers/container.ts";
import { Malformed, UnknownWordError } from "../errors.ts";
import { closeMatches } from "./spelling.ts";

const [MOST_CLASSES, MOST_WORDS, MOST_NAMES, LONGEST_NAME, MOST_NUMBERS] = [4096, 1 << 14, 64, 100, 2048];
const MOST_BYTES = 1 << 22; // of the list of words
const SUGGESTED = 5;
const CONTROL = /[\p{C}\p{Zl}\p{Zp}]|[^\S ]/u; // letters that do not print

/** One meaning: the names that it goes by, and the numbers of its classes, ascending. */
export interface Word {
  readonly names: readonly string[];
  readonly classes: readonly number[];
}

/** The words of a describer, and what scores its classes. */
export class Vocabulary {
  readonly words: readonly Word[];
  /** Numbers of the latents by which classes are told. */
  readonly size: number;
  /** C · size weights. */
  readonly vectors: Float32Array;
  /** C numbers. */
  readonly biases: Float32Array;
  readonly #byName = new Map<string, Word>();

  private constructor(words: readonly Word[], size: number, vectors: Float32Array, biases: Float32Array) {
    [this.words, this.size, this.vectors, this.biases] = [words, size, vectors, biases];
    for (const word of words) for (const name of word.names) this.#byName.set(plain(name), word);
  }

  /**
   * Read the words of a describer.
   *
   * @param size numbers of its latents.
   * @throws ArchiveError they make no sense.
   */
  static async read(container: Container, size: number): Promise<Vocabulary> {
    const [vectors, biases] = [await container.array("class_vectors"), await container.array("class_biases")];
    const classes = biases.values.length;
    const fits =
      ["float16", "float32"].includes(vectors.dtype) && biases.dtype === "float32" && biases.shape.length === 1 &&
      classes >= 1 && classes <= MOST_CLASSES && size <= MOST_NUMBERS &&
      vectors.shape.join() === [classes, size].join() &&
      [vectors.values, biases.values].every((some) => Array.prototype.every.call(some, Number.isFinite));
    if (!fits) throw container.senseless("the classes of its words do not fit its latents");
    try {
      const words = readWords(await container.blob("words"), classes);
      return new Vocabulary(words, size, Float32Array.from(vectors.values), Float32Array.from(biases.values));
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw container.senseless(`its words: ${error.message}`);
    }
  }

  /**
   * Give the word of a name; capitals and spaces do not matter.
   *
   * @throws UnknownWordError there is none; the error has the nearest known ones.
   */
  word(name: string): Word {
    const asked = plain(name);
    let found = this.#byName.get(asked);
    if (!found && asked.length <= LONGEST_NAME) found = this.#byName.get(asked.replace(/s$/, "")); // a plural
    if (found) return found;
    const parts = asked.split(" ");
    const within = [...this.#byName.keys()].filter((known) => parts.includes(known));
    // Longer ones first; of equal ones the later, as in Python.
    within.sort((a, b) => a.length - b.length).reverse();
    const near = closeMatches(asked.slice(0, LONGEST_NAME), this.#byName.keys(), SUGGESTED);
    const known = [...new Set([...within, ...near])].slice(0, SUGGESTED);
    const hint = known.length ? `did you mean ${known.join(", ")}?` : "none is spelt like it";
    throw new UnknownWordError(`the word ${JSON.stringify(name.slice(0, LONGEST_NAME))} is not known: ${hint}`, known);
  }
}

/** A name as it is compared. */
function plain(name: string): string {
  return name.toLowerCase().replaceAll("-", " ").split(/\s+/).filter(Boolean).join(" ");
}

function readWords(data: Uint8Array, classes: number): Word[] {
  if (data.length > MOST_BYTES) throw new Malformed("their list is too long");
  let rows: unknown;
  try {
    rows = JSON.parse(utf8Text(data));
  } catch {
    throw new Malformed("their list is no JSON");
  }
  if (!Array.isArray(rows) || !rows.length || rows.length > MOST_WORDS) {
    throw new Malformed("they are no list, or a list of none or too many");
  }
  return rows.map((row) => readWord(row, classes));
}

function readWord(row: unknown, classes: number): Word {
  const [names, numbers] = Array.isArray(row) && row.length === 2 ? (row as unknown[]) : [];
  if (!Array.isArray(names) || !names.length || names.length > MOST_NAMES) {
    throw new Malformed(`a word has no names, or more than ${MOST_NAMES}`);
  }
  const isName = (name: unknown): name is string =>
    typeof name === "string" && name.length <= LONGEST_NAME && !CONTROL.test(name) && plain(name) !== "";
  if (!names.every(isName)) throw new Malformed("a name is no line of text, or too long");
  const isAbove = (one: unknown, at: number, all: unknown[]): one is number =>
    Number.isInteger(one) && (one as number) > (at ? (all[at - 1] as number) : -1) && (one as number) < classes;
  if (!Array.isArray(numbers) || !numbers.length || !numbers.every(isAbove)) {
    throw new Malformed("the classes of a word are not there, or not in order");
  }
  return { names, classes: numbers };
}
