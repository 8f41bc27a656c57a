/** A clock that stands still until a test moves it. */
export class SettableClock {
  #nowMs: number

  /** @param nowMs Milliseconds since the Unix epoch. Default: 2026-01-15T12:00:00Z. */
  constructor(nowMs = Date.UTC(2026, 0, 15, 12)) {
    this.#nowMs = nowMs
  }

  /** The clock as a function, for options that take one. */
  readonly now = (): number => this.#nowMs

  advance(byMs: number): void {
    this.#nowMs += byMs
  }

  set(nowMs: number): void {
    this.#nowMs = nowMs
  }
}
