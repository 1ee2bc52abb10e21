// Runs jobs of tests/javascript_runs.py with the built reader, whose folder is the only argument.
// Standard input is a JSON list of jobs, standard output a JSON list of what each gave or refused.
import { createHash } from "node:crypto";
import { readFileSync } from "node:fs";
import { pathToFileURL } from "node:url";

// As in a page that may run no WebAssembly.
if (process.env.WITHOUT_WASM) delete globalThis.WebAssembly;
const { KinpackError, openArchive } = await import(pathToFileURL(`${process.argv[2]}/node.js`));

const sha256 = (data) => createHash("sha256").update(data).digest("hex");

/** A picture of a job: its size, and its red, green, blue and alpha in base64. */
const unpacked = ({ width, height, data }) => ({ width, height, data: Buffer.from(data, "base64") });

/** What each job does with an archive. */
const WAYS = {
  async everything(archive, { files = true }) {
    const images = [];
    for await (const entry of archive.entries()) {
      const packet = await archive.packet(entry.id);
      const file = files ? await archive.file(entry.id) : null;
      images.push({
        ...entry,
        payload: sha256(packet.payload),
        file: file && [file.mediaType, sha256(file.data)],
      });
    }
    const { number, identity, metadata, describers, length } = archive;
    return { number, identity, metadata, describers, length, images };
  },
  async packets(archive, { ids }) {
    const packets = await archive.packets(ids);
    return packets.map(({ payload, ...stated }) => ({ ...stated, payload: sha256(payload) }));
  },
  async entries(archive) {
    const entries = [];
    for await (const entry of archive.entries()) entries.push(entry);
    return entries;
  },
  /** Each layer, with its bytes in hexadecimal. */
  async layers(archive, { id }) {
    const hex = (part) => part && { ...part, data: Buffer.from(part.data).toString("hex") };
    const layers = await archive.layers(id);
    return layers.map((one) => ({ ...one, colour: hex(one.colour), alpha: hex(one.alpha) }));
  },
  async placeholder(archive, { id, codes }) {
    return [...(await archive.placeholder(id, codes))];
  },
  async codes(archive, { pictures, codes }) {
    const found = [];
    for (const one of pictures) found.push([...(await archive.codeOf(unpacked(one), codes))]);
    return found;
  },
  async searchPictures(archive, { pictures, k }) {
    const found = [];
    for (const one of pictures) found.push(await archive.searchPicture(unpacked(one), k));
    return found;
  },
  async search(archive, { id, k, codes, among }) {
    return archive.search(id, k, codes, among && Uint8Array.from(among));
  },
  async searchWords(archive, { words, k, codes, among }) {
    return archive.searchWords(words, k, codes, among && Uint8Array.from(among));
  },
  async words(archive, { codes }) {
    return { known: await archive.words(codes), told: await archive.knowsWords() };
  },
  async values(archive, { columns }) {
    return Promise.all(columns.map((column) => archive.values(column)));
  },
};

const jobs = JSON.parse(readFileSync(0, "utf-8"));
const results = [];
for (const { way, where, at, ...options } of jobs) {
  try {
    const archive = await openArchive(where, at ?? undefined);
    try {
      results.push({ value: await WAYS[way](archive, options) });
    } finally {
      await archive.close();
    }
  } catch (error) {
    if (!(error instanceof KinpackError)) throw new Error(`${way} of ${where}`, { cause: error });
    results.push({ error: error.name, message: error.message, suggestions: error.suggestions });
  }
}
const plain = (_, value) => (typeof value === "bigint" ? String(value) : value);
process.stdout.write(JSON.stringify(results, plain));
