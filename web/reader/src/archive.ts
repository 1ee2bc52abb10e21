/** An archive, opened for reading: the face of this package. */

import { storedFile } from "./classic/stored_file.ts";
import type { StoredFile } from "./classic/stored_file.ts";
import type { Codec } from "./codec.ts";
import { Container } from "./containers/container.ts";
import type { Picture } from "./describing/fitting.ts";
import { ArchiveError, NotFoundError } from "./errors.ts";
import { layersOf } from "./layers.ts";
import type { Layers } from "./layers.ts";
import { plain } from "./manifests/fields.ts";
import type { NamedFile } from "./manifests/record.ts";
import type { Revision } from "./manifests/revision.ts";
import { readRevision, revisionNumbers } from "./manifests/revision.ts";
import { livingRows } from "./manifests/segment_entry.ts";
import { asciiText } from "./bytes/joining.ts";
import { sha256 } from "./bytes/sha256.ts";
import { readBooks } from "./search/books.ts";
import { codeOf, findByWord, findKin, findNear, finerColumn, readColumn } from "./search/kin.ts";
import type { Column, Found, Hit, Mask, Place, Poses } from "./search/kin.ts";
import { similarityOf, strangersApart } from "./search/likeness.ts";
import { Placeholders } from "./search/placeholder.ts";
import { passing } from "./search/conditions.ts";
import type { Condition } from "./search/conditions.ts";
import type { WordScan } from "./search/word_scan.ts";
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
const HEAD_BYTES = 1 << 14; // of a describer file: they tell what is in it

/** A revision of an archive; what it reads it keeps, but for payloads. */
export class Archive {
  readonly #store: Store;
  readonly #revision: Revision;
  readonly #segments: readonly Segment[];
  #images: Promise<Images> | null = null;
  #read: Promise<Codec> | null = null;
  readonly #placeholders = new Map<string, Promise<Placeholders>>();
  readonly #columns = new Map<string, Promise<Column>>();
  readonly #describers = new Map<string, Promise<Container>>();
  readonly #scans = new Map<string, Promise<WordScan | null>>();

  private constructor(store: Store, revision: Revision) {
    this.#store = store;
    this.#revision = revision;
    const { columns } = revision.whole;
    this.#segments = revision.segments.map((entry) => new Segment(store, entry, columns));
  }

  /**
   * Open an archive.
   *
   * @param source the address of a sealed archive, or with a slash at its end of a folder whose files
   *   a server lists; its bytes (a `File` that somebody dropped); or a store.
   * @param at number of the revision; by default it is the newest.
   * @throws ArchiveError there is none, or it is damaged.
   */
  static async open(source: string | URL | Blob | Store, at?: number): Promise<Archive> {
    const store = await storeOf(source);
    try {
      return new Archive(store, await readRevision(store, at));
    } catch (error) {
      await store.close();
      throw error;
    }
  }

  /** What messages call it. */
  get where(): string {
    return this.#store.where;
  }

  /** The revision that is open. */
  get number(): number {
    return this.#revision.record.number;
  }

  /** The archive's identity, 32 hexadecimal digits. */
  get identity(): string {
    return this.#revision.record.archive;
  }

