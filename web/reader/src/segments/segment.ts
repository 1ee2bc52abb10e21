/** A segment: one Parquet file for a run of images, read at random. */

import { crc32 } from "../bytes/crc32.ts";
import { sha256 } from "../bytes/sha256.ts";
import { ArchiveError, Malformed, PayloadError } from "../errors.ts";
import type { CodeFile, IndexFile, SegmentEntry } from "../manifests/segment_entry.ts";
import type { Store } from "../stores/store.ts";
import type { AddedValue } from "./added_values.ts";
import { columnsWith } from "./column_table.ts";
import type { Schema } from "./column_table.ts";
import { decodeColumn } from "./columns.ts";
import type { Values } from "./columns.ts";
import type { Kind, Packet, Stated } from "./packet.ts";
import { checkedPacket, kindOf } from "./packet.ts";
import { findPages } from "./parquet_limits.ts";

/** What an archive tells of one image without reading its payload. */
export interface ImageEntry {
  readonly id: string;
  readonly label: string | null;
  readonly width: number;
  readonly height: number;
  readonly channels: number;
  readonly kind: Kind;
  readonly quality: number;
  /** Bytes of the payload. */
  readonly length: number;
  /** What else is known of it, by the names of the columns that users added. */
  readonly [column: string]: AddedValue;
}

const NUMBERS = ["width", "height", "channels", "quality", "kind", "checksum"] as const;

const MOST_AT_ONCE = 4 << 20; // bytes of neighbours that are read together

/** All columns of a segment but the payloads, row by row. */
interface Index {
  readonly ids: readonly string[];
  readonly labels: readonly (string | null)[] | null;
  /** Byte in the file at which each payload begins, and one more at which the last ends. */
  readonly starts: Float64Array;
  readonly numbers: Readonly<Record<(typeof NUMBERS)[number], Float64Array>>;
  /** Of each column that users added, null where no image has a value. */
  readonly added: ReadonlyMap<string, readonly AddedValue[] | null>;
}

/** A segment of a store; its index is read, checked and decoded at the first need, in one read. */
export class Segment {
  readonly entry: SegmentEntry;
  readonly where: string;
  readonly #store: Store;
  readonly #schema: Schema;
  #index: Promise<Index> | null = null;
  readonly #codes = new Map<string, Promise<Uint8Array>>();

  /**
   * @param schema the types of the columns that users added, by their names; it may lack some.
   */
  constructor(store: Store, entry: SegmentEntry, schema: Schema) {
    this.#store = store;
    this.#schema = schema;
    this.entry = entry;
    this.where = `${store.where}/${entry.file}`;
  }

