/** Reads kinpack archives in a browser; docs/javascript.md says how. */

export { Archive } from "./archive.ts";
export type { StoredFile } from "./classic/stored_file.ts";
export type { AlphaPlane } from "./classic/alpha.ts";
export type { Picture } from "./describing/fitting.ts";
export type { Colour, Layers } from "./layers.ts";
export { ArchiveError, KinpackError, NotFoundError, PayloadError, UnknownWordError } from "./errors.ts";
export type { Condition, Operator } from "./search/conditions.ts";
export type { Hit, Mask } from "./search/kin.ts";
export type { AddedValue } from "./segments/added_values.ts";
export type { Kind, Packet } from "./segments/packet.ts";
export type { ImageEntry } from "./segments/segment.ts";
export type { RangedFile, Store } from "./stores/store.ts";
