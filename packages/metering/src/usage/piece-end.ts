const LF = 0x0a
const SPACE = 0x20
const QUOTE = 0x22
const ZERO = 0x30
const NINE = 0x39
const CLOSE_BRACKET = 0x5d
const LETTER_D = 0x64
const LETTER_E = 0x65
const LETTER_T = 0x74
const CLOSE_BRACE = 0x7d
/** What is shorter is looked at in full. */
const LEAST_USUAL_BYTES = 8

/**
 * Whether a piece is one of most: its last bytes, `}` and a blank line, and the few before them tell that it is not the end
 * of its stream. Straight on: it is asked of every piece, and what it rules out the loops below would.
 *
 * @param mark Last byte of what {@link mayEndWith} looks for; -1: nothing.
 * @param closes Whether {@link mayClose} is asked as well.
 */
export function isNoEnd(piece: Buffer, mark: number, closes: boolean): boolean {
  let at = piece.length - 3
  if (at < LEAST_USUAL_BYTES || piece[at] !== CLOSE_BRACE || piece[at + 1] !== LF || piece[at + 2] !== LF) return false
  if (closes && mayClose(piece, at)) return false
  if (mark === CLOSE_BRACKET || mark === -1) return true
  if (piece[at - 1] === CLOSE_BRACE) at -= 1
  if (piece[at - 1] === QUOTE) at -= 1
  const byte = piece[at - 1]!
  return byte !== mark && !isPunctuation(byte)
}

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
  const letter = piece[last - 2]
  return letter === LETTER_D ? piece[last - 3] === LETTER_E : letter === LETTER_E && piece[last - 3] === LETTER_T
}

/** White space, quotes and closing braces, which end a document whose last member is a text. */
function isPunctuation(byte: number): boolean {
  return byte <= SPACE || byte === QUOTE || byte === CLOSE_BRACE
}
