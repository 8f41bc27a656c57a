import { isLowSurrogate } from './cut-runs.ts'

/**
 * Between two pieces that no encoding merges: before a space behind something else, before punctuation (but not the
 * apostrophe of a contraction) behind a letter or digit of ASCII, before Chinese punctuation behind a Chinese character.
 */
const SAFE_CUT =
  /\S(?= )|[A-Za-z\d](?=[!-&(-/:-@[-`{-~])|\p{Script=Han}(?=[\u3001\u3002\uff01\uff0c\uff1a\uff1b\uff1f])/u
const SAFE_CUTS = new RegExp(SAFE_CUT, 'gu')
/** Characters between two looks at the clock. */
const SLICE = 4_096
/** So many characters at the end of a text are looked at first. */
const NEAR = 32

/** Pieces of a text that can be encoded apart without changing the count, if there are any; else whole characters. */
export function* slices(text: string): Generator<string> {
  let from = 0
  while (text.length - from > 2 * SLICE) {
    const cut = SAFE_CUT.exec(text.slice(from + SLICE, from + 2 * SLICE))
    const end = wholeCharacters(text, from + SLICE + (cut === null ? SLICE : cut.index + cut[0].length))
    yield text.slice(from, end)
    from = end
  }
  yield text.slice(from)
}

/**
 * Where the last safe cut of a text is, looked for among its last `within` characters; 0 where there is none. A cut at
 * the very end is none: what follows is not known.
 */
export function lastSafeCut(text: string, within: number): number {
  // Most texts have one in their last words.
  const near = within > NEAR ? lastAmong(text, NEAR) : 0
  return near > 0 ? near : lastAmong(text, within)
}

function lastAmong(text: string, within: number): number {
  const from = wholeCharacters(text, Math.max(0, text.length - within))
  let last = 0
  for (const match of text.slice(from).matchAll(SAFE_CUTS)) last = from + match.index + match[0].length
  return last
}

/** The same place, or the next one that is not between the halves of a surrogate pair. */
export function wholeCharacters(text: string, at: number): number {
  return isLowSurrogate(text.charCodeAt(at)) ? at + 1 : at
}
