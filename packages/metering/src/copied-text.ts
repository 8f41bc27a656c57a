/** A part of a text by itself: V8 keeps the whole text with a part of it, unless that is copied. No lone surrogates. */
export function copiedText(part: string): string {
  return Buffer.from(part).toString()
}
