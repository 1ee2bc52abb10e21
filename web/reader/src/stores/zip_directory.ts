/** The directory at the end of a zip, that of zip64 too. */

import { asciiText } from "../bytes/joining.ts";
import { Malformed } from "../errors.ts";
import type { RangedFile } from "./store.ts";

/** Bytes of a local header before the name. */
export const HEADER_BYTES = 30;
/** First bytes of a local header, and so of a sealed archive. */
export const LOCAL_HEADER = "PK\x03\x04";

/** What the directory tells of one file. */
export interface ZipEntry {
  readonly name: string;
  /** Bytes of the name in the local header. */
  readonly nameBytes: number;
  /** Byte at which the local header begins. */
  readonly offset: number;
  readonly size: number;
  /** Whether the file is compressed or encrypted. */
  readonly packed: boolean;
}

const END_BYTES = 22;
const LOCATOR_BYTES = 20;
const END64_BYTES = 56;
const FILE_BYTES = 46;
const TAIL_BYTES = 1 << 16; // in which the end is looked for; a comment may be almost as long
const MOST_DIRECTORY = 1 << 28;

/**
 * Read the directory of a zip.
 *
 * @returns its files, in its order, and the byte at which it begins.
 * @throws Malformed it is no zip, or a damaged one.
 */
export async function readDirectory(file: RangedFile): Promise<{ entries: ZipEntry[]; start: number }> {
  const length = Math.min(file.size, TAIL_BYTES);
  const tail = await file.read(file.size - length, length);
  const end = findEnd(tail);
  const view = viewOf(tail);
  let place = file.size - tail.length + end; // where the directory must have ended
  let count = view.getUint16(end + 10, true);
  let size = view.getUint32(end + 12, true);
  let offset = view.getUint32(end + 16, true);
  if (place >= LOCATOR_BYTES) {
    const locator = await file.read(place - LOCATOR_BYTES, LOCATOR_BYTES);
    if (asciiText(locator.subarray(0, 4)) === "PK\x06\x07") {
      place -= LOCATOR_BYTES + END64_BYTES;
      if (place < 0) throw new Malformed("its zip64 directory is cut off");
      const long = await file.read(place, END64_BYTES);
      if (asciiText(long.subarray(0, 4)) !== "PK\x06\x06") {
        throw new Malformed("its zip64 directory is elsewhere than stated");
      }
      count = long64(viewOf(long), 32);
      size = long64(viewOf(long), 40);
      offset = long64(viewOf(long), 48);
    }
  }
  const start = place - size;
  const before = start - offset; // bytes that another program has put before the zip
  if (start < 0 || before < 0) throw new Malformed("its directory lies outside the file");
  if (size > MOST_DIRECTORY) throw new Malformed(`its directory has ${size} bytes`);
  const directory = await file.read(start, size);
  const entries = readEntries(directory, before, start);
  if (entries.length !== count && count !== 0xffff) {
    throw new Malformed(`its directory lists ${entries.length} files in place of ${count}`);
  }
  if (new Set(entries.map((entry) => entry.name)).size !== entries.length) {
    throw new Malformed("a name comes twice");
  }
  return { entries, start };
}

/** Where the end of the directory begins: the last place whose comment reaches to the file's end. */
function findEnd(tail: Uint8Array): number {
  for (let at = tail.length - END_BYTES; at >= 0; at--) {
    if (tail[at] === 0x50 && tail[at + 1] === 0x4b && tail[at + 2] === 5 && tail[at + 3] === 6) {
      const comment = viewOf(tail).getUint16(at + 20, true);
      if (at + END_BYTES + comment === tail.length) return at;
    }
  }
  throw new Malformed("its directory cannot be read: it does not end as a zip");
}

function readEntries(directory: Uint8Array, before: number, start: number): ZipEntry[] {
  const entries: ZipEntry[] = [];
  const view = viewOf(directory);
  let at = 0;
  while (at < directory.length) {
    if (at + FILE_BYTES > directory.length || asciiText(directory.subarray(at, at + 4)) !== "PK\x01\x02") {
      throw new Malformed("its directory cannot be read");
    }
    const nameBytes = view.getUint16(at + 28, true);
    const extraBytes = view.getUint16(at + 30, true);
    const next = at + FILE_BYTES + nameBytes + extraBytes + view.getUint16(at + 32, true);
    if (next > directory.length) throw new Malformed("its directory is cut off");
    const name = directory.subarray(at + FILE_BYTES, at + FILE_BYTES + nameBytes);
    const extra = directory.subarray(at + FILE_BYTES + nameBytes, at + FILE_BYTES + nameBytes + extraBytes);
    const [size, packedSize, offset] = longNumbers(extra, [
      view.getUint32(at + 24, true),
      view.getUint32(at + 20, true),
      view.getUint32(at + 42, true),
    ]);
    const packed = view.getUint16(at + 10, true) !== 0 || (view.getUint16(at + 8, true) & 1) !== 0;
    if (!packed && packedSize !== size) throw new Malformed("a stored file is of two sizes");
    if (offset! + before + HEADER_BYTES > start) throw new Malformed("a file lies outside the zip");
    entries.push({
      name: new TextDecoder().decode(name),
      nameBytes,
      offset: offset! + before,
      size: size!,
      packed,
    });
    at = next;
  }
  return entries;
}

/** Sizes and offset of a file, those of zip64 in place of numbers whose bits are all one. */
function longNumbers(extra: Uint8Array, numbers: number[]): number[] {
  const view = viewOf(extra);
  for (let at = 0; at + 4 <= extra.length; ) {
    const [kind, length] = [view.getUint16(at, true), view.getUint16(at + 2, true)];
    if (at + 4 + length > extra.length) throw new Malformed("an extra field is cut off");
    if (kind === 1) {
      let place = at + 4;
      return numbers.map((number) => {
        if (number !== 0xffffffff) return number;
        place += 8;
        if (place > at + 4 + length) throw new Malformed("a zip64 field is cut off");
        return long64(view, place - 8);
      });
    }
    at += 4 + length;
  }
  return numbers;
}

function long64(view: DataView, at: number): number {
  const number = view.getUint32(at, true) + view.getUint32(at + 4, true) * 2 ** 32;
  if (number > Number.MAX_SAFE_INTEGER) throw new Malformed("a size is more than any file's");
  return number;
}

function viewOf(bytes: Uint8Array): DataView {
  return new DataView(bytes.buffer, bytes.byteOffset, bytes.length);
}
