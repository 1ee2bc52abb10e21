/** A sealed archive: one zip whose files are stored, read in place. */

import { asciiText } from "../bytes/joining.ts";
import { ArchiveError, Malformed, reasonOf } from "../errors.ts";
import type { RangedFile, Store } from "./store.ts";
import { truncated } from "./truncation.ts";
import { readDirectory, HEADER_BYTES, LOCAL_HEADER } from "./zip_directory.ts";
import type { ZipEntry } from "./zip_directory.ts";

/** The files of a zip. */
export class SealedStore implements Store {
  readonly where: string;
  readonly #file: RangedFile;
  readonly #entries = new Map<string, ZipEntry>();
  readonly #begins = new Map<string, number>();
  readonly #ends = new Map<string, number>();

  private constructor(file: RangedFile) {
    this.where = file.where;
    this.#file = file;
  }

  /**
   * Open a zip; its directory is read at once.
   *
   * @throws ArchiveError it is no zip, damaged, compressed or encrypted.
   */
  static async open(file: RangedFile): Promise<SealedStore> {
    const store = new SealedStore(file);
    try {
      const { entries, start } = await readDirectory(file);
      let end = start;
      for (const entry of [...entries].sort((a, b) => b.offset - a.offset)) {
        if (entry.packed) {
          throw new ArchiveError(
            `${file.where}: ${JSON.stringify(entry.name)} is compressed or encrypted in this zip; ` +
              "unzip it, and seal it with: kinpack seal",
          );
        }
        store.#ends.set(entry.name, end);
        const begin = entry.offset + HEADER_BYTES + entry.nameBytes;
        if (end - entry.size === begin) store.#begins.set(entry.name, begin);
        end = entry.offset;
      }
      for (const entry of entries) store.#entries.set(entry.name, entry);
    } catch (error) {
      if (error instanceof Malformed) throw store.#damaged(reasonOf(error));
      throw error;
    }
    return store;
  }

  async names(prefix: string): Promise<string[]> {
    return [...this.#entries.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  async size(name: string): Promise<number> {
    return this.#entry(name).size;
  }

  async read(name: string, offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > this.#entry(name).size) {
      throw truncated(`${this.where}/${name}`, offset, offset + length);
    }
    return this.#file.read((await this.#begin(name)) + offset, length);
  }

  async close(): Promise<void> {
    await this.#file.close();
  }

  #entry(name: string): ZipEntry {
    const entry = this.#entries.get(name);
    if (entry) return entry;
    throw new ArchiveError(
      `${this.where}/${name}: this file of the archive is missing; restore the sealed archive from a copy`,
    );
  }

  /** Where a file's data begin; known of zips that kinpack made, else looked up. */
  async #begin(name: string): Promise<number> {
    const known = this.#begins.get(name);
    if (known !== undefined) return known;
    const entry = this.#entry(name);
    const header = await this.#file.read(entry.offset, HEADER_BYTES);
    const view = new DataView(header.buffer, header.byteOffset, header.length);
    const begin = entry.offset + HEADER_BYTES + view.getUint16(26, true) + view.getUint16(28, true);
    if (asciiText(header.subarray(0, 4)) !== LOCAL_HEADER || begin + entry.size > this.#ends.get(name)!) {
      throw this.#damaged(`the header of ${JSON.stringify(name)} does not fit`);
    }
    this.#begins.set(name, begin);
    return begin;
  }

  #damaged(reason: string): ArchiveError {
    return new ArchiveError(
      `${this.where}: no sealed archive, or a damaged one: ${reason}; restore it from a copy`,
    );
  }
}

