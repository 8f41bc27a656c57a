/** How a reservation ended. */
export type Ending = 'settled' | 'released'

interface Closed {
  readonly as: Ending
  readonly untilMs: number
}

/** Ids that ended, remembered for a time. All for the same time, so that the oldest always stand first. */
export class ClosedIds {
  readonly #forMs: number
  readonly #ids = new Map<string, Closed>()

  constructor(forMs: number) {
    this.#forMs = forMs
  }

  /** How an id ended; `undefined` where it has not, or too long ago. */
  get(id: string): Ending | undefined {
    return this.#ids.get(id)?.as
  }

  add(id: string, as: Ending, nowMs: number): void {
    this.#ids.delete(id)
    this.#ids.set(id, { as, untilMs: nowMs + this.#forMs })
  }

  delete(id: string): void {
    this.#ids.delete(id)
  }

  /** Forgets those whose time is over. */
  tick(nowMs: number): void {
    for (const [id, { untilMs }] of this.#ids) {
      if (untilMs > nowMs) return
      this.#ids.delete(id)
    }
  }
}
