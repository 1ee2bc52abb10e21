/** Files and folders of a disk, under Node. */

import { open, readdir, stat } from "node:fs/promises";
import type { FileHandle } from "node:fs/promises";
import path from "node:path";

import { ArchiveError, reasonOf } from "../errors.ts";
import type { RangedFile, Store } from "./store.ts";
import { truncated } from "./truncation.ts";

/** A file on a disk. */
export class LocalFile implements RangedFile {
  readonly where: string;
  readonly size: number;
  readonly #handle: FileHandle;

  private constructor(where: string, size: number, handle: FileHandle) {
    this.where = where;
    this.size = size;
    this.#handle = handle;
  }

  /**
   * Open a file.
   *
   * @throws ArchiveError it cannot be opened.
   */
  static async open(where: string): Promise<LocalFile> {
    try {
      const handle = await open(where, "r");
      return new LocalFile(where, (await handle.stat()).size, handle);
    } catch (error) {
      throw refusal(where, error);
    }
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw truncated(this.where, offset, offset + length);
    }
    const data = new Uint8Array(length);
    for (let at = 0; at < length; ) {
      const { bytesRead } = await this.#handle.read(data, at, length - at, offset + at);
      if (!bytesRead) throw truncated(this.where, offset, offset + length);
      at += bytesRead;
    }
    return data;
  }

  async close(): Promise<void> {
    await this.#handle.close();
  }
}

/** An archive in a folder. */
export class FolderStore implements Store {
  readonly where: string;

  constructor(folder: string) {
    this.where = folder;
  }

  async names(prefix: string): Promise<string[]> {
    const folder = prefix.replace(/[^/]*$/, "");
    try {
      const names = await readdir(path.join(this.where, folder));
      return names.map((name) => folder + name).filter((name) => name.startsWith(prefix)).sort();
    } catch (error) {
      if ((error as NodeJS.ErrnoException).code === "ENOENT") return [];
      throw refusal(path.join(this.where, folder), error);
    }
  }

  async size(name: string): Promise<number> {
    try {
      return (await stat(path.join(this.where, name))).size;
    } catch (error) {
      throw refusal(path.join(this.where, name), error);
    }
  }

  async read(name: string, offset: number, length: number): Promise<Uint8Array> {
    const file = await LocalFile.open(path.join(this.where, name));
    try {
      return await file.read(offset, length);
    } finally {
      await file.close();
    }
  }

  async close(): Promise<void> {}
}

function refusal(where: string, error: unknown): ArchiveError {
  return new ArchiveError(`${where}: it cannot be read (${reasonOf(error)}); restore it from a copy`);
}
