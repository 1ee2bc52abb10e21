/** AVIF payloads: the file of one still picture written again, byte for byte. */

import { ascii, join } from "../bytes/joining.ts";
import { writeVarint } from "../bytes/varint.ts";
import type { Sequence } from "./av1.ts";
import { levelOf, profileOf, sequenceHeader, unpackFrame } from "./av1.ts";
import { Unusual } from "./bits.ts";
import { damagedPayload } from "../errors.ts";

const WHAT = "an AVIF payload";
const WHOLE_FRAME = 0x80;
const WHOLE_FILE = 0xc0;
const TEMPORAL_DELIMITER = [0x12, 0];
const SEQUENCE_HEADER = 0x0a;
const FRAME = 0x32;
const BRANDS = ["", "MA1B", "MA1A"];
const SUBSAMPLING = [0x1c, 0x0c, 0x00]; // by chroma: monochrome, subsampling in x and y

/**
 * Write the AVIF file of a payload.
 *
 * @param payload the colour part, where the image has alpha.
 * @param channels 1 or 3.
 * @throws PayloadError the payload is damaged.
 */
export function avifFile(
  payload: Uint8Array,
  width: number,
  height: number,
  channels: number,
): Uint8Array {
  const first = payload[0];
  if (first === undefined) throw damagedPayload(WHAT, "it is empty");
  if (first === WHOLE_FILE) return payload.subarray(1);
  if ((first & 0xc1) === WHOLE_FRAME && ((first >> 4) & 3) !== 3) {
    const sequence = {
      chroma: (first >> 4) & 3,
      largeBlocks: (first & 8) !== 0,
      cdef: (first & 4) !== 0,
      restoration: (first & 2) !== 0,
    };
    return file(payload.subarray(1), sequence, width, height);
  }
  if (first & 0x80) throw damagedPayload(WHAT, "its first byte is of no known form");
  const place = width <= 64 && height <= 64 ? 2 : 3;
  const sequence = {
    chroma: channels === 1 ? 0 : 2,
    largeBlocks: place === 3 && (first & 0x20) !== 0,
    cdef: true,
    restoration: (first & 0x40) !== 0,
  };
  try {
    return file(unpackFrame(payload, place, width, height, sequence), sequence, width, height);
  } catch (error) {
    if (error instanceof Unusual) throw damagedPayload(WHAT, "its frame header is broken");
    throw error;
  }
}

function file(frame: Uint8Array, sequence: Sequence, width: number, height: number): Uint8Array {
  const stream = join(
    TEMPORAL_DELIMITER,
    unit(SEQUENCE_HEADER, sequenceHeader(sequence, width, height)),
    unit(FRAME, frame),
  );
  const fileType = box("ftyp", ascii("avif"), [0, 0, 0, 0], ascii(`avifmif1miaf${BRANDS[sequence.chroma]}`));
  // The place of the data is in the box whose length it follows from: write that box twice.
  const length = meta(sequence, width, height, 0, 0).length;
  const place = fileType.length + length + 8;
  return join(fileType, meta(sequence, width, height, place, stream.length), box("mdat", stream));
}

/** An open bitstream unit with its length. */
function unit(head: number, content: Uint8Array): Uint8Array {
  return join([head], writeVarint(content.length), content);
}

function meta(
  sequence: Sequence,
  width: number,
  height: number,
  place: number,
  length: number,
): Uint8Array {
  const planes = sequence.chroma ? 3 : 1;
  const profileAndLevel = (profileOf(sequence) << 5) | levelOf(width, height);
  const properties = box(
    "ipco",
    fullBox("ispe", long(width), long(height)),
    fullBox("pixi", [planes], new Array<number>(planes).fill(8)),
    box("av1C", [0x81, profileAndLevel, SUBSAMPLING[sequence.chroma]!, 0]),
    box("colr", ascii("nclx"), short(1), short(13), short(6), [0x80]),
  );
  const associations = fullBox("ipma", long(1), short(1), [4, 1, 2, 0x83, 4]);
  const item = versionedBox("infe", 2, short(1), short(0), ascii("av01Color\0"));
  return fullBox(
    "meta",
    fullBox("hdlr", long(0), ascii("pict"), new Uint8Array(13)),
    fullBox("pitm", short(1)),
    fullBox("iloc", [0x44, 0], short(1), short(1), short(0), short(1), long(place), long(length)),
    fullBox("iinf", short(1), item),
    box("iprp", properties, associations),
  );
}

type Bytes = Uint8Array | readonly number[];

function box(name: string, ...content: Bytes[]): Uint8Array {
  const length = content.reduce((sum, part) => sum + part.length, 8);
  return join(long(length), ascii(name), ...content);
}

function fullBox(name: string, ...content: Bytes[]): Uint8Array {
  return versionedBox(name, 0, ...content);
}

function versionedBox(name: string, version: number, ...content: Bytes[]): Uint8Array {
  return box(name, [version, 0, 0, 0], ...content);
}

function long(number: number): number[] {
  return [(number >>> 24) & 255, (number >>> 16) & 255, (number >>> 8) & 255, number & 255];
}

function short(number: number): number[] {
  return [(number >>> 8) & 255, number & 255];
}
