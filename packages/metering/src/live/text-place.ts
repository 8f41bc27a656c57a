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
    const { length } = events
    const [before, behind] = [this.#before, this.#behind]
    if (before === '' || length < before.length + behind.length) return undefined
    if (!events.endsWith(behind) || !events.startsWith(before)) return undefined
    const texts = events.slice(before.length, length - behind.length).replaceAll(this.#between, '')
    // What ends or escapes a text is in none: so nothing else than these events is there.
    return texts.includes(QUOTE) || texts.includes(BACKSLASH) ? undefined : texts
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
    this.#before = events.slice(at, from)
    this.#behind = events.slice(to)
    this.#between = this.#behind + this.#before
  }
}
