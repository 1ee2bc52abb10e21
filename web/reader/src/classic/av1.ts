/**
 * The heads of an AV1 still picture, bit by bit, with what was left out of them put back. Names are
 * those of the AV1 specification, sections 5.5 (sequence header) and 5.9 (frame header).
 */

import { join } from "../bytes/joining.ts";
import { BitReader, BitWriter, Unusual } from "./bits.ts";

/** What a sequence header holds beyond the size. */
export interface Sequence {
  /** 0 none (monochrome), 1 in half size (4:2:0), 2 in full size (4:4:4). */
  readonly chroma: number;
  /** Superblocks of 128×128 in place of 64×64 pixels. */
  readonly largeBlocks: boolean;
  /** The constrained directional enhancement filter may be used. */
  readonly cdef: boolean;
  /** The loop restoration filter may be used. */
  readonly restoration: boolean;
}

/** The quantiser indices of libaom's 64 steps; a packed frame stores the place in this list. */
const BASE_Q_IDX = [...Array.from({ length: 62 }, (_, i) => 4 * i), 249, 255];

// seq_level_idx, width and height whose product bounds the area, and how much longer than its own
// bound one side may be.
const LEVELS = [
  [0, 512, 288, 4],
  [1, 704, 396, 4],
  [4, 1088, 612, 4],
  [5, 1376, 774, 4],
  [8, 2048, 1152, 3],
  [12, 4096, 2176, 2],
  [16, 8192, 4352, 2],
] as const;
const HIGHEST_LEVEL = 31;
const COLOUR_DESCRIPTION = [1, 13, 6]; // primaries BT.709, transfer sRGB, matrix BT.601

/** Give `seq_profile`: 1 where chroma has full size, else 0. */
export function profileOf(sequence: Sequence): number {
  return Number(sequence.chroma === 2);
}

/** Give `seq_level_idx` of a still picture of this size. */
export function levelOf(width: number, height: number): number {
  const found = LEVELS.find(
    ([, across, down, stretch]) =>
      width * height <= across * down && width <= across * stretch && height <= down * stretch,
  );
  return found ? found[0] : HIGHEST_LEVEL;
}

/** Write the content of the sequence header unit of a still picture. */
export function sequenceHeader(sequence: Sequence, width: number, height: number): Uint8Array {
  const bits = new BitWriter();
  bits.put(3, profileOf(sequence));
  bits.put(2, 0b11); // still_picture, reduced_still_picture_header
  bits.put(5, levelOf(width, height));
  const [across, down] = [bitLength(width - 1), bitLength(height - 1)];
  bits.put(4, across - 1);
  bits.put(4, down - 1);
  bits.put(across, width - 1);
  bits.put(down, height - 1);
  bits.put(1, Number(sequence.largeBlocks));
  bits.put(3, 0b110); // enable_filter_intra, enable_intra_edge_filter, no enable_superres
  bits.put(1, Number(sequence.cdef));
  bits.put(1, Number(sequence.restoration));
  bits.put(1, 0); // high_bitdepth
  if (sequence.chroma !== 2) bits.put(1, Number(sequence.chroma === 0));
  bits.put(1, 1); // color_description_present_flag
  for (const number of COLOUR_DESCRIPTION) bits.put(8, number);
  bits.put(1, 1); // color_range: full
  if (sequence.chroma === 1) bits.put(2, 0); // chroma_sample_position
  if (sequence.chroma) bits.put(1, 0); // separate_uv_delta_q
  bits.put(1, 0); // film_grain_params_present
  bits.put(1, 1); // trailing bit
  return bits.toBytes();
}

function bitLength(number: number): number {
  return Math.max(1, 32 - Math.clz32(number));
}

/**
 * Write a frame whose header was packed.
 *
 * @param packed the packed bits, zeros up to the next byte, then what follows the header.
 * @param place bit at which the packed header begins.
 * @throws Unusual the bits are no packed header.
 */
export function unpackFrame(
  packed: Uint8Array,
  place: number,
  width: number,
  height: number,
  sequence: Sequence,
): Uint8Array {
  const bits = new BitReader(packed, place);
  const header = frameHeader(bits, width, height, sequence);
  return join(header, packed.subarray(bits.place >> 3));
}

function frameHeader(
  packed: BitReader,
  width: number,
  height: number,
  { chroma, largeBlocks, cdef, restoration }: Sequence,
): Uint8Array {
  const full = new BitWriter();
  const kept = (count: number): number => {
    const number = packed.take(count);
    full.put(count, number);
    return number;
  };
  const rare = (count: number): number => {
    const number = packed.take(1) ? packed.take(count) : 0;
    full.put(count, number);
    return number;
  };
  full.put(1, 0); // disable_cdf_update
  const screenContent = kept(1);
  if (screenContent) full.put(1, 0); // force_integer_mv
  full.put(1, 0); // render_and_frame_size_different
  if (screenContent) full.put(1, 0); // allow_intrabc
  full.put(1, 1); // uniform_tile_spacing_flag
  full.put(tileBits(width, height, largeBlocks), 0);
  const baseQIdx = BASE_Q_IDX[packed.take(6)]!;
  full.put(8, baseQIdx);
  if (baseQIdx === 0) throw new Unusual(); // lossless: no filters at all
  full.put(chroma ? 3 : 1, 0); // no quantiser offsets
  full.put(3, 0); // using_qmatrix, segmentation_enabled, delta_q_present

  const loopFilter = kept(6);
  full.put(6, loopFilter);
  if (loopFilter && chroma) kept(12);
  full.put(5, 0b00010); // sharpness 0, loop_filter_delta_enabled, no update

  if (cdef) {
    full.put(2, baseQIdx >> 6); // cdef_damping_minus_3
    let cdefBits = 0;
    if (width <= 64 && height <= 64) full.put(2, 0);
    else cdefBits = kept(2);
    for (let i = 0; i < 1 << cdefBits; i++) kept(chroma ? 12 : 6);
  }

  if (restoration) {
    const lrType = rare(chroma ? 6 : 2);
    if (lrType) {
      const lrUnitShift = kept(1);
      if (lrUnitShift && !largeBlocks) kept(1);
    }
    if (lrType & 0b1111 && chroma === 1) kept(1); // lr_uv_shift
  }

  if (loopFilter && restoration) full.put(1, 1); // tx_mode_select
  else kept(1);
  full.put(1, 0); // reduced_tx_set
  if (packed.take(-packed.place & 7)) throw new Unusual();
  return full.toBytes();
}

/** Number of zero bits that say "a single tile", for a picture that may be a single tile. */
function tileBits(width: number, height: number, largeBlocks: boolean): number {
  const block = largeBlocks ? 128 : 64;
  const [across, down] = [Math.ceil(width / block), Math.ceil(height / block)];
  if (width > 4096 || across * down > (4096 * 2304) / block ** 2) throw new Unusual();
  return Number(across > 1) + Number(down > 1);
}
