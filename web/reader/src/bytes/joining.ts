/** Byte strings put together, and turned into text. */

/** Put byte strings one after the other. */
export function join(...parts: readonly (Uint8Array | readonly number[])[]): Uint8Array {
  const out = new Uint8Array(parts.reduce((sum, part) => sum + part.length, 0));
  let at = 0;
  for (const part of parts) {
    out.set(part, at);
    at += part.length;
  }
  return out;
}

/** Give the bytes of a text of ASCII letters. */
export function ascii(text: string): Uint8Array {
  return Uint8Array.from(text, (letter) => letter.charCodeAt(0));
}

/** Give the text of ASCII bytes; others stand for the code points of their numbers. */
export function asciiText(bytes: Uint8Array): string {
  let text = "";
  for (const byte of bytes) text += String.fromCharCode(byte);
  return text;
}

const UTF8 = new TextDecoder("utf-8", { fatal: true, ignoreBOM: true });

/**
 * Give the text of UTF-8.
 *
 * @throws TypeError the bytes are none.
 */
export function utf8Text(bytes: Uint8Array): string {
  return UTF8.decode(bytes);
}
