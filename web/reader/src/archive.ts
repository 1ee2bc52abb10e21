/** An archive, opened for reading: the face of this package. */

import { Container } from "./containers/container.ts";
import type { Picture } from "./describing/fitting.ts";
import { NotFoundError } from "./errors.ts";
import { readRevision } from "./manifests/revision.ts";
import { asciiText } from "./bytes/joining.ts";
import { readBooks } from "./search/books.ts";
import { codeOf, findByWord, findKin, findNear, finerColumn, readColumn } from "./search/kin.ts";
import type { Column, Found, Hit, Mask, Poses } from "./search/kin.ts";
import { similarityOf, strangersApart } from "./search/likeness.ts";
import { Placeholders } from "./search/placeholder.ts";
import type { WordScan } from "./search/word_scan.ts";
import type { Store } from "./stores/store.ts";
import { OpenRevision, storeOf } from "./open_revision.ts";

const HEAD_BYTES = 1 << 14; // of a describer file: they tell what is in it

/** An archive, opened for reading and searched. */
export class Archive extends OpenRevision {
  readonly #placeholders = new Map<string, Promise<Placeholders>>();
  readonly #columns = new Map<string, Promise<Column>>();
  readonly #describers = new Map<string, Promise<Container>>();
  readonly #scans = new Map<string, Promise<WordScan | null>>();

  /**
   * Open an archive.
   *
   * @param source the address of a sealed archive, or with a slash at its end of a folder whose files
   *   a server lists; its bytes (a `File` that somebody dropped); or a store.
   * @param at number of the revision; by default it is the newest.
   * @throws ArchiveError there is none, or it is damaged.
   */
  static async open(source: string | URL | Blob | Store, at?: number): Promise<Archive> {
    const store = await storeOf(source);
    try {
      return new Archive(store, await readRevision(store, at));
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /**
   * Find the images whose codes are nearest to that of one of them, itself first.
   *
   * Where there are longer codes, they order the first hundred anew.
   *
   * @param k how many.
   * @param codes name of the column; by default the one that is usually searched.
   * @param mask which images may be found: by position, 1 for those that may; by default all.
   * @throws NotFoundError the id, or its code, is not there, or no such column.
   * @throws ArchiveError a file is missing or damaged.
   */
  async search(id: string, k = 10, codes?: string, mask: Mask = null): Promise<Hit[]> {
    const name = this.#columnName(codes);
    const position = await this.position(id);
    const finer = this.#finer(name);
    const column = await this.#column(name);
    const longer = finer === null ? null : await this.#column(finer);
    return this.#hits(findKin(position, k, column, longer, mask), column);
  }

  /**
   * Draw an image from its code alone, blurred; its payload is not read.
   *
   * @param codes name of the column; by default the one that is usually searched.
   * @returns 16 × 16 pixels, red, green and blue of each: the whole image, squeezed to a square.
   * @throws NotFoundError the id, or its code, is not there, or the describer draws none.
   * @throws ArchiveError a file is missing or damaged.
   */
  async placeholder(id: string, codes?: string): Promise<Uint8Array> {
    const name = this.#columnName(codes);
    const code = codeOf(await this.position(id), await this.#column(name));
    return (await this.#placeholdersOf(name)).draw(code);
  }

  #column(name: string): Promise<Column> {
    const known = this.#columns.get(name) ?? this.#readColumn(name);
    this.#columns.set(name, known);
    return known;
  }

  /** The name of a column of codes; the first one by default. */
  #columnName(codes: string | undefined): string {
    const name = codes ?? this.describers[0];
    if (name !== undefined && this.describers.includes(name)) return name;
    throw new NotFoundError(
      `${this.where}: it has no codes ${name ?? "to search"}; those that it has: ` +
        (this.describers.join(", ") || "none"),
    );
  }

  #placeholdersOf(name: string): Promise<Placeholders> {
    const known = this.#placeholders.get(name) ?? this.#readPlaceholders(name);
    this.#placeholders.set(name, known);
    return known;
  }

  async #readPlaceholders(name: string): Promise<Placeholders> {
    const container = await this.#describer(name);
    return Placeholders.read(container, await readBooks(container, false));
  }

