/**
 * The reader as a command for Node.
 *
 *     node command.js list ARCHIVE [--at NUMBER]       one JSON object a line for each image
 *     node command.js get ARCHIVE ID [--at NUMBER]     the image's file, as it is stored
 *
 * ARCHIVE is a folder, a sealed archive or the address of one.
 */

import { parseArgs } from "node:util";

import type { Archive } from "./archive.ts";
import { KinpackError } from "./errors.ts";
import { openArchive } from "./node.ts";

const USAGE = "usage: node command.js list ARCHIVE | get ARCHIVE ID  [--at NUMBER]";

/** A value as JSON has it: integers beyond 2^53 as texts. */
function told(_: string, value: unknown): unknown {
  return typeof value === "bigint" ? String(value) : value;
}

async function list(archive: Archive): Promise<void> {
  for await (const entry of archive.entries()) process.stdout.write(`${JSON.stringify(entry, told)}\n`);
}

async function get(archive: Archive, id: string): Promise<void> {
  const file = await archive.file(id);
  if (!file) {
    throw new KinpackError(
      `${archive.where}: ${JSON.stringify(id)} is stored as no file; write one with: kinpack unpack`,
    );
  }
  process.stdout.write(file.data);
}

async function main(): Promise<void> {
  const { values, positionals } = parseArgs({
    allowPositionals: true,
    options: { at: { type: "string" } },
  });
  const [verb, where, id, ...others] = positionals;
  const known = verb === "list" ? id === undefined : verb === "get" && id !== undefined;
  if (!where || !known || others.length) throw new KinpackError(USAGE);
  const archive = await openArchive(where, values.at === undefined ? undefined : Number(values.at));
  try {
    await (verb === "list" ? list(archive) : get(archive, id!));
  } finally {
    await archive.close();
  }
}

main().catch((error: unknown) => {
  if (!(error instanceof KinpackError) && (error as NodeJS.ErrnoException).code === undefined) throw error;
  process.stderr.write(`kinpack-reader: ${(error as Error).message}\n`);
  process.exitCode = 1;
});
