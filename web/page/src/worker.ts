/** The worker: reads the archive, draws and searches, so that the page itself never waits. */

import { Archive, KinpackError, UnknownWordError } from "../../reader/src/index.ts";
import type { Hit, Mask, Packet } from "../../reader/src/index.ts";
import { storedFile } from "../../reader/src/classic/stored_file.ts";
import type { Answer, Asked, Calls, Drawn, Facts, Question } from "./calls.ts";
import { drawPicture, filePixels } from "./drawing.ts";

const LANES = 3; // reads under way at a time
const AT_ONCE = 12; // images of one read

const tell = (answer: Answer): void => (globalThis.postMessage as (message: Answer) => void)(answer);

let archive: Archive;
let ids: string[] = [];
let wanted: number[] = [];
let lanes = 0;

const calls: Calls = {
  async open(source): Promise<Facts> {
    const opened = await Archive.open(source);
    const [names, labels] = [await opened.ids(), await opened.values("label")];
    [archive, ids, wanted] = [opened, names, []];
    const counts = new Map<string, number>();
    for (const one of labels) if (one !== null) counts.set(one as string, (counts.get(one as string) ?? 0) + 1);
    const { number: revision, describers, columns } = archive;
    return { count: ids.length, revision, describers, labels: [...counts], columns };
  },
  async list({ conditions, sought, k, codes }) {
    const mask = conditions.length ? await archive.passing(conditions) : null;
    if (!sought) {
      const positions = Int32Array.from(ids.keys());
      return { positions: mask ? positions.filter((at) => mask[at]) : positions, similarities: null };
    }
    const found = await find(sought, k, codes, mask);
    return {
      positions: Int32Array.from(found, ({ position }) => position),
      similarities: Float64Array.from(found, ({ similarity }) => similarity),
    };
  },
  entries: (positions) => archive.entriesAt(positions),
  position: (id) => archive.position(id),
  async placeholders(positions, codes) {
    return Promise.all(
      positions.map(async (position) => {
        const pixels = await archive.placeholder(ids[position]!, codes).catch(() => null);
        if (!pixels) return null; // the picture itself will come, and tell what is wrong
        return Uint8ClampedArray.from({ length: 4 * 256 }, (_, at) =>
          at % 4 === 3 ? 255 : pixels[3 * Math.floor(at / 4) + (at % 4)]!,
        );
      }),
    );
  },
  async kin(position, k, codes) {
    return archive.search(ids[position]!, k, codes);
  },
  knowsWords: async () => (await archive.knowsWords()) !== null,
  words: async () => (await archive.words()).flat(),
  async want(positions) {
    wanted = [...positions];
    while (lanes < LANES && wanted.length) {
      lanes++;
      void drawWanted().finally(() => lanes--);
      await Promise.resolve();
    }
  },
};

async function find(sought: NonNullable<Asked["sought"]>, k: number, codes: string, mask: Mask): Promise<Hit[]> {
  if (sought.by === "image") return archive.search(ids[sought.position]!, k, codes, mask);
  if (sought.by === "words") return archive.searchWords(sought.words, k, undefined, mask);
  const { file } = sought;
  const picture = await filePixels(file.type, new Uint8Array(await file.arrayBuffer())).catch((error: unknown) => {
    throw new Error(`${file.name}: this browser reads no picture from it (${String(error)}); take a PNG or a JPEG`);
  });
  return archive.searchPicture(picture, k, codes, mask);
}

/** Draw what is wanted, run by run, until nothing is. */
async function drawWanted(): Promise<void> {
  while (wanted.length) {
    const from = archive;
    const run = wanted.splice(0, AT_ONCE);
    for (const [position, packet] of await packetsOf(from, run)) {
      const drawn = packet instanceof Error ? faulty(position, packet) : await drawOne(from, position, packet);
      if (from === archive) tell({ drawn });
      await new Promise((done) => setTimeout(done)); // a question may have come meanwhile
    }
  }
}

/** Packets of images; where one cannot be read, its error. */
async function packetsOf(from: Archive, positions: readonly number[]): Promise<[number, Packet | Error][]> {
  const some = positions.map((position) => ids[position]!);
  const pair = <T>(at: number, one: T): [number, T] => [positions[at]!, one];
  try {
    return (await from.packets(some)).map((packet, at) => pair(at, packet));
  } catch {
    return Promise.all(
      some.map(async (id, at) => pair(at, await from.packet(id).catch((error: unknown) => asError(error)))),
    );
  }
}

async function drawOne(from: Archive, position: number, packet: Packet): Promise<Drawn> {
  try {
    const file = storedFile(packet);
    const picture = file
      ? new Blob([file.data as Uint8Array<ArrayBuffer>], { type: file.mediaType })
      : await drawPicture(await from.layersOf(packet), packet.width, packet.height);
    return { position, picture, isStored: file !== null, fault: "" };
  } catch (error) {
    return faulty(position, asError(error));
  }
}

function faulty(position: number, error: Error): Drawn {
  return { position, picture: null, isStored: false, fault: error.message };
}

function asError(error: unknown): Error {
  if (error instanceof KinpackError) return error;
  const reason = error instanceof Error ? error.message : String(error);
  return new Error(`this browser cannot draw it: ${reason}`);
}

globalThis.onmessage = async ({ data: { number, call, given } }: MessageEvent<Question>) => {
  try {
    const value = await (calls[call] as (...given: readonly unknown[]) => Promise<unknown>)(...given);
    tell({ number, value });
  } catch (error) {
    const suggestions = error instanceof UnknownWordError ? error.suggestions : [];
    tell({ number, fault: error instanceof Error ? error.message : String(error), suggestions });
  }
};