  /** Give the ids of all rows, deleted ones among them. */
  async ids(): Promise<readonly string[]> {
    return (await this.#read()).ids;
  }

  /**
   * Give what is known of all rows in one column, its own or one that users added; null where none has a value.
   *
   * @throws ArchiveError the file is missing, truncated or damaged.
   */
  async values(column: string): Promise<readonly AddedValue[] | Float64Array | null> {
    const { ids, labels, starts, numbers, added } = await this.#read();
    switch (column) {
      case "id":
        return ids;
      case "label":
        return labels;
      case "length":
        return starts.subarray(1).map((stop, row) => stop - starts[row]!);
      case "kind":
        return Array.from(numbers.kind, (kind) => kindOf(kind));
      default:
        return column in numbers ? numbers[column as keyof Index["numbers"]] : added.get(column) ?? null;
    }
  }

  /**
   * Tell of one image.
   *
   * @throws ArchiveError the file is missing, truncated or damaged.
   * @throws PayloadError the image is of an unknown kind.
   */
  async imageEntry(row: number): Promise<ImageEntry> {
    const { ids, labels, starts, numbers, added } = await this.#read();
    const kind = kindOf(numbers.kind[row]!);
    if (!kind) {
      throw new PayloadError(`${this.#nameOf(row, ids)}: of an unknown kind; install a newer reader`);
    }
    return {
      id: ids[row]!,
      label: labels ? labels[row]! : null,
      ...Object.fromEntries([...added].map(([name, values]) => [name, values ? values[row]! : null])),
      width: numbers.width[row]!,
      height: numbers.height[row]!,
      channels: numbers.channels[row]!,
      kind,
      quality: numbers.quality[row]!,
      length: starts[row + 1]! - starts[row]!,
    };
  }

  /**
   * Read one image's packet, its checksum verified.
   *
   * @throws ArchiveError the file is missing, truncated or damaged.
   * @throws PayloadError the packet is damaged.
   */
  async packet(row: number): Promise<Packet> {
    const [packet] = await this.packets([row]);
    return packet!;
  }

  /**
   * Read the packets of several images, neighbours in one read, their checksums verified.
   *
   * @param rows in the order that is wanted.
   * @throws ArchiveError the file is missing, truncated or damaged.
   * @throws PayloadError a packet is damaged.
   */
  async packets(rows: readonly number[]): Promise<Packet[]> {
    const { ids, starts, numbers } = await this.#read();
    const packets: Packet[] = [];
    for (let first = 0, stop = 0; first < rows.length; first = stop) {
      const begin = starts[rows[first]!]!;
      stop = first + 1;
      while (
        stop < rows.length &&
        rows[stop] === rows[stop - 1]! + 1 &&
        starts[rows[stop]! + 1]! - begin <= MOST_AT_ONCE
      ) {
        stop++;
      }
      const end = starts[rows[stop - 1]! + 1]!;
      const data = await this.#store.read(this.entry.file, begin, end - begin);
      for (const row of rows.slice(first, stop)) {
        const payload = data.subarray(starts[row]! - begin, starts[row + 1]! - begin);
        const stated = Object.fromEntries(NUMBERS.map((name) => [name, numbers[name][row]!]));
        packets.push(checkedPacket(stated as Record<keyof Stated, number>, payload, this.#nameOf(row, ids)));
      }
    }
    return packets;
  }

  /**
   * Read the packed codes of all rows in a column, their file checked; null where there are none.
   *
   * @throws ArchiveError their file is missing, truncated or damaged.
   */
  async codes(column: string): Promise<Uint8Array | null> {
    const file = this.entry.codes.find((one) => one.column === column);
    if (!file) return null;
    const known = this.#codes.get(column) ?? this.#readWhole(file);
    this.#codes.set(column, known);
    return known;
  }

  /** A file of which a manifest gives the SHA-256, every byte of it checked. */
  async #readWhole(file: CodeFile | IndexFile): Promise<Uint8Array> {
    const where = `${this.#store.where}/${file.file}`;
    await this.#checkSize(file.file, file.bytes);
    const data = await this.#store.read(file.file, 0, file.bytes);
    if (sha256(data) !== file.sha256) {
      throw new ArchiveError(`${where}: its SHA-256 does not hold; restore the file from a copy`);
    }
    return data;
  }

  #read(): Promise<Index> {
    this.#index ??= this.#readIndex();
    return this.#index;
  }

  async #readIndex(): Promise<Index> {
    const { rows, indexOffset, payloadBytes } = this.entry;
    const [tail, offset] = await this.#readTail();
    try {
      const columns = new Map<string, Values>();
      for (const pages of findPages(tail, offset, rows, columnsWith(this.#schema))) {
        columns.set(pages.column.name, decodeColumn(pages, rows));
      }
      const starts = new Float64Array(rows + 1);
      starts[0] = indexOffset - payloadBytes;
      (columns.get("length") as Float64Array).forEach((length, row) => {
        starts[row + 1] = starts[row]! + length;
      });
      if (starts[rows] !== indexOffset) {
        throw new Malformed("its lengths do not add up to the payloads");
      }
      const numbers = Object.fromEntries(NUMBERS.map((name) => [name, columns.get(name)]));
      return {
        ids: columns.get("id") as readonly string[],
        labels: (columns.get("label") as readonly (string | null)[] | undefined) ?? null,
        starts,
        numbers: numbers as Index["numbers"],
        added: new Map(
          [...this.#schema.keys()].map((name) => [
            name,
            (columns.get(name) as readonly AddedValue[] | undefined) ?? null,
          ]),
        ),
      };
    } catch (error) {
      if (!(error instanceof Malformed)) throw error;
      throw new ArchiveError(
        `${this.where}: damaged segment: ${error.message}; restore the file from a copy`,
      );
    }
  }

  /** The bytes of the index, checked, and the byte of a segment at which they begin. */
  async #readTail(): Promise<[Uint8Array, number]> {
    const { file, bytes, index, indexOffset, indexCrc32 } = this.entry;
    await this.#checkSize(file, bytes);
    if (index) return [await this.#readWhole(index), index.offset];
    const tail = await this.#store.read(file, indexOffset, bytes - indexOffset);
    if (crc32(tail) !== indexCrc32) {
      throw new ArchiveError(
        `${this.where}: damaged segment: the CRC-32 of its index does not hold; restore the file from a copy`,
      );
    }
    return [tail, indexOffset];
  }

  async #checkSize(file: string, bytes: number): Promise<void> {
    const size = await this.#store.size(file);
    if (size !== bytes) {
      throw new ArchiveError(
        `${this.#store.where}/${file}: it has ${size} bytes in place of ${bytes}; restore it from a copy`,
      );
    }
  }

  #nameOf(row: number, ids: readonly string[]): string {
    return `${this.where}: image ${JSON.stringify(ids[row])} (row ${row})`;
  }
}
