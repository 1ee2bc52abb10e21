/** An archive whose files a server gives by their names, as `kinpack serve` does. */

import { ArchiveError, Malformed, reasonOf } from "../errors.ts";
import { HttpFile } from "./http_file.ts";
import type { Store } from "./store.ts";
import { truncated } from "./truncation.ts";

const MOST_LISTED = 1 << 26; // bytes of the list of names

/** Files below an address, and their sizes, which that address itself lists as JSON. */
export class HttpFolder implements Store {
  readonly where: string;
  readonly #sizes: ReadonlyMap<string, number>;
  readonly #files = new Map<string, HttpFile>();

  private constructor(url: string, sizes: Map<string, number>) {
    this.where = url.replace(/\/$/, "");
    this.#sizes = sizes;
  }

  /**
   * Ask for the list.
   *
   * @param url of the folder, with a slash at its end.
   * @throws ArchiveError the server gives none.
   */
  static async open(url: string): Promise<HttpFolder> {
    try {
      const answer = await fetch(url, { headers: { Accept: "application/json" } });
      if (!answer.ok) throw new Malformed(`it answers ${answer.status}`);
      const text = await answer.text();
      if (text.length > MOST_LISTED) throw new Malformed("the list is too long");
      const listed: unknown = JSON.parse(text);
      if (typeof listed !== "object" || listed === null) throw new Malformed("the list is no object");
      const sizes = Object.entries(listed);
      if (!sizes.every(([, size]) => Number.isSafeInteger(size) && size >= 0)) {
        throw new Malformed("the list is not of sizes");
      }
      return new HttpFolder(url, new Map(sizes as [string, number][]));
    } catch (error) {
      throw new ArchiveError(
        `${url}: the server does not list the files of the archive (${reasonOf(error)}); see whether it runs`,
      );
    }
  }

  async names(prefix: string): Promise<string[]> {
    return [...this.#sizes.keys()].filter((name) => name.startsWith(prefix)).sort();
  }

  async size(name: string): Promise<number> {
    const size = this.#sizes.get(name);
    if (size !== undefined) return size;
    throw new ArchiveError(`${this.where}/${name}: this file of the archive is missing; restore it from a copy`);
  }

  async read(name: string, offset: number, length: number): Promise<Uint8Array> {
    const size = await this.size(name);
    if (offset < 0 || length < 0 || offset + length > size) {
      throw truncated(`${this.where}/${name}`, offset, offset + length);
    }
    if (!length) return new Uint8Array(0);
    const path = name.split("/").map(encodeURIComponent).join("/");
    const file = this.#files.get(name) ?? HttpFile.ofSize(`${this.where}/${path}`, size);
    this.#files.set(name, file);
    return file.read(offset, length);
  }

  async close(): Promise<void> {}
}
