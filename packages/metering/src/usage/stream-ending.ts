const SPACE = 0x20
const QUOTE = 0x22
const ZERO = 0x30
const NINE = 0x39
const CLOSE_BRACKET = 0x5d
const LETTER_D = 0x64
const LETTER_E = 0x65
const LETTER_T = 0x74
const CLOSE_BRACE = 0x7d

/** Index of the last byte of a piece that is no white space; -1: there is none. */
export function lastInk(piece: Buffer): number {
  let at = piece.length - 1
  while (at >= 0 && piece[at]! <= SPACE) at -= 1
  return at
}

/** Whether a piece can be the end of an event that has a mark at its end, or a name as its last text. */
export function mayEndWith(piece: Buffer, last: number, mark: Buffer): boolean {
  let at = last
  if (mark[mark.length - 1] !== CLOSE_BRACKET) while (at >= 0 && isPunctuation(piece[at]!)) at -= 1
  for (let index = mark.length - 1; index >= 0 && at >= 0; index -= 1, at -= 1)
    if (piece[at] !== mark[index]) return false
  return true
}

/**
 * Whether a piece can be the end of an event whose last member is an object, a number, or the name of the event that ends
 * its stream: `completed`, `failed` or `incomplete`. A piece too short to tell can.
 */
export function mayClose(piece: Buffer, last: number): boolean {
  if (last < 2) return true
  if (piece[last] !== CLOSE_BRACE) return false
  const before = piece[last - 1]!
  if (before === CLOSE_BRACE || before <= SPACE || (before >= ZERO && before <= NINE)) return true
  if (before !== QUOTE || last < 3) return before === QUOTE
  const [one, other] = [piece[last - 3], piece[last - 2]]
  return (one === LETTER_E && other === LETTER_D) || (one === LETTER_T && other === LETTER_E)
}

/** White space, quotes and closing braces, which end a document whose last member is a text. */
function isPunctuation(byte: number): boolean {
  return byte <= SPACE || byte === QUOTE || byte === CLOSE_BRACE
}
