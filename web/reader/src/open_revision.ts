/** A revision of an archive, opened for reading. */

import { storedFile } from "./classic/stored_file.ts";
import type { StoredFile } from "./classic/stored_file.ts";
import type { Codec } from "./codec.ts";
import { Container } from "./containers/container.ts";
import { ArchiveError, NotFoundError } from "./errors.ts";
import { layersOf } from "./layers.ts";
import type { Layers } from "./layers.ts";
import { plain } from "./manifests/fields.ts";
import type { NamedFile } from "./manifests/record.ts";
import type { Revision } from "./manifests/revision.ts";
import { revisionNumbers } from "./manifests/revision.ts";
import { livingRows } from "./manifests/segment_entry.ts";
import { sha256 } from "./bytes/sha256.ts";
import type { Place } from "./search/kin.ts";
import { passing } from "./search/conditions.ts";
import type { Condition } from "./search/conditions.ts";
import type { AddedValue } from "./segments/added_values.ts";
import type { AddedType } from "./segments/column_table.ts";
import type { Packet } from "./segments/packet.ts";
import { Segment } from "./segments/segment.ts";
import type { ImageEntry } from "./segments/segment.ts";
import { BlobFile } from "./stores/blob_file.ts";
import { HttpFile } from "./stores/http_file.ts";
import { HttpFolder } from "./stores/http_folder.ts";
import { SealedStore } from "./stores/sealed_store.ts";
import type { Store } from "./stores/store.ts";

const OWN_TYPES: Readonly<Record<string, AddedType>> = {
  id: "string", label: "string", width: "int64", height: "int64", channels: "int64", kind: "string", quality: "int64",
  length: "int64",
};

/** A revision of an archive: its images, and what they are drawn of; what it reads it keeps, but for payloads. */
export class OpenRevision {
  protected readonly store: Store;
  protected readonly revision: Revision;
  readonly #segments: readonly Segment[];
  #images: Promise<Images> | null = null;
  #read: Promise<Codec> | null = null;

  protected constructor(store: Store, revision: Revision) {
    this.store = store;
    this.revision = revision;
    const { columns } = revision.whole;
    this.#segments = revision.segments.map((entry) => new Segment(store, entry, columns));
  }

  /** What messages call it. */
  get where(): string {
    return this.store.where;
  }

  /** The revision that is open. */
  get number(): number {
    return this.revision.record.number;
  }

  /** The archive's identity, 32 hexadecimal digits. */
  get identity(): string {
    return this.revision.record.archive;
  }

  /** JSON values that the archive's maker noted. */
  get metadata(): unknown {
    return plain(this.revision.whole.metadata);
  }

  /** The types of the columns that users added, by their names: `int64`, `string` …. */
  get columns(): Record<string, string> {
    return Object.fromEntries(this.revision.whole.columns);
  }

  /** Names of the columns of codes by which it is searched, the usual one first. */
  get describers(): string[] {
    return this.revision.whole.describers.map((one) => one.name);
  }

  /** How many images there are. */
  get length(): number {
    return this.revision.segments.reduce(
      (sum, entry) => entry.deleted.reduce((left, [first, stop]) => left - (stop - first), sum + entry.rows),
      0,
    );
  }

  /** Give the numbers of all revisions that can be opened. */
  async revisions(): Promise<number[]> {
    return revisionNumbers(this.store);
  }

  /** Give the ids of all images, in the order of adding. */
  async ids(): Promise<string[]> {
    return [...(await this.all()).positions.keys()];
  }

