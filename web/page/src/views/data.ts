/** What was computed of an archive, and lies beside the page as data. */

/** What all of it states: of which revision it is, and of how many images. */
export interface Computed {
  readonly revision: number;
  readonly images: number;
}

/** Where images lie: `x` and `y` of each from 0 to 65,535, of the images at `positions` or, where that is null, of all. */
export interface MapData extends Computed {
  readonly codes: string;
  readonly share: number;
  readonly positions: readonly number[] | null;
  readonly x: readonly number[];
  readonly y: readonly number[];
}

/** Clusters, the largest first; of each its images by position, the one nearest to the middle first. */
export interface ClusterData extends Computed {
  readonly codes: string;
  readonly clusters: readonly (readonly number[])[];
}

/** Groups of images that are the same, or alike. */
export interface DuplicateData extends Computed {
  readonly groups: readonly {
    readonly band: string;
    readonly kept: number;
    readonly others: readonly {
      readonly position: number;
      readonly band: string;
      readonly similarity: number;
      readonly changes: readonly string[];
    }[];
  }[];
}

/** What the archive takes, and what files would. */
export interface CostData extends Computed {
  /** Bytes of the archive, of its codec and describers, and of its payloads. */
  readonly bytes: number;
  readonly shared: number;
  readonly payloads: number;
  /** Images of the sample, its seed, and the bytes of their payloads. */
  readonly sample: number;
  readonly seed: number;
  /** Images of the sample that have alpha. */
  readonly transparent: number;
  readonly sample_payloads: number;
  /** Bytes of the sample's files, null where a format does not come so near. */
  readonly files: readonly { readonly psnr: number; readonly bytes: Readonly<Record<string, number | null>> }[];
}

/** What a view asks of the page. */
export interface ViewHost {
  /** Fill a cell with the picture at a position, and name it. */
  cell(button: HTMLButtonElement, position: number): void;
  /** These are seen now. */
  see(positions: readonly number[]): void;
  /** An image was chosen. */
  opened(position: number): void;
  /** Show these in the grid. */
  list(positions: Int32Array, told: string): void;
}

/** A view that is shown. */
export interface View {
  /** The page lists other images. */
  listed(positions: Int32Array): void;
  /** It is shown again, or goes. */
  shown(isShown: boolean): void;
}

/** Make an element with a text. */
export function made<K extends keyof HTMLElementTagNameMap>(name: K, text = "", className = ""): HTMLElementTagNameMap[K] {
  const one = document.createElement(name);
  [one.textContent, one.className] = [text, className];
  return one;
}

export const number = (count: number): string => count.toLocaleString("en");
