/** Bits, from the most significant of each byte on. */

/** A header holds something that it cannot: it is damaged. */
export class Unusual extends Error {}

/** Bits, appended. */
export class BitWriter {
  readonly #bits: number[] = [];

  put(count: number, number: number): void {
    for (let bit = count - 1; bit >= 0; bit--) this.#bits.push((number >> bit) & 1);
  }

  /** Give the bytes; zero bits fill the last one. */
  toBytes(): Uint8Array {
    const bytes = new Uint8Array(Math.ceil(this.#bits.length / 8));
    this.#bits.forEach((bit, i) => {
      bytes[i >> 3]! |= bit << (7 - (i & 7));
    });
    return bytes;
  }
}

/** The bits of a header, which is short: only its first 32 bytes are looked at. */
export class BitReader {
  place: number;
  readonly #data: Uint8Array;

  constructor(data: Uint8Array, place: number) {
    this.#data = data.subarray(0, 32);
    this.place = place;
  }

  take(count: number): number {
    if (this.place + count > 8 * this.#data.length) throw new Unusual();
    let number = 0;
    for (let i = 0; i < count; i++, this.place++) {
      number = number * 2 + ((this.#data[this.place >> 3]! >> (7 - (this.place & 7))) & 1);
    }
    return number;
  }
}
