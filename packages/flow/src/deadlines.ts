/**
 * What waits for an answer, and until when. One timer serves all, and only while something waits: an answer in time costs
 * a place in an array. What has arrived by the end of a busy turn of the event loop is in time.
 */
export class Deadlines {
  /** Side by side: when each is late, and whom to tell then; empty where the answer has come. */
  #dueAtMs: number[] = []
  #whenLate: ((() => void) | undefined)[] = []
  /** Number of what stands first. */
  #first = 0
  #open = 0
  #timer: NodeJS.Timeout | undefined
  #timerAtMs = Infinity

  /**
   * Begins to wait.
   *
   * @param dueAtMs By `performance.now()`. Best not earlier than that of others, whose timer would be set anew.
   * @returns A number for {@link done}.
   */
  add(whenLate: () => void, dueAtMs: number): number {
    this.#dueAtMs.push(dueAtMs)
    const number = this.#first + this.#whenLate.push(whenLate) - 1
    this.#open += 1
    if (dueAtMs < this.#timerAtMs) this.#setTimer(dueAtMs)
    else if (this.#open === 1) this.#timer!.ref()
    return number
  }

  /** The answer has come. `false`: too late. */
  done(number: number): boolean {
    const place = number - this.#first
    if (place < 0 || this.#whenLate[place] === undefined) return false
    this.#whenLate[place] = undefined
    this.#open -= 1
    if (this.#open === 0) this.#rest()
    return true
  }

  /** Nothing waits: what is left of the timer keeps no process alive. */
  #rest(): void {
    this.#first += this.#whenLate.length
    this.#dueAtMs.length = 0
    this.#whenLate.length = 0
    this.#timer?.unref()
  }

  #setTimer(dueAtMs: number): void {
    clearTimeout(this.#timer)
    this.#timerAtMs = dueAtMs
    // Answers that are there already are read before the immediates of the same turn.
    this.#timer = setTimeout(
      () => setImmediate(() => this.#tell()),
      Math.max(1, Math.ceil(dueAtMs - performance.now())),
    )
  }

  #tell(): void {
    this.#timer = undefined
    this.#timerAtMs = Infinity
    const nowMs = performance.now()
    let earliestMs = Infinity
    let gone = 0
    for (let place = 0; place < this.#whenLate.length; place += 1) {
      const whenLate = this.#whenLate[place]
      if (whenLate === undefined) {
        if (gone === place) gone += 1
      } else if (this.#dueAtMs[place]! <= nowMs) {
        this.#whenLate[place] = undefined
        this.#open -= 1
        whenLate()
      } else earliestMs = Math.min(earliestMs, this.#dueAtMs[place]!)
    }
    this.#dueAtMs = this.#dueAtMs.slice(gone)
    this.#whenLate = this.#whenLate.slice(gone)
    this.#first += gone
    if (this.#open > 0) this.#setTimer(earliestMs)
  }
}
