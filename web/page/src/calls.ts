/** What the page asks its worker, and what that gives. */

import type { Condition, ImageEntry } from "../../reader/src/index.ts";

/** What is known of an archive once it is open. */
export interface Facts {
  readonly count: number;
  /** The number of the revision that is open. */
  readonly revision: number;
  /** Names of the columns of codes, the usual one first. */
  readonly describers: readonly string[];
  /** Labels and how many images have each, in the order of the archive. */
  readonly labels: readonly (readonly [label: string, count: number])[];
  /** The types of the columns that users added, by their names. */
  readonly columns: Readonly<Record<string, string>>;
}

/** What images are found by; a file is a picture. */
export type Sought =
  | { readonly by: "image"; readonly position: number; readonly id: string }
  | { readonly by: "picture"; readonly file: File }
  | { readonly by: "words"; readonly words: string };

/** Which images to list: those that pass all conditions, in the archive's order, or the best of them. */
export interface Asked {
  readonly conditions: readonly Condition[];
  readonly sought: Sought | null;
  /** How many at most where something is sought, and by which codes. */
  readonly k: number;
  readonly codes: string;
}

/** Images of a list. */
export interface Listed {
  readonly positions: Int32Array;
  /** Of each, how alike it is; null where nothing is sought. */
  readonly similarities: Float64Array | null;
}

/** An image that was found, by its position, and how alike it is. */
export interface Found {
  readonly position: number;
  readonly similarity: number;
}

/** What the worker does when it is asked. */
export interface Calls {
  open(source: string | File): Promise<Facts>;
  list(asked: Asked): Promise<Listed>;
  entries(positions: readonly number[]): Promise<ImageEntry[]>;
  position(id: string): Promise<number>;
  /** 16 × 16 pixels of red, green, blue and 255 for each; null where there is no placeholder. */
  placeholders(positions: readonly number[], codes: string): Promise<(Uint8ClampedArray<ArrayBuffer> | null)[]>;
  kin(position: number, k: number, codes: string): Promise<Found[]>;
  /** Tell whether there are codes that know words, of the beginnings of files. */
  knowsWords(): Promise<boolean>;
  /** All names of words. */
  words(): Promise<string[]>;
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
  | { readonly number: number; readonly fault: string; readonly suggestions: readonly string[] }
  | { readonly drawn: Drawn };
