/**
 * Raw LZMA as alpha planes have it: lc = 1, lp = 0, pb = 0, a dictionary of 64 KiB, without the first
 * byte of the range coder and without an end marker. The names are those of the LZMA specification.
 */

import { damagedPayload } from "../errors.ts";

const WHAT = "an alpha plane";
const LC = 1;
const DICTIONARY = 1 << 16;
const [BITS, HALF, MOVE] = [11, 1 << 10, 5];
const TOP = 2 ** 24;
const STATES = 12;
const [LITERAL, MATCH, REP, SHORT_REP] = [0, 7, 8, 9] as const;
const LEAST_LENGTH = 2;
const [SLOT_BITS, LENGTH_STATES, ALIGN_BITS] = [6, 4, 4];
const [FIRST_MODEL, END_MODEL] = [4, 14];

/**
 * Decode a plane.
 *
 * @param coded its bytes.
 * @param size bytes that there must be.
 * @throws PayloadError they are damaged, or end early.
 */
export function decodeLzma(coded: Uint8Array, size: number): Uint8Array {
  return new Decoder(coded, size).run();
}

function probabilities(count: number): Uint16Array {
  return new Uint16Array(count).fill(HALF);
}

/** Lengths of matches: of one sort, those that repeat a distance have others. */
class LengthModel {
  readonly choice = probabilities(2);
  readonly low = probabilities(8);
  readonly middle = probabilities(8);
  readonly high = probabilities(256);
}

class Decoder {
  readonly #coded: Uint8Array;
  readonly #out: Uint8Array;
  #at = 0;
  #range = 0xffffffff;
  #code = 0;
  #state = 0;
  #written = 0;
  readonly #repeats: [number, number, number, number] = [0, 0, 0, 0];

  readonly #literals = probabilities(0x300 << LC);
  readonly #isMatch = probabilities(STATES);
  readonly #isRep = probabilities(STATES);
  readonly #isRep0 = probabilities(STATES);
  readonly #isRep1 = probabilities(STATES);
  readonly #isRep2 = probabilities(STATES);
  readonly #isRep0Long = probabilities(STATES);
  readonly #slots = Array.from({ length: LENGTH_STATES }, () => probabilities(1 << SLOT_BITS));
  readonly #special = probabilities(115);
  readonly #align = probabilities(1 << ALIGN_BITS);
  readonly #lengths = new LengthModel();
  readonly #repLengths = new LengthModel();

  constructor(coded: Uint8Array, size: number) {
    this.#coded = coded;
    this.#out = new Uint8Array(size);
  }

  run(): Uint8Array {
    for (let i = 0; i < 4; i++) this.#code = (this.#code * 256 + this.#byte()) >>> 0;
    while (this.#written < this.#out.length) {
      if (!this.#bit(this.#isMatch, this.#state)) this.#literal();
      else if (!this.#bit(this.#isRep, this.#state)) this.#match();
      else this.#repeat();
    }
    return this.#out;
  }

  #literal(): void {
    const before = this.#written ? this.#out[this.#written - 1]! : 0;
    const model = 0x300 * (before >> (8 - LC));
    let symbol = 1;
    if (this.#state >= MATCH) {
      let matched = this.#out[this.#written - this.#repeats[0] - 1]!;
      while (symbol < 0x100) {
        const expected = (matched >> 7) & 1;
        matched <<= 1;
        const bit = this.#bit(this.#literals, model + ((1 + expected) << 8) + symbol);
        symbol = (symbol << 1) | bit;
        if (bit !== expected) break;
      }
    }
    while (symbol < 0x100) symbol = (symbol << 1) | this.#bit(this.#literals, model + symbol);
    this.#out[this.#written++] = symbol;
    this.#state = this.#state < 4 ? LITERAL : this.#state < 10 ? this.#state - 3 : this.#state - 6;
  }

  #match(): void {
    const length = this.#length(this.#lengths);
    this.#state = this.#state < MATCH ? MATCH : MATCH + 3;
    const distance = this.#distance(length - LEAST_LENGTH);
    const [a, b, c] = this.#repeats;
    this.#repeats.splice(0, 4, distance, a, b, c);
    this.#copy(length);
  }

