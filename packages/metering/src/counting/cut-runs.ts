/**
 * Runs that the regular expressions of tiktoken's encodings do not break, or not for long. Its byte-pair merging takes
 * time quadratic in their length: 50,000 times one letter takes 6 seconds, one Chinese character 41. White space is
 * Unicode's, not JavaScript's; marks belong to letters and to symbols; slashes go with the line ends behind symbols.
 */
const LONG_RUN =
  /[\p{L}\p{M}]{400,}|\p{N}{400,}|\p{White_Space}{400,}|[^\p{White_Space}\p{L}\p{N}]{400,}|[\r\n/]{400,}/gu
const PIECE = 256

/**
 * Cuts a text for encoding piece by piece: long runs of one kind of character into pieces of 256, the rest as it is.
 * Counts stay the same for runs of a repeated character, and differ by a few in a thousand for others.
 */
export function cutRuns(text: string): string[] {
  const pieces: string[] = []
  let from = 0
  for (const { index, 0: run } of text.matchAll(LONG_RUN)) {
    if (index > from) pieces.push(text.slice(from, index))
    for (let at = 0; at < run.length;) {
      let end = at + PIECE
      // Not between the halves of a surrogate pair.
      if (isLowSurrogate(run.charCodeAt(end))) end += 1
      pieces.push(run.slice(at, end))
      at = end
    }
    from = index + run.length
  }
  if (from < text.length) pieces.push(text.slice(from))
  return pieces
}

/** Whether a code unit is the second half of a character; false behind the end of a text. */
export function isLowSurrogate(code: number): boolean {
  return code >= 0xdc00 && code <= 0xdfff
}
