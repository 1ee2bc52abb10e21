/** A file in memory, or one that a person dropped on a page. */

import { ArchiveError, reasonOf } from "../errors.ts";
import type { RangedFile } from "./store.ts";
import { truncated } from "./truncation.ts";

/** A `Blob` or a `File` of a browser, read by ranges. */
export class BlobFile implements RangedFile {
  readonly size: number;
  readonly where: string;
  readonly #blob: Blob;

  /**
   * @param blob the bytes.
   * @param where what messages call them; by default the name of the file.
   */
  constructor(blob: Blob, where?: string) {
    this.#blob = blob;
    this.size = blob.size;
    this.where = where ?? (blob instanceof File ? blob.name : "a sealed archive");
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw truncated(this.where, offset, offset + length);
    }
    try {
      return new Uint8Array(await this.#blob.slice(offset, offset + length).arrayBuffer());
    } catch (error) {
      throw new ArchiveError(`${this.where}: it cannot be read (${reasonOf(error)}); open it again`);
    }
  }

  async close(): Promise<void> {}
}
