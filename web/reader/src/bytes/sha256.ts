/**
 * SHA-256 (FIPS 180-4). A browser's own is there on pages of https alone, and archives also lie on
 * plain servers.
 */

const { ROUNDS, START } = constants();

/** The first 32 bits of the fractional parts of roots of primes. */
function constants(): { ROUNDS: Uint32Array; START: Uint32Array } {
  const primes: number[] = [];
  for (let n = 2; primes.length < 64; n++) if (primes.every((p) => n % p)) primes.push(n);
  const part = (root: number): number => Math.floor((root - Math.floor(root)) * 2 ** 32);
  return {
    ROUNDS: Uint32Array.from(primes, (p) => part(Math.cbrt(p))),
    START: Uint32Array.from(primes.slice(0, 8), (p) => part(Math.sqrt(p))),
  };
}

/**
 * Give the SHA-256 of bytes.
 *
 * @returns 64 lower-case hexadecimal digits.
 */
export function sha256(data: Uint8Array): string {
  const state = START.slice();
  const whole = data.length - (data.length % 64);
  for (let at = 0; at < whole; at += 64) block(state, data, at);
  const end = new Uint8Array(data.length - whole < 56 ? 64 : 128);
  end.set(data.subarray(whole));
  end[data.length - whole] = 0x80;
  const view = new DataView(end.buffer);
  view.setUint32(end.length - 8, Math.floor(data.length / 2 ** 29));
  view.setUint32(end.length - 4, (data.length << 3) >>> 0);
  for (let at = 0; at < end.length; at += 64) block(state, end, at);
  return Array.from(state, (word) => word.toString(16).padStart(8, "0")).join("");
}

const words = new Int32Array(64);

function block(state: Uint32Array, data: Uint8Array, at: number): void {
  const w = words;
  for (let i = 0; i < 16; i++) {
    const p = at + 4 * i;
    w[i] = (data[p]! << 24) | (data[p + 1]! << 16) | (data[p + 2]! << 8) | data[p + 3]!;
  }
  for (let i = 16; i < 64; i++) {
    const x = w[i - 15]!;
    const y = w[i - 2]!;
    const s0 = ((x >>> 7) | (x << 25)) ^ ((x >>> 18) | (x << 14)) ^ (x >>> 3);
    const s1 = ((y >>> 17) | (y << 15)) ^ ((y >>> 19) | (y << 13)) ^ (y >>> 10);
    w[i] = (w[i - 16]! + s0 + w[i - 7]! + s1) | 0;
  }
  let [a, b, c, d, e, f, g, h] = state as unknown as [
    number, number, number, number, number, number, number, number,
  ];
  for (let i = 0; i < 64; i++) {
    const s1 = ((e >>> 6) | (e << 26)) ^ ((e >>> 11) | (e << 21)) ^ ((e >>> 25) | (e << 7));
    const one = (h + s1 + ((e & f) ^ (~e & g)) + ROUNDS[i]! + w[i]!) | 0;
    const s0 = ((a >>> 2) | (a << 30)) ^ ((a >>> 13) | (a << 19)) ^ ((a >>> 22) | (a << 10));
    const two = (s0 + ((a & b) ^ (a & c) ^ (b & c))) | 0;
    h = g;
    g = f;
    f = e;
    e = (d + one) | 0;
    d = c;
    c = b;
    b = a;
    a = (one + two) | 0;
  }
  [a, b, c, d, e, f, g, h].forEach((word, i) => {
    state[i]! += word;
  });
}