  #describer(name: string): Promise<Container> {
    const known = this.#describers.get(name) ?? this.#readDescriber(name);
    this.#describers.set(name, known);
    return known;
  }

  async #readDescriber(name: string): Promise<Container> {
    const described = this.revision.whole.describers.find((one) => one.name === name)!;
    const file = `describers/${described.sha256}.kine`;
    return Container.read(await this.named(file, described), `${this.where}/${file}`, "describer");
  }

  async #readColumn(name: string): Promise<Column> {
    const container = await this.#describer(name);
    return readColumn(name, await readBooks(container), (await this.all()).places);
  }

  /**
   * Find the images whose codes are nearest to a picture that is none of them.
   *
   * It is looked for in the turns that the describer asks for. Pictures are not compared.
   *
   * @param picture its pixels.
   * @param k how many.
   * @param codes name of the column; by default the one that is usually searched.
   * @param mask which images may be found: by position, 1 for those that may; by default all.
   * @throws NotFoundError there is no such column, or its describer describes no pictures.
   * @throws ArchiveError a file is missing or damaged.
   */
  async searchPicture(picture: Picture, k = 10, codes?: string, mask: Mask = null): Promise<Hit[]> {
    const name = this.#columnName(codes);
    const { PictureDescriber } = await import("./describing/picture_describer.ts");
    const tables = async (one: string): Promise<Poses> =>
      (await PictureDescriber.read(await this.#describer(one))).tables(picture);
    const [column, longer] = [await this.#column(name), this.#finer(name)];
    const poses = longer === null ? [] : await tables(longer);
    const finer = longer === null ? null : { column: await this.#column(longer), poses: () => poses };
    return this.#hits(findNear(await tables(name), k, column, finer, mask).slice(0, k), column);
  }

  /**
   * Give the code of a picture: the M sub-indices that a describer gives it.
   *
   * @param codes name of the column; by default the one that is usually searched.
   * @throws NotFoundError there is no such column, or its describer describes no pictures.
   */
  async codeOf(picture: Picture, codes?: string): Promise<Uint8Array> {
    const { PictureDescriber } = await import("./describing/picture_describer.ts");
    return (await PictureDescriber.read(await this.#describer(this.#columnName(codes)))).code(picture);
  }

  /**
   * Give the name of the first column of codes whose describer states that it knows words; null without any.
   *
   * The beginnings of describer files are read, and not checked.
   */
  async knowsWords(): Promise<string | null> {
    for (const { name, sha256: sum, bytes } of this.revision.whole.describers) {
      const head = await this.store.read(`describers/${sum}.kine`, 0, Math.min(bytes, HEAD_BYTES));
      if (/"name"\s*:\s*"words"/.test(asciiText(head))) return name;
    }
    return null;
  }

  /**
   * Give the words that a describer knows: of each meaning its names.
   *
   * @param codes name of the column; by default the first whose describer knows words.
   * @throws NotFoundError there is no such column, or its describer knows no words.
   * @throws ArchiveError a file is missing or damaged.
   */
  async words(codes?: string): Promise<(readonly string[])[]> {
    const [, { vocabulary }] = await this.#wordy(codes);
    return vocabulary.words.map(({ names }) => names);
  }

  /**
   * Find the images that show best what a word stands for, in the order of `Archive.search` in Python.
   *
   * @param word such as `sailing ship`.
   * @param k how many.
   * @param codes name of the column; by default the first whose describer knows words.
   * @param mask which images may be found: by position, 1 for those that may; by default all.
   * @throws UnknownWordError it is not known; the error has words that are spelt like it.
   * @throws NotFoundError there is no such column, or its describer knows no words.
   * @throws ArchiveError a file is missing or damaged.
   */
  async searchWords(word: string, k = 10, codes?: string, mask: Mask = null): Promise<Hit[]> {
    const [name, scan] = await this.#wordy(codes);
    const meaning = scan.vocabulary.word(word);
    const column = await this.#column(name);
    const finerName = this.#finer(name);
    const finerScan = finerName === null ? null : await this.#scan(finerName);
    const finer = finerScan && {
      column: await this.#column(finerName!),
      near: (codes: Uint8Array) => finerScan.distances(codes, finerScan.vocabulary.word(word)),
    };
    const found = findByWord(k, column, (some, count) => scan.nearest(some, meaning, count), finer, mask).slice(0, k);
    const entries = await this.entriesAt(found.map(([position]) => position));
    return found.map(([position, distance], at) => {
      const { id, label } = entries[at]!;
      return { id, label, position, distance: Math.fround(distance), similarity: Math.exp(-distance) };
    });
  }

  /** A column whose describer knows words, and what scores these. */
  async #wordy(codes: string | undefined): Promise<[name: string, scan: WordScan]> {
    for (const name of codes === undefined ? this.describers : [this.#columnName(codes)]) {
      const scan = await this.#scan(name);
      if (scan) return [name, scan];
    }
    throw new NotFoundError(
      `${this.where}: no codes of it know words; make a describer that does with: kinpack describer make lite0 ` +
        "-o lite0.kine, and embed with it",
    );
  }

  #scan(name: string): Promise<WordScan | null> {
    const known = this.#scans.get(name) ?? this.#readScan(name);
    this.#scans.set(name, known);
    return known;
  }

  async #readScan(name: string): Promise<WordScan | null> {
    const container = await this.#describer(name);
    if (!container.hasBlob("words") && !container.has("class_vectors")) return null;
    // What scores words is loaded at the first need.
    const { WordScan } = await import("./search/word_scan.ts");
    return WordScan.read(container);
  }

  #finer(name: string): string | null {
    return this.describers.includes(finerColumn(name)) ? finerColumn(name) : null;
  }

  async #hits(found: Found, column: Column): Promise<Hit[]> {
    const apart = strangersApart(column);
    const entries = await this.entriesAt(found.map(([position]) => position));
    return found.map(([position, distance], at) => {
      const { id, label } = entries[at]!;
      const similarity = similarityOf(distance, apart);
      return { id, label, position, distance: Math.fround(distance), similarity };
    });
  }
}
