/** The reader for programs under Node: what a page has, and archives on a disk. */

import { stat } from "node:fs/promises";

import { Archive } from "./archive.ts";
import { ArchiveError } from "./errors.ts";
import { FolderStore, LocalFile } from "./stores/node_files.ts";
import { SealedStore } from "./stores/sealed_store.ts";

export * from "./index.ts";

/**
 * Open an archive.
 *
 * @param where a folder, a sealed archive, or the address of one.
 * @param at number of the revision; by default it is the newest.
 * @throws ArchiveError there is none, or it is damaged.
 */
export async function openArchive(where: string, at?: number): Promise<Archive> {
  if (/^https?:\/\//.test(where)) return Archive.open(where, at);
  const found = await stat(where).catch(() => null);
  if (!found) throw new ArchiveError(`${where}: there is no such archive; name another path`);
  if (found.isDirectory()) return Archive.open(new FolderStore(where), at);
  return Archive.open(await SealedStore.open(await LocalFile.open(where)), at);
}