  /**
   * Give what is known of all images in one column, in the order of adding; null where one has no value.
   *
   * @param column `id`, `label`, `width`, `height`, `channels`, `kind`, `quality`, `length`, or one that users added.
   * @throws NotFoundError there is no such column.
   */
  async values(column: string): Promise<AddedValue[]> {
    if (!Object.hasOwn(OWN_TYPES, column) && !this.revision.whole.columns.has(column)) {
      const there = [...Object.keys(OWN_TYPES), ...this.revision.whole.columns.keys()].join(", ");
      throw new NotFoundError(`${this.where}: there is no column ${JSON.stringify(column)}; there are ${there}`);
    }
    const { places } = await this.all();
    const found = new Map<Segment, readonly AddedValue[] | Float64Array | null>();
    for (const segment of this.#segments) found.set(segment, await segment.values(column));
    return places.map(({ segment, row }) => found.get(segment)?.[row] ?? null);
  }

  /**
   * Tell which images pass all of some conditions: by position, 1 for those that do.
   *
   * @throws NotFoundError there is no such column, or a condition is none for it.
   */
  async passing(conditions: readonly Condition[]): Promise<Uint8Array> {
    const { places } = await this.all();
    const mask = new Uint8Array(places.length).fill(1);
    for (const condition of conditions) {
      const values = await this.values(condition.column);
      const type = Object.hasOwn(OWN_TYPES, condition.column) ? OWN_TYPES[condition.column]! : this.revision.whole.columns.get(condition.column)!;
      passing(values, type, condition).forEach((passes, position) => (mask[position]! &= passes));
    }
    return mask;
  }

  /**
   * Tell of the images at some positions, which count from 0 in the order of adding.
   *
   * @throws NotFoundError there is no such position.
   */
  async entriesAt(positions: readonly number[]): Promise<ImageEntry[]> {
    const { places } = await this.all();
    return Promise.all(
      positions.map(async (position) => {
        const place = places[position];
        if (place) return place.segment.imageEntry(place.row);
        throw new NotFoundError(`${this.where}: there is no image ${position}; it holds ${places.length}`);
      }),
    );
  }

  /**
   * Give the position of an image.
   *
   * @throws NotFoundError the id is not there.
   */
  async position(id: string): Promise<number> {
    const position = (await this.all()).positions.get(id);
    if (position !== undefined) return position;
    throw new NotFoundError(`${this.where}: there is no image ${JSON.stringify(id)}; see its list of ids`);
  }

  /** Tell of all images, in the order of adding, without reading their payloads. */
  async *entries(): AsyncGenerator<ImageEntry> {
    for (const segment of this.#segments) {
      for (const row of livingRows(segment.entry)) yield segment.imageEntry(row);
    }
  }

  /**
   * Tell of one image.
   *
   * @throws NotFoundError the id is not there.
   */
  async entry(id: string): Promise<ImageEntry> {
    return (await this.entriesAt([await this.position(id)]))[0]!;
  }

  /**
   * Read an image's packet, its checksum verified.
   *
   * @throws NotFoundError the id is not there.
   * @throws PayloadError the packet is damaged.
   */
  async packet(id: string): Promise<Packet> {
    const { segment, row } = await this.#place(id);
    return segment.packet(row);
  }

  /**
   * Read the packets of several images, neighbours in the archive in one read, checksums verified.
   *
   * @param ids in any order; the packets come in the same.
   * @throws NotFoundError an id is not there.
   * @throws PayloadError a packet is damaged.
   */
  async packets(ids: readonly string[]): Promise<Packet[]> {
    const rows = new Map<Segment, number[]>();
    const places = await Promise.all(ids.map((id) => this.#place(id)));
    for (const { segment, row } of places) {
      const some = rows.get(segment) ?? [];
      some.push(row);
      rows.set(segment, some);
    }
    const found = new Map<Segment, Map<number, Packet>>();
    for (const [segment, some] of rows) {
      const ascending = [...new Set(some)].sort((a, b) => a - b);
      const packets = await segment.packets(ascending);
      found.set(segment, new Map(ascending.map((row, i) => [row, packets[i]!])));
    }
    return places.map(({ segment, row }) => found.get(segment)!.get(row)!);
  }

  /**
   * Give an image as the file that it is stored as, which a browser shows; null where it is none.
   *
   * @throws NotFoundError the id is not there.
   * @throws PayloadError the packet is damaged.
   */
  async file(id: string): Promise<StoredFile | null> {
    return storedFile(await this.packet(id));
  }

  /**
   * Give what an image is drawn of: tiles, and of each the colour and the alpha plane.
   *
   * @throws NotFoundError the id is not there.
   * @throws PayloadError the packet is damaged.
   * @throws ArchiveError the codec is damaged, or has no payloads of this kind.
   */
  async layers(id: string): Promise<Layers[]> {
    return this.layersOf(await this.packet(id));
  }

  /** Give what a packet of this archive is drawn of; it raises as `layers`. */
  async layersOf(packet: Packet): Promise<Layers[]> {
    return layersOf(packet, () => this.#codec());
  }

  /** Release what is kept open. */
  async close(): Promise<void> {
    await this.store.close();
  }

  #codec(): Promise<Codec> {
    this.#read ??= this.#readCodec();
    return this.#read;
  }

  async #readCodec(): Promise<Codec> {
    const { codec } = this.revision.whole;
    const file = `codecs/${codec.sha256}.kinc`;
    // What decodes it is loaded at the first need: most archives of photographs have none.
    const { Codec } = await import("./codec.ts");
    return new Codec(Container.read(await this.named(file, codec), `${this.where}/${file}`, "codec"));
  }

  /** A file that the manifest names by its sum. */
  protected async named(file: string, { bytes, sha256: sum }: NamedFile): Promise<Uint8Array> {
    const size = await this.store.size(file);
    const data = size === bytes ? await this.store.read(file, 0, bytes) : null;
    if (data && sha256(data) === sum) return data;
    throw new ArchiveError(`${this.where}/${file}: its SHA-256 does not hold; restore it from a copy`);
  }

  async #place(id: string): Promise<Place> {
    const position = await this.position(id);
    return (await this.all()).places[position]!;
  }

  protected all(): Promise<Images> {
    this.#images ??= this.#readImages();
    return this.#images;
  }

  async #readImages(): Promise<Images> {
    const [positions, places] = [new Map<string, number>(), new Array<Place>()];
    for (const segment of this.#segments) {
      const ids = await segment.ids();
      for (const row of livingRows(segment.entry)) {
        if (positions.has(ids[row]!)) continue;
        positions.set(ids[row]!, places.length);
        places.push({ segment, row });
      }
    }
    return { positions, places };
  }
}

/** All images, in the order of adding. */
interface Images {
  readonly positions: ReadonlyMap<string, number>;
  readonly places: readonly Place[];
}

/** The store of what somebody opens. */
export async function storeOf(source: string | URL | Blob | Store): Promise<Store> {
  if (source instanceof Blob) return SealedStore.open(new BlobFile(source));
  if (typeof source === "string" || source instanceof URL) {
    if (String(source).endsWith("/")) return HttpFolder.open(String(source));
    return SealedStore.open(await HttpFile.open(String(source)));
  }
  return source;
}
