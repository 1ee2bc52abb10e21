/** A file that a web server gives by ranges. */

import { ArchiveError, reasonOf } from "../errors.ts";
import type { RangedFile } from "./store.ts";
import { truncated } from "./truncation.ts";

/** Bytes of the end of a file that are read when it is opened, and kept. */
export const TAIL_BYTES = 1 << 16;

const RANGE = /^bytes ([0-9]{1,15})-([0-9]{1,15})\/(?:([0-9]{1,15})|\*)$/;
const UNSATISFIED = /^bytes \*\/([0-9]{1,15})$/;
const BUSY = new Set([429, 500, 502, 503, 504]);
const ATTEMPTS = 4;
const PAUSE = 200; // milliseconds before the first request that is made again, then twice as long

interface Answer {
  readonly status: number;
  readonly range: string;
  readonly version: string | null;
  readonly data: Uint8Array;
}

/** A file behind `http://` or `https://`; each read is one request, the end of the file is kept. */
export class HttpFile implements RangedFile {
  readonly where: string;
  readonly size: number;
  readonly #url: string;
  readonly #tail: Uint8Array;
  #version: string | null | undefined; // until the first answer it is not known

  private constructor(url: string, size: number, tail: Uint8Array, version: string | null | undefined) {
    this.where = shown(url);
    this.#url = url;
    this.size = size;
    this.#tail = tail;
    this.#version = version;
  }

  /** Give a file of a known size; nothing is asked for before the first read, and no end is kept. */
  static ofSize(url: string, size: number): HttpFile {
    return new HttpFile(url, size, new Uint8Array(0), undefined);
  }

  /**
   * Open a file.
   *
   * @param url its address.
   * @throws ArchiveError there is no such file, or the server gives no ranges.
   */
  static async open(url: string): Promise<HttpFile> {
    let end = await ask(url, `bytes=-${TAIL_BYTES}`, TAIL_BYTES);
    const whole = end.status === 416 ? UNSATISFIED.exec(end.range) : null;
    if (whole) {
      // it knows ranges from a byte on alone
      const size = Number(whole[1]);
      end = await ask(url, `bytes=${Math.max(0, size - TAIL_BYTES)}-${size - 1}`, TAIL_BYTES);
    }
    if (end.status === 200) return new HttpFile(url, end.data.length, end.data, end.version);
    const match = RANGE.exec(end.range);
    if (end.status !== 206 || !match) throw noRanges(url);
    const [first, last] = [Number(match[1]), Number(match[2])];
    const size = last + 1;
    const fits = last - first + 1 === end.data.length && Number(match[3] ?? size) === size;
    if (!fits) throw noRanges(url);
    return new HttpFile(url, size, end.data, end.version);
  }

  async read(offset: number, length: number): Promise<Uint8Array> {
    if (offset < 0 || length < 0 || offset + length > this.size) {
      throw truncated(this.where, offset, offset + length);
    }
    const begin = offset - (this.size - this.#tail.length);
    if (begin >= 0 || !length) return this.#tail.slice(Math.max(0, begin), Math.max(0, begin) + length);
    const last = offset + length - 1;
    const { status, range, version, data } = await ask(this.#url, `bytes=${offset}-${last}`, length);
    if (this.#version === undefined) this.#version = version;
    if (version !== this.#version) {
      throw new ArchiveError(`${this.where}: the file has changed meanwhile; open it again`);
    }
    const stated = [`bytes ${offset}-${last}/${this.size}`, `bytes ${offset}-${last}/*`];
    if (status !== 206 || data.length !== length || !stated.includes(range)) throw noRanges(this.#url);
    return data;
  }

  async close(): Promise<void> {}
}

/** Ask for one range, again where the server is busy; an answer has so many bytes at most. */
async function ask(url: string, range: string, most: number): Promise<Answer> {
  let trouble = "";
  for (let attempt = 0; attempt < ATTEMPTS; attempt++) {
    if (attempt) await new Promise((done) => setTimeout(done, PAUSE * 2 ** (attempt - 1)));
    let answer: Response;
    try {
      answer = await fetch(url, { headers: { Range: range } });
      trouble = `it answers ${answer.status}`;
      if (BUSY.has(answer.status)) {
        await answer.body?.cancel();
        continue;
      }
      if (![200, 206, 416].includes(answer.status)) {
        await answer.body?.cancel();
        break;
      }
      const data = await bodyOf(answer, most);
      if (!data) throw noRanges(url);
      return {
        status: answer.status,
        range: answer.headers.get("Content-Range") ?? "",
        version: answer.headers.get("ETag") ?? answer.headers.get("Last-Modified"),
        data,
      };
    } catch (error) {
      if (error instanceof ArchiveError) throw error;
      trouble = reasonOf(error);
    }
  }
  throw new ArchiveError(
    `${shown(url)}: the server does not give the file: ${trouble}; see to the address, and whether ` +
      "this page may read from there",
  );
}

/** The bytes of an answer; null if there are more than were asked for. */
async function bodyOf(answer: Response, most: number): Promise<Uint8Array | null> {
  const reader = answer.body?.getReader();
  const parts: Uint8Array[] = [];
  let length = 0;
  for (;;) {
    const part = await reader?.read();
    if (!part || part.done) break;
    parts.push(part.value);
    length += part.value.length;
    if (length > most && answer.status !== 416) {
      await reader?.cancel();
      return null;
    }
  }
  const data = new Uint8Array(length);
  let at = 0;
  for (const part of parts) {
    data.set(part, at);
    at += part.length;
  }
  return data;
}

function noRanges(url: string): ArchiveError {
  return new ArchiveError(
    `${shown(url)}: the server gives no ranges of the file, or does not expose the header ` +
      "Content-Range to this page; put the archive on one that does",
  );
}

/** An address without a name and a password. */
function shown(url: string): string {
  try {
    const parts = new URL(url);
    parts.username = parts.password = "";
    return parts.href;
  } catch {
    return url;
  }
}
