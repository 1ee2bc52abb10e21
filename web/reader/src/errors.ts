/** What can be wrong: each error names the file, the place and the cure in one line. */

/** Anything that this reader refuses. */
export class KinpackError extends Error {
  override name = "KinpackError";
}

/** An archive, or one of its files, is missing, damaged, or none. */
export class ArchiveError extends KinpackError {
  override name = "ArchiveError";
}

/** An image's packet is damaged. */
export class PayloadError extends KinpackError {
  override name = "PayloadError";
}

/** There is no such image, revision or column. */
export class NotFoundError extends KinpackError {
  override name = "NotFoundError";
}

/** A word is none of those that a describer knows. */
export class UnknownWordError extends NotFoundError {
  override name = "UnknownWordError";
  /** Words that it knows, and that are spelt like it. */
  readonly suggestions: readonly string[];

  constructor(message: string, suggestions: readonly string[]) {
    super(message);
    this.suggestions = suggestions;
  }
}

/** A file is not of the form that it should have; whoever knows its name says it. */
export class Malformed extends Error {
  override name = "Malformed";
}

/** Give an error's text in one line. */
export function reasonOf(error: unknown): string {
  const text = error instanceof Error ? error.message : String(error);
  return text.split(/\s+/).join(" ").trim() || "unknown";
}

/** Give the error of a payload that is damaged. */
export function damagedPayload(what: string, reason: string): PayloadError {
  return new PayloadError(`${what} is damaged: ${reason}; restore the archive from a copy`);
}
