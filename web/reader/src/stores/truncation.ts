/** The refusal of a file that ends early. */

import { ArchiveError } from "../errors.ts";

/** Give the error of bytes that are not there. */
export function truncated(where: string, first: number, stop: number): ArchiveError {
  return new ArchiveError(
    `${where}: bytes ${first} to ${stop} are not there: the file is truncated; restore it from a copy`,
  );
}
