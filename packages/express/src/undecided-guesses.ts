import type { Response } from 'express'

/** What is known of an address while requests of it are under way. */
interface Undecided {
  /** Those that went on, and of whose key nobody has said yet what it is. */
  passed: number
  /** Those for whom the limiter is being asked. */
  asking: number
  /** Answers so far: what the limiter said before one of them may be out of date. */
  decided: number
  readonly waiting: (() => void)[]
}

/** What a limiter says of an address: its guesses, and in how many milliseconds they are forgotten. */
export interface Guesses {
  readonly count: number
  readonly waitMs: number
}

/**
 * Lets no more requests of an address go on than it has guesses left: each may be one. More wait for the answers of
 * those, so that a burst of guesses is counted one by one, and a burst of right keys is only slower. For one process.
 */
export class UndecidedGuesses {
  readonly #limit: number
  readonly #byAddress = new Map<string, Undecided>()

  constructor(limit: number) {
    this.#limit = limit
  }

  /**
   * Waits for a place. Returns what the limiter said where the address has guessed too often, else `undefined`: then
   * {@link leave} must follow.
   *
   * @param isGone Whether its caller has hung up, so that it needs no place; then it counts as refused.
   */
  async enter(address: string, ask: () => Promise<Guesses>, isGone: () => boolean): Promise<Guesses | undefined> {
    let known = this.#byAddress.get(address)
    if (known === undefined) this.#byAddress.set(address, (known = { passed: 0, asking: 0, decided: 0, waiting: [] }))
    for (;;) {
      const { decided } = known
      known.asking += 1
      const guesses = await ask()
      known.asking -= 1
      if (guesses.count >= this.#limit || isGone()) {
        this.#wake(address, known)
        return guesses
      }
      if (known.decided !== decided) continue
      if (guesses.count + known.passed < this.#limit) {
        known.passed += 1
        return undefined
      }
      // Somebody has passed who will leave: the limiter alone does not fill the place.
      await new Promise<void>((resolve) => known.waiting.push(resolve))
    }
  }

  /** Gives a place back, once it is known what the key was, and a guess has been counted. */
  leave(address: string): void {
    const known = this.#byAddress.get(address)
    if (known === undefined) return
    known.passed -= 1
    known.decided += 1
    this.#wake(address, known)
  }

  #wake(address: string, known: Undecided): void {
    const next = known.waiting.shift()
    if (next !== undefined) return next()
    if (known.passed === 0 && known.asking === 0) this.#byAddress.delete(address)
  }
}

/** Calls back with the status of an answer when its head goes out, or without one when none will; once. */
export function onHead(res: Response, decide: (status: number | undefined) => void): void {
  // oxlint-disable-next-line typescript/unbound-method -- it is called with the response as `this`
  const { writeHead } = res
  let isDecided = false
  const once = (status: number | undefined): void => {
    if (!isDecided) decide(status)
    isDecided = true
  }
  res.writeHead = function (this: Response, ...args: Parameters<typeof writeHead>) {
    once(args[0])
    return writeHead.apply(this, args)
  } as typeof writeHead
  res.once('close', () => once(undefined))
}
