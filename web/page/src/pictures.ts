/** Pictures that were drawn, as addresses for `img`; the oldest of too many are given back. */

import type { Drawn } from "./calls.ts";

const MOST = 1500;

/** A picture, or why there is none. */
export interface Picture {
  readonly url: string;
  readonly type: string;
  readonly isStored: boolean;
  readonly fault: string;
}

/** Pictures by their positions. */
export class Pictures {
  readonly #known = new Map<number, Picture>();

  get(position: number): Picture | undefined {
    return this.#known.get(position);
  }

  /** Keep one; `shown` says which are on the page and must stay. */
  keep({ position, picture, isStored, fault }: Drawn, shown: ReadonlySet<number>): Picture {
    this.#forget(position);
    const url = picture ? URL.createObjectURL(picture) : "";
    const one = { url, type: picture?.type ?? "", isStored, fault };
    this.#known.set(position, one);
    for (const old of this.#known.keys()) {
      if (this.#known.size <= MOST) break;
      if (!shown.has(old)) this.#forget(old);
    }
    return one;
  }

  clear(): void {
    for (const position of [...this.#known.keys()]) this.#forget(position);
  }

  #forget(position: number): void {
    const one = this.#known.get(position);
    if (one?.url) URL.revokeObjectURL(one.url);
    this.#known.delete(position);
  }
}
