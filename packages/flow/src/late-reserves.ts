/** More that nobody has answered yet are not remembered: what they hold expires. */
const MOST_REMEMBERED = 10_000

/**
 * Reservations that nobody waits for any more, and whose answer may still come. Where such a one was released meanwhile,
 * and is granted only then, it has to be released again: a release that came first has found nothing.
 */
export class LateReserves {
  /** Whether it was released. A map, as it is rarely used: only what is late goes through it. */
  readonly #isReleased = new Map<string, boolean>()

  gaveUp(id: string): void {
    const [oldest] = this.#isReleased.size >= MOST_REMEMBERED ? this.#isReleased.keys() : []
    if (oldest !== undefined) this.#isReleased.delete(oldest)
    this.#isReleased.set(id, false)
  }

  released(id: string): void {
    if (this.#isReleased.size > 0 && this.#isReleased.has(id)) this.#isReleased.set(id, true)
  }

  /** The answer has come, or never will. Returns whether it was released before. */
  answered(id: string): boolean {
    const isReleased = this.#isReleased.get(id) === true
    this.#isReleased.delete(id)
    return isReleased
  }
}