  /** JSON values that the archive's maker noted. */
  get metadata(): unknown {
    return plain(this.#revision.whole.metadata);
  }

  /** The types of the columns that users added, by their names: `int64`, `string` …. */
  get columns(): Record<string, string> {
    return Object.fromEntries(this.#revision.whole.columns);
  }

  /** Names of the columns of codes by which it is searched, the usual one first. */
  get describers(): string[] {
    return this.#revision.whole.describers.map((one) => one.name);
  }

  /** How many images there are. */
  get length(): number {
    return this.#revision.segments.reduce(
      (sum, entry) => entry.deleted.reduce((left, [first, stop]) => left - (stop - first), sum + entry.rows),
      0,
    );
  }

  /** Give the numbers of all revisions that can be opened. */
  async revisions(): Promise<number[]> {
    return revisionNumbers(this.#store);
  }

  /** Give the ids of all images, in the order of adding. */
  async ids(): Promise<string[]> {
    return [...(await this.#all()).positions.keys()];
  }

  /**
   * Give what is known of all images in one column, in the order of adding; null where one has no value.
   *
   * @param column `id`, `label`, `width`, `height`, `channels`, `kind`, `quality`, `length`, or one that users added.
   * @throws NotFoundError there is no such column.
   */
  async values(column: string): Promise<AddedValue[]> {
    if (!Object.hasOwn(OWN_TYPES, column) && !this.#revision.whole.columns.has(column)) {
      const there = [...Object.keys(OWN_TYPES), ...this.#revision.whole.columns.keys()].join(", ");
      throw new NotFoundError(`${this.where}: there is no column ${JSON.stringify(column)}; there are ${there}`);
    }
    const { places } = await this.#all();
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
    const { places } = await this.#all();
    const mask = new Uint8Array(places.length).fill(1);
    for (const condition of conditions) {
      const values = await this.values(condition.column);
      const type = Object.hasOwn(OWN_TYPES, condition.column) ? OWN_TYPES[condition.column]! : this.#revision.whole.columns.get(condition.column)!;
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
    const { places } = await this.#all();
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
    const position = (await this.#all()).positions.get(id);
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

  /**
   * Find the images whose codes are nearest to that of one of them, itself first.
   *
   * Where there are longer codes, they order the first hundred anew.
   *
   * @param k how many.
   * @param codes name of the column; by default the one that is usually searched.
   * @param mask which images may be found: by position, 1 for those that may; by default all.
   * @throws NotFoundError the id, or its code, is not there, or no such column.
   * @throws ArchiveError a file is missing or damaged.
   */
  async search(id: string, k = 10, codes?: string, mask: Mask = null): Promise<Hit[]> {
    const name = this.#columnName(codes);
    const position = await this.position(id);
    const finer = this.#finer(name);
    const column = await this.#column(name);
    const longer = finer === null ? null : await this.#column(finer);
    return this.#hits(findKin(position, k, column, longer, mask), column);
  }

  /**
   * Draw an image from its code alone, blurred; its payload is not read.
   *
   * @param codes name of the column; by default the one that is usually searched.
   * @returns 16 × 16 pixels, red, green and blue of each: the whole image, squeezed to a square.
   * @throws NotFoundError the id, or its code, is not there, or the describer draws none.
   * @throws ArchiveError a file is missing or damaged.
   */
  async placeholder(id: string, codes?: string): Promise<Uint8Array> {
    const name = this.#columnName(codes);
    const code = codeOf(await this.position(id), await this.#column(name));
    return (await this.#placeholdersOf(name)).draw(code);
  }

  /** Release what is kept open. */
  async close(): Promise<void> {
    await this.#store.close();
  }

  #codec(): Promise<Codec> {
    this.#read ??= this.#readCodec();
    return this.#read;
  }

  async #readCodec(): Promise<Codec> {
    const { codec } = this.#revision.whole;
    const file = `codecs/${codec.sha256}.kinc`;
    // What decodes it is loaded at the first need: most archives of photographs have none.
    const { Codec } = await import("./codec.ts");
    return new Codec(Container.read(await this.#named(file, codec), `${this.where}/${file}`, "codec"));
  }

  #column(name: string): Promise<Column> {
    const known = this.#columns.get(name) ?? this.#readColumn(name);
    this.#columns.set(name, known);
    return known;
  }

  /** The name of a column of codes; the first one by default. */
  #columnName(codes: string | undefined): string {
    const name = codes ?? this.describers[0];
    if (name !== undefined && this.describers.includes(name)) return name;
    throw new NotFoundError(
      `${this.where}: it has no codes ${name ?? "to search"}; those that it has: ` +
        (this.describers.join(", ") || "none"),
    );
  }

  #placeholdersOf(name: string): Promise<Placeholders> {
    const known = this.#placeholders.get(name) ?? this.#readPlaceholders(name);
    this.#placeholders.set(name, known);
    return known;
  }

  async #readPlaceholders(name: string): Promise<Placeholders> {
    const container = await this.#describer(name);
    return Placeholders.read(container, await readBooks(container, false));
  }

  #describer(name: string): Promise<Container> {
    const known = this.#describers.get(name) ?? this.#readDescriber(name);
    this.#describers.set(name, known);
    return known;
  }

  async #readDescriber(name: string): Promise<Container> {
    const described = this.#revision.whole.describers.find((one) => one.name === name)!;
    const file = `describers/${described.sha256}.kine`;
    return Container.read(await this.#named(file, described), `${this.where}/${file}`, "describer");
  }

  async #readColumn(name: string): Promise<Column> {
    const container = await this.#describer(name);
    return readColumn(name, await readBooks(container), (await this.#all()).places);
  }

  /**
   * Find the images whose codes are nearest to a picture that is none of them.
   *
   * It is looked for in the turns that the describer asks for. Pictures are not compared.
   *
   * @param picture its pixels.
   * @param k how many.
   * @param codes name of the column; by default the one that is usually searched.
   * @param mask which images may be found: by position, 1 for those that may; by default all.
   * @throws NotFoundError there is no such column, or its describer describes no pictures.
   * @throws ArchiveError a file is missing or damaged.
   */
  async searchPicture(picture: Picture, k = 10, codes?: string, mask: Mask = null): Promise<Hit[]> {
    const name = this.#columnName(codes);
    const { PictureDescriber } = await import("./describing/picture_describer.ts");
    const tables = async (one: string): Promise<Poses> =>
      (await PictureDescriber.read(await this.#describer(one))).tables(picture);
    const [column, longer] = [await this.#column(name), this.#finer(name)];
    const poses = longer === null ? [] : await tables(longer);
    const finer = longer === null ? null : { column: await this.#column(longer), poses: () => poses };
    return this.#hits(findNear(await tables(name), k, column, finer, mask).slice(0, k), column);
  }

  /**
   * Give the code of a picture: the M sub-indices that a describer gives it.
   *
   * @param codes name of the column; by default the one that is usually searched.
   * @throws NotFoundError there is no such column, or its describer describes no pictures.
   */
  async codeOf(picture: Picture, codes?: string): Promise<Uint8Array> {
    const { PictureDescriber } = await import("./describing/picture_describer.ts");
    return (await PictureDescriber.read(await this.#describer(this.#columnName(codes)))).code(picture);
  }

  /**
   * Give the name of the first column of codes whose describer states that it knows words; null without any.
   *
   * The beginnings of describer files are read, and not checked.
   */
  async knowsWords(): Promise<string | null> {
    for (const { name, sha256: sum, bytes } of this.#revision.whole.describers) {
      const head = await this.#store.read(`describers/${sum}.kine`, 0, Math.min(bytes, HEAD_BYTES));
      if (/"name"\s*:\s*"words"/.test(asciiText(head))) return name;
    }
    return null;
  }

  /**
   * Give the words that a describer knows: of each meaning its names.
   *
   * @param codes name of the column; by default the first whose describer knows words.
   * @throws NotFoundError there is no such column, or its describer knows no words.
   * @throws ArchiveError a file is missing or damaged.
   */
  async words(codes?: string): Promise<(readonly string[])[]> {
    const [, { vocabulary }] = await this.#wordy(codes);
    return vocabulary.words.map(({ names }) => names);
  }

  /**
   * Find the images that show best what a word stands for, in the order of `Archive.search` in Python.
   *
   * @param word such as `sailing ship`.
   * @param k how many.
   * @param codes name of the column; by default the first whose describer knows words.
   * @param mask which images may be found: by position, 1 for those that may; by default all.
   * @throws UnknownWordError it is not known; the error has words that are spelt like it.
   * @throws NotFoundError there is no such column, or its describer knows no words.
   * @throws ArchiveError a file is missing or damaged.
   */
  async searchWords(word: string, k = 10, codes?: string, mask: Mask = null): Promise<Hit[]> {
    const [name, scan] = await this.#wordy(codes);
    const meaning = scan.vocabulary.word(word);
    const column = await this.#column(name);
    const finerName = this.#finer(name);
    const finerScan = finerName === null ? null : await this.#scan(finerName);
    const finer = finerScan && {
      column: await this.#column(finerName!),
      near: (codes: Uint8Array) => finerScan.distances(codes, finerScan.vocabulary.word(word)),
    };
    const found = findByWord(k, column, (some, count) => scan.nearest(some, meaning, count), finer, mask).slice(0, k);
    const entries = await this.entriesAt(found.map(([position]) => position));
    return found.map(([position, distance], at) => {
      const { id, label } = entries[at]!;
      return { id, label, position, distance: Math.fround(distance), similarity: Math.exp(-distance) };
    });
  }

  /** A column whose describer knows words, and what scores these. */
  async #wordy(codes: string | undefined): Promise<[name: string, scan: WordScan]> {
    for (const name of codes === undefined ? this.describers : [this.#columnName(codes)]) {
      const scan = await this.#scan(name);
      if (scan) return [name, scan];
    }
    throw new NotFoundError(
      `${this.where}: no codes of it know words; make a describer that does with: kinpack describer make lite0 ` +
        "-o lite0.kine, and embed with it",
    );
  }

  #scan(name: string): Promise<WordScan | null> {
    const known = this.#scans.get(name) ?? this.#readScan(name);
    this.#scans.set(name, known);
    return known;
  }

  async #readScan(name: string): Promise<WordScan | null> {
    const container = await this.#describer(name);
    if (!container.hasBlob("words") && !container.has("class_vectors")) return null;
    // What scores words is loaded at the first need.
    const { WordScan } = await import("./search/word_scan.ts");
    return WordScan.read(container);
  }

  #finer(name: string): string | null {
    return this.describers.includes(finerColumn(name)) ? finerColumn(name) : null;
  }

  async #hits(found: Found, column: Column): Promise<Hit[]> {
    const apart = strangersApart(column);
    const entries = await this.entriesAt(found.map(([position]) => position));
    return found.map(([position, distance], at) => {
      const { id, label } = entries[at]!;
      const similarity = similarityOf(distance, apart);
      return { id, label, position, distance: Math.fround(distance), similarity };
    });
  }

  /** A file that the manifest names by its sum. */
  async #named(file: string, { bytes, sha256: sum }: NamedFile): Promise<Uint8Array> {
    const size = await this.#store.size(file);
    const data = size === bytes ? await this.#store.read(file, 0, bytes) : null;
    if (data && sha256(data) === sum) return data;
    throw new ArchiveError(`${this.where}/${file}: its SHA-256 does not hold; restore it from a copy`);
  }

  async #place(id: string): Promise<Place> {
    const position = await this.position(id);
    return (await this.#all()).places[position]!;
  }

  #all(): Promise<Images> {
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

async function storeOf(source: string | URL | Blob | Store): Promise<Store> {
  if (source instanceof Blob) return SealedStore.open(new BlobFile(source));
  if (typeof source === "string" || source instanceof URL) {
    if (String(source).endsWith("/")) return HttpFolder.open(String(source));
    return SealedStore.open(await HttpFile.open(String(source)));
  }
  return source;
}
