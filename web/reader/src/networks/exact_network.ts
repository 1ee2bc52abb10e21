/** Networks whose numbers are exact, so that each reader draws the same pixels. */

import type { Container } from "../containers/container.ts";
import type { Planes } from "./planes.ts";

/** A network, checked when it was read: no sum leaves exact arithmetic. */
export interface ExactNetwork {
  /** Channels that it takes, and that it gives. */
  readonly takes: number;
  readonly gives: number;
  /** Positions that it gives for each of its input, along a side. */
  readonly up: number;
  /** Positions of the input beyond its own that an output sees. */
  readonly halo: number;
  /** Lowest and highest number that it gives. */
  readonly bounds: readonly [low: number, high: number];
  /** Run it on integers. */
  run(x: Planes): Planes;
}

/** Give how many positions of the input beyond its own an output of layers sees. */
export function haloOf(layers: readonly { readonly shuffle: number; readonly k: number }[]): number {
  return layers.reduceRight((seen, { shuffle, k }) => Math.ceil(seen / shuffle) + (k - 1) / 2, 0);
}

/** Give what a codec's header says of a network under a key; null where there is none. */
export function describedBy(container: Container, key: string, name: string): Record<string, unknown> | null {
  const networks = container.header[key] as Record<string, unknown> | null | undefined;
  const values = typeof networks === "object" ? networks?.[name] : null;
  return typeof values === "object" && values !== null ? (values as Record<string, unknown>) : null;
}
