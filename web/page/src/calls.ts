/** What the page asks its worker, and what that gives. */

import type { ImageEntry } from "../../reader/src/index.ts";

/** What is known of an archive once it is open. */
export interface Facts {
  readonly count: number;
  /** Names of the columns of codes, the usual one first. */
  readonly describers: readonly string[];
  /** Labels and how many images have each, in the order of the archive. */
  readonly labels: readonly (readonly [label: string, count: number])[];
}

/** An image that was found, by its position, and how alike it is. */
export interface Found {
  readonly position: number;
  readonly similarity: number;
}

/** Which images to list; all where nothing is stated. */
export interface Filter {
  /** Part of their ids, in whatever case. */
  readonly text: string;
  readonly label: string | null;
}

/** What the worker does when it is asked. */
export interface Calls {
  open(source: string | File): Promise<Facts>;
  list(filter: Filter): Promise<Int32Array>;
  entries(positions: readonly number[]): Promise<ImageEntry[]>;
  position(id: string): Promise<number>;
  /** 16 × 16 pixels of red, green, blue and 255 for each; null where there is no placeholder. */
  placeholders(positions: readonly number[], codes: string): Promise<(Uint8ClampedArray<ArrayBuffer> | null)[]>;
  kin(position: number, k: number, codes: string): Promise<Found[]>;
  /** Find what is like a picture file. */
  like(file: File, k: number, codes: string): Promise<Found[]>;
  /** Draw these, in this order, and drop what was asked for before; each comes as a `Drawn`. */
  want(positions: readonly number[]): Promise<void>;
}

/** An image that was drawn, or why it was not. */
export interface Drawn {
  readonly position: number;
  readonly picture: Blob | null;
  /** Whether the picture is the file as it is stored. */
  readonly isStored: boolean;
  readonly fault: string;
}

/** What the page sends. */
export interface Question {
  readonly number: number;
  readonly call: keyof Calls;
  readonly given: readonly unknown[];
}

/** What the worker sends. */
export type Answer =
  | { readonly number: number; readonly value: unknown }
  | { readonly number: number; readonly fault: string }
  | { readonly drawn: Drawn };
