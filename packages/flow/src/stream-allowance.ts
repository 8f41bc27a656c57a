import type { HeldAllowance } from './held-allowance.ts'

/** How much a stream under way may write, under all limits of its call that cut streams. */
export class StreamAllowance {
  readonly #parts: readonly HeldAllowance[]

  /** @param parts One for each reservation of the call that has such limits. */
  constructor(parts: readonly HeldAllowance[]) {
    this.#parts = parts
  }

  /** Output tokens that may leave; `Infinity` where only limits that let everything pass watch. */
  get outputTokens(): number {
    return Math.min(...this.#parts.map(({ outputTokens }) => outputTokens))
  }

  /** Output tokens until one of the limits, also of those that only watch, is asked for more. */
  get watchedTokens(): number {
    return Math.min(...this.#parts.map(({ watchedTokens }) => watchedTokens))
  }

  /** Tokens that would be bought now: many where much is left. */
  get step(): number {
    return this.#tightest.step
  }

  /** Whether there was nothing more to buy when it was last asked. */
  get isDrained(): boolean {
    return this.#tightest.isDrained
  }

  useInput(tokens: number): void {
    for (const part of this.#parts) part.useInput(tokens)
  }

  /** Sets more aside where least is left. Returns how many tokens; 0: there are no more. */
  buy(): Promise<number> {
    return this.#tightest.buy()
  }

  /** Names of the limits that the stream is cut for. */
  spent(writtenTokens: number): readonly string[] {
    return this.#parts.flatMap((part) => part.spent(writtenTokens))
  }

  get #tightest(): HeldAllowance {
    return this.#parts.reduce((one, other) => (other.watchedTokens < one.watchedTokens ? other : one))
  }
}