  #repeat(): void {
    const former = this.#state < MATCH;
    if (!this.#bit(this.#isRep0, this.#state)) {
      if (!this.#bit(this.#isRep0Long, this.#state)) {
        this.#state = former ? SHORT_REP : SHORT_REP + 2;
        this.#copy(1);
        return;
      }
    } else {
      let which = 1;
      if (this.#bit(this.#isRep1, this.#state)) which = 2 + this.#bit(this.#isRep2, this.#state);
      const [distance] = this.#repeats.splice(which, 1);
      this.#repeats.unshift(distance!);
    }
    const length = this.#length(this.#repLengths);
    this.#state = former ? REP : REP + 3;
    this.#copy(length);
  }

  #length(model: LengthModel): number {
    if (!this.#bit(model.choice, 0)) return LEAST_LENGTH + this.#tree(model.low, 3);
    if (!this.#bit(model.choice, 1)) return LEAST_LENGTH + 8 + this.#tree(model.middle, 3);
    return LEAST_LENGTH + 16 + this.#tree(model.high, 8);
  }

  #distance(lengthState: number): number {
    const slot = this.#tree(this.#slots[Math.min(lengthState, LENGTH_STATES - 1)]!, SLOT_BITS);
    if (slot < FIRST_MODEL) return slot;
    const direct = (slot >> 1) - 1;
    const base = (2 | (slot & 1)) * 2 ** direct;
    if (slot < END_MODEL) return base + this.#reversed(this.#special, base - slot, direct);
    let high = 0;
    for (let i = 0; i < direct - ALIGN_BITS; i++) high = high * 2 + this.#even();
    return base + high * 2 ** ALIGN_BITS + this.#reversed(this.#align, 0, ALIGN_BITS);
  }

  #copy(length: number): void {
    const distance = this.#repeats[0];
    if (distance >= this.#written || distance >= DICTIONARY) {
      throw damagedPayload(WHAT, "it repeats what was not there");
    }
    const stop = Math.min(this.#written + length, this.#out.length);
    for (; this.#written < stop; this.#written++) {
      this.#out[this.#written] = this.#out[this.#written - distance - 1]!;
    }
  }

  #tree(model: Uint16Array, bits: number): number {
    let symbol = 1;
    for (let i = 0; i < bits; i++) symbol = (symbol << 1) | this.#bit(model, symbol);
    return symbol - (1 << bits);
  }

  #reversed(model: Uint16Array, first: number, bits: number): number {
    let place = 1;
    let number = 0;
    for (let i = 0; i < bits; i++) {
      const bit = this.#bit(model, first + place);
      place = (place << 1) | bit;
      number |= bit << i;
    }
    return number;
  }

  #bit(model: Uint16Array, place: number): number {
    this.#normalise();
    const probability = model[place]!;
    const bound = (this.#range >>> BITS) * probability;
    if (this.#code < bound) {
      this.#range = bound;
      model[place] = probability + (((1 << BITS) - probability) >> MOVE);
      return 0;
    }
    this.#range = (this.#range - bound) >>> 0;
    this.#code = (this.#code - bound) >>> 0;
    model[place] = probability - (probability >> MOVE);
    return 1;
  }

  /** A bit that is as often 0 as 1. */
  #even(): number {
    this.#normalise();
    this.#range >>>= 1;
    if (this.#code < this.#range) return 0;
    this.#code = (this.#code - this.#range) >>> 0;
    return 1;
  }

  #normalise(): void {
    if (this.#range >= TOP) return;
    this.#range = (this.#range * 256) >>> 0;
    this.#code = (this.#code * 256 + this.#byte()) >>> 0;
  }

  #byte(): number {
    if (this.#at >= this.#coded.length) throw damagedPayload(WHAT, "it ends early");
    return this.#coded[this.#at++]!;
  }
}
