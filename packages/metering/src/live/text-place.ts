import { copiedText } from '../copied-text.ts'

const BLANK_LINE = '\n\n'
const QUOTE = '"'
const BACKSLASH = '\\'

/**
 * Where an event of a stream has its text: the events of most providers differ in nothing else for long, so that texts
 * are found by what stands between them, in a third of the time that looking for names takes. Where events differ in
 * something else, the names have to be looked for.
 */
export class TextPlace {
  /** An event up to its text, and from there on; empty: none is known. */
  #before = ''
  #behind = ''
  /** What stands between the texts of two such events. */
  #between = ''

  /** The texts in such events, joined; `undefined` where any of the events is another. */
  textsIn(events: string): string | undefined {
    const [before, between] = [this.#before, this.#between]
    const end = events.length - this.#behind.length
    if (before === '' || end < before.length) return undefined
    if (!events.endsWith(this.#behind) || !events.startsWith(before)) return undefined
    let texts = ''
    for (let from = before.length; ;) {
      const to = events.indexOf(QUOTE, from)
      if (to === -1 || to > end) return undefined
      texts += events.slice(from, to)
      // What escapes a text is in none: so nothing else than these events is there.
      if (to === end) return texts.includes(BACKSLASH) ? undefined : texts
      from = to + between.length
      // Faster than `startsWith`, which compares one by one.
      if (events.slice(to, from) !== between) return undefined
    }
  }

  /**
   * Takes note of the last event of some.
   *
   * @param from Where its text begins.
   * @param to Where that ends.
   * @param other No text is behind this one, and the last before it ends here.
   */
  learn(events: string, from: number, to: number, other: number): void {
    if (!events.endsWith(BLANK_LINE)) return
    const start = events.lastIndexOf(BLANK_LINE, events.length - BLANK_LINE.length - 1)
    const at = start === -1 ? 0 : start + BLANK_LINE.length
    if (other > at || from < at || events.slice(from, to).includes(BACKSLASH)) return
    this.#before = copiedText(events.slice(at, from))
    this.#behind = copiedText(events.slice(to))
    this.#between = this.#behind + this.#before
  }
}
