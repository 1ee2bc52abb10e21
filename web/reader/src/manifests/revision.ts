/** The revisions of an archive: found in a store, and put together from their manifests. */

import { ArchiveError, KinpackError, Malformed, NotFoundError } from "../errors.ts";
import type { Store } from "../stores/store.ts";
import type { Record, Whole } from "./record.ts";
import { damagedManifest, manifestFile, readRecord } from "./record.ts";
import type { SegmentEntry } from "./segment_entry.ts";
import { withDeleted } from "./segment_entry.ts";

/** What an archive holds after one commit. */
export interface Revision {
  readonly record: Record;
  readonly whole: Whole;
  readonly segments: readonly SegmentEntry[];
}

const LONGEST_CHAIN = 100;
const MOST_BYTES = 1 << 28; // of a manifest: it would name more than a million segments

/** Give the numbers of all manifests of an archive, ascending. */
export async function revisionNumbers(store: Store): Promise<number[]> {
  const names = await store.names("manifests/");
  return names
    .map((name) => /^manifests\/([0-9]{10})\.json$/.exec(name))
    .flatMap((match) => (match ? [Number(match[1])] : []))
    .sort((a, b) => a - b);
}

/**
 * Read a revision.
 *
 * @param at its number; by default it is the newest.
 * @throws ArchiveError there is none, or a manifest is missing or damaged.
 * @throws NotFoundError there is none of that number.
 */
export async function readRevision(store: Store, at?: number): Promise<Revision> {
  const numbers = await revisionNumbers(store);
  const newest = numbers.at(-1);
  if (newest === undefined) {
    throw new ArchiveError(
      `${store.where}: no kinpack archive: it has no manifests; name another one, or make one with: ` +
        "kinpack pack SOURCE -o ARCHIVE",
    );
  }
  if (at !== undefined && !numbers.includes(at)) {
    throw new NotFoundError(
      `${store.where}: there is no revision ${at}; it has ${numbers[0]} to ${newest}`,
    );
  }
  if (at === undefined && newest - numbers[0]! !== numbers.length - 1) {
    throw new ArchiveError(
      `${store.where}: a manifest below number ${newest} is missing; restore it from a copy, or ` +
        "open a revision by its number",
    );
  }
  const chain = [await loadRecord(store, at ?? newest)];
  for (let base = chain[0]!.base; base; base = chain.at(-1)!.base) {
    if (chain.length >= LONGEST_CHAIN) {
      const where = `${store.where}/${manifestFile(chain[0]!.number)}`;
      throw damagedManifest(where, `it takes more than ${LONGEST_CHAIN} manifests`);
    }
    chain.push(await loadRecord(store, base.number));
  }
  const revision = putTogether(store, chain.reverse());
  if (at === undefined) await seeParent(store, revision.record, numbers);
  return revision;
}

async function loadRecord(store: Store, number: number): Promise<Record> {
  const name = manifestFile(number);
  const where = `${store.where}/${name}`;
  const size = await store.size(name);
  if (size > MOST_BYTES) throw damagedManifest(where, `it has ${size} bytes`);
  const record = readRecord(await store.read(name, 0, size), where);
  if (record.number !== number) {
    throw damagedManifest(where, `it is manifest ${record.number} under a wrong name`);
  }
  return record;
}

/** Put a revision together from the manifests that it takes, the whole one first. */
function putTogether(store: Store, chain: readonly Record[]): Revision {
  const whole = chain[0]!.whole!;
  const columns = new Set(whole.describers.map((one) => one.name));
  const segments: SegmentEntry[] = [];
  let before: Record | null = null;
  for (const record of chain) {
    const where = `${store.where}/${manifestFile(record.number)}`;
    if (before) {
      if (before.checksum !== record.base?.checksum) {
        throw damagedManifest(where, `it builds on another manifest ${before.number} than there is`);
      }
      if (before.archive !== record.archive) {
        throw damagedManifest(where, `manifest ${before.number}, its base, is another archive's`);
      }
      if (before.number === record.number - 1 && before.checksum !== record.parent) {
        throw damagedManifest(where, "it builds on another manifest than it follows");
      }
    }
    try {
      const places = new Map(segments.map((entry, place) => [entry.name, place]));
      for (const [name, runs] of record.deleted) {
        const place = places.get(name);
        if (place === undefined) {
          throw new Malformed(`rows of ${name} are deleted, which it does not hold`);
        }
        segments[place] = withDeleted(segments[place]!, runs);
      }
    } catch (error) {
      if (error instanceof Malformed) throw damagedManifest(where, error.message);
      throw error;
    }
    for (const entry of record.segments) {
      const strange = entry.codes.find((file) => !columns.has(file.column));
      if (strange) {
        const what = `segment ${entry.name} has codes of ${strange.column}, no describer of it`;
        throw damagedManifest(where, what);
      }
      segments.push(entry);
    }
    before = record;
  }
  return { record: chain.at(-1)!, whole, segments };
}

/** Refuse a newest revision that does not follow the one before it, where that is there and whole. */
async function seeParent(store: Store, found: Record, numbers: readonly number[]): Promise<void> {
  if (!numbers.includes(found.number - 1)) return;
  let before: Record;
  try {
    before = await loadRecord(store, found.number - 1);
  } catch (error) {
    if (error instanceof KinpackError) return;
    throw error;
  }
  if (before.archive !== found.archive || before.checksum !== found.parent) {
    throw damagedManifest(
      `${store.where}/${manifestFile(found.number)}`,
      `it follows another manifest ${found.number - 1} than there is`,
    );
  }
}
