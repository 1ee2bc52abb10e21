/** The refusal of a damaged payload. */

import { PayloadError } from "../errors.ts";

/** Give the error of a payload that is damaged. */
export function damagedPayload(what: string, reason: string): PayloadError {
  return new PayloadError(`${what} is damaged: ${reason}; restore the archive from a copy`);
}
