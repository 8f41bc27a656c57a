/**
 * Ids that are remembered for a time, and up to twice as long: two generations, of which the older goes as a whole. Costs
 * one set entry an id, and no timer.
 */
export class RecentIds {
  readonly #forMs: number
  #young = new Set<string>()
  #old = new Set<string>()
  #turnsAtMs = -Infinity

  constructor(forMs: number) {
    this.#forMs = forMs
  }

  has(id: string): boolean {
    return this.#young.has(id) || this.#old.has(id)
  }

  add(id: string): void {
    this.#young.add(id)
  }

  delete(id: string): void {
    this.#young.delete(id)
    this.#old.delete(id)
  }

  /** Tells the time. Returns the ids that are forgotten now, if there are any. */
  tick(nowMs: number): ReadonlySet<string> | undefined {
    if (nowMs < this.#turnsAtMs) return undefined
    const gone = this.#old
    this.#old = this.#young
    this.#young = new Set()
    this.#turnsAtMs = nowMs + this.#forMs
    return gone.size === 0 ? undefined : gone
  }
}
