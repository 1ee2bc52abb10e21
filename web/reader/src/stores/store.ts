/** Where the files of an archive lie, and where the one file of a sealed archive lies. */

/** The files of an archive by their names, read by ranges. */
export interface Store {
  /** What messages call the archive. */
  readonly where: string;
  /** Give the names of all files that begin with a text. */
  names(prefix: string): Promise<string[]>;
  /** Give the bytes of a file; it throws ArchiveError where there is none. */
  size(name: string): Promise<number>;
  /** Read exactly so many bytes of a file; it throws ArchiveError where they are not there. */
  read(name: string, offset: number, length: number): Promise<Uint8Array>;
  /** Release what is kept open. */
  close(): Promise<void>;
}

/** A file that does not change, read at any place. */
export interface RangedFile {
  /** What messages call the file. */
  readonly where: string;
  /** Its bytes. */
  readonly size: number;
  /** Read exactly so many bytes; it throws ArchiveError where they are not there. */
  read(offset: number, length: number): Promise<Uint8Array>;
  /** Release what is kept open. */
  close(): Promise<void>;
}
